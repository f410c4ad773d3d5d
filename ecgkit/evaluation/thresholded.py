"""Metrics of decisions at a threshold of 0.5, from scores."""

import numpy as np
from numpy.typing import ArrayLike

from ecgkit.evaluation.metrics import precision
from ecgkit.evaluation.ranking import check_scores

__all__ = ["accuracy_at_half", "macro_precision", "micro_precision"]

THRESHOLD = 0.5


def _decided(y_true: ArrayLike, y_score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, score = check_scores(y_true, y_score)
    return truth, score >= THRESHOLD


def accuracy_at_half(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Share of all labels that are right when a score of at least 0.5 counts as positive.

    Arguments and errors as for `micro_precision`.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Table V. The paper does not name its threshold.

    >>> accuracy_at_half([[1], [0], [0], [1]], [[0.9], [0.6], [0.2], [0.5]])
    0.75
    """
    truth, decided = _decided(y_true, y_score)
    return float((truth == decided).mean())


def micro_precision(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Share of all labels with a score of at least 0.5 that are right; 0 when there is no such label.

    Args:
        y_true: 0 and 1, shape (N, K).
        y_score: Scores in [0, 1], shape (N, K).

    Raises:
        ValueError: If the shapes differ, or a score is NaN.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), Tables 3.1 and 4.1.

    >>> micro_precision([[1, 0], [0, 1]], [[0.9, 0.6], [0.2, 0.5]])
    0.6666666666666666
    """
    return precision(*_decided(y_true, y_score), average="micro")


def macro_precision(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean over classes of the precision at a threshold of 0.5; a class that is never predicted scores 0.

    Arguments and errors as for `micro_precision`.

    >>> macro_precision([[1, 0], [0, 1]], [[0.9, 0.6], [0.2, 0.5]])
    0.75
    """
    return precision(*_decided(y_true, y_score), average="macro")
