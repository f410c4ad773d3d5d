"""From a pre-trained network to a target task: what it says of the target, a new head, fine-tuning."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ecgkit.evaluation.metrics import weighted_f1
from ecgkit.models.heads import Classifier, check_signals, check_sizes, evaluating
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.loop import Learner, plain_epoch, require_alike, run_epochs
from ecgkit.training.predict import predict
from ecgkit.training.settings import check_settings
from ecgkit.training.supervised import require_shares
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
    """How to fine-tune. The defaults are MELEP's.

    Raises:
        ValueError: If a value is of another type than its default, or out of range.
    """

    epochs: int = 50
    batch_size: int = 256
    lr: float = 0.01
    window_s: float = 10.0  # of training windows; whole records are judged
    bf16: bool = False

    def __post_init__(self) -> None:
        check_settings(self, at_least={"epochs": 1, "batch_size": 2}, above={"lr": 0, "window_s": 0})


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


def select(data: DeviceData, rows: np.ndarray, columns: Sequence[int]) -> DeviceData:
    """Some records of a data set with some of its labels.

    Raises:
        ValueError: If there is no such row or column.
    """
    labels, rows = data.labels, np.asarray(rows)
    mask = rows.dtype == bool and rows.shape == (len(data),)
    if not mask and not _are_indices(rows, len(data)):
        raise ValueError(f"rows must be some of 0 to {len(data) - 1}, or one True or False for each record")
    if not _are_indices(np.asarray(columns), labels.shape[1]):
        raise ValueError(f"columns must be some of 0 to {labels.shape[1] - 1}, got {list(columns)}")
    index = torch.as_tensor(rows, device=data.device)
    return replace(
        data,
        signals=data.signals[index],
        labels=labels[index][:, list(columns)],
        lengths=None if data.lengths is None else data.lengths[index],
        metadata=None if data.metadata is None else data.metadata[index],
    )


def _are_indices(values: np.ndarray, size: int) -> bool:
    whole = values.ndim == 1 and values.dtype.kind in "iu"
    return whole and len(values) > 0 and -size <= int(values.min()) <= int(values.max()) < size


def new_head(model: Classifier, classes: int, seed: int) -> Classifier:
    """A copy of a network whose last linear layer is new, with `classes` outputs. All else is kept.

    Args:
        model: A network whose head ends in a linear layer.
        classes: Number of target labels.
        seed: Of the new weights.

    Raises:
        ValueError: If the head does not end in a linear layer, or `classes` is no number of outputs.

    >>> from ecgkit import models
    >>> new_head(models.create("resnet18", 12, 5, width=4), classes=3, seed=0).head[-1].out_features
    3
    """
    check_sizes(classes=classes)
    copy = deepcopy(model)
    head = _linear_head(copy)
    last = head[-1]
    assert isinstance(last, nn.Linear)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head[-1] = nn.Linear(last.in_features, classes).to(last.weight)
    return copy


def _linear_head(model: nn.Module) -> nn.Sequential:
    head = getattr(model, "head", None)
    if not isinstance(head, nn.Sequential) or not isinstance(head[-1], nn.Linear):
        raise ValueError(f"the head of {type(model).__name__} does not end in a linear layer")
    return head


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

    Raises:
        ValueError: If the head does not end in a linear layer, or the network does not take the signals.
    """
    head = _linear_head(model)
    probabilities, features = [], []
    with evaluating(model):
        for first in range(0, len(data), _BLOCK):
            with torch.autocast(data.device.type, torch.bfloat16, enabled=bf16):
                x = scaler(data.signals[first : first + _BLOCK], data.mv_per_unit)
                check_signals(model.body, x)
                x = model.body(x)
                x = head[:-1](x)  # (B, D)
                probabilities.append(head[-1](x).float().sigmoid().cpu())
            features.append(x.float().cpu())
    return torch.cat(probabilities).numpy(), torch.cat(features).numpy()


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

    Raises:
        FloatingPointError: If the loss is no longer finite, or explodes.
        ValueError: If the parts or the network do not fit each other, or labels to judge by are not 0 or 1.

    Source:
        MELEP (Nguyen et al., 2024), section 3.1.
    """
    parts = {"test": test} if validation is None else {"validation": validation, "test": test}
    require_alike(train, *parts.values())
    require_shares(train.labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    learner = Learner(model, train, scaler, optimizer, config.batch_size, config.window_s, config.bf16)
    predictions: list[np.ndarray] = []

    def validate() -> dict[str, float]:
        scores = {
            name: predict(model, part, scaler, _WHOLE_S, bf16=config.bf16, batch_size=_BLOCK)
            for name, part in parts.items()
        }
        predictions.append(scores["test"])
        return {name: weighted_f1(part.labels.cpu().numpy(), scores[name]) for name, part in parts.items()}

    run_epochs(
        learner,
        lambda epoch: plain_epoch(learner, F.binary_cross_entropy_with_logits),
        validate,
        config.epochs,
        seed,
        remedy=f"lower lr ({config.lr})",
    )
    done = learner.done
    f1 = {name: [entry[name] for entry in done.curve] for name in parts}
    return FineTuning(f1.get("validation", []), f1["test"], predictions, done.samples_backprop, done.seconds)
