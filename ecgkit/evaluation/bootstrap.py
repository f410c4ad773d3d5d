"""Error bars of a metric, and of the difference between models, from resamples of one test set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.arrays import to_numpy
from ecgkit.evaluation.resampled import (
    Metric,
    RareOutcomeError,
    evaluator,
    metric_value,
    resample_counts,
)

__all__ = [
    "BootstrapResult",
    "PairedBootstrapResult",
    "RareOutcomeError",
    "bootstrap",
    "paired_bootstrap",
    "paired_bootstraps",
    "paper_notation",
]


@dataclass(frozen=True)
class BootstrapResult:
    """A metric on a test set and its percentile interval.

    >>> result = BootstrapResult(0.74, 0.73, 0.75, 0.95, 1000, 0, np.empty(0))
    >>> point, low, high = result[:3]
    >>> point, low, high
    (0.74, 0.73, 0.75)
    """

    point: float  # on the whole test set
    low: float
    high: float
    level: float  # for example 0.95: the interval leaves 2.5 % of the draws out at each end
    n: int  # resamples behind the interval
    redrawn: int  # resamples thrown away because a class had lost one of its outcomes
    draws: NDArray[np.float64] = field(repr=False, compare=False)  # the metric on each resample, shape (n,)

    def __getitem__(self, index: slice | int) -> Any:
        return (self.point, self.low, self.high, self.level, self.n, self.redrawn, self.draws)[index]

    def __str__(self) -> str:
        return paper_notation(self)


def paper_notation(result: BootstrapResult) -> str:
    """The benchmark's way to write a result: 0.743(09) means 0.743 +- 0.009.

    The bracket holds the larger of the distances from the point to the two ends of the interval, in
    thousandths.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, Appendix I.

    >>> paper_notation(BootstrapResult(0.7431, 0.7342, 0.7516, 0.95, 1000, 0, np.empty(0)))
    '0.743(09)'
    """
    deviation = max(abs(result.point - result.low), abs(result.high - result.point))
    return f"{result.point:.3f}({round(1000 * deviation):02d})"


def bootstrap(
    metric: Metric,
    y_true: ArrayLike,
    y_score: ArrayLike,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
    redraw: bool = True,
) -> BootstrapResult:
    """Interval of a metric from resamples of the test set, by percentiles.

    The paper's setting is the default: 1,000 resamples, 95 %. The authors' published code draws 100 and takes
    the 5 % and 95 % quantiles: ``n=100, level=0.9``.

    Args:
        metric: Function of the truth and the scores of some records. `macro_auc`, `micro_auc` and `fmax`
            (exact) are evaluated for many resamples at once; any other is called `n` times.
        y_true: Truth, shape (N,) or (N, K).
        y_score: Scores or predictions, first axis N.
        n: Number of resamples.
        level: Probability that the interval is to cover, in (0, 1).
        seed: Seed of the resamples.
        groups: Group of each record, shape (N,), for example the patient: whole groups are resampled. See
            `resample_counts`.
        redraw: Whether to replace resamples in which a class lost an outcome. See `resample_counts`.

    Raises:
        ValueError: If `level` is not in (0, 1), the lengths differ, the metric is not a finite number on all
            records or on a resample, or as `resample_counts` and the metric.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, Appendix I.

    >>> from ecgkit.evaluation import macro_auc
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, (200, 3))
    >>> result = bootstrap(macro_auc, y, y + rng.normal(size=y.shape))
    >>> print(result)
    0.816(37)
    """
    points, draws, redrawn = _draw(metric, y_true, {"y_score": y_score}, n, level, seed, groups, redraw)
    low, high = _interval(draws["y_score"], level)
    return BootstrapResult(points["y_score"], low, high, level, n, redrawn, draws["y_score"])


def _draw(
    metric: Metric,
    y_true: ArrayLike,
    scores: Mapping[str, ArrayLike],
    n: int,
    level: float,
    seed: int,
    groups: ArrayLike | None,
    redraw: bool,
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]], int]:
    """The metric of every model on all records and on each resample, and the resamples thrown away."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    truth = to_numpy(y_true, "y_true")
    arrays = {name: to_numpy(score, name) for name, score in scores.items()}
    evaluate = {name: evaluator(metric, truth, score) for name, score in arrays.items()}
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in scores}
    redrawn = 0
    for counts, thrown in resample_counts(truth, n, seed, groups, redraw):
        for name in scores:
            values[name].append(evaluate[name](counts))
        redrawn += thrown
    points = {name: metric_value(metric, truth, score) for name, score in arrays.items()}
    return points, {name: np.concatenate(parts) for name, parts in values.items()}, redrawn


