"""Metrics of scores that need no threshold per class: AUC and Fmax.

All of them take the truth `y_true` as 0/1, shape (N, K), and scores `y_score`, shape (N, K): N records,
K classes, higher means more likely. Scores may be probabilities or logits; only Fmax with given thresholds
cares about their scale.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.arrays import as_array, check_scores

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["FmaxResult", "class_aucs", "fmax", "fmax_with_threshold", "macro_auc", "micro_auc"]


def class_aucs(y_true: ArrayLike, y_score: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve of each class: the chance that a positive record scores above a negative one.

    Ties count one half (the Mann-Whitney statistic).

    Args:
        y_true: 0/1, shape (N, K).
        y_score: Scores, shape (N, K).

    Returns:
        Shape (K,), in [0, 1]; NaN for a class whose records are all positive or all negative.

    Raises:
        ValueError: If the arrays are not 2-D and of one shape, are empty, a score is NaN, or the truth holds
            anything but 0 and 1.

    >>> class_aucs([[1, 0], [0, 0], [1, 0]], [[0.9, 0.1], [0.4, 0.2], [0.4, 0.3]])
    array([0.75,  nan])
    """
    truth, score = check_scores(y_true, y_score)
    positives = truth.sum(axis=0)
    pairs = positives * (len(truth) - positives)
    wins = _rank_sums(truth, score) - positives * (positives + 1) / 2
    return np.divide(wins, pairs, out=np.full(truth.shape[1], np.nan), where=pairs > 0)


def _rank_sums(truth: NDArray[np.bool_], score: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of the ranks (1 to N, tied scores share their mean rank) of each class's positives, shape (K,)."""
    sums = np.zeros(truth.shape[1])
    for k, column in enumerate(score.T):
        rising = np.sort(column)
        positive = column[truth[:, k]]
        below, up_to = (np.searchsorted(rising, positive, side) for side in ("left", "right"))
        sums[k] = (below.sum() + up_to.sum() + len(positive)) / 2  # ranks below + 1 ... up_to, their mean
    return sums


def macro_auc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean of `class_aucs`, whose arguments it takes, over the classes with positive and negative records.

    Raises:
        ValueError: As `class_aucs`, and if no class has both outcomes.

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
    """AUC of all (record, class) pairs taken as one class. Arguments as for `class_aucs`.

    Raises:
        ValueError: As `class_aucs`, and if all entries of `y_true` are equal.

    >>> micro_auc([[1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.2]])
    0.75
    """
    truth, score = check_scores(y_true, y_score)
    auc = class_aucs(truth.reshape(-1, 1), score.reshape(-1, 1))[0]
    if np.isnan(auc):
        raise ValueError("y_true holds only one outcome, so there is no AUC")
    return float(auc)


class FmaxResult(NamedTuple):
    """The best sample-centric F1 and where it is reached."""

    fmax: float
    threshold: float  # a label counts as predicted where its score >= threshold
    precision: float
    recall: float


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
        ValueError: As `class_aucs`, and if no record has a label or `thresholds` is empty or holds NaN.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, Eqs. (1)-(2).

    >>> fmax([[1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.6]])
    1.0
    """
    return fmax_with_threshold(y_true, y_score, thresholds).fmax


def fmax_with_threshold(
    y_true: ArrayLike, y_score: ArrayLike, thresholds: ArrayLike | None = None
) -> FmaxResult:
    """Fmax with its threshold, and precision and recall there. See `fmax`.

    Of thresholds that tie, the highest is returned.

    >>> fmax_with_threshold([[1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.2]])
    FmaxResult(fmax=0.8571428571428571, threshold=0.2, precision=0.75, recall=1.0)
    """
    sums = fmax_sums(*check_scores(y_true, y_score), thresholds)
    curve = fmax_curve(sums, np.ones((len(sums.labelled), 1)))
    best = int(curve.f1[:, 0].argmax())
    return FmaxResult(
        float(curve.f1[best, 0]),
        float(sums.thresholds[best]),
        float(curve.precision[best, 0]),
        float(curve.recall[best, 0]),
    )


class FmaxSums(NamedTuple):
    """What each record adds to the sums behind precision and recall when the threshold falls to the next one.

    Sparse matrices of shape (U, N), for U falling thresholds and N records.
    """

    thresholds: NDArray[Any]  # (U,) falling
    predicted: "csr_array"  # 1 where the record gets its first predicted label
    precision: "csr_array"  # change of the record's precision
    recall: "csr_array"  # change of the record's recall
    labelled: NDArray[np.bool_]  # (N,) records with at least one true label


class FmaxCurve(NamedTuple):
    """Sample-centric measures at each threshold (rows) for each weighting of the records (columns)."""

    f1: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def fmax_sums(truth: NDArray[np.bool_], score: NDArray[Any], thresholds: ArrayLike | None = None) -> FmaxSums:
    """Sort all scores once, for `fmax_curve`. Takes what `check_scores` returns, and thresholds as `fmax`.

    Without thresholds, those are tried that are the score of a true label: at any other score, lowering the
    threshold adds wrong predictions only, and F1 cannot rise. That keeps the maximum exact.
    """
    from scipy.sparse import csr_array

    n, k = truth.shape
    n_labels = truth.sum(axis=1)
    if not n_labels.any():
        raise ValueError("no record has a label, so recall and Fmax are undefined")
    if thresholds is None:
        levels = np.unique(score[truth])[::-1]
    else:
        given = as_array([thresholds] if np.ndim(thresholds) == 0 else thresholds, "thresholds")
        levels = np.unique(given.astype(np.float64))[::-1]
        if levels.size == 0 or np.isnan(levels).any():
            raise ValueError("thresholds must hold at least one number and no NaN")
    # Within each record, classes in falling order of score: precision after 1, 2, ... K predictions.
    by_score = np.argsort(-score, axis=1, kind="stable")
    hits = np.take_along_axis(truth, by_score, axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, k + 1)
    falling = np.take_along_axis(score, by_score, axis=1)
    # The first (highest) threshold at which each entry is predicted; those below all thresholds go.
    level = np.searchsorted(-levels, -falling.astype(levels.dtype), side="left")
    record = np.repeat(np.arange(n), k).reshape(n, k)
    reached = level < len(levels)

    def matrix(amount: NDArray[Any], where: NDArray[np.bool_]) -> "csr_array":
        where = where & reached
        return csr_array((amount[where], (level[where], record[where])), shape=(len(levels), n))

    first = np.zeros_like(hits)
    first[:, 0] = True
    return FmaxSums(
        levels,
        matrix(first.astype(np.float64), first),
        matrix(np.diff(precision, axis=1, prepend=0.0), np.ones_like(hits)),
        matrix(hits / np.maximum(n_labels, 1)[:, None], hits),
        n_labels > 0,
    )


def fmax_curve(sums: FmaxSums, weights: NDArray[np.float64]) -> FmaxCurve:
    """Measures at all thresholds, for records that count `weights` times, shape (N, B). Arrays (U, B)."""
    labelled = weights[sums.labelled].sum(axis=0)
    if not labelled.all():
        raise ValueError("in one resample no record has a label, so recall and Fmax are undefined")
    predicted = np.cumsum(sums.predicted @ weights, axis=0)
    precision = np.cumsum(sums.precision @ weights, axis=0)
    recall = np.cumsum(sums.recall @ weights, axis=0) / labelled
    np.divide(precision, predicted, out=precision, where=predicted > 0)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return FmaxCurve(f1, precision, recall)
