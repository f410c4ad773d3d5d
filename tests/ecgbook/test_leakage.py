"""The crossover: who is known to which network, and a leak of known size."""

import json
from pathlib import Path

import numpy as np
import pytest

from ecgbook.experiments.execute import execute
from ecgbook.experiments.leakage import crossover
from ecgbook.runs.check import check_record
from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.synthetic import make_synthetic


@pytest.fixture
def patients() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.permutation(np.repeat(np.arange(300), rng.choice([1, 1, 1, 2, 3], size=300)))


def test_each_network_knows_its_half_and_not_the_other(patients: np.ndarray) -> None:
    found = crossover(patients, seed=1)
    first, second = patients[found.test[found.first]], patients[found.test[~found.first]]
    assert not np.isin(patients[found.train_a], second).any()
    assert not np.isin(patients[found.train_b], first).any()
    known = min(
        np.isin(first, patients[found.train_a]).mean(), np.isin(second, patients[found.train_b]).mean()
    )
    assert known > 0.75  # all, but for records left out so that both trainings are of one size
    assert len(found.train_a) == len(found.train_b)


def test_no_record_is_in_two_parts_and_no_validation_patient_is_known(patients: np.ndarray) -> None:
    found = crossover(patients, seed=1)
    for train in (found.train_a, found.train_b):
        rows = np.concatenate([train, found.test, found.validation])
        assert len(np.unique(rows)) == len(rows)
        assert not np.isin(patients[found.validation], patients[np.concatenate([train, found.test])]).any()


def test_every_patient_with_several_records_is_tested_once(patients: np.ndarray) -> None:
    found = crossover(patients, seed=2)
    names, count = np.unique(patients, return_counts=True)
    assert np.array_equal(np.sort(patients[found.test]), names[count > 1])
    assert abs(found.first.sum() - (~found.first).sum()) <= 1


def test_seeds_differ_and_repeat(patients: np.ndarray) -> None:
    assert np.array_equal(crossover(patients, 3).test, crossover(patients, 3).test)
    assert not np.array_equal(crossover(patients, 3).test, crossover(patients, 4).test)


def test_too_few_patients_with_several_records_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 patients have several records"):
        crossover(np.array([1, 1, 2, 3]), 0)


def test_a_memory_of_patients_shows_as_a_leak_of_its_size(patients: np.ndarray) -> None:
    """A made-up learner that remembers the mean label of each known patient and knows nothing else."""
    from ecgkit.evaluation import macro_auc

    rng = np.random.default_rng(5)
    trait = rng.integers(0, 2, patients.max() + 1)  # a label that belongs to the patient
    labels = trait[patients]
    found = crossover(patients, seed=6)

    def learner(train: np.ndarray) -> np.ndarray:
        memory = {p: labels[train][patients[train] == p].mean() for p in np.unique(patients[train])}
        return np.array([memory.get(p, 0.5) for p in patients[found.test]])

    a, b = learner(found.train_a), learner(found.train_b)
    known, unknown = np.where(found.first, a, b), np.where(found.first, b, a)
    truth = labels[found.test][:, None]
    assert macro_auc(truth, known[:, None]) > 0.85
    assert macro_auc(truth, unknown[:, None]) == 0.5


def test_a_run_records_the_leak_with_its_interval(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    data = make_synthetic(tmp_path / "ptbxl", "ptbxl", n=200, seed=0)
    version = datasets.load("ptbxl", root=data).version
    params = {"epochs": 1, "validate_every": 1}
    run = Run("demo", "ptbxl", version, "superdiagnostic", "fcn_wang", "leakage", "quick", 0, 100, params)
    path = execute(run, tmp_path / "results", data_root=data, device="cpu", threads=1)
    record = json.loads(path.read_text())
    assert check_record(path) == []
    assert {"macro_auc", "leak"} <= set(record["metrics"])
    assert (
        len(record["curve"]) == 2
        and sum(row["patients"] for row in record["table"]) == (record["data"]["records"]["test"])
    )
