"""The training loop. Every training of the package is steps and a schedule for it.

A method says what one epoch does (`plain_epoch` is the simplest) and how to look at the validation records;
`run_epochs` does the rest: seeds, the check of the loss, times, patience, checkpoints. Everything random in
an epoch follows from the seed and the number of the epoch, so a training that was stopped and goes on from
its checkpoint takes the same steps as one that was not.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ecgkit.signals.windows import random_windows
from ecgkit.training.checkpoint import Checkpoint, Stateful, data_digest, network_digest
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.predict import outputs, window_samples

__all__ = [
    "Learner",
    "Training",
    "Watcher",
    "batches",
    "epoch_seed",
    "plain_epoch",
    "require_alike",
    "run_epochs",
    "training_checkpoint",
]

_EXPLODED = 100.0  # times the loss of a network that knows nothing: no training comes back from there,
_USELESS = 10.0  # and none that ends here has learned anything
OnEpoch = Callable[[dict[str, float]], None]


@dataclass
class Training:
    """What a training leaves behind, beside the weights in the model itself."""

    curve: list[dict[str, float]] = field(default_factory=list)  # one entry per epoch
    samples_backprop: int = 0  # windows that went through a backward pass
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "validate": 0.0})
    best_auc: float = -1.0  # best validation macro AUC so far, where `patience` asks for it
    best_epoch: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return dict(vars(self))

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Take over what `state_dict` returned."""
        vars(self).update(state_dict)


@dataclass
class Learner:
    """A network in training, and what its steps need.

    Attributes:
        model: (B, leads, T) -> (B, K) logits, on the device of the data.
        data: Training records.
        scaler: From `fit_scaler` on them.
        optimizer: Of the model's weights.
        batch_size: Records of a step.
        window_s: Length of a random window of each record, at most the record, in seconds.
        bf16: Whether the forward pass is in bfloat16 where that is safe.
        clip_norm: Largest norm of the gradient; None leaves it alone and infinity only measures it.
        schedule: Of the learning rate; it moves on with every update. None: the rate stays.
        done: What the training has left behind so far.
        generator: A new one in every epoch, for the order of the records and for their windows.
    """

    model: nn.Module
    data: DeviceData
    scaler: Scaler
    optimizer: torch.optim.Optimizer
    batch_size: int
    window_s: float
    bf16: bool = False
    clip_norm: float | None = None
    schedule: Any = None
    done: Training = field(default_factory=Training)
    generator: torch.Generator = field(default_factory=torch.Generator)

    def shuffled(self) -> Tensor:
        """The rows of all records in random order."""
        return torch.randperm(len(self.data), generator=self.generator).to(self.data.device)

    def windows(self, rows: Tensor) -> Tensor:
        """A random, standardised window of each of some records, shape (B, leads, window)."""
        data, window = self.data, window_samples(self.window_s, self.data)
        lengths = None if data.lengths is None else data.lengths[rows]
        cut = random_windows(data.signals[rows], window, self.generator, lengths)
        return self.scaler(cut, data.mv_per_unit)

    def logits(self, rows: Tensor) -> Tensor:
        """What the network says of a random window of some records, float32, shape (B, K).

        Raises:
            ValueError: If the network has another number of outputs than the data have labels, or takes no
                metadata where the data have some.
        """
        x, data = self.windows(rows), self.data
        with torch.autocast(data.device.type, torch.bfloat16, enabled=self.bf16):
            logits = outputs(self.model, x, None if data.metadata is None else data.metadata[rows])
        if logits.shape != (wanted := (len(rows), data.labels.shape[1])):
            raise ValueError(f"the network gives outputs {tuple(logits.shape)}; the labels are {wanted}")
        return logits.float()

    def update(self, loss: Tensor, samples: int) -> Tensor | None:
        """One step of the optimiser. Returns the norm of the gradient where `clip_norm` asks for it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = None
        if self.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.done.samples_backprop += samples
        return norm

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time inside to a phase; a GPU is waited for at both ends."""
        begin = self._now()
        yield
        self.done.seconds[phase] += self._now() - begin

    def _now(self) -> float:
        if self.data.device.type == "cuda":
            torch.cuda.synchronize(self.data.device)
        return time.perf_counter()


