"""Differences between models that were tested on the same records: every model meets the same resamples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.bootstrap import Metric, check_level, evaluator, interval, resample_counts

__all__ = ["PairedBootstrapResult", "paired_bootstrap", "paired_bootstraps"]


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
    draws: NDArray[np.float64] = field(
        repr=False, compare=False
    )  # the difference on each resample, shape (n,)


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
    below 2 / (n + 1); to be below 0.05 after a correction for M pairs `n` must exceed 40 M.

    Args:
        metric: Function of the truth and the scores of some records.
        y_true: Truth, shape (N,) or (N, K).
        scores: Scores of each model by its name, first axis N. At least two.
        n: Number of resamples.
        level: Probability that an interval is to cover, in (0, 1).
        seed: Seed of the resamples.
        groups: As `bootstrap`.
        redraw: As `bootstrap`.

    Returns:
        For each pair of names, in the order of `scores`, the first minus the second.

    Raises:
        ValueError: If there are fewer than two models, or as `bootstrap`.

    >>> from ecgkit.evaluation import macro_auc
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, (200, 3))
    >>> scores = {name: y + noise * rng.normal(size=y.shape) for name, noise in zip("abc", (0.5, 0.5, 2))}
    >>> found = paired_bootstraps(macro_auc, y, scores, n=500)
    >>> {"-".join(pair): gap.p_value < 0.05 for pair, gap in found.items()}
    {'a-b': False, 'a-c': True, 'b-c': True}
    """
    check_level(level)
    if len(scores) < 2:
        raise ValueError(f"a comparison needs at least two models, got {len(scores)}")
    truth = np.asarray(y_true)
    arrays = {name: np.asarray(score) for name, score in scores.items()}
    evaluate = {name: evaluator(metric, truth, score) for name, score in arrays.items()}
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in scores}
    redrawn = 0
    for counts, thrown in resample_counts(truth, n, seed, groups, redraw):
        for name in scores:
            values[name].append(evaluate[name](counts))
        redrawn += thrown
    draws = {name: np.concatenate(parts) for name, parts in values.items()}
    points = {name: float(metric(truth, score)) for name, score in arrays.items()}

    def compared(a: str, b: str) -> PairedBootstrapResult:
        gap = draws[a] - draws[b]
        low, high = interval(gap, level)
        tail = 1 + min((gap <= 0).sum(), (gap >= 0).sum())
        p_value = min(1.0, 2 * float(tail) / (n + 1))
        return PairedBootstrapResult(points[a] - points[b], low, high, p_value, level, n, redrawn, gap)

    return {(a, b): compared(a, b) for a, b in combinations(scores, 2)}


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
    and to `n` (so it is never 0, and at least 2 / (n + 1)), and at most 1.

    Args:
        metric: Function of the truth and the scores of some records.
        y_true: Truth, shape (N,) or (N, K).
        score_a: Scores of A, first axis N.
        score_b: Scores of B, first axis N.
        n: Number of resamples.
        level: Probability that the interval is to cover, in (0, 1).
        seed: Seed of the resamples.
        groups: As `bootstrap`.
        redraw: As `bootstrap`.

    Raises:
        ValueError: As `bootstrap`.

    >>> from ecgkit.evaluation import macro_auc
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, (200, 3))
    >>> a, b = (y + noise * rng.normal(size=y.shape) for noise in (0.5, 1))
    >>> result = paired_bootstrap(macro_auc, y, a, b)
    >>> result.low > 0, result.p_value < 0.01
    (True, True)
    """
    scores = {"a": score_a, "b": score_b}
    return paired_bootstraps(metric, y_true, scores, n, level, seed, groups, redraw)["a", "b"]
