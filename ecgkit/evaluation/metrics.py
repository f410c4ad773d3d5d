"""Metrics of decisions, thresholds that turn scores into decisions, and metrics of predicted numbers.

Truth and decisions are 0/1, shape (N, K): N records, K classes. The metrics that training watches need NumPy
alone; the tests hold all of them against scikit-learn.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.arrays import as_array, as_finite, check_scores

__all__ = [
    "BetaScores",
    "accuracy_at_half",
    "apply_thresholds",
    "f1",
    "f_beta_g_beta",
    "macro_precision",
    "mae",
    "micro_precision",
    "optimal_thresholds",
    "precision",
    "r2",
    "recall",
    "single_label_accuracy",
    "single_label_f1",
    "weighted_f1",
]

Average = Literal["macro", "micro", "weighted"]


# --- Decisions


class _Counts(NamedTuple):
    """Weights of true positives, false positives and false negatives of each class, shape (K,)."""

    tp: NDArray[np.float64]
    fp: NDArray[np.float64]
    fn: NDArray[np.float64]


def _divide(above: NDArray[np.float64], below: NDArray[np.float64], empty: float) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full(np.shape(below), empty), where=np.asarray(below) > 0)


def _check_decisions(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    truth, predicted = check_scores(y_true, y_pred, "y_pred")
    if not ((predicted == 0) | (predicted == 1)).all():
        raise ValueError("y_pred must hold only 0 and 1; `apply_thresholds` turns scores into predictions")
    return truth, predicted.astype(np.bool_)


def _confusion(truth: NDArray, predicted: NDArray, weights: NDArray[np.float64]) -> _Counts:
    return _Counts(
        weights @ (truth & predicted), weights @ (~truth & predicted), weights @ (truth & ~predicted)
    )


def _average(y_true: ArrayLike, y_pred: ArrayLike, average: Average, fp: float, fn: float) -> float:
    """tp / (tp + fp x false positives + fn x false negatives), averaged; 0 where that is 0/0."""
    if average not in ("macro", "micro", "weighted"):
        raise ValueError(f"average must be 'macro', 'micro' or 'weighted', got {average!r}")
    truth, predicted = _check_decisions(y_true, y_pred)
    counts = _confusion(truth, predicted, np.ones(len(truth)))
    if average == "micro":
        counts = _Counts(*(np.atleast_1d(part.sum()) for part in counts))
    values = _divide(counts.tp, counts.tp + fp * counts.fp + fn * counts.fn, 0.0)
    if average == "weighted":
        support = counts.tp + counts.fn
        return float(values @ support / support.sum()) if support.any() else 0.0
    return float(values.mean())


def f1(y_true: ArrayLike, y_pred: ArrayLike, average: Average = "macro") -> float:
    """F1 score, 2 TP / (2 TP + FP + FN).

    A class that is neither in the truth nor predicted scores 0, as in scikit-learn's default.

    Args:
        y_true: 0/1, shape (N, K).
        y_pred: Decisions, 0/1, shape (N, K).
        average: ``"macro"``, the mean over classes; ``"micro"``, from the counts of all classes together;
            ``"weighted"``, the mean over classes weighted by their number of positive records.

    Raises:
        ValueError: If the shapes differ, the arrays are empty, hold other values, or `average` is unknown.

    >>> f1([[1, 0], [1, 1]], [[1, 0], [0, 1]])
    0.8333333333333333
    """
    return _average(y_true, y_pred, average, 0.5, 0.5)


def precision(y_true: ArrayLike, y_pred: ArrayLike, average: Average = "macro") -> float:
    """Precision, TP / (TP + FP): the share of the predictions that are right.

    A class that is never predicted scores 0. Arguments and errors as for `f1`.

    >>> precision([[1, 0], [1, 1]], [[1, 1], [0, 1]])
    0.75
    """
    return _average(y_true, y_pred, average, 1.0, 0.0)


def recall(y_true: ArrayLike, y_pred: ArrayLike, average: Average = "macro") -> float:
    """Recall or sensitivity, TP / (TP + FN): the share of the true labels that are found.

    A class without positive records scores 0. Arguments and errors as for `f1`.

    >>> recall([[1, 0], [1, 1]], [[1, 1], [0, 1]])
    0.75
    """
    return _average(y_true, y_pred, average, 0.0, 1.0)


class BetaScores(NamedTuple):
    """Macro averages of F_beta and G_beta."""

    f_beta: float
    g_beta: float


def f_beta_g_beta(y_true: ArrayLike, y_pred: ArrayLike, beta: float = 2.0) -> BetaScores:
    """The two class-wise scores of the PhysioNet/CinC Challenge 2020 (its unofficial phase), macro-averaged.

    F = (1 + beta^2) TP / ((1 + beta^2) TP + FP + beta^2 FN) and G = TP / (TP + FP + beta FN), where each
    record counts with weight 1 / (its number of true labels), and with weight 1 if it has none. Classes that
    are neither in the truth nor predicted are left out of the averages.

    Args:
        y_true: 0/1, shape (N, K).
        y_pred: 0/1, shape (N, K), for example from `apply_thresholds`.
        beta: How much more recall matters than precision.

    Returns:
        (F_beta, G_beta), each in [0, 1].

    Raises:
        ValueError: If the shapes differ, values are not 0/1, `beta` is not a positive number, or nothing is
            true or predicted at all.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, section III-B and Table III.

    >>> f_beta_g_beta([[1, 0], [1, 1]], [[1, 0], [0, 1]])
    BetaScores(f_beta=0.8571428571428572, g_beta=0.75)
    """
    truth, predicted = _check_decisions(y_true, y_pred)
    _check_beta(beta)
    counts = _confusion(truth, predicted, _label_weights(truth))
    if not sum(part.sum() for part in counts):
        raise ValueError("no label is true or predicted, so F_beta and G_beta are undefined")
    f_beta, g_beta = (_score(counts, metric, beta, np.nan) for metric in ("f_beta", "g_beta"))
    return BetaScores(float(np.nanmean(f_beta)), float(np.nanmean(g_beta)))


def _check_beta(beta: float) -> None:
    if not (beta > 0 and beta * beta < np.inf):
        raise ValueError(f"beta must be positive and its square finite, got {beta}")


def _label_weights(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    return 1.0 / np.maximum(truth.sum(axis=1), 1)


def _score(counts: _Counts, metric: str, beta: float, empty: float) -> NDArray[np.float64]:
    tp, fp, fn = counts
    if metric == "g_beta":
        return _divide(tp, tp + fp + beta * fn, empty)
    square = 1.0 if metric == "f1" else beta**2
    return _divide((1 + square) * tp, (1 + square) * tp + fp + square * fn, empty)


# --- From scores to decisions


def optimal_thresholds(
    y_true: ArrayLike,
    y_score: ArrayLike,
    metric: Literal["f1", "f_beta", "g_beta"] = "f_beta",
    beta: float = 2.0,
) -> NDArray[np.float64]:
    """Threshold of each class that makes a macro-averaged score highest.

    Find them on training or validation records, never on the test set, and use them with `apply_thresholds`.
    Every distinct score is tried, so the macro `f1`, F_beta or G_beta of these records is the highest that
    any thresholds give. Of thresholds that tie, the highest is taken.

    Args:
        y_true: 0/1, shape (N, K).
        y_score: Scores, shape (N, K).
        metric: ``"f1"``, or ``"f_beta"`` or ``"g_beta"`` as in `f_beta_g_beta`, with its weights.
        beta: As in `f_beta_g_beta`; not used by ``"f1"``.

    Returns:
        Shape (K,). A label is predicted where its score >= threshold. It is infinite for a class without
        positive records: never predict it.

    Raises:
        ValueError: If the shapes differ, values are not 0/1, scores are NaN, or `metric` or `beta` is not
            valid.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, section III-B (thresholds chosen on the training set).

    >>> optimal_thresholds([[1], [0], [1]], [[0.9], [0.2], [0.4]])
    array([0.4])
    """
    truth, score = check_scores(y_true, y_score)
    _check_beta(beta)
    if metric not in ("f1", "f_beta", "g_beta"):
        raise ValueError(f"metric must be 'f1', 'f_beta' or 'g_beta', got {metric!r}")
    weights = np.ones(len(truth)) if metric == "f1" else _label_weights(truth)
    order = np.argsort(-score, axis=0, kind="stable")  # (N, K)
    falling = np.take_along_axis(score, order, axis=0)
    hits = np.take_along_axis(truth, order, axis=0)
    tp = np.cumsum(hits * weights[order], axis=0)
    fp = np.cumsum(~hits * weights[order], axis=0)
    values = _score(_Counts(tp, fp, tp[-1] - tp), metric, beta, 0.0)
    last_of_ties = np.ones_like(hits)
    last_of_ties[:-1] = falling[1:] != falling[:-1]
    best = np.where(last_of_ties, values, -1.0).argmax(axis=0)
    thresholds = np.take_along_axis(falling, best[None], axis=0)[0].astype(np.float64)
    return np.where(truth.any(axis=0), thresholds, np.inf)


def apply_thresholds(y_score: ArrayLike, thresholds: ArrayLike) -> NDArray[np.uint8]:
    """Predict each label whose score reaches its threshold.

    Args:
        y_score: Scores, shape (N, K).
        thresholds: One for all classes, or shape (K,).

    Returns:
        0/1, shape (N, K).

    Raises:
        ValueError: If `y_score` is not 2-D, `thresholds` fits neither form, or either holds NaN.

    >>> apply_thresholds([[0.9, 0.1], [0.4, 0.2]], 0.5)
    array([[1, 0],
           [0, 0]], dtype=uint8)
    """
    score = as_array(y_score, "y_score")
    limit = as_array([thresholds] if np.ndim(thresholds) == 0 else thresholds, "thresholds")
    if score.ndim != 2 or (np.ndim(thresholds) and limit.shape != score.shape[1:]):
        raise ValueError(f"thresholds of shape {limit.shape} do not fit scores of shape {score.shape}")
    for name, values in (("y_score", score), ("thresholds", limit)):
        if np.isnan(values).any():
            raise ValueError(f"{name} holds {np.isnan(values).sum()} NaN")
    return (score >= limit).astype(np.uint8)


# --- Scores judged at a threshold of 0.5


def _at_half(y_true: ArrayLike, y_score: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    truth, score = check_scores(y_true, y_score)
    low, high = float(score.min()), float(score.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise ValueError(f"y_score must lie in [0, 1], not {low:g} to {high:g}; logits need a sigmoid first")
    return truth, score >= 0.5


def accuracy_at_half(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Share of all labels that are right when a score of at least 0.5 counts as positive.

    Arguments and errors as for `micro_precision`.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Table V. The paper does not name its threshold.

    >>> accuracy_at_half([[1], [0], [0], [1]], [[0.9], [0.6], [0.2], [0.5]])
    0.75
    """
    truth, decided = _at_half(y_true, y_score)
    return float((truth == decided).mean())


