"""Signals where the training happens: int16 on the device, scaled to float only window by window."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ecgkit.evaluation.arrays import as_array

if TYPE_CHECKING:
    from ecgkit.datasets.base import ECGDataset

__all__ = ["DeviceData", "Scaler", "choose_device", "fit_scaler", "to_device"]

_CHUNK = 128  # records read at a time; their sum of squares stays below 2**53, exact in float64


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: If the device is not there.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if (name := str(name)) == "auto":
        name = next(kind for kind, count in there.items() if count)
    kind, _, number = name.partition(":")
    if not there.get(kind) or not (number == "" or (number.isdecimal() and int(number) < there[kind])):
        at_hand = ", ".join(kind for kind, count in there.items() if count)
        raise ValueError(f"no device {name!r} on this machine; at hand: {at_hand}")
    return torch.device(name)


@dataclass(frozen=True)
class Scaler:
    """One mean and one standard deviation over all training samples and leads, in mV.

    Raises:
        ValueError: If the mean is not finite, or the deviation not a finite number above 0.

    Source:
        PTB-XL benchmark: the only preprocessing of its signals.
    """

    mean_mv: float
    std_mv: float

    def __post_init__(self) -> None:
        if not isfinite(self.mean_mv) or not isfinite(self.std_mv) or self.std_mv <= 0:
            raise ValueError(
                f"a scaler of mean {self.mean_mv} mV and standard deviation {self.std_mv} mV scales nothing: "
                "take the one that `fit_scaler` makes of the training records"
            )

    def __call__(self, windows: Tensor, mv_per_unit: float) -> Tensor:
        """Standardise windows (B, leads, T) to float32 with mean 0 and standard deviation 1."""
        return (windows.float() * mv_per_unit - self.mean_mv) / self.std_mv


@dataclass(frozen=True, eq=False)
class DeviceData:
    """Records on a device, ready to train on.

    Attributes:
        signals: int16 in units of `mv_per_unit`, shape (N, leads, T).
        labels: float32, shape (N, K).
        lengths: Valid samples per record, shape (N,); None where all records fill T.
        mv_per_unit: mV per unit of `signals`.
        sampling_rate_hz: Samples per second and lead.
        metadata: What a network is told beside the signal, shape (N, M): it is called as
            ``model(x, metadata)``. None: as ``model(x)``.

    Raises:
        ValueError: If the shapes do not fit, there is no record, or a value is not finite.
    """

    signals: Tensor
    labels: Tensor
    lengths: Tensor | None
    mv_per_unit: float
    sampling_rate_hz: int
    metadata: Tensor | None = None

    def __post_init__(self) -> None:
        shapes = {"signals": 3, "labels": 2, "lengths": 1, "metadata": 2}
        given = {name: values for name in shapes if (values := getattr(self, name)) is not None}
        for name, values in given.items():
            if values.ndim != shapes[name] or 0 in values.shape or len(values) != len(self.signals):
                raise ValueError(
                    f"{name} have the shape {tuple(values.shape)}; wanted are, for N records (at least one), "
                    "signals (N, leads, T), labels (N, K), lengths (N,) and metadata (N, M)"
                )
            if values.is_floating_point() and not bool(values.isfinite().all()):
                raise ValueError(f"{name} hold NaN or infinity: leave these records out, or correct them")
        if self.lengths is not None and not _whole_between(self.lengths, 1, self.signals.shape[2]):
            raise ValueError(f"lengths must be whole numbers from 1 to {self.signals.shape[2]} samples")
        if not self.labels.is_floating_point():
            raise ValueError(f"labels are {self.labels.dtype}; float is wanted: labels.float()")
        if not all(_above_0(value) for value in (self.mv_per_unit, self.sampling_rate_hz)):
            raise ValueError(
                f"mv_per_unit is {self.mv_per_unit} and sampling_rate_hz {self.sampling_rate_hz}; "
                "both must be above 0"
            )

    def __len__(self) -> int:
        return self.signals.shape[0]

    @property
    def device(self) -> torch.device:
        return self.signals.device

    @classmethod
    def from_arrays(
        cls,
        signals: Any,
        labels: Any,
        sampling_rate_hz: int,
        mv_per_unit: float = 1.0,
        lengths: Any = None,
        metadata: Any = None,
        device: torch.device | str = "cpu",
    ) -> DeviceData:
        """Data from plain arrays; PyTorch and NumPy are all that is needed.

        Args:
            signals: Shape (N, leads, T). int16 in units of `mv_per_unit` takes half the memory of float32;
                with other types, give mV and leave `mv_per_unit` at 1.
            labels: 0 and 1, shares of them, or numbers to predict, shape (N, K).
            sampling_rate_hz: Samples per second and lead.
            mv_per_unit: mV per unit of `signals`.
            lengths: Valid samples per record, shape (N,), where some end before T.
            metadata: What the network is told beside the signal, shape (N, M).
            device: Where to put them.

        Raises:
            ValueError: As `DeviceData`, and if an array holds no real numbers or has masked entries.

        >>> from ecgkit import models
        >>> from ecgkit.training import TrainConfig, fit_scaler, train_classifier
        >>> rng = np.random.default_rng(0)
        >>> signals_mv, labels = rng.normal(size=(8, 12, 100)), rng.integers(0, 2, (8, 3))
        >>> data = DeviceData.from_arrays(signals_mv, labels, sampling_rate_hz=100)
        >>> model = models.create("resnet18", leads=12, classes=3, width=2)
        >>> config = TrainConfig(epochs=1, window_s=0.5)
        >>> train_classifier(model, data, data, fit_scaler(data), config, seed=0).samples_backprop
        8
        """

        def tensor(values: Any, name: str) -> Tensor:
            array = as_array(values, name)
            if name == "lengths" and (array != np.floor(array)).any():  # nor NaN
                raise ValueError("lengths must be whole numbers of samples")
            short = name == "signals" and array.dtype.kind == "i" and array.dtype.itemsize == 2
            kept = np.int64 if name == "lengths" else np.int16 if short else np.float32
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as infinite
                return torch.from_numpy(np.require(array, kept, ["C", "W"])).to(device)

        return cls(
            signals=tensor(signals, "signals"),
            labels=tensor(labels, "labels"),
            lengths=None if lengths is None else tensor(lengths, "lengths"),
            mv_per_unit=mv_per_unit,
            sampling_rate_hz=sampling_rate_hz,
            metadata=None if metadata is None else tensor(metadata, "metadata"),
        )


def _above_0(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value) and float(value) > 0


def _whole_between(values: Tensor, low: int, high: int) -> bool:
    whole = not values.is_floating_point() and not values.is_complex()
    return whole and bool(((values >= low) & (values <= high)).all())


def to_device(dataset: ECGDataset, device: torch.device | str, metadata: bool = False) -> DeviceData:
    """Copy a data set to a device, once, as int16: PTB-XL at 100 Hz takes 0.5 GB.

    Args:
        dataset: The records.
        device: Where to put them.
        metadata: Whether the network is told age and sex, as the light networks can be.

    Raises:
        ValueError: If the data set is empty.
    """
    if len(dataset) == 0:
        raise ValueError(f"{dataset.name}, task {dataset.task}: no record in this part")
    known = None
    if metadata:
        from ecgkit.models.light_resnet18 import metadata_features

        known = metadata_features(dataset.meta).to(device)
    full = bool((dataset.lengths == dataset.signals.shape[2]).all())
    return DeviceData(
        signals=torch.from_numpy(np.array(dataset.signals)).to(device),
        labels=torch.from_numpy(dataset.labels.astype(np.float32)).to(device),
        lengths=None if full else torch.from_numpy(dataset.lengths.astype(np.int64)).to(device),
        mv_per_unit=dataset.mv_per_unit,
        sampling_rate_hz=dataset.sampling_rate_hz,
        metadata=known,
    )


def fit_scaler(data: ECGDataset | DeviceData) -> Scaler:
    """Mean and standard deviation of all valid samples. Give it the training part alone.

    Args:
        data: A data set, or what is on the device; padding after short records must be zero.

    Raises:
        ValueError: If the signals do not vary.
    """
    whole = not data.signals.dtype.is_floating_point if isinstance(data.signals, Tensor) else True
    number = int if whole else float  # whole numbers add up exactly, in any order of the records
    total, squares, count = number(0), number(0), 0
    lowest, highest = np.inf, -np.inf
    for first in range(0, len(data), _CHUNK):
        part = data.signals[first : first + _CHUNK]
        block = part.cpu().numpy() if isinstance(part, Tensor) else np.asarray(part)
        values = block.reshape(-1).astype(np.float64)
        total += number(values.sum())
        squares += number(values @ values)
        lowest, highest = min(lowest, values.min()), max(highest, values.max())
        if data.lengths is None:
            count += values.size
        else:
            count += block.shape[1] * int(data.lengths[first : first + _CHUNK].sum())
    mean = total / max(count, 1)
    variance = squares / max(count, 1) - mean * mean
    if not variance > 0 or lowest == highest:  # of equal numbers, rounding may leave a variance
        name = getattr(data, "name", "the data")
        raise ValueError(f"the signals of {name} do not vary: are they all zero?")
    return Scaler(mean * data.mv_per_unit, variance**0.5 * data.mv_per_unit)