class Watcher(Stateful, Protocol):
    """Looks at the network at the end of every epoch; what it saw is part of the checkpoint."""

    def look(self, model: Any) -> None:
        """Look at the network as it stands."""
        ...


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of everything random in one epoch."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def batches(order: Tensor, size: int) -> list[Tensor]:
    """`order` in pieces of `size`. A last piece of one record is left out: batch normalisation needs two."""
    pieces = list(order.split(min(size, max(1, len(order)))))
    return pieces[:-1] if len(pieces) > 1 and len(pieces[-1]) == 1 else pieces


def plain_epoch(learner: Learner, loss_of: Callable[[Tensor, Tensor], Tensor]) -> dict[str, float]:
    """One pass over all records in random order, a step for each batch.

    Args:
        learner: The network and its optimiser.
        loss_of: From logits and labels, both (B, K), to their mean loss.

    Returns:
        ``train_loss``, the mean over the records.
    """
    total, count = torch.zeros((), device=learner.data.device), 0
    with learner.timed("train"):
        for rows in batches(learner.shuffled(), learner.batch_size):
            loss = loss_of(learner.logits(rows), learner.data.labels[rows])
            learner.update(loss, len(rows))
            total += loss.detach() * len(rows)
            count += len(rows)
        return {"train_loss": float(total) / count}


def run_epochs(
    learner: Learner,
    one_epoch: Callable[[int], dict[str, float]],
    validate: Callable[[], dict[str, float]],
    epochs: int,
    seed: int,
    *,
    validate_every: int = 1,
    patience: int | None = None,
    knows_nothing: float = math.log(2),
    remedy: str = "lower the learning rate",
    checkpoint: Checkpoint | None = None,
    parts: Mapping[str, Stateful] | None = None,
    watcher: Watcher | None = None,
    on_epoch: OnEpoch | None = None,
) -> None:
    """Train `learner.model` in place; `learner.done` says what it took.

    Args:
        learner: The network, its data and its optimiser.
        one_epoch: Does the steps of one epoch, whose number, from 1, it gets; returns the entry of the curve.
            ``train_loss`` in it is checked.
        validate: Looks at the validation records; what it returns is added to the entry.
        epochs: Number of epochs.
        seed: Decides everything random. The caller's global random state is left as it was.
        validate_every: Epochs between looks at the validation records; the last epoch always has one.
        patience: Stop after so many looks without a better ``validation_macro_auc``, and bring the best
            weights back. None: the weights of the last epoch stay.
        knows_nothing: The loss of a network that has learned nothing. A hundred times that is an explosion,
            and so is ten times that in the last epoch.
        remedy: What to do about one.
        checkpoint: File to go on from when it is there, and to write after every epoch.
        parts: What else a checkpoint must hold, by its name.
        watcher: Looks at the network after every epoch.
        on_epoch: Called after every epoch, and after its checkpoint, with its entry of the curve.

    Raises:
        FloatingPointError: If the loss is no longer finite, or explodes.
        ValueError: If no sample was trained on, the optimiser holds nothing of the network that can learn, or
            `seed` is not a whole number of 0 or more.
        StoreError: If the checkpoint cannot be written or read.
    """
    _require_learnable(learner)
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed is {seed!r}; a whole number from 0 is wanted")
    model, done, device = learner.model, learner.done, learner.data.device
    held: dict[str, Stateful] = {"model": model, "optimizer": learner.optimizer, "training": done}
    held |= {} if learner.schedule is None else {"schedule": learner.schedule}
    held |= {**(parts or {}), **({} if watcher is None else {"watcher": watcher})}
    best: dict[str, Tensor] | None = None
    if checkpoint is not None and (state := checkpoint.load(device)) is not None:
        for name, part in held.items():
            part.load_state_dict(state[name])
        best = state["best"]
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        for epoch in range(len(done.curve) + 1, epochs + 1):
            if patience is not None and _waited(done) >= patience:
                break
            model.train()
            torch.manual_seed(epoch_seed(seed, epoch))  # dropout
            learner.generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
            entry = {"epoch": float(epoch), **one_epoch(epoch)}
            limit = (_USELESS if epoch == epochs else _EXPLODED) * knows_nothing
            if not (loss := entry.get("train_loss", 0.0)) <= limit:  # NaN neither
                raise FloatingPointError(
                    f"the training loss of epoch {epoch} is {loss:.4g}, and {knows_nothing:.3g} is that of a "
                    f"network which knows nothing: {remedy}"
                )
            if epoch % validate_every == 0 or epoch == epochs:
                with learner.timed("validate"):
                    entry |= validate()
                if patience is not None and entry["validation_macro_auc"] > done.best_auc:
                    done.best_auc, done.best_epoch = entry["validation_macro_auc"], epoch
                    best = deepcopy(model.state_dict())
            done.curve.append(entry)
            if watcher is not None:
                watcher.look(model)
            if checkpoint is not None:
                checkpoint.save({**{name: part.state_dict() for name, part in held.items()}, "best": best})
            if on_epoch is not None:
                on_epoch(entry)
    if not done.samples_backprop:
        raise ValueError(
            f"nothing was learned: none of the {len(learner.data)} training records went into a step in "
            f"{len(done.curve)} epochs. Choose a method that keeps some, larger batches, or a revision"
        )
    if best is not None:
        model.load_state_dict(best)


