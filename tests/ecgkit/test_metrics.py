"""Metrics against closed forms, brute force and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ecgkit import evaluation as ev


def example(seed: int, n: int = 40, k: int = 5, levels: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Truth with every class in both outcomes and a label on every record, and scores with many ties."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, k)) < 0.3).astype(np.uint8)
    truth[np.arange(n), rng.integers(0, k, n)] = 1
    truth[:k] = np.eye(k)
    score = rng.integers(0, levels, (n, k)) / (levels - 1)
    return truth, score


small = st.integers(0, 10_000)
few = settings(max_examples=25, deadline=None)


# --- AUC


@few
@given(small)
def test_aucs_equal_scikit_learn(seed):
    truth, score = example(seed)
    assert ev.class_aucs(truth, score) == pytest.approx(
        sk.roc_auc_score(truth, score, average=None), abs=1e-12
    )
    assert ev.macro_auc(truth, score) == pytest.approx(sk.roc_auc_score(truth, score), abs=1e-12)
    assert ev.micro_auc(truth, score) == pytest.approx(
        sk.roc_auc_score(truth, score, average="micro"), abs=1e-12
    )


@few
@given(small)
def test_ranking_metrics_ignore_order_and_rising_maps(seed):
    truth, score = example(seed)
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    for metric in (ev.macro_auc, ev.micro_auc, ev.fmax):
        value = metric(truth, score)
        assert metric(truth[shuffled], score[shuffled]) == pytest.approx(value, abs=1e-13)
        assert metric(truth, np.exp(3 * score) - 7) == pytest.approx(value, abs=1e-13)


def test_reversed_scores_turn_the_auc_around():
    truth, score = example(3)
    assert ev.macro_auc(truth, -score) == pytest.approx(1 - ev.macro_auc(truth, score), abs=1e-14)
    assert ev.macro_auc(truth, truth.astype(float)) == 1
    assert ev.macro_auc(truth, np.zeros(truth.shape)) == 0.5


def test_classes_with_one_outcome_are_left_out():
    truth, score = example(0)
    truth[:, 1], truth[:, 2] = 0, 1
    aucs = ev.class_aucs(truth, score)
    assert np.isnan(aucs).tolist() == [False, True, True, False, False]
    kept = [0, 3, 4]
    assert ev.macro_auc(truth, score) == pytest.approx(
        ev.macro_auc(truth[:, kept], score[:, kept]), abs=1e-15
    )


# --- Fmax


def slow_f1_at(truth: np.ndarray, score: np.ndarray, threshold: float) -> tuple[float, float, float]:
    """Eqs. (1)-(2) of the benchmark, record by record."""
    precisions, recalls = [], []
    for labels, scores in zip(truth, score, strict=True):
        predicted = {k for k, value in enumerate(scores) if value >= threshold}
        true = {k for k, value in enumerate(labels) if value}
        if predicted:
            precisions.append(len(predicted & true) / len(predicted))
        if true:
            recalls.append(len(predicted & true) / len(true))
    p = float(np.mean(precisions)) if precisions else 0.0
    r = float(np.mean(recalls))
    return (2 * p * r / (p + r) if p + r else 0.0), p, r


@few
@given(small)
def test_fmax_equals_a_slow_sweep(seed):
    truth, score = example(seed, n=20)
    truth[5] = 0  # a record without labels
    slow = {float(t): slow_f1_at(truth, score, t) for t in np.unique(score)}
    result = ev.fmax_with_threshold(truth, score)
    assert result.fmax == pytest.approx(max(f for f, _, _ in slow.values()), abs=1e-13)
    assert (result.fmax, result.precision, result.recall) == pytest.approx(slow[result.threshold], abs=1e-13)
    assert ev.fmax(truth, score) == result.fmax


@few
@given(small)
def test_fmax_on_given_thresholds(seed):
    truth, score = example(seed, n=20)
    score = score.astype(np.float32) * 0.9
    grid = np.linspace(0, 1, 11)
    result = ev.fmax_with_threshold(truth, score, grid)
    assert result.fmax == pytest.approx(max(slow_f1_at(truth, score, t)[0] for t in grid), abs=1e-13)
    assert result.threshold in grid
    assert result.fmax <= ev.fmax(truth, score) + 1e-13
    assert ev.fmax(truth, score, np.unique(score)) == ev.fmax(truth, score)


def test_fmax_in_closed_form():
    # One label each and equal scores: everything is predicted, precision 1/K, recall 1.
    k = 5
    truth = np.eye(k)
    assert ev.fmax(truth, np.zeros((k, k))) == pytest.approx(2 / (k + 1))
    assert ev.fmax(truth, truth) == 1
    # A threshold above all scores predicts nothing.
    assert ev.fmax_with_threshold(truth, np.zeros((k, k)), [0.5]) == (0, 0.5, 0, 0)


# --- hard predictions


@few
@given(small, st.sampled_from(["macro", "micro", "weighted"]))
def test_f_scores_equal_scikit_learn(seed, average):
    truth, score = example(seed, n=12)
    truth[:, 4] = 0  # a class that is never true
    predicted = (score > 0.7).astype(int)
    predicted[:, 3] = 0  # a class that is never predicted
    for ours, theirs in (
        (ev.f1, sk.f1_score),
        (ev.precision, sk.precision_score),
        (ev.recall, sk.recall_score),
    ):
        expected = theirs(truth, predicted, average=average, zero_division=0)
        assert ours(truth, predicted, average) == pytest.approx(expected, abs=1e-12)


@few
@given(small)
def test_metrics_at_half_of_the_highest_class_and_of_numbers_equal_scikit_learn(seed):
    truth, score = example(seed, n=12)
    half = (score >= 0.5).astype(int)
    for average, ours in (("micro", ev.micro_precision), ("macro", ev.macro_precision)):
        expected = sk.precision_score(truth, half, average=average, zero_division=0)
        assert ours(truth, score) == pytest.approx(expected, abs=1e-12)
    assert ev.accuracy_at_half(truth, score) == pytest.approx(sk.accuracy_score(truth.ravel(), half.ravel()))
    classes, highest = score[::-1].argmax(1), score.argmax(1)  # the first of equal scores
    one_hot = np.eye(5)[classes]
    expected = sk.f1_score(classes, highest, average="macro", labels=range(5), zero_division=0)
    assert ev.single_label_f1(one_hot, score) == pytest.approx(expected, abs=1e-12)
    assert ev.single_label_accuracy(one_hot, score) == pytest.approx(sk.accuracy_score(classes, highest))
    assert ev.mae(score[:, 0], score[:, 1]) == pytest.approx(sk.mean_absolute_error(score[:, 0], score[:, 1]))
    assert ev.r2(score[:, 0], score[:, 1]) == pytest.approx(sk.r2_score(score[:, 0], score[:, 1]))


def slow_beta(truth: np.ndarray, predicted: np.ndarray, beta: float) -> tuple[float, float]:
    f_scores, g_scores = [], []
    for k in range(truth.shape[1]):
        tp = fp = fn = 0.0
        for labels, guesses in zip(truth, predicted, strict=True):
            weight = 1 / max(labels.sum(), 1)
            tp += weight * (labels[k] == 1 and guesses[k] == 1)
            fp += weight * (labels[k] == 0 and guesses[k] == 1)
            fn += weight * (labels[k] == 1 and guesses[k] == 0)
        if tp + fp + fn > 0:
            f_scores.append((1 + beta**2) * tp / ((1 + beta**2) * tp + fp + beta**2 * fn))
            g_scores.append(tp / (tp + fp + beta * fn))
    return float(np.mean(f_scores)), float(np.mean(g_scores))


@few
@given(small, st.sampled_from([0.5, 1.0, 2.0]))
def test_f_beta_g_beta_equal_a_slow_loop(seed, beta):
    truth, score = example(seed, n=20)
    predicted = (score > 0.5).astype(int)
    truth[3], predicted[:, 2], truth[:, 2] = 0, 0, 0
    assert ev.f_beta_g_beta(truth, predicted, beta) == pytest.approx(
        slow_beta(truth, predicted, beta), abs=1e-13
    )


def test_f_beta_is_scikit_learns_with_one_label_each():
    truth = np.eye(4, dtype=int)[[0, 1, 2, 3, 0, 1]]
    predicted = np.eye(4, dtype=int)[[0, 1, 2, 0, 1, 3]]
    expected = sk.fbeta_score(truth, predicted, beta=2, average="macro")
    assert ev.f_beta_g_beta(truth, predicted).f_beta == pytest.approx(expected, abs=1e-13)


def test_naive_constant_prediction_gives_table_3_form():
    # All labels predicted for everyone, one label each, class share q: F = 5q / (1 + 4q), G = q.
    truth = np.eye(2, dtype=int)[[0] * 3 + [1]]
    f_beta, g_beta = ev.f_beta_g_beta(truth, np.ones_like(truth))
    assert f_beta == pytest.approx(np.mean([5 * q / (1 + 4 * q) for q in (0.75, 0.25)]))
    assert g_beta == pytest.approx(0.5)


# --- thresholds


@few
@given(small, st.sampled_from(["f1", "f_beta", "g_beta"]))
def test_optimal_thresholds_beat_all_others(seed, metric):
    truth, score = example(seed, n=15, k=3)

    def value(thresholds: np.ndarray) -> float:
        predicted = ev.apply_thresholds(score, thresholds)
        if metric == "f1":
            return ev.f1(truth, predicted)
        return getattr(ev.f_beta_g_beta(truth, predicted), metric)

    best = value(ev.optimal_thresholds(truth, score, metric))
    levels = np.append(np.unique(score), 2.0)
    grid = np.stack(np.meshgrid(*[levels] * 3), axis=-1).reshape(-1, 3)
    assert best == pytest.approx(max(value(row) for row in grid), abs=1e-13)


def test_a_class_without_positives_is_never_predicted():
    truth, score = example(1)
    truth[:, 2] = 0
    thresholds = ev.optimal_thresholds(truth, score)
    assert np.isinf(thresholds).tolist() == [False, False, True, False, False]
    assert not ev.apply_thresholds(score, thresholds)[:, 2].any()
