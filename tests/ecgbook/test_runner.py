"""One run from data set to record: whole, repeatable, resumable, and equal to its parts done by hand."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgbook.experiments import execute as execute_module
from ecgbook.experiments.execute import METHODS, execute
from ecgbook.experiments.method import RunResult, Splits, require_whole, train_config
from ecgbook.runs.check import check, check_record
from ecgbook.runs.records import load_predictions, state_folder
from ecgbook.runs.results import load, load_tables
from ecgbook.runs.run import Run
from ecgkit import datasets, evaluation, models
from ecgkit.datasets.derived import single_label
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.training import selection

# The selection methods are one function; tests/test_selection.py holds each of them to its own contract.
# Methods that draw parts of their own or record a table have tests of their own.
OWN_TESTS = (
    "leakage",
    "planted",
    "melep_folds",
    "melep_selection",
    "transfer",
    "ensemble",
    "decisions",
    "relevance",
    "compressed",
)
EVERY_METHOD = pytest.mark.parametrize(
    "method", [*(m for m in METHODS if m not in (*selection.names(), *OWN_TESTS)), "erts_dbpd"]
)
FIELDS = {
    "schema",
    "status",
    "run",
    "hash",
    "metrics",
    "intervals",
    "per_class",
    "config",
    "curve",
    "samples_backprop",
    "effective_epochs",
    "data",
    "predictions",
    "predictions_sha256",
    "versions",
    "commit",
    "date",
    "seconds",
    "device",
    "threads",
    "peak_memory_mib",
    "content_sha256",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(folder / "cache"))
        yield make_synthetic(folder / "ptbxl", "ptbxl", n=200, seed=0)


def a_run(data: Path, method: str = "supervised", **changes) -> Run:
    version = datasets.load("ptbxl", root=data).version
    own_task = method in ("age", "sex", "quality")
    model, params = ("fcn_wang", {}) if method == "supervised" or own_task else ("none", {})
    if method == "wavelet_nn":
        params = {"epochs": 3}
    if method == "thesis":
        model, params = "light_resnet18/E18", {"rate_hz": 100, "high_hz": 40.0, "seconds": 1.0}
    if method in selection.names():
        model, params = "resnet18", {"width": 4, "lr": 0.01}
    task = method if own_task else "superdiagnostic"
    run = Run("test", "ptbxl", version, task, model, method, "quick", 0, 100, params)
    return replace(run, **changes)


def do(run: Run, results: Path, data: Path, **options) -> dict:
    return json.loads(execute(run, results, data_root=data, device="cpu", threads=1, **options).read_text())


def essence(record: dict) -> dict:
    """A record without times, dates and what belongs to the machine."""
    keep = {"run", "metrics", "per_class", "config", "curve", "samples_backprop", "data"}
    return {key: value for key, value in record.items() if key in keep}


@EVERY_METHOD
def test_a_record_is_whole_and_its_metrics_follow_from_its_predictions(method, data, tmp_path) -> None:
    run = a_run(data, method)
    record = do(run, tmp_path, data)
    single = method in selection.names()
    assert set(record) == FIELDS | ({"accounting"} if single else set())
    assert record["hash"] == run.hash and record["status"] == "finished"
    stored = load_predictions(run.hash, tmp_path)
    test = datasets.load("ptbxl", root=data, task=run.task).labelled().split()[2]
    assert stored.record_ids.tolist() == test.meta["record_id"].tolist()
    labels = test.labels[:, :1] if method == "quality" else test.labels
    assert np.array_equal(stored.y_true, single_label(test).labels if single else labels)
    names = ("single_label_f1", "single_label_accuracy", "macro_auc") if single else ("macro_auc", "fmax")
    if method == "thesis":
        names = ("micro_auc", "macro_auc", "micro_precision", "macro_precision")
    names = {
        "age": ("mae", "r2"),
        "sex": ("macro_auc", "accuracy_at_half"),
        "quality": ("macro_auc", "accuracy_at_half"),
    }.get(method, names)
    assert tuple(record["metrics"]) == names
    for name in names:
        metric = getattr(evaluation, name)
        value = record["metrics"][name]
        assert value["point"] == metric(stored.y_true, stored.y_score)
        assert value["low"] <= value["point"] <= value["high"]
    assert sum(record["seconds"].values()) > 0 and all(s >= 0 for s in record["seconds"].values())
    if method == "wavelet_nn":
        assert set(record["seconds"]) == {"load", "features", "train", "other", "bootstrap"}
    assert record["data"]["fingerprint"] == test.fingerprint
    assert not state_folder(tmp_path, run).exists()


@EVERY_METHOD
def test_same_run_same_numbers(method, data, tmp_path) -> None:
    first = do(a_run(data, method), tmp_path / "a", data)
    second = do(a_run(data, method), tmp_path / "b", data)
    assert essence(first) == essence(second)


@EVERY_METHOD
def test_test_labels_do_not_influence_the_scores(method, data, tmp_path, monkeypatch) -> None:
    run = a_run(data, method)
    honest = do(run, tmp_path / "a", data)
    original = execute_module._parts

    def flipped(*arguments):
        parts = original(*arguments)
        return replace(parts, test=replace(parts.test, labels=1 - parts.test.labels))

    monkeypatch.setattr(execute_module, "_parts", flipped)
    do(run, tmp_path / "b", data)
    assert honest["metrics"]  # the scores, not the metrics, must be the same
    a, b = (load_predictions(run.hash, tmp_path / x) for x in "ab")
    assert np.array_equal(a.y_score, b.y_score) and not np.array_equal(a.y_true, b.y_true)


@pytest.mark.parametrize("method", ["supervised", "thesis"])
def test_a_run_that_was_stopped_ends_with_the_same_record(method, data, tmp_path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, of: int) -> None:
        if done == 2:
            raise Killed

    run = a_run(data, method)
    expected = do(run, tmp_path / "a", data)
    with pytest.raises(Killed):
        do(run, tmp_path / "b", data, progress=kill)
    assert list(state_folder(tmp_path / "b", run).glob("*/checkpoint.pt"))
    steps: list[int] = []
    resumed = do(run, tmp_path / "b", data, progress=lambda done, of: steps.append(done))
    assert steps == [3]
    assert essence(resumed) == essence(expected)


@pytest.mark.parametrize("labels", ["single", "multi"])
def test_a_run_with_selection_says_what_it_cost_and_passes_the_check(labels, data, tmp_path) -> None:
    params = {"width": 4, "tau": 0.3, "granularity": "epoch", "labels": labels, "phi": 0.2}
    run = a_run(data, "erts_dbpd", params=params)
    record = do(run, tmp_path, data)
    cost, n = record["accounting"], record["data"]["records"]["train"]
    assert cost["scored"] == 2 * n and cost["backprop"] == record["samples_backprop"]
    assert cost["compute_equivalent_epochs"] == pytest.approx((2 * n / 3 + cost["backprop"]) / n)
    assert {"select", "grad_cam", "train"} <= set(record["seconds"])
    assert check(tmp_path) == []
    (row,) = load("test", tmp_path).to_dict("records")
    assert row["filtered"] == cost["filtered"] and row["seconds_grad_cam"] > 0
    with pytest.raises(ValueError, match="no setting teu"):
        do(replace(run, params={"teu": 0.3}), tmp_path, data)


@pytest.mark.parametrize("granularity", ["batch", "stale"])
def test_a_selection_run_that_was_stopped_ends_with_the_same_record(granularity, data, tmp_path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, of: int) -> None:
        if done == 2:
            raise Killed

    run = a_run(data, "erts_smrd", params={"width": 4, "granularity": granularity})
    expected = do(run, tmp_path / "a", data)
    with pytest.raises(Killed):
        do(run, tmp_path / "b", data, progress=kill)
    resumed = do(run, tmp_path / "b", data)
    assert essence(resumed) == essence(expected)
    assert resumed["accounting"] == expected["accounting"]


def test_a_finished_run_is_not_repeated(data, tmp_path, monkeypatch) -> None:
    run = a_run(data, "naive")
    record = do(run, tmp_path, data)
    monkeypatch.setattr(execute_module, "METHODS", {})
    assert do(run, tmp_path, data) == record


def test_a_stopped_run_begins_anew_with_other_data(data, tmp_path, monkeypatch) -> None:
    """What was learned of the labels before they changed is not mixed into what comes after."""

    class Killed(Exception):
        pass

    def kill(done: int, of: int) -> None:
        raise Killed

    run, original = a_run(data), execute_module._parts
    with pytest.raises(Killed):
        do(run, tmp_path / "a", data, progress=kill)

    def changed(*arguments):
        parts = original(*arguments)
        train = replace(parts.train, labels=1 - parts.train.labels, fingerprint="f" * 64)
        return replace(parts, train=train)

    monkeypatch.setattr(execute_module, "_parts", changed)
    expected = do(run, tmp_path / "b", data)
    steps: list[int] = []
    assert essence(do(run, tmp_path / "a", data, progress=lambda done, of: steps.append(done))) == essence(
        expected
    )
    assert steps == [1, 2, 3]


def test_doing_runs_needs_few_packages() -> None:
    """Machines with a GPU often have no more than PyTorch and the scientific libraries."""
    heavy = ("typer", "yaml", "requests", "wfdb", "h5py", "matplotlib", "pywt", "distributed")
    code = "import ecgbook.experiments.execute, ecgbook.runs.sweep, sys\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_naive_predicts_the_frequencies_of_the_training_folds(data, tmp_path) -> None:
    do(a_run(data, "naive"), tmp_path, data)
    train = datasets.load("ptbxl", root=data, task="superdiagnostic").labelled().split()[0]
    stored = load_predictions(a_run(data, "naive").hash, tmp_path)
    np.testing.assert_allclose(stored.y_score[0], train.labels.mean(axis=0), rtol=1e-3)
    assert (stored.y_score == stored.y_score[0]).all()


def test_supervised_is_the_loop_of_the_training_package(data, tmp_path) -> None:
    from ecgkit.training import TrainConfig, fit_scaler, predict, to_device, train_classifier

    run = a_run(data, params={"epochs": 1})
    do(run, tmp_path, data)
    parts = datasets.load("ptbxl", root=data, task="superdiagnostic").labelled().split()
    scaler = fit_scaler(parts[0])
    train, validation, test = (to_device(part, torch.device("cpu")) for part in parts)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.create("fcn_wang", leads=12, classes=5)
    train_classifier(model, train, validation, scaler, TrainConfig(epochs=1), seed=0)
    scores = predict(model, test, scaler).astype(np.float16)
    assert np.array_equal(load_predictions(run.hash, tmp_path).y_score, scores.astype(np.float32))


def test_protocols_and_recurrent_networks_have_their_settings(data) -> None:
    paper = a_run(data, protocol="paper")
    assert (train_config(paper).epochs, train_config(paper).max_lr) == (50, 1e-2)
    recurrent = train_config(replace(paper, model="lstm_bidir"))
    assert (recurrent.max_lr, recurrent.clip_norm) == (1e-3, 0.25)
    assert train_config(replace(paper, params={"epochs": 7})).epochs == 7
    with pytest.raises(ValueError, match="unknown parameter epoch;"):
        train_config(replace(paper, params={"epoch": 7}))


def test_wrong_version_and_wrong_method_are_errors(data, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"asks for ptbxl 0\.0"):
        do(a_run(data, dataset_version="0.0"), tmp_path, data)
    with pytest.raises(ValueError, match=r"there are age, .*naive"):
        do(a_run(data, method="magic"), tmp_path, data)
    assert not list(tmp_path.rglob("*.json"))


def test_runs_with_other_fields_have_other_names(data) -> None:
    run = a_run(data)
    others = [
        replace(run, seed=1),
        replace(run, params={"epochs": 9}),
        replace(run, task="all"),
        replace(run, sampling_rate_hz=500),
    ]
    assert len({run.hash, *(other.hash for other in others)}) == 5
    reordered = Run.from_dict(dict(reversed(list(run.to_dict().items()))))
    assert reordered.hash == run.hash
    with pytest.raises(ValueError, match="cannot name a folder"):
        replace(run, experiment="../elsewhere")
    with pytest.raises(ValueError, match="choose one of"):
        replace(run, protocol="fast")
    with pytest.raises(ValueError, match="missing"):
        Run.from_dict({"experiment": "x"})
    with pytest.raises(ValueError, match="unknown field"):
        Run.from_dict({**run.to_dict(), "sed": 1})


def test_every_method_gets_the_same_arguments() -> None:
    import inspect

    signatures = {tuple(inspect.signature(method).parameters) for method in METHODS.values()}
    assert signatures == {("run", "parts", "device", "checkpoint", "progress")}
    assert {"naive", "supervised", "wavelet_nn", "thesis", *selection.names()} <= set(METHODS)


def test_a_method_may_return_a_table_instead_of_scores(data, tmp_path, monkeypatch) -> None:
    rows = [{"fold": 0, "f1": 0.5}, {"fold": 1, "f1": 0.25}]
    value = {"correlation": {"point": -0.5, "low": -0.75, "high": 0.0}}

    def folds(run, parts, device, checkpoint, progress) -> RunResult:
        return RunResult(None, values=value, intervals="by hand", table=rows)

    monkeypatch.setitem(METHODS, "folds", folds)
    path = execute(a_run(data, "folds"), tmp_path, data_root=data, device="cpu")
    record = json.loads(path.read_text())
    assert record["metrics"] == value and record["intervals"] == "by hand" and record["predictions"] is None
    assert check_record(path) == []
    runs = load("test", tmp_path)
    assert runs["correlation_low"].item() == -0.75
    table = load_tables(runs, tmp_path)
    assert table[["fold", "f1"]].to_dict("records") == rows and set(table["hash"]) == {record["hash"]}


def test_classes_too_rare_to_be_drawn_together_do_not_lose_the_run(data, tmp_path, monkeypatch) -> None:
    """Every class has one positive test record: hardly a draw has them all."""

    def rare(run, parts, device, checkpoint, progress) -> RunResult:
        count = len(parts.test)
        names = tuple(f"c{k}" for k in range(count))
        changed = (
            replace(part, labels=np.eye(len(part), count, dtype=np.uint8), classes=names)
            for part in (parts.train, parts.validation, parts.test)
        )
        scores = np.eye(count) + np.random.default_rng(0).random((count, count))
        return RunResult(scores, parts=Splits(*changed))

    monkeypatch.setitem(METHODS, "rare", rare)
    path = execute(a_run(data, "rare"), tmp_path, data_root=data, device="cpu")
    record = json.loads(path.read_text())
    assert record["intervals"].endswith("95 %, classes that a draw lost are left out of it")
    assert check_record(path) == []


def test_a_part_of_a_data_set_is_not_taken_for_the_whole(data, tmp_path) -> None:
    from ecgkit.errors import DataNotFoundError

    part = datasets.load("ptbxl", root=data)
    for protocol in ("quick", "reduced", "paper"):
        require_whole(part, protocol)  # synthetic
    real = replace(part, version="1.0.3")
    require_whole(real, "quick")
    with pytest.raises(DataNotFoundError, match=rf"21,799 records, and {len(part)} of them .* download"):
        require_whole(real, "reduced")
    few = replace(real, name="cpsc2018", version="1.0.3")
    with pytest.raises(DataNotFoundError, match=r"cpsc2018 1\.0\.3 has 6,877 records"):
        require_whole(few, "paper")