def _require_learnable(learner: Learner) -> None:
    weights = {id(weight) for weight in learner.model.parameters()}
    learning = [weight for group in learner.optimizer.param_groups for weight in group["params"]]
    if not any(weight.requires_grad for weight in learning):
        raise ValueError("no weight of the network can learn: set requires_grad_(True) where it should")
    if any(id(weight) not in weights for weight in learning):
        raise ValueError("the optimiser holds weights of another network, so that this one would not learn")
    if any(weight.is_inference() for weight in learning):
        raise ValueError(
            "the network was made under torch.inference_mode, where none can learn: make it outside"
        )


def _waited(done: Training) -> int:
    """Looks at the validation records since the best one."""
    if not done.best_epoch:
        return 0
    return sum(entry["epoch"] > done.best_epoch and "validation_macro_auc" in entry for entry in done.curve)


def require_alike(train: DeviceData, *others: DeviceData) -> None:
    """Check that there is enough to train on, and that the other parts are of its kind.

    Raises:
        ValueError: If there are fewer than two training records, or another part has other leads, labels,
            metadata or another sampling rate.
    """
    if len(train) < 2:
        raise ValueError("there is 1 training record; batch normalisation needs at least two")
    for part in others:
        for (what, ours), theirs in zip(_kind(train).items(), _kind(part).values(), strict=True):
            if ours != theirs:
                raise ValueError(f"the training records have {ours} {what}, the others {theirs}")


def _kind(data: DeviceData) -> dict[str, Any]:
    return {
        "leads": data.signals.shape[1],
        "labels": data.labels.shape[1],
        "Hz": data.sampling_rate_hz,
        "numbers of metadata": None if data.metadata is None else data.metadata.shape[1],
    }


def training_checkpoint(
    path: str | Path | None,
    model: nn.Module,
    train: DeviceData,
    validation: DeviceData,
    scaler: Scaler,
    seed: int,
    settings: Sequence[Any],
) -> Checkpoint | None:
    """The checkpoint of a training, which knows all that decides the result; None without a path.

    Args:
        path: The file.
        model: The network to begin with.
        train: Training records.
        validation: Validation records.
        scaler: Of the signals.
        seed: Of the training.
        settings: Whatever else decides the result, each with a `repr` of its own.
    """
    if path is None:
        return None
    identity = {
        "training records": data_digest(train),
        "validation records": data_digest(validation),
        "scaling": repr(scaler),
        "weights to begin with": network_digest(model),
        "settings": repr(list(settings)),
        "seed": str(seed),
    }
    return Checkpoint(Path(path), identity)
