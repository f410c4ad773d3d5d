"""MELEP against a plain double loop, closed forms and its bounds."""

import math
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.transfer import label_weights, leep, melep

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10_000)
BOTH = pytest.mark.parametrize("weights", ["paper", "authors"])


def loop_phi(theta: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Eqs. (1)-(4) with one Python loop per symbol: phi(y, z), shape (Y, Z)."""
    n = len(theta)
    phi = np.empty((labels.shape[1], theta.shape[1]))
    for y in range(labels.shape[1]):
        for z in range(theta.shape[1]):
            joint = [[0.0, 0.0], [0.0, 0.0]]
            for i in range(n):
                joint[labels[i, y]][1] += theta[i, z] / n
                joint[labels[i, y]][0] += (1 - theta[i, z]) / n
            total = 0.0
            for i in range(n):
                likelihood = 0.0
                for s in (0, 1):
                    marginal = joint[0][s] + joint[1][s]
                    if marginal > 0:
                        probability = theta[i, z] if s else 1 - theta[i, z]
                        likelihood += joint[labels[i, y]][s] / marginal * probability
                total -= math.log(likelihood)
            phi[y, z] = total / n
    return phi


def loop_melep(theta: np.ndarray, labels: np.ndarray, weights: str) -> float:
    """Eq. (5) as printed, or as the authors' code has it."""
    phi = loop_phi(theta, labels)
    total = weight_sum = 0.0
    for y in range(labels.shape[1]):
        positives = sum(map(int, labels[:, y]))
        weight = positives / (len(labels) - positives) if weights == "paper" else positives / len(labels)
        weight_sum += weight
        total += weight * sum(phi[y]) / phi.shape[1]
    return total / labels.shape[1] if weights == "paper" else total / weight_sum


def example(seed: int, n: int = 40, y: int = 3, z: int = 4, exact: bool = False):
    """A source that knows a little of the target; every label has both outcomes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, y)) < 0.3).astype(np.uint8)
    labels[0], labels[1] = 1, 0
    theta = rng.random((n, z))
    theta[:, 0] = 0.6 * theta[:, 0] + 0.4 * labels[:, 0]
    if exact:
        theta = np.round(theta)  # probabilities of exactly 0 and 1
    return theta, labels


def entropy(share: np.ndarray) -> np.ndarray:
    return -(share * np.log(share) + (1 - share) * np.log(1 - share))


@few
@given(seeds, st.integers(2, 70), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_equals_the_double_loop(seed, n, y, z, exact):
    theta, labels = example(seed, n, y, z, exact)
    for weights in ("paper", "authors"):
        assert melep(theta, labels, weights) == pytest.approx(loop_melep(theta, labels, weights), abs=1e-9)
    assert melep(theta, labels, per_label=True) == pytest.approx(loop_phi(theta, labels).mean(1), abs=1e-9)


def test_blocks_of_rows_do_not_change_the_value(monkeypatch):
    theta, labels = example(3, n=777)
    whole = melep(theta, labels)
    for block in (1, 68, 400):
        monkeypatch.setattr(sys.modules["ecgkit.transfer.melep"], "_BLOCK", block)
        assert melep(theta, labels) == pytest.approx(whole, rel=1e-12)


@few
@given(seeds, st.booleans())
def test_the_order_of_records_and_labels_is_nothing(seed, exact):
    theta, labels = example(seed, exact=exact)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(theta))
    columns, sources = rng.permutation(labels.shape[1]), rng.permutation(theta.shape[1])
    for weights in ("paper", "authors"):
        value = melep(theta, labels, weights)
        assert melep(theta[rows], labels[rows], weights) == pytest.approx(value, rel=1e-12)
        assert melep(theta[:, sources], labels[:, columns], weights) == pytest.approx(value, rel=1e-12)
    vector = melep(theta, labels, per_label=True)
    assert melep(theta, labels[:, columns], per_label=True) == pytest.approx(vector[columns], rel=1e-12)


@few
@given(seeds, st.booleans())
def test_lies_between_zero_and_the_label_entropy(seed, exact):
    theta, labels = example(seed, exact=exact)
    vector = melep(theta, labels, per_label=True)
    top = entropy(labels.mean(0))
    assert (vector >= 0).all()
    assert (vector <= top + 1e-12).all()
    assert 0 <= melep(theta, labels, "authors") <= top.max() + 1e-12
    assert 0 <= melep(theta, labels, "paper") <= label_weights(labels) @ top + 1e-12


@few
@given(seeds)
def test_lies_below_the_conditional_entropy_of_the_joint_table(seed):
    """Jensen: the log of a mean is at least the mean of logs."""
    theta, labels = example(seed, y=1, z=1)
    t, p = labels[:, 0].astype(float), theta[:, 0]
    joint = np.array([[(1 - t) @ (1 - p), (1 - t) @ p], [t @ (1 - p), t @ p]]) / len(t)
    conditional = -(joint * np.log(joint / joint.sum(0))).sum()
    assert melep(theta, labels, per_label=True)[0] <= conditional + 1e-12


@BOTH
def test_a_perfect_source_reaches_zero_and_so_does_its_opposite(weights):
    labels = np.array([[1], [0], [0], [1], [0]])
    assert melep(labels.astype(float), labels, weights) == 0
    assert melep(1.0 - labels, labels, weights) == 0


@BOTH
@pytest.mark.parametrize("constant", [0.0, 1e-12, 0.37, 1.0])
def test_an_uninformative_source_scores_the_label_entropy(weights, constant):
    _, labels = example(5)
    theta = np.full((len(labels), 2), constant)
    share = labels.mean(0)
    assert melep(theta, labels, per_label=True) == pytest.approx(entropy(share), abs=1e-10)
    weight = share / (1 - share) / 3 if weights == "paper" else share / share.sum()
    assert melep(theta, labels, weights) == pytest.approx(weight @ entropy(share), abs=1e-10)


def test_the_two_weightings_can_rank_two_sources_differently():
    """Two independent labels, 14 and 8 positives of 16: weights 7 : 1 in the paper, 7 : 4 in the code."""
    record = np.arange(16)
    labels = np.column_stack([record % 8 != 0, record // 8])
    knows_first, knows_second = labels[:, :1].astype(float), labels[:, 1:].astype(float)
    first, second = entropy(np.array([7 / 8, 1 / 2]))
    by_paper = [melep(source, labels, "paper") for source in (knows_first, knows_second)]
    by_authors = [melep(source, labels, "authors") for source in (knows_first, knows_second)]
    assert by_paper == pytest.approx([second / 2, 7 * first / 2])
    assert by_authors == pytest.approx([4 / 11 * second, 7 / 11 * first])
    assert by_paper[0] < by_paper[1]
    assert by_authors[0] > by_authors[1]


def test_source_weights_replace_the_plain_mean():
    theta, labels = example(7, z=3)
    phi = loop_phi(theta, labels)
    assert melep(theta, labels, per_label=True, source_weights=[2, 0, 6]) == pytest.approx(
        phi @ [0.25, 0, 0.75], abs=1e-10
    )
    assert melep(theta, labels, source_weights=[5, 5, 5]) == pytest.approx(melep(theta, labels), rel=1e-12)
    only = melep(theta, labels, source_weights=[0, 1, 0])
    assert only == pytest.approx(melep(theta[:, 1:2], labels), rel=1e-12)


def test_a_label_without_positives_counts_as_zero():
    theta, labels = example(9)
    empty = np.column_stack([labels, np.zeros(len(labels), int)])
    assert melep(theta, empty, per_label=True)[-1] == 0
    assert melep(theta, empty, "paper") == pytest.approx(melep(theta, labels, "paper") * 3 / 4, rel=1e-12)
    assert melep(theta, empty, "authors") == pytest.approx(melep(theta, labels, "authors"), rel=1e-12)


def test_a_label_without_negatives_is_an_error_only_where_its_weight_is_infinite():
    theta, labels = example(11)
    full = np.column_stack([labels, np.ones(len(labels), int)])
    with pytest.raises(ValueError, match=r"label\(s\) 3 are positive in every record"):
        melep(theta, full, "paper")
    assert np.isfinite(melep(theta, full, "authors"))
    assert melep(theta, full, per_label=True)[-1] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("tiny", [5e-324, 1e-300, 1e-20])
@pytest.mark.parametrize("single", [False, True])
def test_extreme_probabilities_stay_finite(tiny, single):
    """One record is labelled against a source that is all but certain."""
    theta = np.full((5000, 2), [tiny, 1.0])
    theta[::2] = [1.0, tiny]
    labels = np.zeros((5000, 1), int)
    labels[::2] = 1
    labels[0] = 0
    value = melep(theta.astype(np.float32) if single else theta, labels)
    assert value == pytest.approx(melep(np.round(theta), labels), abs=1e-6)
    assert 0 < value < 0.01


def test_leep_follows_from_melep():
    """One target label and a two-class source: LEEP is minus phi."""
    theta, labels = example(15, y=1, z=1)
    two_classes = np.column_stack([1 - theta, theta])
    phi = melep(theta, labels, per_label=True)[0]
    assert leep(two_classes, labels[:, 0]) == pytest.approx(-phi, rel=1e-12)


def test_large_tables_need_little_memory():
    """One float64 per (record, target label, source label) takes 670 MB here, a slice for one label 11 MB."""
    rng = np.random.default_rng(0)
    theta = rng.random((20_000, 60), dtype=np.float32)
    labels = rng.random((20_000, 70)) < 0.1
    tracemalloc.start()
    value = melep(theta, labels, "authors", source_weights=np.eye(60)[0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6e6
    assert value == pytest.approx(melep(theta[:, :1], labels, "authors"), rel=1e-10)


GOOD = np.array([[0.2], [0.7]])


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        ([[0], [0]], {}, "no target label has a positive"),
        ([[0], [1]], {"weights": "mean"}, '"paper" or "authors"'),
        ([[0], [1]], {"weights": "mean", "per_label": True}, '"paper" or "authors"'),
        ([[0], [1]], {"source_weights": [1, 1]}, "source_weights must be 1"),
        ([[0], [1]], {"source_weights": [0]}, "not all 0"),
        ([[0], [1]], {"source_weights": [-1]}, "negative"),
        ([[0], [1]], {"source_weights": [np.nan]}, "finite"),
        ([[0], [1]], {"source_weights": ["1"]}, "source_weights must hold real numbers"),
    ],
)
def test_unusable_weights_are_a_clear_error(labels, options, words):
    with pytest.raises(ValueError, match=words):
        melep(GOOD, labels, **options)


def test_weights_may_be_a_tensor_that_requires_a_gradient():
    theta, labels = example(7, z=2)
    weights = torch.tensor([1.0, 3.0], requires_grad=True)
    assert melep(theta, labels, source_weights=weights) == melep(theta, labels, source_weights=[1, 3])
