"""Training on the samples that a selection method chooses.

Four ways to choose, by when the scores are made and how the chosen samples are batched:

- ``batch``: inside each mini-batch, from a forward pass without gradient in training mode; the chosen part of
  the batch then goes forward again, with gradient. As in the authors' code of Progressive Data Dropout.
- ``rebatch``: the same, but chosen samples wait until they fill a whole batch.
- ``epoch``: from a forward pass over all samples in evaluation mode at the start of each epoch. As in the
  text of ERTS.
- ``stale``: from the scores that each sample had when it was last trained on, which cost nothing; every few
  epochs all samples are scored again, so that dropped ones can come back. Before it has any score a sample
  counts as unknown to the network and is trained on.

The last epochs are a revision: all samples train.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from ecgkit.evaluation import macro_auc, single_label_f1
from ecgkit.models.heads import Classifier
from ecgkit.training.checkpoint import load_checkpoint, save_checkpoint
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.loop import epoch_seed
from ecgkit.training.predict import predict
from ecgkit.training.selection.accounting import Accounting
from ecgkit.training.selection.confidence import LabelKind
from ecgkit.training.selection.epoch import Decision, EpochWork, ScoreTable, train_epoch
from ecgkit.training.selection.selector import Selector

__all__ = ["SelectedTraining", "SelectionConfig", "train_with_selection"]


@dataclass(frozen=True)
class SelectionConfig:
    """How to train with selection. Optimiser and schedule are those of the authors' code: AdamW."""

    epochs: int = 100
    revision_epochs: int = 1  # the last epochs, on everything
    batch_size: int = 64
    window_s: float = 10.0  # length of training and evaluation windows; 10 s: whole records
    lr: float = 3e-4
    lr_decay: float = 0.98  # factor of the learning rate from epoch to epoch
    weight_decay: float = 1e-2
    labels: LabelKind = "single"  # one label per record, or any number
    granularity: Literal["batch", "rebatch", "epoch", "stale"] = "batch"
    rescore_every: int = 5  # "stale": epochs from one scoring of all samples to the next
    bf16: bool = False  # forward pass in bfloat16 where that is safe
    validate_every: int = 1  # epochs between looks at the validation fold

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.validate_every, self.rescore_every) < 1:
            raise ValueError("epochs, batch_size, validate_every and rescore_every must be at least 1")
        if min(self.window_s, self.lr) <= 0:
            raise ValueError("window_s and lr must be above 0")
        if not 0 <= self.revision_epochs <= self.epochs:
            raise ValueError(f"revision_epochs is {self.revision_epochs}; choose 0 to {self.epochs}")
        if self.labels not in ("single", "multi"):
            raise ValueError(f"labels is {self.labels!r}; choose 'single' or 'multi'")
        if self.granularity not in ("batch", "rebatch", "epoch", "stale"):
            raise ValueError(f"granularity {self.granularity!r} is not batch, rebatch, epoch or stale")

    def predict(self, model: nn.Module, data: DeviceData, scaler: Scaler) -> np.ndarray:
        """Probabilities for every record, shape (N, K): softmax and mean over windows for single labels."""
        if self.labels == "single":
            return predict(model, data, scaler, self.window_s, "mean", self.bf16, activation="softmax")
        return predict(model, data, scaler, self.window_s, "max", self.bf16)


@dataclass
class SelectedTraining:
    """What a training with selection leaves behind, beside the weights in the model itself."""

    curve: list[dict[str, float]] = field(default_factory=list)  # one entry per epoch, with its counts
    count: Accounting = field(default_factory=Accounting)
    seconds: dict[str, float] = field(
        default_factory=lambda: {"select": 0.0, "grad_cam": 0.0, "train": 0.0, "validate": 0.0}
    )


def train_with_selection(
    model: Classifier,
    train: DeviceData,
    validation: DeviceData,
    scaler: Scaler,
    config: SelectionConfig,
    selector: Selector,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    on_select: Callable[[Decision], None] | None = None,
) -> SelectedTraining:
    """Train `model` in place on the samples that `selector` chooses; the weights of the last epoch stay.

    Args:
        model: A `Classifier`, on the device of the data.
        train: Training records.
        validation: Validation records. They are never trained on.
        scaler: From `fit_scaler` on the training records.
        config: How to train.
        selector: From `ecgkit.training.selection.create`.
        seed: Decides order, windows, dropout and random selection. The caller's global random state is left
            as it was.
        checkpoint: File to go on from when it is there, and to write after every epoch.
        on_epoch: Called after every epoch with its entry of the learning curve.
        on_select: Called with every decision of the method, to look at which samples go.

    Raises:
        FloatingPointError: If the loss is no longer finite.
        StoreError: If the checkpoint cannot be written or read.

    Source:
        Progressive Data Dropout (Shriram et al., 2025) and ERTS (Dangeti et al., 2026), section 3.4.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    done, table = SelectedTraining(), ScoreTable.unseen(len(train), train.device)
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint, train.device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        table = ScoreTable(**state["table"])
        done = SelectedTraining(state["curve"], Accounting(**state["count"]), state["seconds"])
    work = EpochWork(
        model=model,
        data=train,
        scaler=scaler,
        selector=selector,
        optimizer=optimizer,
        labels=config.labels,
        granularity=config.granularity,
        batch_size=config.batch_size,
        window_s=config.window_s,
        rescore_every=config.rescore_every,
        bf16=config.bf16,
        count=done.count,
        seconds=done.seconds,
        table=table,
        on_select=on_select,
    )
    devices = [train.device] if train.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for epoch in range(len(done.curve) + 1, config.epochs + 1):
            for group in optimizer.param_groups:
                group["lr"] = config.lr * config.lr_decay ** (epoch - 1)
            before = asdict(done.count)
            revision = epoch > config.epochs - config.revision_epochs
            loss = train_epoch(work, epoch, epoch_seed(seed, epoch), revision)
            entry = {"epoch": float(epoch)}
            if loss is not None:
                entry["train_loss"] = loss
            entry |= {name: float(value - before[name]) for name, value in asdict(done.count).items()}
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                with work.timed("validate"):
                    entry |= _validation(model, validation, scaler, config)
            done.curve.append(entry)
            if checkpoint is not None:
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "table": vars(table),
                    "curve": done.curve,
                    "count": asdict(done.count),
                    "seconds": done.seconds,
                }
                save_checkpoint(checkpoint, state)
            if on_epoch is not None:
                on_epoch(entry)
    return done


def _validation(
    model: nn.Module, validation: DeviceData, scaler: Scaler, config: SelectionConfig
) -> dict[str, float]:
    truth, scores = validation.labels.cpu().numpy(), config.predict(model, validation, scaler)
    found = {"validation_macro_auc": macro_auc(truth, scores)}
    if config.labels == "single":
        found["validation_single_label_f1"] = single_label_f1(truth, scores)
    return found
