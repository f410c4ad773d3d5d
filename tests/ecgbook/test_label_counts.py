"""Counts from label files: against counting by hand, and the recorded ones against the real files."""

import json
from pathlib import Path

import numpy as np
import pytest

from ecgbook.experiments import label_counts
from ecgkit.datasets import ptbxl
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.errors import DataNotFoundError, RecordError

RECORDED = Path(__file__).resolve().parents[2] / "results" / "label_counts.json"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_synthetic(folder / "ptbxl", n=60, seed=3)
    return folder


def test_against_counting_by_hand(root: Path) -> None:
    counts = label_counts.count_all(root)["ptbxl"]["1.0.3"]
    meta = ptbxl.read_metadata(root / "ptbxl")
    said = [json.loads(text) for text in meta["scp_codes"]]
    for code, n in counts["class_records"]["all"].items():
        assert n == sum(code in record for record in said)
    assert sum(counts["labels_per_record"]["all"][c] for c in ("0", "1", "2", "3", ">=4")) == 60
    assert counts["labels_per_record"]["all"]["2"] == sum(len(record) == 2 for record in said)
    together = np.array(counts["together"]["records"])
    assert (together == together.T).all()
    assert (
        dict(zip(counts["together"]["classes"], together.diagonal().tolist(), strict=True))
        == (counts["class_records"]["superdiagnostic"])
    )
    assert sum(int(k) * n for k, n in counts["records_per_patient"].items()) == 60
    assert sum(counts["age_decades"].values()) + counts["age_unknown"] + counts["age_over_89"] == 60
    assert counts["leaked_by_patient"] == 0


def test_leaks_one_by_one() -> None:
    rng = np.random.default_rng(0)
    patients, folds = rng.integers(0, 40, 200), rng.integers(1, 11, 200)
    brute = sum(
        any(patients[j] == patients[i] and folds[j] <= 8 for j in range(200))
        for i in range(200)
        if folds[i] == 10
    )
    assert label_counts.leaked(patients, folds) == brute > 0


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="ptbxl_database"):
        label_counts.count_all(tmp_path)
    with pytest.raises(DataNotFoundError, match="ECGKIT_RESULTS"):
        label_counts.read(tmp_path / "label_counts.json")
    (tmp_path / "bad.json").write_text('{"date": 1')
    with pytest.raises(RecordError, match=r"bad\.json"):
        label_counts.read(tmp_path / "bad.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(RecordError, match="no label counts"):
        label_counts.read(tmp_path / "other.json")


@pytest.mark.real_data
def test_the_recorded_counts_follow_from_the_files(real_data: Path) -> None:
    recorded = label_counts.read(RECORDED)
    recorded.pop("date")
    counted = label_counts.count_all(real_data)
    for part in ("ptbxl", "codes", "files"):
        for name, value in counted[part].items():
            assert recorded[part][name] == value, name
