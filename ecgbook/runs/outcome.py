"""What a method of a run gets and what it returns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ecgbook.runs.results import ALL_DRAWS
from ecgkit.datasets.base import ECGDataset
from ecgkit.evaluation.bootstrap import RareOutcomeError

__all__ = ["Outcome", "Parts", "Progress", "drawn", "total_seconds"]

Progress = Callable[[int, int], None]  # steps done, steps in all
T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """The three parts of a data set. Methods may look at the labels of the first two only.

    A method that needs another data set too loads it from `root`, the folder of the run's data.
    """

    train: ECGDataset
    validation: ECGDataset
    test: ECGDataset
    root: Path | None = field(default=None, kw_only=True)


@dataclass
class Outcome:
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
    parts: Parts | None = None
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
