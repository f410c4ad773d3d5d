"""From a pre-trained network to a target task: what it says of the target, a new head, fine-tuning."""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ecgkit.evaluation import f1
from ecgkit.models.heads import Classifier
from ecgkit.signals.windows import random_windows
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.loop import batches, epoch_seed
from ecgkit.training.predict import predict, window_samples
from ecgkit.transfer.scores import SCORES

__all__ = [
    "FineTuneConfig",
    "FineTuning",
    "all_scores",
    "fine_tune",
    "new_head",
    "select",
    "source_outputs",
    "weighted_f1",
]


_BLOCK = 64  # records at a time where nothing is trained
_WHOLE_S = 1e9  # a window as long as the record


@dataclass(frozen=True)
class FineTuneConfig:
    """How to fine-tune. The defaults are MELEP's."""

    epochs: int = 50
    batch_size: int = 256
    lr: float = 0.01
    window_s: float = 10.0  # of training windows; whole records are judged
    bf16: bool = False


@dataclass
class FineTuning:
    """What fine-tuning leaves behind.

    Attributes:
        f1_validation: Weighted F1 on the validation part after each epoch; empty without such a part.
        f1_test: Weighted F1 on the test part after each epoch.
        predictions: Probabilities for the test part after each epoch, shape (epochs, n, Y).
        samples_backprop: Windows that went through a backward pass.
        seconds: Wall-clock by phase.
    """

    f1_validation: list[float] = field(default_factory=list)
    f1_test: list[float] = field(default_factory=list)
    predictions: list[np.ndarray] = field(default_factory=list)
    samples_backprop: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "validate": 0.0})

    @property
    def best(self) -> int:
        """Index of the first epoch with the best F1 on the test part: a choice that flatters."""
        return int(np.argmax(self.f1_test))

    @property
    def validated(self) -> int:
        """Index of the first epoch with the best F1 on the validation part.

        Raises:
            ValueError: If there was no validation part.
        """
        if not self.f1_validation:
            raise ValueError("there was no validation part to choose an epoch on")
        return int(np.argmax(self.f1_validation))


