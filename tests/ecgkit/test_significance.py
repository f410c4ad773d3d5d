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


@pytest.mark.parametrize("n", [2, 5, 8])
def test_smallest_sign_flip_p_value(n):
    a = np.arange(n) / 100 + 1
    assert ev.compare_seeds(a, np.zeros(n)).p_sign_flip == 2 / 2**n


def test_many_pairs_are_flipped_at_random():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.35, 1, 40), np.zeros(40)
    result = ev.compare_seeds(a, b)
    assert result.p_sign_flip == pytest.approx(result.p_value, abs=0.01)
    assert result == ev.compare_seeds(a, b)


def test_equal_results():
    same = ev.compare_seeds(A, A)
    assert (same.difference, same.low, same.high, same.p_value, same.p_sign_flip) == (0, 0, 0, 1, 1)
    assert ev.compare_seeds([2, 2], [1, 1], paired=False).p_value == 0


@pytest.mark.parametrize(("n", "power"), [(3, 0.8), (5, 0.8), (8, 0.5)])
def test_the_detectable_difference_is_found_as_often_as_promised(n, power):
    true = ev.detectable_difference(sd=0.01, n=n, power=power)
    draws = np.random.default_rng(0).normal(true, 0.01, (40_000, n))
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / np.sqrt(n))
    found = np.abs(t) > stats.t.ppf(0.975, n - 1)
    assert found.mean() == pytest.approx(power, abs=0.01)


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


def test_errors():
    with pytest.raises(ValueError, match="at least two seeds"):
        ev.mean_interval([0.9])
    with pytest.raises(ValueError, match="not finite"):
        ev.mean_interval([0.9, np.nan])
    with pytest.raises(ValueError, match="paired=False"):
        ev.compare_seeds(A, B[:3])
    with pytest.raises(ValueError, match="level"):
        ev.mean_interval(A, level=1)
    with pytest.raises(ValueError, match="out of range"):
        ev.detectable_difference(sd=0, n=3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ev.holm([0.5, 1.5])
