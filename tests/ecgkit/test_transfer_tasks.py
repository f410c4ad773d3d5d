"""Sampling of target tasks: sizes, labels, patients, repeatability."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.labels_ptbxl import classes_of, statements
from ecgkit.transfer.tasks import concat, frequent_labels, sample_task, sample_tasks, statement_group


def pool(seed: int, n: int = 400, k: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Labels of several frequencies; a patient has one to four records."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, k)) < np.linspace(0.1, 0.5, k)).astype(np.uint8)
    return labels, np.repeat(np.arange(n), rng.integers(1, 5, size=n))[:n]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_task_is_what_the_paper_says_and_no_patient_straddles(seed) -> None:
    labels, patients = pool(seed)
    task = sample_task(labels, patients, range(1, 6), 100, np.random.default_rng(seed), n_labels=(2, 4))
    assert 2 <= len(task.labels) <= 4 and 0 not in task.labels and list(task.labels) == sorted(task.labels)
    parts = (task.train, task.validation, task.test)
    rows = np.concatenate(parts)
    assert len(rows) == len(np.unique(rows)) == 100
    assert labels[np.ix_(rows, np.array(task.labels))].any(axis=1).all()
    groups = [set(patients[part]) for part in parts]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert 24 <= len(task.test) <= 30 and 10 <= len(task.validation) <= 16
    for part in (task.train, task.test):
        share = labels[np.ix_(part, np.array(task.labels))].mean(axis=0)
        assert ((share > 0) & (share < 1)).all()
    assert set(task.learning) == set(rows) - set(task.test)


def test_a_task_depends_on_seed_and_number_alone() -> None:
    labels, patients = pool(0)
    few = sample_tasks(labels, patients, range(6), count=3, records=80, seed=1, n_labels=(2, 4))
    many = sample_tasks(labels, patients, range(6), count=6, records=80, seed=1, n_labels=(2, 4))
    for a, b in zip(few, many, strict=False):
        assert a.labels == b.labels and np.array_equal(a.train, b.train) and np.array_equal(a.test, b.test)
    other = sample_tasks(labels, patients, range(6), count=1, records=80, seed=2, n_labels=(2, 4))[0]
    assert not np.array_equal(other.train, few[0].train)


def test_each_number_of_labels_is_equally_likely() -> None:
    labels, patients = pool(0, n=2000)
    tasks = sample_tasks(labels, patients, range(6), count=300, records=50, n_labels=(2, 4))
    counts = np.bincount([len(task.labels) for task in tasks])[2:]
    assert counts.sum() == 300 and (abs(counts - 100) < 40).all()


def test_without_validation_share_there_is_no_validation_part() -> None:
    labels, patients = pool(0)
    (task,) = sample_tasks(labels, patients, range(6), 1, 100, n_labels=(2, 2), validation_share=0.0)
    assert len(task.validation) == 0 and len(task.train) + len(task.test) == 100


LABELS, PATIENTS = pool(0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"records": 1000}, "ask for fewer records"),
        ({"columns": [0], "records": 10}, "of 1 labels"),
        ({"columns": [0, 6]}, "must be some of the 6"),
        ({"columns": [0, -1]}, "must be some of the 6"),
        ({"columns": [0, 0.5]}, "must be some of the 6"),
        ({"records": 0}, "out of range"),
        ({"n_labels": (3, 2)}, "out of range"),
        ({"n_labels": (0, 2)}, "out of range"),
        ({"validation_share": 1.0}, "out of range"),
        ({"validation_share": np.nan}, "out of range"),
        ({"labels": LABELS * 0.5}, "labels must be 0 or 1"),
        ({"patients": PATIENTS[:-1]}, "patients has 399 entries for 400 records"),
        ({"patients": np.where(PATIENTS > 3, PATIENTS, np.nan)}, "patients has missing values"),
        ({"patients": [None, *map(str, PATIENTS[1:])]}, "patients has missing values"),
        ({"patients": [1, *map(str, PATIENTS[1:])]}, "make all of them text"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(change, words) -> None:
    if words == "make all of them text":  # NumPy makes text of a plain list of both kinds
        change = {"patients": np.array(change["patients"], dtype=object)}
    given = {"labels": LABELS, "patients": PATIENTS, "columns": range(6), "count": 1, "records": 100} | change
    with pytest.raises(ValueError, match=words):
        sample_tasks(**given)


def test_frequent_labels_are_counted() -> None:
    labels, _ = pool(0)
    assert frequent_labels(labels, 150).tolist() == [k for k in range(6) if labels[:, k].sum() >= 150]


def test_statement_groups_do_not_overlap() -> None:
    every = classes_of("all")
    masks = {g: statement_group(every, g) for g in ("rhythm", "form", "diagnostic", "MI", "CD", "HYP")}
    assert masks["rhythm"].sum() == 12 and masks["form"].sum() == 19
    assert not (masks["rhythm"] & masks["form"]).any() and not (masks["form"] & masks["diagnostic"]).any()
    assert masks["diagnostic"].sum() == 44 - (statements()["diagnostic"] & statements()["form"]).sum()
    assert (masks["MI"] <= masks["diagnostic"]).all() and not (masks["MI"] & masks["CD"]).any()
    assert {every[k] for k in np.flatnonzero(masks["MI"])} >= {"IMI", "ASMI"}
    with pytest.raises(ValueError, match="no group 'shape'"):
        statement_group(every, "shape")
    with pytest.raises(ValueError, match="not a statement of PTB-XL: N, O"):
        statement_group(["NORM", "N", "O"], "rhythm")


def test_concat_puts_parts_below_each_other() -> None:
    meta = pd.DataFrame({"record_id": range(5), "patient": range(5), "fold": [1, 1, 9, 10, 10]})
    signals = np.arange(5 * 12 * 3, dtype=np.int16).reshape(5, 12, 3)
    whole = ECGDataset("toy", "1", "all", 100, signals, 0.001, np.eye(5, 2, dtype=np.uint8), ("a", "b"), meta)
    again = concat(whole.split())
    assert np.array_equal(again.signals, signals) and np.array_equal(again.labels, whole.labels)
    assert again.meta["record_id"].tolist() == [0, 1, 2, 3, 4]
    train, validation, test = whole.split()
    assert concat([train, validation]).fingerprint not in (
        train.fingerprint,
        concat([train, test]).fingerprint,
    )
    for bad in ([], [train, replace(test, classes=("b", "a"))], [train, replace(test, sampling_rate_hz=500)]):
        with pytest.raises(ValueError, match="parts of one data set"):
            concat(bad)
