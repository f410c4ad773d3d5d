"""Signals where the training happens: int16 on the device, scaled to float only window by window."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, found in there.items() if found)
    kind = name.split(":")[0]
    if not there.get(kind, False):
        at_hand = ", ".join(kind for kind, found in there.items() if found)
        raise ValueError(f"no device {name!r} on this machine; at hand: {at_hand}")
    return torch.device(name)


@dataclass(frozen=True)
class Scaler:
    """One mean and one standard deviation over all training samples and leads, in mV.

    Source:
        PTB-XL benchmark: the only preprocessing of its signals.
    """

    mean_mv: float
    std_mv: float

    def __call__(self, windows: Tensor, mv_per_unit: float) -> Tensor:
        """Standardise int16 windows (B, leads, T) to float32 with mean 0 and standard deviation 1."""
        return (windows.float() * mv_per_unit - self.mean_mv) / self.std_mv


def fit_scaler(dataset: ECGDataset) -> Scaler:
    """Mean and standard deviation of all valid samples of a data set. Give it the training part alone.

    Raises:
        ValueError: If the signals do not vary.
    """
    total, squares, count = 0, 0, 0  # whole numbers throughout: the order of the records does not matter
    for first in range(0, len(dataset), _CHUNK):
        block = np.asarray(dataset.signals[first : first + _CHUNK])  # padding adds zero
        values = block.reshape(-1).astype(np.float64)
        total += int(values.sum())
        squares += int(values @ values)
        count += block.shape[1] * int(dataset.lengths[first : first + _CHUNK].sum())
    mean = total / max(count, 1)
    variance = squares / max(count, 1) - mean * mean
    if variance <= 0:
        raise ValueError(f"the signals of {dataset.name} do not vary: are they all zero?")
    return Scaler(mean * dataset.mv_per_unit, variance**0.5 * dataset.mv_per_unit)


@dataclass(frozen=True, eq=False)
class DeviceData:
    """A data set on a device.

    Attributes:
        signals: int16 in units of `mv_per_unit`, shape (N, leads, T).
        labels: float32, shape (N, K).
        lengths: Valid samples per record, shape (N,); None where all records fill T.
        mv_per_unit: mV per unit of `signals`.
        sampling_rate_hz: Samples per second and lead.
    """

    signals: Tensor
    labels: Tensor
    lengths: Tensor | None
    mv_per_unit: float
    sampling_rate_hz: int

    def __len__(self) -> int:
        return self.signals.shape[0]

    @property
    def device(self) -> torch.device:
        return self.signals.device


def to_device(dataset: ECGDataset, device: torch.device) -> DeviceData:
    """Copy a data set to a device, once, as int16: PTB-XL at 100 Hz takes 0.5 GB.

    Raises:
        ValueError: If the data set is empty.
    """
    if len(dataset) == 0:
        raise ValueError(f"{dataset.name}, task {dataset.task}: no record in this part")
    full = bool((dataset.lengths == dataset.signals.shape[2]).all())
    return DeviceData(
        signals=torch.from_numpy(np.array(dataset.signals)).to(device),
        labels=torch.from_numpy(dataset.labels.astype(np.float32)).to(device),
        lengths=None if full else torch.from_numpy(dataset.lengths.astype(np.int64)).to(device),
        mv_per_unit=dataset.mv_per_unit,
        sampling_rate_hz=dataset.sampling_rate_hz,
    )
