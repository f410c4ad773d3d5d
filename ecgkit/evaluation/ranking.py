"""Metrics of scores that need no threshold per class: AUC and Fmax.

All of them take the truth `y_true` as 0/1, shape (N, K), and scores `y_score`, shape (N, K): N records,
K classes, higher means more likely. Scores may be probabilities or logits; only Fmax with given thresholds
cares about their scale.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

__all__ = [
    "FmaxResult",
    "check_scores",
    "class_aucs",
    "fmax",
    "fmax_with_threshold",
    "macro_auc",
    "micro_auc",
]


class FmaxResult(NamedTuple):
    """The best sample-centric F1 and where it is reached."""

    fmax: float
    threshold: float  # a label counts as predicted where its score >= threshold
    precision: float
    recall: float


def check_scores(y_true: ArrayLike, y_score: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Check a pair of truth and scores, and return them as arrays (bool and floating), both (N, K).

    Raises:
        ValueError: If the arrays are not 2-D and of one shape, are empty, hold NaN, or if the truth holds
            anything but 0 and 1.
    """
    truth, score = np.asarray(y_true), np.asarray(y_score)
    if truth.ndim != 2 or truth.shape != score.shape:
        raise ValueError(
            "y_true and y_score must both have shape (records, classes), "
            f"got {truth.shape} and {score.shape}; a single column is y[:, None]"
        )
    if truth.size == 0:
        raise ValueError(f"y_true is empty: its shape is {truth.shape}")
    if truth.dtype != np.bool_:
        if not ((truth == 0) | (truth == 1)).all():
            raise ValueError("y_true must hold only 0 and 1")
        truth = truth.astype(np.bool_)
    if not np.issubdtype(score.dtype, np.floating):
        score = score.astype(np.float64)
    if np.isnan(score).any():
        rows, columns = np.nonzero(np.isnan(score))
        raise ValueError(f"y_score holds {len(rows)} NaN, the first for record {rows[0]}, class {columns[0]}")
    return truth, score


