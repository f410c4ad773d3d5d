"""What every registered transferability score must do, whichever it is."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.transfer import SCORES

CHECKED_BY = {
    "melep": ("test_melep.py", "test_equals_the_double_loop"),
    "melep_authors": ("test_melep.py", "test_equals_the_double_loop"),
    "leep": ("test_transfer_scores.py", "test_leep_equals_plain_loops"),
    "nce": ("test_transfer_scores.py", "test_nce_is_the_joint_entropy_less_that_of_the_source"),
    "h_score": ("test_transfer_scores.py", "test_h_score_equals_the_trace_formula"),
    "logme": ("test_transfer_scores.py", "test_logme_is_the_largest_evidence_that_scipy_finds"),
    "transrate": ("test_transfer_scores.py", "test_transrate_is_the_difference_of_rates_and_never_negative"),
}
EVERY = pytest.mark.parametrize("name", sorted(SCORES))


def example(seed: int, n: int = 60, y: int = 3, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Source values in (0, 1) that know a little of the labels; each label has both outcomes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, y)) < 0.35).astype(int)
    labels[0], labels[1] = 1, 0
    source = 1 / (1 + np.exp(-(rng.normal(size=(n, d)) + labels @ rng.normal(size=(y, d)))))
    return source, labels


def test_every_score_has_an_independent_check():
    assert set(CHECKED_BY) == set(SCORES)
    for file, test in CHECKED_BY.values():
        assert f"def {test}(" in Path(__file__).with_name(file).read_text()


@EVERY
def test_a_score_says_what_it_is(name):
    score = SCORES[name]
    assert score.name == name
    assert score.reads in ("probabilities", "features")
    assert score.better in ("higher", "lower")
    assert any(character.isdigit() for character in score.source)
    with pytest.raises(AttributeError):
        score.better = "lower"  # type: ignore[misc]


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
    """Probabilities of exactly 0 and 1, a constant column, a label without positives, float32, tensors."""
    source, labels = example(7)
    score = SCORES[name]
    rough = np.column_stack([np.round(source), np.zeros(60), np.ones(60)])
    assert math.isfinite(score(rough, labels))
    assert math.isfinite(score(source, np.column_stack([labels, np.zeros(60, int)])))
    value = score(source.astype(np.float32), labels)
    assert value == pytest.approx(score(source, labels), rel=1e-4)
    assert score(torch.tensor(source.astype(np.float32)), torch.tensor(labels)) == pytest.approx(value)


@EVERY
def test_a_score_refuses_what_it_cannot_read(name):
    source, labels = example(8)
    score = SCORES[name]
    broken = source.copy()
    broken[3, 1] = np.nan
    for bad_source, bad_labels, words in (
        (broken, labels, "NaN"),
        (source[:, 0], labels, "shape"),
        (source, labels[:-1], "60"),
        (source, labels * 0.5, "0 or 1"),
        (source, np.zeros_like(labels), "target label"),
    ):
        with pytest.raises(ValueError, match=words):
            score(bad_source, bad_labels)
    if score.reads == "probabilities":
        with pytest.raises(ValueError, match="sigmoid"):
            score(source * 3 - 1, labels)
