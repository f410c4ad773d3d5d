"""LEEP, NCE, H-score, LogME and TransRate against independent computations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.linear_model import LinearRegression

from ecgkit.transfer import SCORES, h_score, leep, logme, melep, nce, transrate
from ecgkit.transfer.rivals import _coding_rate

few = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10_000)


def example(seed: int, n: int = 60, y: int = 3, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Source values in (0, 1) that know a little of the labels; each label has both outcomes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, y)) < 0.35).astype(int)
    labels[0], labels[1] = 1, 0
    source = 1 / (1 + np.exp(-(rng.normal(size=(n, d)) + labels @ rng.normal(size=(y, d)))))
    return source, labels


def classes_of(seed: int, n: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(n) % count)


def entropy(share: np.ndarray) -> float:
    held = share[share > 0]
    return float(-(held * np.log(held)).sum())


# --- LEEP


@few
@given(seeds)
def test_leep_equals_plain_loops(seed):
    source, _ = example(seed)
    theta = source / source.sum(1, keepdims=True)
    classes = classes_of(seed, len(theta))
    total = 0.0
    for i in range(len(theta)):
        likelihood = 0.0
        for z in range(theta.shape[1]):
            joint = sum(theta[j, z] for j in range(len(theta)) if classes[j] == classes[i])
            likelihood += joint / sum(theta[:, z]) * theta[i, z]
        total += math.log(likelihood)
    assert leep(theta, classes) == pytest.approx(total / len(theta), rel=1e-10)


@few
@given(seeds)
def test_leep_bounds(seed):
    """At most 0; at least minus the entropy of the labels, which an uninformative source scores."""
    source, _ = example(seed)
    classes = classes_of(seed, len(source))
    bottom = -entropy(np.bincount(classes) / len(classes))
    assert bottom - 1e-12 <= leep(source, classes) <= 0
    assert leep(np.full((len(source), 5), 0.2), classes) == pytest.approx(bottom, abs=1e-12)
    assert leep(np.eye(3)[classes], classes) == 0


def test_leep_scales_rows_to_distributions():
    source, labels = example(3)
    assert leep(source * 0.25, labels) == pytest.approx(leep(source, labels), rel=1e-12)
    silent = source.copy()
    silent[5] = 0
    uniform = source.copy()
    uniform[5] = 0.25
    assert leep(silent, labels) == pytest.approx(leep(uniform, labels), rel=1e-12)


# --- NCE


@few
@given(seeds)
def test_nce_is_the_joint_entropy_less_that_of_the_source(seed):
    source, _ = example(seed)
    classes, dummy = classes_of(seed, len(source)), source.argmax(1)
    joint = np.zeros((3, source.shape[1]))
    for y, z in zip(classes, dummy, strict=True):
        joint[y, z] += 1 / len(classes)
    assert nce(source, classes) == pytest.approx(-(entropy(joint) - entropy(joint.sum(0))), abs=1e-12)
    assert -entropy(joint.sum(1)) - 1e-12 <= nce(source, classes) <= 0


@few
@given(seeds)
def test_nce_equals_leep_for_a_certain_source(seed):
    source, labels = example(seed)
    certain = np.eye(source.shape[1])[source.argmax(1)]
    assert nce(certain, labels) == pytest.approx(leep(certain, labels), abs=1e-12)
    assert nce(certain, labels) == pytest.approx(nce(source, labels), abs=1e-12)


# --- H-score


@few
@given(seeds)
def test_h_score_equals_the_trace_formula(seed):
    features, _ = example(seed)
    classes = classes_of(seed, len(features))
    of_class = np.array([features[classes == c].mean(0) for c in classes])
    between, whole = np.cov(of_class.T, bias=True), np.cov(features.T, bias=True)
    assert h_score(features, classes) == pytest.approx(np.trace(np.linalg.inv(whole) @ between), rel=1e-9)
    assert 0 <= h_score(features, classes) <= 2


@few
@given(seeds)
def test_h_score_of_two_classes_is_the_r_squared_of_linear_regression(seed):
    features, labels = example(seed)
    squares = [
        LinearRegression().fit(features, labels[:, k]).score(features, labels[:, k])
        for k in range(labels.shape[1])
    ]
    assert h_score(features, labels) == pytest.approx(np.mean(squares), rel=1e-9)


def test_h_score_ignores_linear_maps_and_dependent_features():
    features, labels = example(5)
    value = h_score(features, labels)
    mixed = features @ np.random.default_rng(0).normal(size=(4, 4)) * 1e3 + 7
    assert h_score(mixed, labels) == pytest.approx(value, rel=1e-8)
    assert h_score(np.hstack([features, features[:, :2], np.full((60, 1), 0.3)]), labels) == pytest.approx(
        value, rel=1e-9
    )
    assert h_score(np.full((60, 3), 0.3), labels) == 0
    wide = np.random.default_rng(0).normal(size=(60, 80))
    assert h_score(wide, labels) == pytest.approx(1)


# --- LogME


def evidence(features: np.ndarray, y: np.ndarray, alpha: float, beta: float) -> float:
    """log p(y) of the marginal Gaussian, with nothing shared with the code under test."""
    covariance = features @ features.T / alpha + np.eye(len(y)) / beta
    return float(multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)) / len(y)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_logme_is_the_largest_evidence_that_scipy_finds(seed):
    features, labels = example(seed, n=25, y=2)
    found = []
    for y in labels.T:
        tries = [
            minimize(
                lambda p, y=y: -evidence(features, y, *np.exp(p)),
                start,
                method="Nelder-Mead",
                bounds=[(-6, 16), (-4, 6)],
                options={"xatol": 1e-3, "fatol": 1e-8},
            )
            for start in ([0.0, 1.0], [8.0, 1.0])
        ]
        found.append(-min(result.fun for result in tries))
    assert logme(features, labels) == pytest.approx(np.mean(found), abs=1e-5)


def test_logme_is_where_the_papers_fixed_point_ends():
    features, labels = example(2, n=80)
    values = []
    for y in labels.T.astype(float):
        n, d = features.shape
        alpha = beta = 1.0
        for _ in range(500):
            matrix = alpha * np.eye(d) + beta * features.T @ features
            mean = beta * np.linalg.solve(matrix, features.T @ y)
            used = d - alpha * np.trace(np.linalg.inv(matrix))
            alpha, beta = used / (mean @ mean), (n - used) / ((y - features @ mean) ** 2).sum()
        values.append(evidence(features, y, alpha, beta))
    assert logme(features, labels) == pytest.approx(np.mean(values), abs=1e-8)


def test_logme_averages_one_hot_columns_for_classes():
    features, _ = example(4)
    classes = classes_of(4, len(features))
    assert logme(features, classes) == pytest.approx(logme(features, np.eye(3)[classes]), rel=1e-12)


def test_logme_with_more_features_than_records_and_with_a_perfect_fit():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(30, 50)), example(0, n=30)[1]
    best = max(
        evidence(features, labels[:, 0], math.exp(a), math.exp(b))
        for a in np.linspace(-4, 8, 13)
        for b in np.linspace(0, 8, 9)
    )
    assert logme(features, labels[:, :1]) >= best
    assert np.isfinite(logme(labels.astype(float), labels))
    with pytest.raises(ValueError, match="0 everywhere"):
        logme(np.zeros((30, 2)), labels)


# --- TransRate


@few
@given(seeds, st.integers(1, 90))
def test_coding_rate_is_a_sum_over_eigenvalues(seed, d):
    table = np.random.default_rng(seed).normal(size=(50, d))
    eigenvalues = np.linalg.eigvalsh(table.T @ table / 50)
    assert _coding_rate(table) == pytest.approx(
        0.5 * np.log1p(np.maximum(eigenvalues, 0) / 1e-4).sum(), rel=1e-9
    )


@few
@given(seeds)
def test_transrate_is_the_difference_of_rates_and_never_negative(seed):
    features, _ = example(seed)
    classes = classes_of(seed, len(features))
    centred = features - features.mean(0)
    within = 0.0
    for c in range(3):
        part = centred[classes == c]
        eigenvalues = np.linalg.eigvalsh(part.T @ part / len(part))
        within += len(part) / len(features) * 0.5 * np.log1p(eigenvalues / 1e-4).sum()
    whole = 0.5 * np.log1p(np.linalg.eigvalsh(centred.T @ centred / len(features)) / 1e-4).sum()
    assert transrate(features, classes) == pytest.approx(whole - within, abs=1e-9)
    assert transrate(features, classes) >= 0


def test_transrate_in_closed_form():
    """Two classes on two axes, each of variance 1 within: log(1 + 1 / (2 e)) against log(1 + 1 / e) / 2."""
    features = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    expected = math.log1p(1 / 2e-4) - math.log1p(1 / 1e-4) / 2
    assert transrate(features, [0, 0, 1, 1]) == pytest.approx(expected, rel=1e-12)


# --- Class numbers


@pytest.mark.parametrize("score", [leep, nce, h_score, logme, transrate])
def test_class_numbers_must_be_class_numbers(score):
    source, _ = example(9)
    for classes, words in (
        (np.zeros(60), "same target class"),
        (np.arange(60) - 1, "class numbers"),
        (np.arange(60) / 2, "class numbers"),
        (np.arange(59), "59 rows"),
    ):
        with pytest.raises(ValueError, match=words):
            score(source, classes)
    gaps = 5 * classes_of(9, 60)
    assert score(source, gaps) == pytest.approx(score(source, gaps // 5), rel=1e-12)


def test_two_class_numbers_are_one_label():
    source, labels = example(10, y=1)
    for score in (leep, nce, h_score, transrate):
        assert score(source, labels) == pytest.approx(score(source, labels[:, 0]), rel=1e-12)
    assert melep(source, labels, "authors") == pytest.approx(melep(source, labels, per_label=True)[0])


# --- Every registered score

EVERY = pytest.mark.parametrize("name", sorted(SCORES))


@EVERY
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_a_score_ignores_the_order_of_records_labels_and_sources(name, seed):
    source, labels = example(seed)
    rng = np.random.default_rng(seed)
    value = SCORES[name](source, labels)
    assert isinstance(value, float) and math.isfinite(value)
    rows = rng.permutation(len(source))
    assert SCORES[name](source[rows], labels[rows]) == pytest.approx(value, rel=1e-7, abs=1e-9)
    mixed = source[:, rng.permutation(4)], labels[:, rng.permutation(3)]
    assert SCORES[name](*mixed) == pytest.approx(value, rel=1e-7, abs=1e-9)


@EVERY
def test_a_score_prefers_a_source_that_knows_more(name):
    """Sources whose columns are the labels blurred by more and more noise, down to noise alone."""
    rng = np.random.default_rng(0)
    labels = np.eye(4, dtype=int)[rng.integers(0, 4, 800)]
    noise = rng.normal(size=labels.shape)
    goodness = [
        SCORES[name].goodness(1 / (1 + np.exp(-(signal * (2 * labels - 1) + noise))), labels)
        for signal in (2.0, 1.0, 0.5, 0.0)
    ]
    assert goodness == sorted(goodness, reverse=True)
    assert len(set(goodness)) == 4


@EVERY
def test_a_score_stays_finite_at_the_edges(name):
    """Probabilities of exactly 0 and 1, a constant column, a label without positives."""
    source, labels = example(7)
    rough = np.column_stack([np.round(source), np.zeros(60), np.ones(60)])
    assert math.isfinite(SCORES[name](rough, labels))
    assert math.isfinite(SCORES[name](source, np.column_stack([labels, np.zeros(60, int)])))