def class_aucs(y_true: ArrayLike, y_score: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve of each class: the chance that a positive record scores above a negative one.

    Ties count one half (the Mann-Whitney statistic).

    Args:
        y_true: 0/1, shape (N, K).
        y_score: Scores, shape (N, K).

    Returns:
        Shape (K,), in [0, 1]; NaN for a class whose records are all positive or all negative.

    Raises:
        ValueError: As `check_scores`.

    >>> class_aucs([[1, 0], [0, 0], [1, 0]], [[0.9, 0.1], [0.4, 0.2], [0.4, 0.3]])
    array([0.75,  nan])
    """
    truth, score = check_scores(y_true, y_score)
    positives = truth.sum(axis=0)
    negatives = len(truth) - positives
    rank_sums = (rankdata(score, axis=0) * truth).sum(axis=0)
    pairs = positives * negatives
    wins = rank_sums - positives * (positives + 1) / 2
    return np.divide(wins, pairs, out=np.full(truth.shape[1], np.nan), where=pairs > 0)


def macro_auc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean of `class_aucs` over the classes that have both positive and negative records.

    Args:
        y_true: 0/1, shape (N, K).
        y_score: Scores, shape (N, K).

    Raises:
        ValueError: As `check_scores`, and if no class has both outcomes.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, section II-C a).

    >>> macro_auc([[1, 0], [0, 1], [1, 0]], [[0.9, 0.1], [0.4, 0.2], [0.4, 0.3]])
    0.625
    """
    aucs = class_aucs(y_true, y_score)
    if np.isnan(aucs).all():
        raise ValueError("no class has both positive and negative records, so there is no AUC to average")
    return float(np.nanmean(aucs))


def micro_auc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """AUC of all (record, class) pairs taken as one class.

    Args:
        y_true: 0/1, shape (N, K).
        y_score: Scores, shape (N, K).

    Raises:
        ValueError: As `check_scores`, and if all entries of `y_true` are equal.

    >>> micro_auc([[1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.2]])
    0.75
    """
    truth, score = check_scores(y_true, y_score)
    auc = class_aucs(truth.reshape(-1, 1), score.reshape(-1, 1))[0]
    if np.isnan(auc):
        raise ValueError("y_true holds only one outcome, so there is no AUC")
    return float(auc)


def fmax_with_threshold(
    y_true: ArrayLike, y_score: ArrayLike, thresholds: ArrayLike | None = None
) -> FmaxResult:
    """Fmax with its threshold, and precision and recall there. See `fmax`.

    Of thresholds that tie, the highest is returned.

    >>> fmax_with_threshold([[1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.2]])
    FmaxResult(fmax=0.8571428571428571, threshold=0.2, precision=0.75, recall=1.0)
    """
    events = fmax_events(*check_scores(y_true, y_score))
    if thresholds is None:
        last, levels = events.last, events.score[events.last]
    else:
        levels = np.unique(np.asarray(thresholds, dtype=np.float64))[::-1]
        if levels.size == 0 or np.isnan(levels).any():
            raise ValueError("thresholds must hold at least one number and no NaN")
        # Index of the last event with a score >= threshold; -1 where there is none.
        last = np.searchsorted(-events.score.astype(np.float64), -levels, side="right") - 1
    curve = fmax_curve(events, np.ones((events.n_records, 1)), last)
    best = int(curve.f1[:, 0].argmax())
    return FmaxResult(
        float(curve.f1[best, 0]),
        float(levels[best]),
        float(curve.precision[best, 0]),
        float(curve.recall[best, 0]),
    )


def fmax(y_true: ArrayLike, y_score: ArrayLike, thresholds: ArrayLike | None = None) -> float:
    """Fmax, the highest sample-centric F1 over one threshold common to all classes.

    At each threshold, precision is averaged over the records with at least one predicted label (0 where there
    is no such record), and recall over the records with at least one true label. F1 is the harmonic mean of
    the two averages. The benchmark drops records without labels beforehand; here they are kept in precision
    (any label predicted for them is wrong) and left out of recall, which is 0/0 for them.

    Args:
        y_true: 0/1, shape (N, K).
        y_score: Scores, shape (N, K).
        thresholds: Thresholds to try; a label counts as predicted where its score >= threshold. None tries
            every distinct score, which gives the exact maximum. A fixed grid gives at most that.

    Returns:
        Fmax in [0, 1].

    Raises:
        ValueError: As `check_scores`, and if no record has a label or `thresholds` is empty or holds NaN.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, Eqs. (1)-(2).

    >>> fmax([[1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.6]])
    1.0
    """
    return fmax_with_threshold(y_true, y_score, thresholds).fmax


class FmaxEvents(NamedTuple):
    """All (record, class) entries in falling order of score, for `fmax_curve`.

    Lowering the threshold past an entry turns it into a prediction, and changes the sums behind precision and
    recall by the amounts given here. E = N x K entries, of which H are true labels.
    """

    n_records: int
    score: NDArray[Any]  # (E,) falling
    record: NDArray[np.intp]  # (E,)
    precision: NDArray[np.float64]  # (E,) change of the record's precision
    hit: NDArray[np.intp]  # (H,) the events that are true labels
    hit_recall: NDArray[np.float64]  # (H,) change of the record's recall at those
    first: NDArray[np.intp]  # (N,) the first event of each record, in order
    labelled: NDArray[np.bool_]  # (N,) records with at least one label
    last: NDArray[np.intp]  # (U,) last event of each distinct score


class FmaxCurve(NamedTuple):
    """Sample-centric measures at each threshold (rows) for each weighting of the records (columns)."""

    f1: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def fmax_events(truth: NDArray[np.bool_], score: NDArray[Any]) -> FmaxEvents:
    """Sort all entries once, for `fmax_curve`. Takes what `check_scores` returns."""
    n, k = truth.shape
    n_labels = truth.sum(axis=1)
    if not n_labels.any():
        raise ValueError("no record has a label, so recall and Fmax are undefined")
    # Within each record, classes in falling order of score: precision after 1, 2, ... K predictions.
    by_score = np.argsort(-score, axis=1, kind="stable")
    hits = np.take_along_axis(truth, by_score, axis=1)
    after = np.cumsum(hits, axis=1) / np.arange(1, k + 1)
    change = np.diff(after, axis=1, prepend=0.0)
    ordered = np.take_along_axis(score, by_score, axis=1)
    # Stable, so the entries of one record stay in their order.
    order = np.argsort(-ordered.ravel(), kind="stable")
    falling = ordered.ravel()[order]
    record, place = np.divmod(order, k)
    hit = np.flatnonzero(hits.ravel()[order])
    return FmaxEvents(
        n_records=n,
        score=falling,
        record=record,
        precision=change.ravel()[order],
        hit=hit,
        hit_recall=1.0 / n_labels[record[hit]],
        first=np.flatnonzero(place == 0),
        labelled=n_labels > 0,
        last=np.flatnonzero(np.append(falling[1:] != falling[:-1], True)),
    )


def fmax_curve(events: FmaxEvents, weights: NDArray[np.float64], last: NDArray[np.intp]) -> FmaxCurve:
    """Measures at the thresholds that `last` names, for records weighted by `weights`, shape (N, B).

    Args:
        events: From `fmax_events`.
        weights: How often each record counts in each of B draws, shape (N, B).
        last: Index of the last entry that is predicted, shape (U,); -1 where nothing is.

    Returns:
        Arrays of shape (U, B).
    """

    def total(where: NDArray[np.intp] | None, amount: NDArray[np.float64] | None) -> NDArray[np.float64]:
        rows = events.record if where is None else events.record[where]
        changes = weights[rows]
        if amount is not None:
            changes *= amount[:, None]
        np.cumsum(changes, axis=0, out=changes)
        ends = last if where is None else np.searchsorted(where, last, side="right") - 1
        return np.where(ends[:, None] >= 0, changes[ends], 0.0)

    labelled = weights[events.labelled].sum(axis=0)
    if not labelled.all():
        raise ValueError("no record of the draw has a label, so recall and Fmax are undefined")
    predicted = total(events.first, None)
    precision = total(None, events.precision)
    np.divide(precision, predicted, out=precision, where=predicted > 0)
    recall = total(events.hit, events.hit_recall) / labelled
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return FmaxCurve(f1, precision, recall)
