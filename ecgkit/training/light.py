"""Training of the lightweight ResNet-18 as in its thesis: Adam at a constant rate, age and sex as side input.

The thesis leaves some things open. Here: the band is 0.5-50 Hz; the first ten seconds of a record are used,
shorter ones are followed by zeros; signals are standardised by one mean and one standard deviation of the
training records; missing ages and sexes are coded as `ecgkit.models.light_resnet18.metadata_features` says.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgkit.datasets.base import ECGDataset
from ecgkit.evaluation import macro_auc, micro_auc
from ecgkit.models.light_resnet18 import metadata_features
from ecgkit.signals.filters import bandpass
from ecgkit.signals.resampling import resample_cubic
from ecgkit.training.checkpoint import load_checkpoint, save_checkpoint
from ecgkit.training.data import Scaler, to_device
from ecgkit.training.loop import Training, batches, epoch_seed

__all__ = ["LightConfig", "LightData", "light_scores", "prepare_light", "train_light"]

MV_PER_UNIT = 0.001  # of the filtered signals


@dataclass(frozen=True)
class LightConfig:
    """How to prepare signals and train. The defaults are the thesis's, as far as it says.

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
    train_folds: int = 8  # train on folds 1 to this
    bf16: bool = False  # forward pass in bfloat16 where that is safe
    sources: tuple[str, ...] = ()  # data sets besides the run's own; its group of sources is left out

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.train_folds) < 1:
            raise ValueError("epochs, batch_size and train_folds must be at least 1")
        if min(self.lr, self.seconds, self.rate_hz) <= 0:
            raise ValueError("lr, seconds and rate_hz must be above 0")


def prepare_light(dataset: ECGDataset, config: LightConfig) -> ECGDataset:
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


@dataclass(frozen=True, eq=False)
class LightData:
    """Prepared records on a device, with what the network is told of the patients.

    Attributes:
        signals: int16, shape (N, leads, T).
        labels: float32, shape (N, K).
        metadata: Shape (N, 3), or None.
        mv_per_unit: mV per unit of `signals`.
    """

    signals: Tensor
    labels: Tensor
    metadata: Tensor | None
    mv_per_unit: float

    def __len__(self) -> int:
        return self.signals.shape[0]

    @classmethod
    def of(cls, dataset: ECGDataset, device: torch.device, metadata: bool) -> "LightData":
        """The records of a prepared data set."""
        data = to_device(dataset, device)
        known = metadata_features(dataset.meta).to(device) if metadata else None
        return cls(data.signals, data.labels, known, data.mv_per_unit)

    def logits(self, model: nn.Module, scaler: Scaler, rows: Tensor | slice, bf16: bool) -> Tensor:
        """Logits of some records, float32, shape (B, K)."""
        x = scaler(self.signals[rows], self.mv_per_unit)
        known = None if self.metadata is None else self.metadata[rows]
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            logits: Tensor = model(x, known)
        return logits.float()


@torch.no_grad()
def light_scores(
    model: nn.Module, data: LightData, scaler: Scaler, bf16: bool = False, batch_size: int = 128
) -> np.ndarray:
    """Probabilities of every record, float32, shape (N, K)."""
    model.eval()
    blocks = (slice(first, first + batch_size) for first in range(0, len(data), batch_size))
    return torch.cat([data.logits(model, scaler, rows, bf16) for rows in blocks]).sigmoid().cpu().numpy()


def _loss(labels: Tensor, scores: np.ndarray) -> float:
    """Mean binary cross-entropy of probabilities."""
    truth = labels.cpu().double()
    return float(F.binary_cross_entropy(torch.from_numpy(scores).double(), truth))


def train_light(
    model: nn.Module,
    train: LightData,
    validation: LightData,
    scaler: Scaler,
    config: LightConfig,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Training:
    """Train `model` in place with Adam at a constant rate; the weights of the last epoch stay.

    Each entry of the curve has: ``train_loss``, the mean over the epoch's batches, with dropout;
    ``gradient_norm``, likewise; ``fitted_loss``, the loss after the epoch, without dropout, of as many
    training records as there are validation records; and ``validation_loss``, ``validation_macro_auc`` and
    ``validation_micro_auc`` of the validation records. Only the two losses without dropout can be compared.

    Args:
        model: (B, leads, T) and metadata (B, 3) or None -> (B, K) logits.
        train: Training records.
        validation: Validation records. They are never trained on, and nothing is chosen by them.
        scaler: From `ecgkit.training.fit_scaler` on the training records.
        config: How to train.
        seed: Decides order and dropout. The caller's global random state is left as it was.
        checkpoint: File to go on from when it is there, and to write after every epoch.
        on_epoch: Called after every epoch with its entry of the curve.

    Raises:
        FloatingPointError: If the loss is no longer finite.
        StoreError: If the checkpoint cannot be written or read.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), Table 3.1.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    done = Training()
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint, train.signals.device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = Training(**state["training"])
    probe = torch.linspace(0, len(train) - 1, min(len(train), len(validation))).long()
    metadata = None if train.metadata is None else train.metadata[probe]
    fitted = LightData(train.signals[probe], train.labels[probe], metadata, train.mv_per_unit)
    device = train.signals.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for epoch in range(len(done.curve) + 1, config.epochs + 1):
            start = time.perf_counter()
            loss, norm = _train_epoch(model, train, scaler, config, optimizer, epoch_seed(seed, epoch))
            done.samples_backprop += sum(map(len, batches(torch.arange(len(train)), config.batch_size)))
            trained = time.perf_counter()
            done.seconds["train"] += trained - start
            scores = light_scores(model, validation, scaler, config.bf16)
            truth = validation.labels.cpu().numpy()
            entry = {
                "epoch": float(epoch),
                "train_loss": loss,
                "gradient_norm": norm,
                "fitted_loss": _loss(fitted.labels, light_scores(model, fitted, scaler, config.bf16)),
                "validation_loss": _loss(validation.labels, scores),
                "validation_macro_auc": macro_auc(truth, scores),
                "validation_micro_auc": micro_auc(truth, scores),
            }
            done.curve.append(entry)
            done.seconds["validate"] += time.perf_counter() - trained
            if checkpoint is not None:
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "training": vars(done),
                }
                save_checkpoint(checkpoint, state)
            if on_epoch is not None:
                on_epoch(entry)
    return done


def _train_epoch(
    model: nn.Module,
    data: LightData,
    scaler: Scaler,
    config: LightConfig,
    optimizer: torch.optim.Optimizer,
    seed: int,
) -> tuple[float, float]:
    """One pass over the training records in random order; mean loss and mean norm of the gradient."""
    model.train()
    torch.manual_seed(seed)  # dropout
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    losses, norms = [], []
    for rows in batches(order.to(data.signals.device), config.batch_size):
        loss = F.binary_cross_entropy_with_logits(
            data.logits(model, scaler, rows, config.bf16), data.labels[rows]
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), float("inf")))  # measures, clips nothing
        optimizer.step()
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise FloatingPointError(f"the training loss is {mean}: lower lr ({config.lr})")
    return mean, float(torch.stack(norms).mean())
