"""How good is a choice of a checkpoint, and how well does a score go along with what fine-tuning gives?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "Correlation",
    "correlation",
    "expected_regret",
    "partial_correlation",
    "rank_correlation",
    "regret",
]


@dataclass(frozen=True)
class Correlation:
    """Pearson's r with its 95 % interval and its p-value."""

    r: float
    low: float
    high: float
    p_value: float


def correlation(x: ArrayLike, y: ArrayLike, controls: int = 0) -> Correlation:
    """Pearson's r, its interval by Fisher's transformation and its two-sided p-value.

    Both take the pairs to be independent draws. Target tasks that share records are not: the true interval
    is then wider.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        controls: Number of variables that were taken out of x and y before; see `partial_correlation`.

    Returns:
        NaN everywhere where x or y is constant; interval and p-value NaN for fewer than 4 + controls pairs.

    Raises:
        ValueError: If the shapes differ or there are fewer than 3 pairs.

    Source:
        Fisher, "On the probable error of a coefficient of correlation" (1921).

    >>> found = correlation([1, 2, 3, 4, 5], [1, 3, 2, 5, 4])
    >>> round(found.r, 3), round(found.low, 3), round(found.high, 3), round(found.p_value, 3)
    (0.8, -0.28, 0.986, 0.104)
    """
    from scipy import stats

    a, b = np.asarray(x, float), np.asarray(y, float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise ValueError(f"{a.shape} and {b.shape}: two lists of the same length, at least 3, are wanted")
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    if scale <= 1e-12 * max(len(a), 1) * max(float(np.abs(a).max() * np.abs(b).max()), 1e-300):
        return Correlation(np.nan, np.nan, np.nan, np.nan)
    r = float(np.clip(a @ b / scale, -1, 1))
    free = len(a) - 3 - controls
    if free < 1 or abs(r) == 1:
        return Correlation(r, r if free >= 1 else np.nan, r if free >= 1 else np.nan, np.nan)
    half = stats.norm.ppf(0.975) / np.sqrt(free)
    t = r * np.sqrt((free + 1) / (1 - r * r))
    p = 2 * stats.t.sf(abs(t), free + 1)
    return Correlation(
        r, float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half)), float(p)
    )


def partial_correlation(x: ArrayLike, y: ArrayLike, given: ArrayLike) -> Correlation:
    """Pearson's r of what a linear regression on other variables leaves of x and of y.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        given: The other variables, shape (n, k).

    Raises:
        ValueError: If the shapes do not fit.

    >>> z = np.arange(6.0)
    >>> noise = np.array([1, -1, 1, -1, 1, -1])
    >>> round(partial_correlation(z + noise, 2 * z - noise, z[:, None]).r, 3)
    -1.0
    """
    a, b, c = np.asarray(x, float), np.asarray(y, float), np.asarray(given, float)
    if c.ndim != 2 or len(c) != len(a) or len(c) != len(b):
        raise ValueError(f"{a.shape}, {b.shape} and {c.shape} do not belong together")
    table = np.column_stack([np.ones(len(c)), c])
    x_left, y_left = (v - table @ np.linalg.lstsq(table, v, rcond=None)[0] for v in (a, b))
    return correlation(x_left, y_left, controls=c.shape[1])


def rank_correlation(goodness: ArrayLike, outcome: ArrayLike) -> float:
    """Kendall's tau-b between a score (more is better) and what fine-tuning gave; NaN if either is constant.

    >>> round(rank_correlation([1, 2, 3], [0.5, 0.7, 0.6]), 3)
    0.333
    """
    from scipy import stats

    a, b = np.asarray(goodness, float), np.asarray(outcome, float)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(stats.kendalltau(a, b).statistic)


def regret(goodness: ArrayLike, outcome: ArrayLike) -> float:
    """What the choice by a score costs: the best outcome minus that of the candidate with the best score.

    Args:
        goodness: The score of each candidate, more is better; the first of equals is chosen.
        outcome: What fine-tuning each candidate gives.

    >>> round(regret([3, 9, 1], [0.7, 0.6, 0.5]), 3)
    0.1
    """
    found = np.asarray(outcome, float)
    return float(found.max() - found[int(np.argmax(np.asarray(goodness, float)))])


def expected_regret(outcome: ArrayLike) -> float:
    """The mean regret of a candidate drawn at random: the best outcome minus the mean.

    >>> round(expected_regret([0.7, 0.6, 0.5]), 3)
    0.1
    """
    found = np.asarray(outcome, float)
    return float(found.max() - found.mean())
