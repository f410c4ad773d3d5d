"""Is model A better than model B? Intervals and tests over training seeds, and many comparisons at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

__all__ = [
    "MeanInterval",
    "SeedComparison",
    "compare_seeds",
    "detectable_difference",
    "holm",
    "mean_interval",
]

_EXACT_UP_TO = 20  # pairs: 2^19 sign patterns
_RANDOM_FLIPS = 100_000


class MeanInterval(NamedTuple):
    """Mean of a result over seeds, and its t-interval."""

    mean: float
    low: float
    high: float
    sd: float  # standard deviation between seeds (n - 1 in the denominator)
    n: int


@dataclass(frozen=True)
class SeedComparison:
    """Difference of two methods' means over seeds."""

    difference: float  # mean of A minus mean of B
    low: float
    high: float
    p_value: float  # two-sided, from the t distribution
    p_sign_flip: float | None  # two-sided, from flipping the signs of the differences; None if not paired
    level: float
    paired: bool


def _values(values: Sequence[float] | ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} must hold the results of at least two seeds, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return array


def _t_interval(center: float, error: float, freedom: float, level: float) -> tuple[float, float, float]:
    """Ends of the interval, and the two-sided p-value of a true value of 0."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if error == 0:
        return center, center, 1.0 if center == 0 else 0.0
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return center - half, center + half, float(2 * stats.t.sf(abs(center) / error, freedom))


def mean_interval(values: Sequence[float] | ArrayLike, level: float = 0.95) -> MeanInterval:
    """Mean over seeds with Student's t-interval.

    It tells how the result varies with the seed on this one test set; `bootstrap` tells how the result of one
    trained model varies with the test set.

    Args:
        values: One result per seed, shape (S,), S >= 2.
        level: Probability that the interval is to cover, in (0, 1).

    Raises:
        ValueError: If there are fewer than two values, one is not finite, or `level` is not in (0, 1).

    >>> result = mean_interval([0.930, 0.926, 0.931])
    >>> f"{result.mean:.3f} [{result.low:.3f}, {result.high:.3f}]"
    '0.929 [0.922, 0.936]'
    """
    array = _values(values, "values")
    mean, sd, n = float(array.mean()), float(array.std(ddof=1)), len(array)
    low, high, _ = _t_interval(mean, sd / np.sqrt(n), n - 1, level)
    return MeanInterval(mean, low, high, sd, n)


def compare_seeds(
    a: Sequence[float] | ArrayLike,
    b: Sequence[float] | ArrayLike,
    paired: bool = True,
    level: float = 0.95,
) -> SeedComparison:
    """Compare two methods that were each trained with several seeds.

    Paired (value i of both comes from the same seed, hence the same order and start): the paired t-test and
    its interval, and the sign-flip test, which assumes only that under no effect a difference is as likely
    positive as negative. It goes through all sign patterns, up to 20 pairs, and takes 100,000 random ones
    beyond. With S pairs its p-value cannot fall below 2 / 2^S: five seeds give at best 0.0625.

    Not paired: Welch's t-test, which allows unequal variances, and its interval.

    Args:
        a: Results of A, shape (S,), S >= 2.
        b: Results of B, shape (S,), or any length >= 2 if not paired.
        paired: Whether the values belong together by position.
        level: Probability that the interval is to cover, in (0, 1).

    Raises:
        ValueError: If there are fewer than two values, one is not finite, `level` is not in (0, 1), or the
            lengths differ for a paired comparison.

    >>> result = compare_seeds([0.93, 0.94, 0.92, 0.93], [0.91, 0.93, 0.91, 0.91])
    >>> f"{result.difference:.3f} [{result.low:.3f}, {result.high:.3f}]", result.p_sign_flip
    ('0.015 [0.006, 0.024]', 0.125)
    """
    first, second = _values(a, "a"), _values(b, "b")
    flips = None
    if paired:
        if len(first) != len(second):
            raise ValueError(
                f"a has {len(first)} values and b has {len(second)}: pairs need the same seeds in the same "
                "order; pass paired=False for results of different seeds"
            )
        differences = first - second
        difference = float(differences.mean())
        error = float(differences.std(ddof=1)) / np.sqrt(len(differences))
        freedom = float(len(differences) - 1)
        flips = _sign_flip(differences)
    else:
        difference = float(first.mean() - second.mean())
        parts = np.array([first.var(ddof=1) / len(first), second.var(ddof=1) / len(second)])
        error = float(np.sqrt(parts.sum()))
        below = float((parts**2 / [len(first) - 1, len(second) - 1]).sum())
        freedom = error**4 / below if below else 1.0  # Welch-Satterthwaite
    low, high, p_value = _t_interval(difference, error, freedom, level)
    return SeedComparison(difference, low, high, p_value, flips, level, paired)


def _sign_flip(differences: NDArray[np.float64]) -> float:
    """Share of the sign patterns whose sum is at least as far from 0 as the one observed."""
    at_least = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    if len(differences) <= _EXACT_UP_TO:
        sums = differences[:1]  # by symmetry, one sign of the first is enough
        for value in differences[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float((np.abs(sums) >= at_least).mean())
    rng = np.random.default_rng(0)
    hits = 1
    for _ in range(10):
        signs = rng.integers(0, 2, size=(_RANDOM_FLIPS // 10, len(differences))) * 2 - 1
        hits += int((np.abs(signs @ differences) >= at_least).sum())
    return hits / (_RANDOM_FLIPS + 1)


def detectable_difference(sd: float, n: int, level: float = 0.95, power: float = 0.8) -> float:
    """The true difference that a paired t-test over `n` seeds finds with the probability `power`.

    Args:
        sd: Standard deviation of the differences between the two results of a seed, above 0.
        n: Number of seeds, at least 2.
        level: The test calls a difference real when its interval of this level leaves out 0.
        power: Probability of finding it, with its sign, between 1 - level and 1.

    Raises:
        ValueError: If an argument is out of range.

    Source:
        The t statistic of a true difference follows a noncentral t distribution.

    >>> [round(detectable_difference(sd=1, n=n), 2) for n in (3, 5, 10, 30)]
    [3.26, 1.68, 1.0, 0.53]
    """
    if not (sd > 0 and n >= 2 and 0 < 1 - level < power < 1):
        raise ValueError(f"sd is {sd}, n {n}, level {level} and power {power}; one is out of range")
    freedom = n - 1
    bound = float(stats.t.ppf((1 + level) / 2, freedom))

    def missing(shift: float) -> float:
        """Power at a shift of the statistic, less the power asked for."""
        return float(stats.nct.sf(bound, freedom, shift)) - power

    highest = 2 * bound
    while missing(highest) < 0:
        highest *= 2
    return float(sd / np.sqrt(n) * optimize.brentq(missing, 1e-9, highest))


def holm(p_values: Sequence[float] | ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values for the number of comparisons (Holm's step-down rule).

    Calling the differences with an adjusted p-value below 0.05 real keeps the chance of even one false call
    below 5 %, however the tests depend on each other.

    Args:
        p_values: Shape (M,), each in [0, 1].

    Returns:
        Adjusted p-values in the same order, shape (M,).

    Raises:
        ValueError: If the input is not 1-D or holds values outside [0, 1].

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p_values must be one row of numbers between 0 and 1")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
