"""Metrics of predicted numbers, such as the age."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["mae", "r2"]


def _columns(y_true: ArrayLike, y_score: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth, score = np.asarray(y_true, np.float64), np.asarray(y_score, np.float64)
    if truth.shape != score.shape or truth.size == 0 or truth.size != len(truth):
        raise ValueError(
            "y_true and y_score must both have shape (records,) or (records, 1) and not be empty, "
            f"got {truth.shape} and {score.shape}"
        )
    if not (np.isfinite(truth).all() and np.isfinite(score).all()):
        raise ValueError("y_true and y_score must be finite: leave out the records whose value is not known")
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
    truth, score = _columns(y_true, y_score)
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
    truth, score = _columns(y_true, y_score)
    total = ((truth - truth.mean()) ** 2).sum()
    if total == 0:
        raise ValueError("all true values are the same: r2 compares with their variance, which is 0")
    return float(1 - ((truth - score) ** 2).sum() / total)
