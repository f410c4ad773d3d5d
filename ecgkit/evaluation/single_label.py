"""Metrics of one label per record, from scores: the class with the highest score is predicted."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.metrics import f1
from ecgkit.evaluation.ranking import check_scores

__all__ = ["single_label_accuracy", "single_label_f1"]


def _one_hot(y_true: ArrayLike, y_score: ArrayLike) -> tuple[NDArray, NDArray]:
    truth, scores = check_scores(y_true, y_score)
    if not (truth.sum(axis=1) == 1).all():
        raise ValueError("y_true must have exactly one 1 in each row: one class per record")
    predicted = np.zeros_like(truth)
    predicted[np.arange(len(truth)), scores.argmax(axis=1)] = 1
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
    return f1(*_one_hot(y_true, y_score))


def single_label_accuracy(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Share of records whose class has the highest score. Arguments and errors as for `single_label_f1`.

    >>> single_label_accuracy([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    0.6666666666666666
    """
    truth, predicted = _one_hot(y_true, y_score)
    return float((truth == predicted).all(axis=1).mean())
