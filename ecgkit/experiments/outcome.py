"""What a method of a run gets and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgkit.datasets.base import ECGDataset

__all__ = ["Outcome", "Parts", "Progress"]

Progress = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True)
class Parts:
    """The three parts of a data set. Methods may look at the labels of the first two only."""

    train: ECGDataset
    validation: ECGDataset
    test: ECGDataset


@dataclass
class Outcome:
    """What a method returns.

    Attributes:
        scores: Scores for the test records, shape (N, K); None where the result is not one score per record.
        config: All settings, including those that the run did not name.
        curve: One entry per epoch.
        samples_backprop: Windows that went through a backward pass.
        seconds: Wall-clock by phase.
        metrics: Functions of `ecgkit.evaluation` that the run is judged by.
        parts: The parts with the labels that were learned, where these are not the task's own.
        accounting: Counts and costs of training on less data, for methods that do.
        values: Further metrics with intervals that the method computed itself: name to point, low and high.
        intervals: How the intervals of `values` were made.
        table: Rows of plain values that the result consists of, where `scores` do not hold it.
        learned_scores: Scores for the records of "train" and "validation", where a later table needs them.
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
