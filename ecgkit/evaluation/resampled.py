"""AUC and Fmax of many resamples at once, from how often each record was drawn.

The scores are sorted once. A record drawn c times is then worth c records of the same score, so that the
Mann-Whitney count of a resample is a sum of products of counts: whole and half numbers, hence exact.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkit.evaluation.ranking import (
    check_scores,
    fmax,
    fmax_curve,
    fmax_sums,
    macro_auc,
    micro_auc,
)

__all__ = ["Evaluator", "fast_evaluator"]

Evaluator = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Counts, shape (B, N), to the metric of each resample, shape (B,)."""

_ENTRIES = 1 << 21  # numbers in the largest temporary array


def fast_evaluator(metric: Callable[..., float], y_true: NDArray, y_score: NDArray) -> Evaluator | None:
    """The batched form of `macro_auc`, `micro_auc` or `fmax`; None for any other metric.

    Raises:
        ValueError: As the metric.
    """
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
        truth, score = check_scores(y_true, y_score)
        sums = fmax_sums(truth, score)

        def best(counts: NDArray[np.int64]) -> NDArray[np.float64]:
            weights = np.ascontiguousarray(counts.T, dtype=np.float64)
            return fmax_curve(sums, weights).f1.max(axis=0)

        return _in_slices(best, len(sums.thresholds))
    return None


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


def _rank(truth: NDArray[np.bool_], score: NDArray, rows: NDArray[np.intp]) -> _Ranking:
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
