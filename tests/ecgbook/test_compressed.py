"""The method "compressed": its table against predictions made by hand, and as a run that resumes."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ecgbook.experiments.compressed import SHARES, STUDENT, Variant, variant_rows
from ecgbook.experiments.execute import execute
from ecgbook.runs.records import load_predictions
from ecgbook.runs.run import Run
from ecgkit import datasets, evaluation
from ecgkit.datasets.synthetic import make_synthetic

E18 = "light_resnet18/E18"  # the smallest, so that the test is fast
PARAMS = {"rate_hz": 100, "high_hz": 40.0, "seconds": 1.0, "epochs": 1, "batch_size": 64}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(folder / "cache"))
        patch.setattr("ecgbook.experiments.compressed.DRAWS", 20)
        yield make_synthetic(folder / "ptbxl", "ptbxl", n=200, seed=0)


def a_run(data: Path, **params) -> Run:
    version = datasets.load("ptbxl", root=data).version
    return Run(
        "test", "ptbxl", version, "superdiagnostic", E18, "compressed", "quick", 0, 100, PARAMS | params
    )


def test_rows_hold_sizes_metrics_and_differences_to_the_variant_named(tmp_path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (80, 3))
    scores = {kind: (truth + rng.normal(0.0, s, (80, 3))).clip(0, 1) for kind, s in (("a", 0.4), ("b", 0.9))}
    content = b"0" * 5000 + rng.bytes(1000)
    for kind in scores:
        (tmp_path / kind).write_bytes(content)
    variants = [Variant("x", "a", tmp_path / "a", ""), Variant("x", "b", tmp_path / "b", "a")]
    first, second = variant_rows(variants, truth, scores, draws=100)
    assert first["mib"] == 6000 / 2**20 and first["gzipped_mib"] == len(gzip.compress(content)) / 2**20
    assert first["against"] == "" and first["micro_auc_difference"] is None
    for name in ("micro_auc", "macro_auc", "micro_precision", "macro_precision"):
        a, b = (getattr(evaluation, name)(truth, scores[kind]) for kind in "ab")
        assert first[name] == pytest.approx(a) and second[name] == pytest.approx(b)
        assert second[f"{name}_low"] <= b <= second[f"{name}_high"]
        assert second[f"{name}_difference"] == pytest.approx(b - a)
    assert second["macro_auc_difference_high"] < 0
    json.dumps([first, second], allow_nan=False)


def test_a_run_has_a_row_per_variant_and_a_stopped_one_ends_the_same(data, tmp_path) -> None:
    run = a_run(data, teacher=E18)
    steps: list[tuple[int, int]] = []
    path = execute(run, tmp_path / "a", data_root=data, device="cpu", threads=1,
                   progress=lambda *s: steps.append(s))  # fmt: skip
    record = json.loads(path.read_text())
    rows = {row["variant"]: row for row in record["table"]}
    pruned = [f"pruned {share:g}{end}" for share in SHARES for end in ("", ", tuned")]
    assert list(rows) == [
        "float32",
        "dynamic int8",
        "static int8",
        "one more epoch",
        *pruned,
        "alone",
        "student",
    ]
    assert steps == [(n, 7) for n in range(1, 8)] and record["effective_epochs"] == pytest.approx(7)
    stored = load_predictions(run.hash, tmp_path / "a")
    assert rows["float32"]["micro_auc"] == pytest.approx(
        evaluation.micro_auc(stored.y_true, stored.y_score), abs=2e-3
    )
    assert rows["static int8"]["mib"] < 0.75 * rows["float32"]["mib"]
    packed = [rows[f"pruned {share:g}, tuned"]["gzipped_mib"] for share in SHARES]
    assert packed == sorted(packed, reverse=True) and packed[-1] < 0.7 * rows["float32"]["gzipped_mib"]
    assert rows["pruned 0.5"]["mib"] == pytest.approx(rows["float32"]["mib"], rel=0.01)
    assert rows["alone"]["network"] == STUDENT and rows["student"]["against"] == "alone"
    assert not np.isclose(rows["student"]["micro_auc"], rows["alone"]["micro_auc"], atol=1e-9)

    def stop(done: int, of: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(run, tmp_path / "b", data_root=data, device="cpu", threads=1, progress=stop)
    again = json.loads(execute(run, tmp_path / "b", data_root=data, device="cpu", threads=1).read_text())
    assert again["table"] == record["table"] and again["curve"] == record["curve"]


def test_a_teacher_of_its_own_is_trained_and_other_networks_are_refused(data, tmp_path) -> None:
    record = json.loads(
        execute(
            a_run(data, teacher="light_resnet18/E16"), tmp_path, data_root=data, device="cpu", threads=1
        ).read_text()
    )
    assert record["effective_epochs"] == pytest.approx(8) and record["config"]["teacher"][-3:] == "E16"
    with pytest.raises(ValueError, match="E1 to E18"):
        execute(a_run(data, teacher="fcn_wang"), tmp_path, data_root=data, device="cpu", threads=1)
