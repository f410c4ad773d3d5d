"""The lightweight ResNet-18's training, as in its thesis: Adam at a constant rate, age and sex as side input.

The thesis leaves some things open. Here: the band is 0.5-50 Hz; the first ten seconds of a record are used,
shorter ones are followed by zeros; signals are standardised by one mean and one standard deviation of the
training records; missing ages and sexes are coded as `ecgkit.models.light_resnet18.metadata_features` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.loop import (
    Learner,
    OnEpoch,
    Training,
    batches,
    require_alike,
    run_epochs,
    training_checkpoint,
)
from ecgkit.training.predict import predict
from ecgkit.training.settings import check_settings
from ecgkit.training.supervised import require_shares

if TYPE_CHECKING:
    from ecgkit.datasets.base import ECGDataset

__all__ = ["LightweightConfig", "lightweight_scores", "prepare_lightweight", "train_lightweight"]

MV_PER_UNIT = 0.001  # of the filtered signals
_WHOLE_S = 1e9  # a window as long as the record


@dataclass(frozen=True)
class LightweightConfig:
    """How to prepare signals and train. The defaults are the thesis's, as far as it says.

    Raises:
        ValueError: If a value is of another type than its default, or out of range.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), section 3.2 and Table 3.1.
    """

    epochs: int = 30
    batch_size: int = 256
    lr: float = 0.003  # constant
    weight_decay: float = 1e-5
    metadata: bool = True  # whether the network is told age and sex
    low_hz: float = 0.5  # edges of the band-pass
    high_hz: float = 50.0
    rate_hz: int = 250  # after the cubic spline
    seconds: float = 10.0  # from the start of each record
    bf16: bool = False  # forward pass in bfloat16 where that is safe

    def __post_init__(self) -> None:
        check_settings(
            self,
            at_least={"epochs": 1, "batch_size": 2, "weight_decay": 0, "rate_hz": 1},
            above={"lr": 0, "seconds": 0, "low_hz": 0, "high_hz": self.low_hz},
        )
        if round(self.seconds * self.rate_hz) < 1:
            raise ValueError(f"{self.seconds} s at {self.rate_hz} Hz are no sample; raise seconds")


def prepare_lightweight(dataset: ECGDataset, config: LightweightConfig) -> ECGDataset:
    """Band-pass, cubic spline to `rate_hz`, first seconds; all records zero-padded to the same length.

    Args:
        dataset: N records at any rate.
        config: The band, the rate and the seconds.

    Returns:
        Signals as int16 in microvolts, shape (N, 12, seconds x rate_hz).

    Raises:
        ValueError: If the band does not fit the rate of the records.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), section 3.2.
    """
    from ecgkit.signals.filters import bandpass, resample_cubic

    samples = round(config.seconds * config.rate_hz)
    signals = np.zeros((len(dataset), len(dataset.leads), samples), np.int16)
    lengths = np.zeros(len(dataset), np.int32)
    for row, (stored, length) in enumerate(zip(dataset.signals, dataset.lengths, strict=True)):
        signal = stored[:, :length].astype(np.float32) * dataset.mv_per_unit
        signal = bandpass(signal, dataset.sampling_rate_hz, config.low_hz, config.high_hz)
        if config.rate_hz != dataset.sampling_rate_hz:
            signal = resample_cubic(signal, dataset.sampling_rate_hz, config.rate_hz)
        signal = signal[:, :samples] / MV_PER_UNIT
        lengths[row] = signal.shape[1]
        signals[row, :, : lengths[row]] = signal.round().clip(-32767, 32767)
    return replace(
        dataset, signals=signals, lengths=lengths, mv_per_unit=MV_PER_UNIT, sampling_rate_hz=config.rate_hz
    )


def lightweight_scores(
    model: nn.Module, data: DeviceData, scaler: Scaler, bf16: bool = False, batch_size: int = 128
) -> np.ndarray:
    """Probabilities of every whole record, float32, shape (N, K)."""
    return predict(model, data, scaler, _WHOLE_S, bf16=bf16, batch_size=batch_size)


def train_lightweight(
    model: nn.Module,
    train: DeviceData,
    validation: DeviceData,
    scaler: Scaler,
    config: LightweightConfig,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> Training:
    """Train `model` in place with Adam at a constant rate; the weights of the last epoch stay.

    Each entry of the curve has: ``train_loss``, the mean over the epoch's batches, with dropout;
    ``gradient_norm``, likewise; ``fitted_loss``, the loss after the epoch, without dropout, of as many
    training records as there are validation records; and ``validation_loss``, ``validation_macro_auc`` and
    ``validation_micro_auc`` of the validation records. Only the two losses without dropout can be compared.

    Args:
        model: (B, leads, T), and metadata (B, 3) where the data have some, -> (B, K) logits.
        train: Training records, prepared; see `ecgkit.training.to_device` for the metadata.
        validation: Validation records. They are never trained on, and nothing is chosen by them.
        scaler: From `ecgkit.training.fit_scaler` on the training records.
        config: How to train.
        seed: Decides order and dropout. The caller's global random state is left as it was.
        checkpoint: As for `ecgkit.training.train_classifier`.
        on_epoch: Called after every epoch with its entry of the curve.

    Raises:
        FloatingPointError, ValueError, StoreError: As `ecgkit.training.train_classifier`.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), Table 3.1.
    """
    require_alike(train, validation)
    require_shares(train.labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    # an infinite norm of the gradient measures it, and clips nothing
    learner = Learner(
        model, train, scaler, optimizer, config.batch_size, _WHOLE_S, config.bf16, clip_norm=math.inf
    )
    probe = torch.linspace(0, len(train) - 1, min(len(train), len(validation))).long().to(train.device)
    known = None if train.metadata is None else train.metadata[probe]
    fitted = replace(
        train, signals=train.signals[probe], labels=train.labels[probe], lengths=None, metadata=known
    )

    def one_epoch(epoch: int) -> dict[str, float]:
        losses, norms = [], []
        with learner.timed("train"):
            for rows in batches(learner.shuffled(), config.batch_size):
                loss = F.binary_cross_entropy_with_logits(learner.logits(rows), train.labels[rows])
                norms.append(learner.update(loss, len(rows)))
                losses.append(loss.detach())
            return {"train_loss": _mean(losses), "gradient_norm": _mean(norms)}

    def validate() -> dict[str, float]:
        from ecgkit.evaluation import macro_auc, micro_auc

        scores = lightweight_scores(model, validation, scaler, config.bf16)
        truth = validation.labels.cpu().numpy()
        after = lightweight_scores(model, fitted, scaler, config.bf16)
        return {
            "fitted_loss": _cross_entropy(fitted.labels, after),
            "validation_loss": _cross_entropy(validation.labels, scores),
            "validation_macro_auc": macro_auc(truth, scores),
            "validation_micro_auc": micro_auc(truth, scores),
        }

    run_epochs(
        learner,
        one_epoch,
        validate,
        config.epochs,
        seed,
        remedy=f"lower lr ({config.lr})",
        checkpoint=training_checkpoint(
            checkpoint, model, train, validation, scaler, seed, ("train_lightweight", config)
        ),
        on_epoch=on_epoch,
    )
    return learner.done


def _mean(values: Sequence[Tensor | None]) -> float:
    return float(torch.stack([value for value in values if value is not None]).mean())


def _cross_entropy(labels: Tensor, scores: np.ndarray) -> float:
    """Mean binary cross-entropy of probabilities."""
    truth = labels.cpu().double()
    return float(F.binary_cross_entropy(torch.from_numpy(scores).double(), truth))
