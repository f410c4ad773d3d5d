"""Metrics of hard predictions, and thresholds that turn scores into them.

The truth and the predictions are 0/1, shape (N, K), for several labels per record, or class numbers, shape
(N,), for one label per record.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.ranking import check_scores

__all__ = [
    "BetaScores",
    "accuracy",
    "apply_thresholds",
    "f1",
    "f_beta_g_beta",
    "optimal_thresholds",
    "precision",
    "recall",
]

Average = Literal["macro", "micro", "weighted"]


class BetaScores(NamedTuple):
    """Macro averages of F_beta and G_beta."""

    f_beta: float
    g_beta: float


class _Counts(NamedTuple):
    """Weights of true positives, false positives and false negatives of each class, shape (K,)."""

    tp: NDArray[np.float64]
    fp: NDArray[np.float64]
    fn: NDArray[np.float64]


def _divide(above: NDArray[np.float64], below: NDArray[np.float64], empty: float) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full(np.shape(below), empty), where=np.asarray(below) > 0)


def _check_multilabel(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    truth, predicted = np.asarray(y_true), np.asarray(y_pred)
    if truth.ndim != 2 or truth.shape != predicted.shape or truth.size == 0:
        raise ValueError(
            "y_true and y_pred must both have shape (records, classes) and not be empty, "
            f"got {truth.shape} and {predicted.shape}"
        )
    for name, values in (("y_true", truth), ("y_pred", predicted)):
        if not ((values == 0) | (values == 1)).all():
            raise ValueError(
                f"{name} must hold only 0 and 1; `apply_thresholds` turns scores into predictions"
            )
    return truth.astype(np.bool_), predicted.astype(np.bool_)


def _check_single_label(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    truth, predicted = np.asarray(y_true), np.asarray(y_pred)
    if truth.ndim != 1 or truth.shape != predicted.shape or truth.size == 0:
        raise ValueError(
            "y_true and y_pred must both have shape (records,) and not be empty, "
            f"got {truth.shape} and {predicted.shape}"
        )
    for name, values in (("y_true", truth), ("y_pred", predicted)):
        if not (np.issubdtype(values.dtype, np.integer) or values.dtype == np.bool_):
            raise ValueError(f"{name} must hold class numbers (integers), got {values.dtype}")
    return truth, predicted


def _count(y_true: ArrayLike, y_pred: ArrayLike) -> _Counts:
    if np.ndim(y_true) == 1:
        truth, predicted = _check_single_label(y_true, y_pred)
        classes = np.union1d(truth, predicted)
        truth, predicted = truth[:, None] == classes, predicted[:, None] == classes
    else:
        truth, predicted = _check_multilabel(y_true, y_pred)
    return _confusion(truth, predicted, np.ones(len(truth)))


def _confusion(truth: NDArray, predicted: NDArray, weights: NDArray[np.float64]) -> _Counts:
    return _Counts(
        weights @ (truth & predicted), weights @ (~truth & predicted), weights @ (truth & ~predicted)
    )


def _average(y_true: ArrayLike, y_pred: ArrayLike, average: Average, fp: float, fn: float) -> float:
    """tp / (tp + fp x false positives + fn x false negatives), averaged; 0 where that is 0/0."""
    counts = _count(y_true, y_pred)
    if average == "micro":
        counts = _Counts(*(np.atleast_1d(part.sum()) for part in counts))
    values = _divide(counts.tp, counts.tp + fp * counts.fp + fn * counts.fn, 0.0)
    if average == "weighted":
        support = counts.tp + counts.fn
        return float(values @ support / support.sum()) if support.any() else 0.0
    if average not in ("macro", "micro"):
        raise ValueError(f"average must be 'macro', 'micro' or 'weighted', got {average!r}")
    return float(values.mean())


def f1(y_true: ArrayLike, y_pred: ArrayLike, average: Average = "macro") -> float:
    """F1 score, 2 TP / (2 TP + FP + FN).

    A class that is neither in the truth nor predicted scores 0, as in scikit-learn's default.

    Args:
        y_true: 0/1, shape (N, K), or class numbers, shape (N,).
        y_pred: Predictions of the same shape.
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


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Share of the records whose one class is predicted.

    Args:
        y_true: Class numbers, shape (N,).
        y_pred: Predicted class numbers, shape (N,).

    Raises:
        ValueError: If the arrays are not 1-D and of one length, are empty, or not integers.

    >>> accuracy([2, 0, 1, 1], [2, 1, 1, 1])
    0.75
    """
    truth, predicted = _check_single_label(y_true, y_pred)
    return float((truth == predicted).mean())


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
        ValueError: If the shapes differ, values are not 0/1, `beta` is not positive, or nothing is true or
            predicted at all.

    Source:
        Strodthoff et al. (2021), PTB-XL benchmark, section III-B and Table III.

    >>> f_beta_g_beta([[1, 0], [1, 1]], [[1, 0], [0, 1]])
    BetaScores(f_beta=0.8571428571428572, g_beta=0.75)
    """
    truth, predicted = _check_multilabel(y_true, y_pred)
    _check_beta(beta)
    counts = _confusion(truth, predicted, _label_weights(truth))
    if not sum(part.sum() for part in counts):
        raise ValueError("no label is true or predicted, so F_beta and G_beta are undefined")
    f_beta, g_beta = (_score(counts, metric, beta, np.nan) for metric in ("f_beta", "g_beta"))
    return BetaScores(float(np.nanmean(f_beta)), float(np.nanmean(g_beta)))


def _check_beta(beta: float) -> None:
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")


def _label_weights(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    return 1.0 / np.maximum(truth.sum(axis=1), 1)


def _score(counts: _Counts, metric: str, beta: float, empty: float) -> NDArray[np.float64]:
    tp, fp, fn = counts
    if metric == "g_beta":
        return _divide(tp, tp + fp + beta * fn, empty)
    square = 1.0 if metric == "f1" else beta**2
    return _divide((1 + square) * tp, (1 + square) * tp + fp + square * fn, empty)


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


def apply_thresholds(
    y_score: ArrayLike, thresholds: ArrayLike, at_least_one: bool = False
) -> NDArray[np.uint8]:
    """Predict each label whose score reaches its threshold.

    Args:
        y_score: Scores, shape (N, K).
        thresholds: One for all classes, or shape (K,).
        at_least_one: Give a record that reaches no threshold the label with its highest score, as the
            benchmark's published code does.

    Returns:
        0/1, shape (N, K).

    Raises:
        ValueError: If `y_score` is not 2-D or holds NaN, or `thresholds` fits neither form.

    >>> apply_thresholds([[0.9, 0.1], [0.4, 0.2]], 0.5, at_least_one=True)
    array([[1, 0],
           [1, 0]], dtype=uint8)
    """
    score, limit = np.asarray(y_score), np.asarray(thresholds)
    if score.ndim != 2 or limit.shape not in ((), score.shape[1:]):
        raise ValueError(f"thresholds of shape {limit.shape} do not fit scores of shape {score.shape}")
    if np.isnan(score).any():
        raise ValueError(f"y_score holds {np.isnan(score).sum()} NaN")
    predicted = (score >= limit).astype(np.uint8)
    if at_least_one:
        none = np.flatnonzero(~predicted.any(axis=1))
        predicted[none, score[none].argmax(axis=1)] = 1
    return predicted