def weighted_f1(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """F1 of each label at the threshold 0.5, averaged with the labels' numbers of positives as weights.

    Args:
        y_true: Zeros and ones, shape (n, Y).
        probabilities: Shape (n, Y).

    Source:
        MELEP (Nguyen et al., 2024), section 2.4.

    >>> weighted_f1(np.array([[1, 0], [1, 1], [1, 0]]), np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.1]]))
    0.75
    """
    return float(f1(y_true, (probabilities >= 0.5).astype(int), average="weighted"))


def select(data: DeviceData, rows: np.ndarray, columns: Sequence[int]) -> DeviceData:
    """Some records of a data set with some of its labels."""
    index = torch.as_tensor(rows, device=data.device)
    return replace(
        data,
        signals=data.signals[index],
        labels=data.labels[index][:, list(columns)],
        lengths=None if data.lengths is None else data.lengths[index],
    )


def new_head(model: Classifier, classes: int, seed: int) -> Classifier:
    """A copy of a network whose last linear layer is new, with `classes` outputs. All else is kept.

    Args:
        model: A network whose head ends in a linear layer.
        classes: Number of target labels.
        seed: Of the new weights.

    Raises:
        ValueError: If the head does not end in a linear layer.

    >>> from ecgkit import models
    >>> new_head(models.create("resnet18", 12, 5, width=4), classes=3, seed=0).head[-1].out_features
    3
    """
    head = model.head
    if not isinstance(head, nn.Sequential) or not isinstance(head[-1], nn.Linear):
        raise ValueError(f"the head of {type(model).__name__} does not end in a linear layer")
    copy = deepcopy(model)
    assert isinstance(copy.head, nn.Sequential)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = nn.Linear(head[-1].in_features, classes)
    copy.head[-1] = fresh.to(head[-1].weight.device)
    return copy


@torch.no_grad()
def source_outputs(
    model: Classifier, data: DeviceData, scaler: Scaler, bf16: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """What a source says of whole records: one forward pass, all that the scores need.

    Args:
        model: The source; its head ends in a linear layer.
        data: n records of the target.
        scaler: The one that the source was trained with.
        bf16: Forward pass in bfloat16.

    Returns:
        Probabilities of the source labels, shape (n, Z), and features, which go into the last linear layer,
        shape (n, D); both float32.
    """
    assert isinstance(model.head, nn.Sequential)
    probabilities, found = [], []
    was_training = model.training
    model.eval()
    for first in range(0, len(data), _BLOCK):
        with torch.autocast(data.device.type, torch.bfloat16, enabled=bf16):
            x = model.body(scaler(data.signals[first : first + _BLOCK], data.mv_per_unit))
            x = model.head[:-1](x)  # (B, D)
            probabilities.append(model.head[-1](x).float().sigmoid().cpu())
        found.append(x.float().cpu())
    model.train(was_training)
    return torch.cat(probabilities).numpy(), torch.cat(found).numpy()


def all_scores(probabilities: np.ndarray, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Every score of `SCORES` for one source and one target.

    Args:
        probabilities: What the source predicts for the target's records, shape (n, Z).
        features: The source's features of the target's records, shape (n, D).
        labels: Zeros and ones, shape (n, Y).
    """
    return {
        name: score(probabilities if score.reads == "probabilities" else features, labels)
        for name, score in SCORES.items()
    }


def fine_tune(
    model: nn.Module,
    train: DeviceData,
    validation: DeviceData | None,
    test: DeviceData,
    scaler: Scaler,
    config: FineTuneConfig,
    seed: int,
) -> FineTuning:
    """Train all of `model` on the target in place, and look at validation and test part after every epoch.

    Adam with a constant learning rate and binary cross-entropy. Nothing here chooses an epoch: the caller
    does, and can compare the choice on the test part with the honest one.

    Args:
        model: (B, leads, T) -> (B, Y) logits, on the device of the data.
        train: Records to train on.
        validation: Records to choose an epoch on, or None.
        test: Records to judge on.
        scaler: The one that the source was trained with.
        config: How to fine-tune.
        seed: Decides order, windows and dropout. The caller's global random state is left as it was.

    Source:
        MELEP (Nguyen et al., 2024), section 3.1.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    done = FineTuning()
    devices = [train.device] if train.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for epoch in range(1, config.epochs + 1):
            start = time.perf_counter()
            done.samples_backprop += _epoch(model, train, scaler, config, optimizer, epoch_seed(seed, epoch))
            trained = time.perf_counter()
            if validation is not None:
                done.f1_validation.append(_judge(model, validation, scaler, config)[0])
            score, predicted = _judge(model, test, scaler, config)
            done.f1_test.append(score)
            done.predictions.append(predicted)
            done.seconds["train"] += trained - start
            done.seconds["validate"] += time.perf_counter() - trained
    return done


def _epoch(
    model: nn.Module,
    data: DeviceData,
    scaler: Scaler,
    config: FineTuneConfig,
    optimizer: torch.optim.Optimizer,
    seed: int,
) -> int:
    model.train()
    torch.manual_seed(seed)  # dropout
    generator = torch.Generator().manual_seed(seed)  # order and windows
    window = window_samples(config.window_s, data)
    order = torch.randperm(len(data), generator=generator).to(data.device)
    count = 0
    for rows in batches(order, config.batch_size):
        lengths = None if data.lengths is None else data.lengths[rows]
        windows = random_windows(data.signals[rows], window, generator, lengths)  # (B, leads, window)
        with torch.autocast(data.device.type, torch.bfloat16, enabled=config.bf16):
            logits = model(scaler(windows, data.mv_per_unit))  # (B, Y)
        loss = F.binary_cross_entropy_with_logits(logits.float(), data.labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        count += len(rows)
    return count


def _judge(
    model: nn.Module, data: DeviceData, scaler: Scaler, config: FineTuneConfig
) -> tuple[float, np.ndarray]:
    found = predict(model, data, scaler, _WHOLE_S, bf16=config.bf16, batch_size=_BLOCK)
    return weighted_f1(data.labels.cpu().numpy().astype(int), found), found
