"""Pre-training at some recording sites, fine-tuning at others: who is where, and what a run records."""

import json
from pathlib import Path

import numpy as np
import pytest

from ecgbook.experiments.execute import execute
from ecgbook.experiments.transfer_curve import sites_apart
from ecgbook.runs.check import check_record
from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.synthetic import make_synthetic


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(folder / "cache"))
        yield make_synthetic(folder / "ptbxl", "ptbxl", n=200, seed=0)


def test_no_target_patient_and_no_target_site_is_in_the_source(data: Path) -> None:
    whole = datasets.load("ptbxl", root=data, task="all")
    source, parts = sites_apart(whole, [1, 2])
    target = [part.meta for part in (parts.train, parts.validation, parts.test)]
    assert not source.meta["site"].isin([1, 2]).any()
    assert all(part["site"].isin([1, 2]).all() for part in target)
    patients = [set(part["patient"]) for part in (source.meta, *target)]
    assert sum(len(p) for p in patients) == len(set.union(*patients))


def test_the_target_has_the_labels_of_the_superclass_task(data: Path) -> None:
    _, parts = sites_apart(datasets.load("ptbxl", root=data, task="all"), [1, 2])
    published = datasets.load("ptbxl", root=data, task="superdiagnostic")
    rows = {record: row for row, record in enumerate(published.meta["record_id"])}
    assert parts.train.classes == published.classes
    expected = published.labels[[rows[record] for record in parts.train.meta["record_id"]]]
    assert np.array_equal(parts.train.labels, expected)
    assert (parts.train.labels.sum(axis=1) > 0).all()


def test_another_task_and_a_site_without_records_are_errors(data: Path) -> None:
    with pytest.raises(ValueError, match="task 'all', not 'rhythm'"):
        sites_apart(datasets.load("ptbxl", root=data, task="rhythm"), [1])
    with pytest.raises(ValueError, match=r"sites \[77\] leave no record"):
        sites_apart(datasets.load("ptbxl", root=data, task="all"), [77])


def test_a_run_records_both_starts_at_every_size(data: Path, tmp_path: Path) -> None:
    version = datasets.load("ptbxl", root=data).version
    params = {"sites": [1, 2], "records": [8, 16], "source_epochs": 1, "epochs": 2, "window_s": 1.0}
    run = Run("demo", "ptbxl", version, "all", "fcn_wang", "transfer", "quick", 0, 100, params)
    path = execute(run, tmp_path, data_root=data, device="cpu", threads=1)
    record = json.loads(path.read_text())
    assert check_record(path) == []
    table = {(row["records"], row["start"]): row["macro_auc"] for row in record["table"]}
    assert set(table) == {(n, start) for n in (8, 16) for start in ("scratch", "fine-tuned")}
    for n in (8, 16):
        gain = record["metrics"][f"gain_{n}"]
        assert gain["point"] == pytest.approx(table[n, "fine-tuned"] - table[n, "scratch"], abs=1e-6)
        assert gain["low"] <= gain["point"] <= gain["high"]
    assert record["samples_backprop"] == record["config"]["source_records"] + 2 * 2 * (8 + 16)