def micro_precision(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Share of all labels with a score of at least 0.5 that are right; 0 when there is no such label.

    Args:
        y_true: 0 and 1, shape (N, K).
        y_score: Scores in [0, 1], shape (N, K).

    Raises:
        ValueError: If the shapes differ, or a score is NaN or outside [0, 1].

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), Tables 3.1 and 4.1.

    >>> micro_precision([[1, 0], [0, 1]], [[0.9, 0.6], [0.2, 0.5]])
    0.6666666666666666
    """
    return precision(*_at_half(y_true, y_score), average="micro")


def macro_precision(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean over classes of the precision at a threshold of 0.5; a class that is never predicted scores 0.

    Arguments and errors as for `micro_precision`.

    >>> macro_precision([[1, 0], [0, 1]], [[0.9, 0.6], [0.2, 0.5]])
    0.75
    """
    return precision(*_at_half(y_true, y_score), average="macro")


def weighted_f1(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """F1 of each class at a threshold of 0.5, averaged with the classes' numbers of positives as weights.

    Arguments and errors as for `micro_precision`.

    Source:
        MELEP (Nguyen et al., 2024), section 2.4.

    >>> weighted_f1([[1, 0], [1, 1], [1, 0]], [[0.9, 0.1], [0.8, 0.2], [0.7, 0.1]])
    0.75
    """
    return f1(*_at_half(y_true, y_score), average="weighted")


# --- One class per record: the one with the highest score is predicted


def _highest(y_true: ArrayLike, y_score: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    truth, scores = check_scores(y_true, y_score)
    if not (truth.sum(axis=1) == 1).all():
        raise ValueError("y_true must have exactly one 1 in each row: one class per record")
    predicted = np.zeros_like(truth)
    predicted[np.arange(len(truth)), scores.argmax(axis=1)] = True
    return truth, predicted


def single_label_f1(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Macro-F1 of the class with the highest score; of equal scores, the first class.

    Args:
        y_true: 0 and 1 with one 1 per row, shape (N, K).
        y_score: Scores, shape (N, K).

    Raises:
        ValueError: If the shapes differ, a score is NaN, or a row of `y_true` has not exactly one 1.

    >>> single_label_f1([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    0.6666666666666666
    """
    return f1(*_highest(y_true, y_score))


def single_label_accuracy(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Share of records whose class has the highest score. Arguments and errors as for `single_label_f1`.

    >>> single_label_accuracy([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    0.6666666666666666
    """
    truth, predicted = _highest(y_true, y_score)
    return float((truth == predicted).all(axis=1).mean())


# --- Predicted numbers, such as the age


def _numbers(y_true: ArrayLike, y_score: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth, score = as_finite(y_true, "y_true"), as_finite(y_score, "y_score")
    if truth.shape != score.shape or truth.ndim > 2 or truth.size == 0 or truth.size != len(truth):
        raise ValueError(
            "y_true and y_score must both have shape (records,) or (records, 1) and not be empty, "
            f"got {truth.shape} and {score.shape}"
        )
    return truth.ravel(), score.ravel()


def mae(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean absolute error, in the unit of the values.

    Args:
        y_true: True values, shape (N,) or (N, 1).
        y_score: Predicted values, of the same shape.

    Raises:
        ValueError: If the shapes differ or a value is not finite.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Table IV.

    >>> mae([50, 60], [53, 59])
    2.0
    """
    truth, score = _numbers(y_true, y_score)
    return float(np.abs(truth - score).mean())


def r2(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Share of the variance of the truth that is explained: 1 is perfect, 0 as good as their mean.

    It depends on the records: the same errors give a lower value where the truth varies less.

    Arguments as for `mae`.

    Raises:
        ValueError: As `mae`, or if all true values are the same.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Table IV.

    >>> r2([40, 50, 60], [41, 50, 59])
    0.99
    """
    truth, score = _numbers(y_true, y_score)
    total = ((truth - truth.mean()) ** 2).sum()
    if np.ptp(truth) == 0 or total == 0:
        raise ValueError("all true values are the same: r2 compares with their variance, which is 0")
    return float(1 - ((truth - score) ** 2).sum() / total)