def _interval(draws: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The percentiles that leave out (1 - level) / 2 of the draws at each end."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class PairedBootstrapResult:
    """The difference of a metric between two models on the same records, and its percentile interval."""

    difference: float  # metric of A minus metric of B, on the whole test set
    low: float
    high: float
    p_value: float  # two-sided
    level: float
    n: int
    redrawn: int
    draws: NDArray[np.float64] = field(repr=False, compare=False)  # on each resample, shape (n,)


def paired_bootstrap(
    metric: Metric,
    y_true: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
    redraw: bool = True,
) -> PairedBootstrapResult:
    """Difference of a metric between models A and B, with both evaluated on the same resamples.

    It tells whether two trained models differ on records like these. It does not see how results vary between
    training seeds; for that see `compare_seeds`.

    The p-value is twice the smaller of the shares of differences <= 0 and >= 0, with one added to both counts
    and to `n` (so it is never 0, and at least 2 / (n + 1)), and at most 1. Arguments and errors are those of
    `bootstrap`, with the scores of both models.

    >>> from ecgkit.evaluation import macro_auc
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, (200, 3))
    >>> a, b = (y + noise * rng.normal(size=y.shape) for noise in (0.5, 1))
    >>> result = paired_bootstrap(macro_auc, y, a, b)
    >>> result.low > 0, result.p_value < 0.01
    (True, True)
    """
    scores = {"score_a": score_a, "score_b": score_b}
    return paired_bootstraps(metric, y_true, scores, n, level, seed, groups, redraw)["score_a", "score_b"]


def paired_bootstraps(
    metric: Metric,
    y_true: ArrayLike,
    scores: Mapping[str, ArrayLike],
    n: int = 5000,
    level: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
    redraw: bool = True,
) -> dict[tuple[str, str], PairedBootstrapResult]:
    """Differences of a metric between every two of several models, on the same resamples.

    Each model is evaluated once per resample, however many pairs it is in. The p-value of a pair cannot fall
    below 2 / (n + 1); to be below 0.05 after a correction for M pairs `n` must exceed 40 M. Arguments as for
    `bootstrap`, but `scores`: those of each model by its name, first axis N, at least two.

    Returns:
        For each pair of names, in the order of `scores`, the first minus the second.

    Raises:
        ValueError: If there are fewer than two models, or as `bootstrap`.

    >>> from ecgkit.evaluation import macro_auc
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, (200, 3))
    >>> scores = {name: y + noise * rng.normal(size=y.shape) for name, noise in zip("abc", (0.5, 0.5, 2))}
    >>> gaps = paired_bootstraps(macro_auc, y, scores, n=500)
    >>> {"-".join(pair): gap.p_value < 0.05 for pair, gap in gaps.items()}
    {'a-b': False, 'a-c': True, 'b-c': True}
    """
    if len(scores) < 2:
        raise ValueError(f"a comparison needs at least two models, got {len(scores)}")
    points, draws, redrawn = _draw(metric, y_true, scores, n, level, seed, groups, redraw)

    def compared(a: str, b: str) -> PairedBootstrapResult:
        gap = draws[a] - draws[b]
        low, high = _interval(gap, level)
        tail = 1 + min((gap <= 0).sum(), (gap >= 0).sum())
        p_value = min(1.0, 2 * float(tail) / (n + 1))
        return PairedBootstrapResult(points[a] - points[b], low, high, p_value, level, n, redrawn, gap)

    return {(a, b): compared(a, b) for a, b in combinations(scores, 2)}
