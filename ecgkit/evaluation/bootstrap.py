"""Error bars of a metric on one test set: resample its records, or its patients, with replacement.

A resample is kept as counts, how often each record was drawn. AUC and Fmax sort the scores once and then
evaluate many resamples together from their counts (`ecgkit.evaluation.resampled`); any other metric is called
once per resample. Both see the same resamples for the same seed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.resampled import Evaluator, fast_evaluator

__all__ = [
    "BootstrapResult",
    "Metric",
    "RareOutcomeError",
    "bootstrap",
    "paper_notation",
    "resample_counts",
]

Metric = Callable[[NDArray, NDArray], float]

_BATCH = 100  # resamples made and evaluated together
_MOST_TRIES = 500  # resamples tried for each one kept, before giving up


class RareOutcomeError(ValueError):
    """Hardly any resample holds both outcomes of every class."""


@dataclass(frozen=True)
class BootstrapResult:
    """A metric on a test set and its percentile interval."""

    point: float  # on the whole test set
    low: float
    high: float
    level: float  # for example 0.95: the interval leaves 2.5 % of the draws out at each end
    n: int  # resamples behind the interval
    redrawn: int  # resamples thrown away because a class had lost one of its outcomes
    draws: NDArray[np.float64] = field(repr=False, compare=False)  # the metric on each resample, shape (n,)

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


def resample_counts(
    y_true: ArrayLike,
    n: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
    redraw: bool = True,
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Draw resamples of the records, in batches.

    Args:
        y_true: Truth, shape (N,) or (N, K).
        n: Number of resamples.
        seed: Seed. The first 100 resamples of n = 1000 are those of n = 100.
        groups: What to draw instead of single records, shape (N,), for example the patient of each record: as
            many groups as there are, with replacement, each with all its records. A resample then need not
            have N records.
        redraw: Throw a resample away when a class that has both outcomes in `y_true` lost one of them, and
            draw another. It has no effect where `y_true` holds other values than 0 and 1. (The benchmark asks
            for a positive record of each class only; asking for a negative one as well matters only for a
            class that nearly every record has.)

    Yields:
        Counts, shape (B, N), how often each record was drawn, and how many resamples were thrown away for
        these.

    Raises:
        ValueError: If `n` < 1, or `groups` has missing values or another length than `y_true`.
        RareOutcomeError: If fewer than one resample in 500 has all classes.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, Appendix I.

    >>> counts, _ = next(resample_counts([0, 1, 1, 0], n=3))
    >>> counts.sum(axis=1)
    array([4, 4, 4])
    """
    truth = np.asarray(y_true)
    size = len(truth)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if size == 0:
        raise ValueError("y_true is empty")
    if groups is None:
        group_of, n_groups = np.arange(size), size
    else:
        if pd.isna(groups := np.asarray(groups)).any():
            raise ValueError("groups has missing values: give each record without a patient its own group")
        names, group_of = np.unique(groups, return_inverse=True)
        if len(group_of) != size:
            raise ValueError(f"groups has {len(group_of)} entries for {size} records")
        n_groups = len(names)
    outcomes = _outcomes(truth) if redraw else np.empty((size, 0), dtype=np.float32)
    rng = np.random.default_rng(seed)
    kept = tried = 0
    while kept < n:
        drawn = rng.integers(0, n_groups, size=(_BATCH, n_groups))
        drawn += n_groups * np.arange(_BATCH)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=_BATCH * n_groups).reshape(_BATCH, n_groups)
        counts = counts[:, group_of] if groups is not None else counts
        good = (counts.astype(np.float32) @ outcomes > 0).all(axis=1)
        ends = np.flatnonzero(good)[: n - kept]
        used = _BATCH if kept + len(ends) < n else int(ends[-1]) + 1
        kept, tried = kept + len(ends), tried + used
        if kept < n and tried >= _MOST_TRIES * max(kept, 1):
            rarest = int(min(outcomes.sum(axis=0)))
            raise RareOutcomeError(
                f"only {kept} of {tried} resamples had both outcomes of every class (the rarest has {rarest} "
                "records); drop the classes that are too rare, or pass redraw=False"
            )
        if len(ends):
            yield counts[ends], used - len(ends)


def _outcomes(truth: NDArray) -> NDArray[np.float32]:
    """The rare outcomes that a resample must hold, one column of 0/1 each, shape (N, C)."""
    columns = truth.reshape(len(truth), -1)
    if not ((columns == 0) | (columns == 1)).all():
        return np.empty((len(truth), 0), dtype=np.float32)
    positive = columns.astype(np.float32)
    both = (positive.sum(axis=0) > 0) & (positive.sum(axis=0) < len(truth))
    return np.concatenate([positive[:, both], 1 - positive[:, both]], axis=1)


def _one_by_one(metric: Metric, y_true: NDArray, y_score: NDArray) -> Evaluator:
    """Any metric, called once per resample."""

    def evaluate(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        values = np.empty(len(counts))
        for row, count in enumerate(counts):
            index = np.repeat(np.arange(len(count)), count)
            values[row] = metric(y_true[index], y_score[index])
        return values

    return evaluate


def evaluator(metric: Metric, y_true: NDArray, y_score: NDArray) -> Evaluator:
    """What turns resamples, as counts, into values of the metric: for many at once where that is known."""
    if len(y_true) != len(y_score):
        raise ValueError(f"y_true has {len(y_true)} records, the scores have {len(y_score)}")
    return fast_evaluator(metric, y_true, y_score) or _one_by_one(metric, y_true, y_score)


def interval(draws: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The percentiles that leave out (1 - level) / 2 of the draws at each end."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def check_level(level: float) -> None:
    """Raise a ValueError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")


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
        ValueError: If `level` is not in (0, 1), the lengths differ, or as `resample_counts` and the metric.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, Appendix I.

    >>> from ecgkit.evaluation import macro_auc
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, (200, 3))
    >>> result = bootstrap(macro_auc, y, y + rng.normal(size=y.shape))
    >>> print(result)
    0.816(37)
    """
    check_level(level)
    truth, score = np.asarray(y_true), np.asarray(y_score)
    evaluate = evaluator(metric, truth, score)
    values, redrawn = [], 0
    for counts, thrown in resample_counts(truth, n, seed, groups, redraw):
        values.append(evaluate(counts))
        redrawn += thrown
    draws = np.concatenate(values)
    low, high = interval(draws, level)
    return BootstrapResult(float(metric(truth, score)), low, high, level, n, redrawn, draws)
