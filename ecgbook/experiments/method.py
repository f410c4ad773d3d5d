"""What a method of a run gets and what it returns: its data, its settings, its result."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ecgbook.runs.records import ALL_DRAWS
from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.cards import CARDS
from ecgkit.errors import DataNotFoundError
from ecgkit.evaluation.bootstrap import RareOutcomeError
from ecgkit.training import TrainConfig

__all__ = [
    "Progress",
    "RunResult",
    "Splits",
    "check_known",
    "drawn",
    "load_for",
    "model_options",
    "origin",
    "require_whole",
    "total_seconds",
    "train_config",
]

Progress = Callable[[int, int], None]  # steps done, steps in all
T = TypeVar("T")


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set. Methods may look at the labels of the first two only.

    A method that needs another data set too loads it from `root`, the folder of the run's data.
    """

    train: ECGDataset
    validation: ECGDataset
    test: ECGDataset
    root: Path | None = field(default=None, kw_only=True)


@dataclass
class RunResult:
    """What a method returns.

    Attributes:
        scores: Scores for the test records, shape (N, K); None where the result is not one score per record.
        config: All settings, including those that the run did not name.
        curve: One entry per epoch.
        samples_backprop: Windows that went through a backward pass.
        seconds: Wall-clock by phase; of a resumed run, with that of earlier processes.
        metrics: Functions of `ecgkit.evaluation` that the run is judged by.
        parts: The parts with the labels that were learned, where these are not the task's own.
        accounting: Counts and costs of training on less data, for methods that do.
        values: Further metrics with intervals that the method computed itself: name to point, low and high.
        intervals: How the intervals of `values` were made.
        table: Rows of plain values that the result consists of, where `scores` do not hold it.
        learned_scores: Scores for the records of "train" and "validation", where a later table needs them.
        sources: Version and fingerprint of each data set that the method itself loaded.
    """

    scores: np.ndarray | None
    config: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    samples_backprop: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    metrics: tuple[str, ...] = ("macro_auc", "fmax")
    parts: Splits | None = None
    accounting: dict[str, float] = field(default_factory=dict)
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    intervals: str = ""
    table: list[dict[str, Any]] = field(default_factory=list)
    learned_scores: dict[str, np.ndarray] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)


def total_seconds(trainings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Wall-clock by phase of several trainings together.

    >>> total_seconds([{"train": 2.0, "validate": 0.5}, {"train": 1.0, "score": 0.25}])
    {'train': 3.0, 'validate': 0.5, 'score': 0.25}
    """
    total: dict[str, float] = {}
    for seconds in trainings:
        for phase, spent in seconds.items():
            total[phase] = total.get(phase, 0.0) + spent
    return total


def drawn(draw: Callable[[bool], T], how: str) -> tuple[T, str]:
    """Intervals at the end of a run, and how they were drawn.

    Where classes are so rare that hardly a draw holds all of them, draws that lost some of them count, too: a
    long run is not lost by its last step.

    Args:
        draw: Draws them; its argument is `redraw` of `ecgkit.evaluation.bootstrap`.
        how: What the record says of them.

    >>> from ecgkit.evaluation import bootstrap, macro_auc
    >>> labels, scores = np.eye(8), np.eye(8)  # eight classes with one record each
    >>> found, how = drawn(lambda redraw: bootstrap(macro_auc, labels, scores, n=9, redraw=redraw), "9 draws")
    >>> found.point, how
    (1.0, '9 draws, classes that a draw lost are left out of it')
    """
    try:
        return draw(True), how
    except RareOutcomeError:
        return draw(False), f"{how}, {ALL_DRAWS}"


# Data ----

_ENOUGH = 0.99  # a few records may be unreadable as they were published


def load_for(run: Run, name: str, task: str | None, root: Path | None = None) -> ECGDataset:
    """Load a data set at the sampling rate of a run.

    Args:
        run: The run that needs it.
        name: Name for `ecgkit.datasets.load`.
        task: A task of the data set, or None for its first.
        root: Folder of the data; see `ecgkit.datasets.load`.

    Raises:
        DataNotFoundError: If it is not there, or if only a part of it is and the run is no quick one.
    """
    dataset = datasets.load(name, root=root, task=task, sampling_rate_hz=run.sampling_rate_hz)
    require_whole(dataset, run.protocol)
    return dataset


def origin(dataset: ECGDataset) -> dict[str, str]:
    """What a record says of a data set: its version and its fingerprint."""
    return {"version": dataset.version, "fingerprint": dataset.fingerprint}


def require_whole(dataset: ECGDataset, protocol: str) -> None:
    """Refuse to do a run on some records of a data set under the name of the whole.

    Synthetic data have no size of their own, and runs of the protocol "quick" may use what is there.

    Raises:
        DataNotFoundError: If fewer than 99 % of the published records are at hand.
    """
    made_here = dataset.name == "synthetic" or dataset.version.startswith("synthetic")
    if protocol == "quick" or made_here:
        return
    published = CARDS[dataset.name].records
    if len(dataset) < _ENOUGH * published:
        raise DataNotFoundError(
            f"{dataset.name} {dataset.version} has {published:,} records, and {len(dataset):,} of them "
            f"are at hand at {dataset.sampling_rate_hz} Hz: a run of the protocol {protocol!r} needs them "
            f"all. Fetch the rest with `ecgkit data download {dataset.name}`, or choose the protocol 'quick'"
        )


# Settings ----

_RECURRENT = ("lstm", "lstm_bidir")
_MODEL_OPTIONS = ("kernel_scale", "ndim", "width")
_NUMBERS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}


def check_known(params: Mapping[str, Any], settings: type) -> None:
    """Check that every parameter is a field of a dataclass of settings, and a number where that is one.

    Raises:
        ValueError: If one is not; the message lists the fields that there are, or says what is wanted.

    >>> check_known({"epochs": 2.5}, TrainConfig)
    Traceback (most recent call last):
    ...
    ValueError: parameter epochs is 2.5; a whole number is wanted
    """
    known = {f.name: f.type for f in fields(settings)}
    if unknown := set(params) - set(known):
        raise ValueError(
            f"unknown parameter {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    for name, value in params.items():
        for kind, (types, wanted) in _NUMBERS.items():
            asked = known[name] == kind or (known[name] == kind | None and value is not None)
            if asked and not isinstance(value, types):
                raise ValueError(f"parameter {name} is {value!r}; {wanted} is wanted")


def train_config(run: Run) -> TrainConfig:
    """The settings of a supervised run: the benchmark's, for protocol "quick" 3 epochs, changed by `params`.

    Raises:
        ValueError: If `params` has a name that is no setting.

    Source:
        PTB-XL benchmark: learning rate 1e-2, for recurrent networks 1e-3 with gradients clipped at 0.25.
    """
    config = TrainConfig()
    if run.model in _RECURRENT:
        config = replace(config, max_lr=1e-3, clip_norm=0.25)
    if run.protocol == "quick":
        config = replace(config, epochs=3, validate_every=1)
    params = {key: value for key, value in run.params.items() if key not in _MODEL_OPTIONS}
    check_known(params, TrainConfig)
    return replace(config, **params)


def model_options(run: Run) -> dict[str, Any]:
    """Those of `params` that go to `ecgkit.models.create`: `kernel_scale`, `ndim` and `width`."""
    return {key: value for key, value in run.params.items() if key in _MODEL_OPTIONS}
