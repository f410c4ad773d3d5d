"""Is model A better than model B? Intervals and tests over training seeds, and many comparisons at once."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.arrays import as_array, as_finite

__all__ = [
    "MeanInterval",
    "SeedComparison",
    "compare_seeds",
    "detectable_difference",
    "holm",
    "mean_interval",
]

_FLIPS = 9_999  # sign patterns at most: all of them up to 13 pairs, random ones beyond
_POWER = 0.8
_ROUNDING = 1e-12  # differences smaller than this share of the values are rounding


class MeanInterval(NamedTuple):
    """Mean of a result over seeds, and its t-interval."""

    mean: float
    low: float
    high: float
    sd: float  # standard deviation between seeds (n - 1 in the denominator)
    n: int


def _seeds(values: Sequence[float] | ArrayLike, name: str) -> NDArray[np.float64]:
    array = as_array(values, name)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} must hold the results of at least two seeds, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return as_finite(array, name)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")


def mean_interval(values: Sequence[float] | ArrayLike, level: float = 0.95) -> MeanInterval:
    """Mean over seeds with Student's t-interval.

    It tells how the result varies with the seed on this one test set; `bootstrap` tells how the result of one
    trained model varies with the test set.

    Args:
        values: One result per seed, shape (S,), S >= 2.
        level: Probability that the interval is to cover, in (0, 1).

    Returns:
        Where all values are equal the interval has no width, as for a size that no seed changes. For a result
        that seeds do change it then says only that there are too few of them, or too few digits.

    Raises:
        ValueError: If there are fewer than two values, one is not finite, or `level` is not in (0, 1).

    >>> result = mean_interval([0.930, 0.926, 0.931])
    >>> f"{result.mean:.3f} [{result.low:.3f}, {result.high:.3f}]"
    '0.929 [0.922, 0.936]'
    """
    from scipy import stats

    array = _seeds(values, "values")
    _check_level(level)
    mean, sd, n = float(array.mean()), float(array.std(ddof=1)), len(array)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * (sd / np.sqrt(n))
    return MeanInterval(mean, mean - half, mean + half, sd, n)


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


def compare_seeds(
    a: Sequence[float] | ArrayLike,
    b: Sequence[float] | ArrayLike,
    paired: bool = True,
    level: float = 0.95,
) -> SeedComparison:
    """Compare two methods that were each trained with several seeds.

    Paired (value i of both comes from the same seed, hence the same order and start): the paired t-test and
    its interval, and the sign-flip test, which assumes only that under no effect a difference is as likely
    positive as negative. It goes through all sign patterns, up to 13 pairs, and takes 9,999 random ones
    beyond. With S pairs its p-value cannot fall below 2 / 2^S: five seeds give at best 0.0625.

    Not paired: Welch's t-test, which allows unequal variances, and its interval.

    Args:
        a: Results of A, shape (S,), S >= 2.
        b: Results of B, shape (S,), or any length >= 2 if not paired.
        paired: Whether the values belong together by position.
        level: Probability that the interval is to cover, in (0, 1).

    Returns:
        Where the values do not spread at all (paired: where all differences are the same), the t-test cannot
        decide: the interval is from -inf to inf, the p-value is 1, and a warning says so.

    Raises:
        ValueError: If there are fewer than two values, one is not finite, `level` is not in (0, 1), or the
            lengths differ for a paired comparison.

    >>> result = compare_seeds([0.93, 0.94, 0.92, 0.93], [0.91, 0.93, 0.91, 0.91])
    >>> f"{result.difference:.3f} [{result.low:.3f}, {result.high:.3f}]", result.p_sign_flip
    ('0.015 [0.006, 0.024]', 0.125)
    """
    from scipy import stats

    first, second = _seeds(a, "a"), _seeds(b, "b")
    _check_level(level)
    if paired and len(first) != len(second):
        raise ValueError(
            f"a has {len(first)} values and b has {len(second)}: pairs need the same seeds in the same "
            "order; pass paired=False for results of different seeds"
        )
    difference = float((first - second).mean()) if paired else float(first.mean() - second.mean())
    flips = _sign_flip(first - second) if paired else None
    spread = np.ptp(first - second) if paired else max(np.ptp(first), np.ptp(second))
    if spread <= _ROUNDING * max(np.abs(first).max(), np.abs(second).max()):
        warnings.warn(
            f"undecided: {'the differences' if paired else 'the values'} of the seeds do not spread, so the "
            "t-test can say nothing; more seeds, or results with more digits, are needed",
            stacklevel=2,
        )
        return SeedComparison(difference, -np.inf, np.inf, 1.0, flips, level, paired)
    test = stats.ttest_rel(first, second) if paired else stats.ttest_ind(first, second, equal_var=False)
    low, high = test.confidence_interval(level)
    return SeedComparison(difference, float(low), float(high), float(test.pvalue), flips, level, paired)


def _sign_flip(differences: NDArray[np.float64]) -> float:
    """Share of the sign patterns whose sum is at least as far from 0 as the one observed."""
    from scipy import stats

    scale = np.abs(differences).sum() or 1.0

    def distance(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.round(np.abs(values.sum(axis=axis)) / scale, 12)  # equal sums stay equal after rounding

    test = stats.permutation_test(
        (differences,), distance, permutation_type="samples", n_resamples=_FLIPS, alternative="greater", rng=0
    )
    return float(test.pvalue)


def detectable_difference(sd: float, n: int, level: float = 0.95) -> float:
    """The true difference that a paired t-test over `n` seeds finds four times out of five.

    Args:
        sd: Standard deviation of the differences between the two results of a seed, above 0.
        n: Number of seeds, at least 2.
        level: The test calls a difference real when its interval of this level leaves out 0. Above 0.2.

    Raises:
        ValueError: If an argument is out of range.

    Source:
        The t statistic of a true difference follows a noncentral t distribution; power 0.8.

    >>> [round(detectable_difference(sd=1, n=n), 2) for n in (3, 5, 10, 30)]
    [3.26, 1.68, 1.0, 0.53]
    """
    from scipy import optimize, stats

    if not (0 < sd < np.inf and 2 <= n < np.inf and 0 < 1 - level < _POWER):
        raise ValueError(f"sd is {sd}, n {n} and level {level}; one is out of range")
    freedom = n - 1
    bound = float(stats.t.ppf((1 + level) / 2, freedom))

    def missing(shift: float) -> float:
        """Power at a shift of the statistic, less the power asked for."""
        return float(stats.nct.sf(bound, freedom, shift)) - _POWER

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
    p = as_array(p_values, "p_values").astype(np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p_values must be one row of numbers between 0 and 1")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
