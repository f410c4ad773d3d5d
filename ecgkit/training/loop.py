"""The training loop: random windows, a loss, AdamW, a one-cycle schedule.

Everything random in an epoch follows from the seed and the number of the epoch, so a run that was stopped and
goes on from its checkpoint takes the same steps as one that was not.
"""

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgkit.evaluation import macro_auc, mae
from ecgkit.signals.windows import random_windows
from ecgkit.training.checkpoint import load_checkpoint, save_checkpoint
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.predict import predict, window_samples

__all__ = ["TrainConfig", "Training", "batches", "epoch_seed", "one_cycle", "train_classifier"]


_LOSSES: dict[str, Callable[..., Tensor]] = {"bce": F.binary_cross_entropy_with_logits, "mse": F.mse_loss}


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults are the PTB-XL benchmark's for convolutional networks."""

    epochs: int = 50
    batch_size: int = 128
    window_s: float = 2.5  # length of training and evaluation windows
    max_lr: float = 1e-2  # peak of the one-cycle schedule
    weight_decay: float = 1e-2
    clip_norm: float | None = None  # largest norm of the gradient; None leaves it alone
    bf16: bool = False  # forward pass in bfloat16 where that is safe
    validate_every: int = 5  # epochs between looks at the validation fold
    patience: int | None = None  # stop after so many looks without a better validation macro AUC

    loss: Literal["bce", "mse"] = "bce"  # binary cross-entropy for labels, squared error for a number
    aggregate: Literal["max", "mean"] = "max"  # of the windows of a record

    def __post_init__(self) -> None:
        if self.loss not in _LOSSES:
            raise ValueError(f"loss is {self.loss!r}; choose one of {', '.join(_LOSSES)}")
        if self.loss == "mse" and self.patience is not None:
            raise ValueError("patience looks at the macro AUC, which a regression (loss 'mse') does not have")
        if min(self.epochs, self.batch_size, self.validate_every) < 1:
            raise ValueError("epochs, batch_size and validate_every must be at least 1")
        if min(self.window_s, self.max_lr) <= 0:
            raise ValueError("window_s and max_lr must be above 0")


@dataclass
class Training:
    """What a training leaves behind, beside the weights in the model itself."""

    curve: list[dict[str, float]] = field(default_factory=list)  # one entry per epoch
    samples_backprop: int = 0  # windows that went through a backward pass
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "validate": 0.0})
    best_auc: float = -1.0  # best validation macro AUC so far, where `patience` asks for it
    best_epoch: int = 0


def one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    """Learning rate up to that of the optimizer over the first 30 % of `steps`, then down to almost nothing;
    momentum the other way round. Each parameter group has its own peak.

    Source:
        Smith, "A disciplined approach to neural network hyper-parameters" (2018), with fastai's defaults.
    """
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=0.3,
        div_factor=25,
        final_div_factor=1e4,
    )


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of everything random in one epoch."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def batches(order: Tensor, size: int) -> list[Tensor]:
    """`order` in pieces of `size`. A last piece of one record is left out: batch normalisation needs two."""
    pieces = list(order.split(size))
    return pieces[:-1] if len(pieces) > 1 and len(pieces[-1]) == 1 else pieces


