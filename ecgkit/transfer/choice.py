"""How good is a choice of a checkpoint, and how well does a score go along with what fine-tuning gives?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgkit.evaluation.arrays import as_array, as_finite

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


def correlation(x: Any, y: Any) -> Correlation:
    """Pearson's r, its interval by Fisher's transformation and its two-sided p-value.

    Both take the pairs to be independent draws. Target tasks that share records are not: the true interval
    is then wider.

    Args:
        x: Shape (n,).
        y: Shape (n,).

    Returns:
        NaN everywhere where x or y is constant; interval and p-value NaN for fewer than 4 pairs, and where
        ``|r|`` is 1, which leaves no spread to tell them from.

    Raises:
        ValueError: If the shapes differ, there are fewer than 3 pairs, or a value is not finite.

    Source:
        Fisher, "On the probable error of a coefficient of correlation" (1921).

    >>> pearson = correlation([1, 2, 3, 4, 5], [1, 3, 2, 5, 4])
    >>> round(pearson.r, 3), round(pearson.low, 3), round(pearson.high, 3), round(pearson.p_value, 3)
    (0.8, -0.28, 0.986, 0.104)
    """
    return _correlation(as_finite(x, "x"), as_finite(y, "y"), controls=0)


def partial_correlation(x: Any, y: Any, given: Any) -> Correlation:
    """Pearson's r of what a linear regression on other variables leaves of x and of y.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        given: The other variables, shape (n, k).

    Returns:
        As `correlation`; interval and p-value are NaN for fewer than 4 + k pairs.

    Raises:
        ValueError: If the shapes do not fit or a value is not finite.

    >>> z = np.arange(6.0)
    >>> noise = np.array([1, -1, 1, -1, 1, -1])
    >>> round(partial_correlation(z + noise, 2 * z - noise, z[:, None]).r, 3)
    -1.0
    """
    a, b, c = (as_finite(values, name) for values, name in ((x, "x"), (y, "y"), (given, "given")))
    if a.ndim != 1 or b.ndim != 1 or c.ndim != 2 or not len(a) == len(b) == len(c):
        raise ValueError(f"{a.shape}, {b.shape} and {c.shape} do not belong together")
    table = np.column_stack([np.ones(len(c)), c])
    x_left, y_left = (v - table @ np.linalg.lstsq(table, v, rcond=None)[0] for v in (a, b))
    return _correlation(x_left, y_left, controls=c.shape[1])


def _correlation(a: np.ndarray, b: np.ndarray, controls: int) -> Correlation:
    """Pearson's r of what is left after `controls` variables were taken out of both."""
    from scipy import stats

    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise ValueError(f"{a.shape} and {b.shape}: two lists of the same length, at least 3, are wanted")
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    if scale <= 1e-12 * max(len(a), 1) * max(float(np.abs(a).max() * np.abs(b).max()), 1e-300):
        return Correlation(np.nan, np.nan, np.nan, np.nan)
    r = float(np.clip(a @ b / scale, -1, 1))
    free = len(a) - 3 - controls
    if free < 1 or abs(r) == 1:
        return Correlation(r, np.nan, np.nan, np.nan)
    half = stats.norm.ppf(0.975) / np.sqrt(free)
    low, high = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    t = r * np.sqrt((free + 1) / (1 - r * r))
    return Correlation(r, float(low), float(high), float(2 * stats.t.sf(abs(t), free + 1)))


def _candidates(goodness: Any, outcome: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scores of candidates, which may be infinite, and what fine-tuning each of them gave."""
    scores, given = as_array(goodness, "goodness").astype(np.float64), as_finite(outcome, "outcome")
    if scores.ndim != 1 or scores.shape != given.shape or not len(scores):
        raise ValueError(f"goodness {scores.shape} and outcome {given.shape}: one of each per candidate")
    if np.isnan(scores).any():
        raise ValueError("goodness holds NaN: leave the candidate out, or give it -inf, never to be chosen")
    return scores, given


def rank_correlation(goodness: Any, outcome: Any) -> float:
    """Kendall's tau-b between a score (more is better) and what fine-tuning gave; NaN if either is constant.

    Raises:
        ValueError: If the shapes differ, are not (n,), or a value is NaN.

    >>> round(rank_correlation([1, 2, 3], [0.5, 0.7, 0.6]), 3)
    0.333
    """
    from scipy import stats

    scores, given = _candidates(goodness, outcome)
    if (scores == scores[0]).all() or np.ptp(given) == 0:
        return float("nan")
    return float(stats.kendalltau(scores, given).statistic)


def regret(goodness: Any, outcome: Any) -> float:
    """What the choice by a score costs: the best outcome minus that of the candidate with the best score.

    Args:
        goodness: The score of each candidate, more is better; the first of equals is chosen. Shape (n,).
        outcome: What fine-tuning each candidate gives, shape (n,).

    Raises:
        ValueError: As `rank_correlation`.

    >>> round(regret([3, 9, 1], [0.7, 0.6, 0.5]), 3)
    0.1
    """
    scores, given = _candidates(goodness, outcome)
    return float(given.max() - given[int(np.argmax(scores))])


def expected_regret(outcome: Any) -> float:
    """The mean regret of a candidate drawn at random: the best outcome minus the mean.

    Raises:
        ValueError: As `rank_correlation`.

    >>> round(expected_regret([0.7, 0.6, 0.5]), 3)
    0.1
    """
    _, given = _candidates(outcome, outcome)
    return float(given.max() - given.mean())
