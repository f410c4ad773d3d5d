"""Splits: no patient on both sides, like label shares, and independence of the order of the rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.datasets import splits

KNOWN = [2, 5, 10, 4, 2, 8, 3, 5, 6, 7, 2, 6, 8, 9, 5, 8, 4, 1, 3, 10, 9, 7, 5, 8]


def toy(n: int, patients: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """n records with four labels of rising rarity, spread over patients."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 4)) < [0.5, 0.2, 0.1, 0.05]).astype(np.uint8)
    return labels, np.array([f"p{i}" for i in rng.integers(0, patients, n)])


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 80), patients=st.integers(1, 40), seed=st.integers(0, 99))
def test_no_patient_straddles_and_order_does_not_matter(n: int, patients: int, seed: int) -> None:
    labels, patient = toy(n, patients, seed)
    fold = splits.stratified_folds(labels, patient, seed)
    assert fold.min() >= 1 and fold.max() <= 10
    for name in set(patient):  # brute force
        assert len(set(fold[patient == name])) == 1
    splits.assert_no_patient_straddles(patient, fold)
    order = np.random.default_rng(seed + 1).permutation(n)
    np.testing.assert_array_equal(splits.stratified_folds(labels[order], patient[order], seed), fold[order])


def test_label_shares_and_sizes_are_alike() -> None:
    labels, patient = toy(4000, 3000)
    fold = splits.stratified_folds(labels, patient)
    sizes = np.bincount(fold)[1:]
    assert len(sizes) == 10 and abs(sizes - 400).max() <= 40
    for column in labels.T:
        expected = column.sum() / 10
        got = np.array([column[fold == f].sum() for f in range(1, 11)])
        assert abs(got - expected).max() <= max(6, 0.15 * expected)


def test_stratification_beats_chance_on_a_rare_label() -> None:
    """20 carriers in 2,000 records: each fold gets two, which a random draw would hardly ever do."""
    labels = np.zeros((2000, 1), np.uint8)
    labels[:20] = 1
    fold = splits.stratified_folds(labels, np.arange(2000))
    assert [int(labels[fold == f].sum()) for f in range(1, 11)] == [2] * 10


def test_seed_decides() -> None:
    labels, patient = toy(300, 200)
    first = splits.stratified_folds(labels, patient, seed=3)
    np.testing.assert_array_equal(first, splits.stratified_folds(labels, patient, seed=3))
    assert (first != splits.stratified_folds(labels, patient, seed=4)).any()


def test_known_folds_stay_as_they_are() -> None:
    """Folds enter recorded results, so that a change of this list is a change of every result."""
    labels, patient = toy(24, 16)
    assert splits.stratified_folds(labels, patient).tolist() == KNOWN


def test_fewer_patients_than_folds() -> None:
    fold = splits.stratified_folds(np.ones((3, 2)), ["a", "b", "b"])
    assert fold[1] == fold[2] != fold[0]
    assert splits.stratified_folds(np.ones((0, 2)), []).shape == (0,)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="do not belong"):
        splits.stratified_folds(np.ones((3, 2)), ["a"])
    with pytest.raises(ValueError, match="do not belong"):
        splits.stratified_folds(np.ones(3), ["a", "b", "c"])
    with pytest.raises(ValueError, match="a label is NaN"):
        splits.stratified_folds(np.full((3, 2), np.nan), ["a", "b", "c"])


@pytest.mark.parametrize("missing", [None, float("nan"), "", " ", pd.NA, pd.NaT])
def test_who_has_no_name_is_nobody_elses_patient(missing: object) -> None:
    patients = np.array([missing] * 40, dtype=object)
    fold = splits.stratified_folds(np.ones((40, 1)), patients)
    assert np.bincount(fold)[1:].tolist() == [4] * 10
    splits.assert_no_patient_straddles(patients, fold)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(0, 60), seed=st.integers(0, 99))
def test_leaky_folds(n: int, seed: int) -> None:
    records = np.arange(n)
    fold = splits.leaky_random_folds(records, seed)
    sizes = np.bincount(fold, minlength=11)[1:]
    assert sizes.max() - sizes.min() <= 1
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_array_equal(splits.leaky_random_folds(records[order], seed), fold[order])


def test_leaky_folds_do_leak() -> None:
    patient = np.repeat(np.arange(50), 2)
    fold = splits.leaky_random_folds(np.arange(100))
    with pytest.raises(ValueError, match=r"\d+ patients have records in more than one part"):
        splits.assert_no_patient_straddles(patient, fold)
    with pytest.raises(ValueError, match="identifier of another"):
        splits.leaky_random_folds(["a", "a"])


def test_straddling_patients_are_named() -> None:
    with pytest.raises(ValueError, match="1 patients have records in more than one part, for example b"):
        splits.assert_no_patient_straddles(["a", "b", "b"], ["train", "train", "test"])
    splits.assert_no_patient_straddles([], [])


def test_leave_one_source_out() -> None:
    """The thesis's first split, and every source tested exactly once."""
    challenge = ["cpsc2018", "cpsc2018_extra", "georgia", "ptb", "ptbxl", "csn"]
    out = splits.leave_one_source_out(challenge)
    assert out[0].test == ("cpsc2018", "cpsc2018_extra")
    assert out[0].train == ("georgia", "ptb", "ptbxl", "csn")
    assert sorted(name for split in out for name in split.test) == sorted(challenge)
    for split in out:
        assert sorted(split.train + split.test) == sorted(challenge)
    assert len(splits.leave_one_source_out([*challenge, "sph"])) == 5
    assert splits.leave_one_source_out(["mine", "georgia"])[0].test == ("mine",)
    with pytest.raises(ValueError, match="nothing is left"):
        splits.leave_one_source_out(["ptb", "ptbxl"])
