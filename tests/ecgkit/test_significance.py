"""Tests over seeds against scipy, enumeration and textbook values."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from ecgkit import evaluation as ev

A = [0.931, 0.928, 0.935, 0.930, 0.926]
B = [0.925, 0.929, 0.927, 0.924, 0.921]


def test_mean_interval_equals_scipy():
    result = ev.mean_interval(A, level=0.9)
    low, high = stats.t.interval(0.9, len(A) - 1, np.mean(A), stats.sem(A))
    assert (result.low, result.high) == pytest.approx((low, high))
    assert (result.mean, result.sd, result.n) == pytest.approx((np.mean(A), np.std(A, ddof=1), 5))


def test_paired_comparison_equals_scipy():
    result = ev.compare_seeds(A, B, level=0.9)
    expected = stats.ttest_rel(A, B)
    interval = expected.confidence_interval(0.9)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.difference == pytest.approx(np.mean(A) - np.mean(B))
    assert result.paired


def test_welch_comparison_equals_scipy():
    result = ev.compare_seeds(A, B[:3], paired=False)
    expected = stats.ttest_ind(A, B[:3], equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.p_sign_flip is None and not result.paired


def test_sign_flips_are_enumerated():
    differences = np.subtract(A, B)
    sums = [abs(np.dot(signs, differences)) for signs in product([-1, 1], repeat=5)]
    expected = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)
    assert ev.compare_seeds(A, B).p_sign_flip == pytest.approx(expected)


def test_sign_flips_with_equal_sums_count_however_they_are_rounded():
    """0.1 + 0.2 - 0.3 is not 0 in floating point, nor 0.3 + 0.2 - 0.1 the same as 0.3 - (0.1 - 0.2)."""
    assert ev.compare_seeds([0.1, 0.2, -0.3], np.zeros(3)).p_sign_flip == 1
    assert ev.compare_seeds([0.3, 0.2, -0.1], np.zeros(3)).p_sign_flip == 1 / 2


def test_many_pairs_are_flipped_at_random():
    a, b = np.random.default_rng(0).normal(0.35, 1, 40), np.zeros(40)
    result = ev.compare_seeds(a, b)
    assert result.p_sign_flip == pytest.approx(result.p_value, abs=0.01)
    assert result == ev.compare_seeds(a, b)


@pytest.mark.parametrize(
    ("a", "b", "paired", "flips"),
    [
        ([5, 6, 7], [4, 5, 6], True, 1 / 4),
        ([0.5, 0.5], [0.4, 0.4], True, 1 / 2),
        ([0.93, 0.94, 0.95], [0.92, 0.93, 0.94], True, 1 / 4),  # their differences are equal up to rounding
        (A, A, True, 1),
        ([2, 2], [1, 1], False, None),
    ],
)
def test_without_spread_the_t_test_is_undecided(a, b, paired, flips):
    with pytest.warns(UserWarning, match="undecided"):
        result = ev.compare_seeds(a, b, paired)
    assert (result.low, result.high, result.p_value) == (-np.inf, np.inf, 1)
    assert result.difference == pytest.approx(np.mean(a) - np.mean(b)) and result.p_sign_flip == flips


def test_a_mean_of_equal_values_has_an_interval_without_width():
    assert ev.mean_interval([3, 3, 3]) == (3, 3, 3, 0, 3)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_smallest_sign_flip_p_value(n):
    a = np.arange(n) / 100 + 1
    assert ev.compare_seeds(a, np.zeros(n)).p_sign_flip == 2 / 2**n


@pytest.mark.parametrize("n", [3, 5, 8])
def test_the_detectable_difference_is_found_four_times_out_of_five(n):
    true = ev.detectable_difference(sd=0.01, n=n)
    draws = np.random.default_rng(0).normal(true, 0.01, (40_000, n))
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / np.sqrt(n))
    found = np.abs(t) > stats.t.ppf(0.975, n - 1)
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_holm():
    # Worked by hand: sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, then made to rise.
    assert ev.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert ev.holm([0.7, 0.6]) == pytest.approx([1, 1])
    assert ev.holm([0.2]) == pytest.approx([0.2])
    assert ev.holm([]).shape == (0,)


def test_holm_keeps_the_family_error():
    rng = np.random.default_rng(0)
    false_calls = np.mean([(ev.holm(rng.random(6)) < 0.05).any() for _ in range(2000)])
    assert false_calls == pytest.approx(1 - (1 - 0.05 / 6) ** 6, abs=0.015)