def _train_epoch(
    model: nn.Module,
    data: DeviceData,
    scaler: Scaler,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    schedule: Any,
    seed: int,
) -> tuple[float, int]:
    """One pass over the training set in random order; returns the mean loss and the windows trained on."""
    model.train()
    torch.manual_seed(seed)  # dropout
    generator = torch.Generator().manual_seed(seed)  # order and windows
    window = window_samples(config.window_s, data)
    order = torch.randperm(len(data), generator=generator).to(data.device)
    total, count = torch.zeros((), device=data.device), 0
    for rows in batches(order, config.batch_size):
        lengths = None if data.lengths is None else data.lengths[rows]
        windows = random_windows(data.signals[rows], window, generator, lengths)  # (B, leads, window)
        with torch.autocast(data.device.type, torch.bfloat16, enabled=config.bf16):
            logits = model(scaler(windows, data.mv_per_unit))  # (B, K)
        loss = _LOSSES[config.loss](logits.float(), data.labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        schedule.step()
        total += loss.detach() * len(rows)
        count += len(rows)
    mean = float(total) / count
    if not np.isfinite(mean):
        raise FloatingPointError(
            f"the training loss is {mean}: lower max_lr ({config.max_lr}) or clip the gradient (clip_norm)"
        )
    return mean, count


def train_classifier(
    model: nn.Module,
    train: DeviceData,
    validation: DeviceData,
    scaler: Scaler,
    config: TrainConfig,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    groups: Sequence[dict[str, Any]] | None = None,
) -> Training:
    """Train `model` in place.

    Without `patience` the weights of the last epoch stay. With it, training stops after so many looks at the
    validation fold without a better macro AUC, and the best weights come back.

    Args:
        model: (B, leads, T) -> (B, K) logits, on the device of the data.
        train: Training records.
        validation: Validation records. They are never trained on.
        scaler: From `fit_scaler` on the training records.
        config: How to train.
        seed: Decides order, windows and dropout. The caller's global random state is left as it was.
        checkpoint: File to go on from when it is there, and to write after every epoch.
        on_epoch: Called after every epoch with its entry of the learning curve.
        groups: Parameters to train, as for torch's optimizers: ``params`` with their peak rate ``lr``. None:
            all of them, at `config.max_lr`.

    Raises:
        FloatingPointError: If the loss is no longer finite.
        StoreError: If the checkpoint cannot be written or read.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Appendix I.
    """
    optimizer = torch.optim.AdamW(
        model.parameters() if groups is None else list(groups),
        lr=config.max_lr,
        betas=(0.95, 0.99),
        weight_decay=config.weight_decay,
    )
    steps = config.epochs * len(batches(torch.arange(len(train)), config.batch_size))
    schedule = one_cycle(optimizer, steps)
    done = Training()
    best: dict[str, Tensor] | None = None
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint, train.device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        best = state["best"]
        done = Training(**state["training"])

    devices = [train.device] if train.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for epoch in range(len(done.curve) + 1, config.epochs + 1):
            if _waited_long_enough(done, config):
                break
            start = time.perf_counter()
            loss, samples = _train_epoch(
                model, train, scaler, config, optimizer, schedule, epoch_seed(seed, epoch)
            )
            done.samples_backprop += samples
            entry = {"epoch": float(epoch), "train_loss": loss}
            done.seconds["train"] += time.perf_counter() - start
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                start = time.perf_counter()
                entry |= _validate(model, validation, scaler, config)
                done.seconds["validate"] += time.perf_counter() - start
                if config.patience is not None and entry["validation_macro_auc"] > done.best_auc:
                    done.best_auc, done.best_epoch = entry["validation_macro_auc"], epoch
                    best = deepcopy(model.state_dict())
            done.curve.append(entry)
            if checkpoint is not None:
                save_checkpoint(
                    checkpoint,
                    {
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "schedule": schedule.state_dict(),
                        "best": best,
                        "training": vars(done),
                    },
                )
            if on_epoch is not None:
                on_epoch(entry)
    if best is not None:
        model.load_state_dict(best)
    return done


def _validate(
    model: nn.Module, validation: DeviceData, scaler: Scaler, config: TrainConfig
) -> dict[str, float]:
    truth = validation.labels.cpu().numpy()
    activation: Literal["none", "sigmoid"] = "none" if config.loss == "mse" else "sigmoid"
    scores = predict(
        model, validation, scaler, config.window_s, config.aggregate, config.bf16, activation=activation
    )
    if config.loss == "mse":
        return {"validation_mae": mae(truth, scores)}
    return {"validation_macro_auc": macro_auc(truth, scores)}


def _waited_long_enough(done: Training, config: TrainConfig) -> bool:
    if config.patience is None or not done.best_epoch:
        return False
    looks = sum(entry["epoch"] > done.best_epoch and "validation_macro_auc" in entry for entry in done.curve)
    return looks >= config.patience
