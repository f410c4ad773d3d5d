"""Methods with several trainings or a look of their own: stopped and taken up again, and what they load."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ecgbook.experiments.execute import execute
from ecgbook.runs.check import check_record
from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.training import run_epochs

LOOPS = ("ecgkit.training.supervised", "ecgkit.training.selection.train", "ecgkit.transfer.finetune")
SMALL = {"width": 4, "lr": 0.01, "window_s": 2.5, "batch_size": 16}
PARAMS: dict[str, dict[str, Any]] = {
    "leakage": {"epochs": 2},
    "planted": {
        "width": 4,
        "epochs": 3,
        "lr": 0.01,
        "wrong_labels": 0.2,
        "selector": "erts_dbpd",
        "phi": 0.5,
    },
    "transfer": {"sites": [1, 2], "records": [8, 16], "source_epochs": 2, "epochs": 2, "window_s": 1.0},
    "melep_folds": {
        **SMALL,
        "source": "rhythm",
        "targets": "diagnostic",
        "folds": 3,
        "records": 40,
        "n_labels": [2, 3],
        "min_positives": 10,
        "epochs": 2,
        "source_epochs": 2,
    },
    "melep_selection": {
        "groups": ["rhythm", "CD"],
        "widths": [4],
        "source_epochs": [0, 2],
        "records": 20,
        "min_positives": 5,
        "epochs": 1,
    },
}
PHASES = {
    "leakage": {"train", "validate"},
    "planted": {"train", "validate", "select", "grad_cam", "watch"},
    "transfer": {"train", "validate"},
    "melep_folds": {"train", "validate", "score"},
    "melep_selection": {"train", "validate", "score"},
}


class Killed(Exception):
    pass


@dataclass
class Epochs:
    """Counts epochs that begin, and stops the run where the one with the number `stop_at` would."""

    patch: pytest.MonkeyPatch
    stop_at: int | None = None
    begun: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for module in LOOPS:
            self.patch.setattr(f"{module}.run_epochs", self._counted(run_epochs))

    def _counted(self, original: Any) -> Any:
        def counted(learner: Any, one_epoch: Any, *arguments: Any, **options: Any) -> None:
            def counted_epoch(epoch: int) -> dict[str, float]:
                if self.begun + 1 == self.stop_at:
                    raise Killed
                self.begun += 1
                return one_epoch(epoch)

            original(learner, counted_epoch, *arguments, **options)

        return counted


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two data sets, which ECGKIT_DATA does not name."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(root / "cache"))
        patch.setenv("ECGKIT_DATA", str(root / "elsewhere"))
        make_synthetic(root / "ptbxl", "ptbxl", n=200, seed=0)
        make_synthetic(root / "cpsc2018", "cpsc2018", n=80, seed=0)
        yield root


def a_run(data: Path, method: str, dataset: str = "ptbxl", task: str = "all", **params: Any) -> Run:
    version = datasets.load(dataset, root=data).version
    task = "superdiagnostic" if method in ("leakage", "planted") else task
    model = "resnet18" if method in ("planted", "melep_folds", "melep_selection") else "fcn_wang"
    return Run("test", dataset, version, task, model, method, "quick", 0, 100, params or PARAMS[method])


def do(run: Run, results: Path, data: Path) -> dict[str, Any]:
    path = execute(run, results, data_root=data, device="cpu", threads=1)
    assert check_record(path) == []
    return json.loads(path.read_text())


def essence(record: dict[str, Any]) -> dict[str, Any]:
    keep = ("metrics", "per_class", "config", "curve", "samples_backprop", "table", "data")
    return {key: record.get(key) for key in keep}


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], int]]:
    """Record and number of epochs of each run that nothing stops."""
    found = {}
    for method in PARAMS:
        with pytest.MonkeyPatch.context() as patch:
            epochs = Epochs(patch)
            record = do(a_run(data, method), tmp_path_factory.mktemp(method), data)
            found[method] = record, epochs.begun
    return found


@pytest.mark.parametrize(
    ("method", "stop_at", "again"),
    [
        ("leakage", 4, 0),
        ("planted", 3, 0),
        ("transfer", 2, 0),
        ("transfer", 9, 0),
        ("melep_folds", 2, 0),  # the second epoch of pre-training
        ("melep_folds", 6, 1),  # the second epoch of the second fold, whose first is done again
        ("melep_selection", 4, 0),  # the second epoch of pre-training
        ("melep_selection", 8, 0),  # the last fine-tuning, on its pre-trained network
    ],
)
def test_a_stopped_run_ends_with_the_same_record_and_all_of_its_time(
    method: str, stop_at: int, again: int, data: Path, tmp_path: Path, whole: Any
) -> None:
    run, (expected, epochs) = a_run(data, method), whole[method]
    with pytest.MonkeyPatch.context() as patch:
        ticks = iter(range(0, 10**9, 100))
        patch.setattr(time, "perf_counter", lambda: float(next(ticks)))  # every phase takes 100 s at least
        Epochs(patch, stop_at)
        with pytest.raises(Killed):
            do(run, tmp_path, data)
    with pytest.MonkeyPatch.context() as patch:
        rest = Epochs(patch)
        resumed = do(run, tmp_path, data)
    assert rest.begun == epochs - (stop_at - 1) + again
    assert essence(resumed) == essence(expected)
    assert set(resumed["seconds"]) == {"load", "other", "bootstrap"} | PHASES[method]
    assert resumed["seconds"]["train"] >= 100 * (stop_at - 1 - again)


def test_random_weights_have_no_f1_on_a_source_task(whole: Any) -> None:
    for row in whole["melep_selection"][0]["table"]:
        assert (row["source_f1"] is None) == (row["source"] == "none")


@pytest.mark.parametrize(
    ("method", "task", "params", "loaded"),
    [
        ("thesis", "scored2021", {"sources": ["ptbxl"]}, ("cpsc2018", "ptbxl")),
        ("transfer", "cpsc9", {"source": "ptbxl", "records": [16], "source_epochs": 1}, ("ptbxl",)),
        ("melep_folds", "melep", {"source": "ptbxl", "source_epochs": 1}, ("ptbxl",)),
    ],
)
def test_all_data_come_from_the_folder_of_the_run_and_are_recorded(
    method: str, task: str, params: dict[str, Any], loaded: tuple[str, ...], data: Path, tmp_path: Path
) -> None:
    if method == "thesis":
        params = {**params, "epochs": 1, "rate_hz": 100, "high_hz": 40.0, "seconds": 1.0}
    if method == "transfer":
        params = {**params, "epochs": 2, "window_s": 1.0}
    if method == "melep_folds":
        params = {**PARAMS[method], "targets": "", "folds": 4, "epochs": 1, **params}
    run = a_run(data, method, "cpsc2018", task, **params)
    if method == "thesis":
        run = Run.from_dict({**run.to_dict(), "model": "light_resnet18/E18"})
    record = do(run, tmp_path, data)
    expected = {name: datasets.load(name, root=data, sampling_rate_hz=100) for name in loaded}
    assert record["data"]["sources"] == {
        name: {"version": ds.version, "fingerprint": ds.fingerprint} for name, ds in expected.items()
    }
