"""Resamples of a test set, and a metric on many of them.

A resample is kept as counts, how often each record was drawn. AUC and Fmax sort the scores once: a record
drawn c times is then worth c records of the same score, so that the Mann-Whitney count of a resample is a sum
of products of counts, whole and half numbers, hence exact. Any other metric is called once per resample. All
see the same resamples for the same seed.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.arrays import check_scores, group_numbers, to_numpy
from ecgkit.evaluation.ranking import fmax, fmax_curve, fmax_sums, macro_auc, micro_auc

__all__ = ["Evaluator", "Metric", "RareOutcomeError", "evaluator", "metric_value", "resample_counts"]

Metric = Callable[..., float]
"""A function of the truth and the scores of some records."""

Evaluator = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Counts, shape (B, N), to the metric of each resample, shape (B,)."""

_BATCH = 100  # resamples made and evaluated together
_MOST_TRIES = 500  # resamples tried for each one kept, before giving up
_ENTRIES = 1 << 21  # numbers in the largest temporary array


class RareOutcomeError(ValueError):
    """Hardly any resample holds both outcomes of every class."""


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
        ValueError: If `n` is not a whole number of at least 1, `y_true` is empty, or `groups` is one alone,
            or has missing values or another length than `y_true`.
        RareOutcomeError: If fewer than one resample in 500 has all classes.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, Appendix I.

    >>> counts, _ = next(resample_counts([0, 1, 1, 0], n=3))
    >>> counts.sum(axis=1)
    array([4, 4, 4])
    """
    truth = to_numpy(y_true, "y_true")
    size = len(truth)
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n must be a whole number of at least 1, got {n}")
    if size == 0:
        raise ValueError("y_true is empty")
    group_of = np.arange(size) if groups is None else group_numbers(groups, size)
    n_groups = int(group_of.max()) + 1
    if groups is not None and n_groups < 2:
        raise ValueError("all records are of one group: there is nothing to draw, so no interval")
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


def _outcomes(truth: NDArray[Any]) -> NDArray[np.float32]:
    """The rare outcomes that a resample must hold, one column of 0/1 each, shape (N, C)."""
    columns = truth.reshape(len(truth), -1)
    if not ((columns == 0) | (columns == 1)).all():
        return np.empty((len(truth), 0), dtype=np.float32)
    positive = columns.astype(np.float32)
    both = (positive.sum(axis=0) > 0) & (positive.sum(axis=0) < len(truth))
    return np.concatenate([positive[:, both], 1 - positive[:, both]], axis=1)


def metric_value(metric: Metric, y_true: NDArray[Any], y_score: NDArray[Any]) -> float:
    """The metric on some records.

    Raises:
        ValueError: As the metric, or if its value is not one finite number.

    >>> metric_value(lambda y, s: (y / s).mean(), np.zeros(2), np.ones(2))
    0.0
    """
    value = np.asarray(metric(y_true, y_score))
    name = getattr(metric, "__name__", "the metric")
    if value.ndim or value.dtype.kind not in "biuf":
        raise ValueError(f"{name} must give one number, but gave {type(value[()]).__name__} {value!s:.60}")
    if not np.isfinite(value):
        raise ValueError(
            f"{name} is {value} on {'a resample' if len(y_true) else 'no record'} of {len(y_true)} records: "
            "an interval needs a metric that is defined on every resample"
        )
    return float(value)


def evaluator(metric: Metric, y_true: NDArray[Any], y_score: NDArray[Any]) -> Evaluator:
    """What turns resamples, as counts, into values of the metric: for many at once where that is known.

    Raises:
        ValueError: If the lengths differ, or as the metric. What is returned raises it where the metric is
            not a finite number.
    """
    if len(y_true) != len(y_score):
        raise ValueError(f"y_true has {len(y_true)} records, the scores have {len(y_score)}")
    if metric is macro_auc:
        truth, score = check_scores(y_true, y_score)
        rows = np.arange(len(truth))
        rankings = [_rank(truth[:, k], score[:, k], rows) for k in range(truth.shape[1])]
        return lambda counts: _mean_auc(rankings, counts)
    if metric is micro_auc:
        truth, score = check_scores(y_true, y_score)
        rows = np.repeat(np.arange(len(truth)), truth.shape[1])
        ranking = _rank(truth.ravel(), score.ravel(), rows)
        return _in_slices(lambda counts: _mean_auc([ranking], counts), truth.size)
    if metric is fmax:
        sums = fmax_sums(*check_scores(y_true, y_score))

        def best(counts: NDArray[np.int64]) -> NDArray[np.float64]:
            weights = np.ascontiguousarray(counts.T, dtype=np.float64)
            return fmax_curve(sums, weights).f1.max(axis=0)

        return _in_slices(best, len(sums.thresholds))

    def one_by_one(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        drawn = (np.repeat(np.arange(len(count)), count) for count in counts)
        return np.array([metric_value(metric, y_true[rows], y_score[rows]) for rows in drawn])

    return one_by_one


def _in_slices(evaluate: Evaluator, entries: int) -> Evaluator:
    """Evaluate a few resamples at a time, so that `entries` numbers for each fit in memory."""
    step = max(1, _ENTRIES // entries)

    def sliced(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.concatenate([evaluate(counts[i : i + step]) for i in range(0, len(counts), step)])

    return sliced


class _Ranking(NamedTuple):
    """Where the P positives of a class stand among its M negatives."""

    positives: NDArray[np.intp]  # (P,) rows of the counts
    negatives: NDArray[np.intp]  # (M,) rows of the counts, in rising order of score
    below: NDArray[np.intp]  # (P,) negatives with a lower score than this positive
    not_above: NDArray[np.intp]  # (P,) negatives with a lower or the same score


def _rank(truth: NDArray[np.bool_], score: NDArray[Any], rows: NDArray[np.intp]) -> _Ranking:
    positive, negative = np.flatnonzero(truth), np.flatnonzero(~truth)
    negative = negative[np.argsort(score[negative], kind="stable")]
    ordered = score[negative]
    below = np.searchsorted(ordered, score[positive], side="left")
    not_above = np.searchsorted(ordered, score[positive], side="right")
    return _Ranking(rows[positive], rows[negative], below, not_above)


def _mean_auc(rankings: list[_Ranking], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean AUC of each resample over the classes that have both outcomes in it, shape (B,)."""
    by_record = np.ascontiguousarray(counts.T, dtype=np.int32)  # (N, B)
    total = np.zeros(len(counts))
    classes = np.zeros(len(counts), dtype=np.int64)
    for ranking in rankings:
        m, b = len(ranking.negatives), len(counts)
        if not m or not len(ranking.positives):
            continue
        drawn_up_to = np.zeros((m + 1, b), dtype=np.int32)
        np.cumsum(by_record[ranking.negatives], axis=0, out=drawn_up_to[1:])
        positives = by_record[ranking.positives]
        twice_wins = np.einsum(
            "pb,pb->b",
            positives.astype(np.float64),
            (drawn_up_to[ranking.below] + drawn_up_to[ranking.not_above]).astype(np.float64),
        )
        pairs = positives.sum(axis=0, dtype=np.float64) * drawn_up_to[-1]
        defined = pairs > 0
        total += np.divide(twice_wins / 2, pairs, out=np.zeros(b), where=defined)
        classes += defined
    if not classes.all():
        raise ValueError("in one resample no class has both outcomes, so it has no AUC: pass redraw=True")
    return total / classes
