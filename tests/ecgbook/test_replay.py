"""The net under the code: one tiny run of every method gives what it gave before, to the last bit.

`replay.json` names the processor and the PyTorch that it was recorded with. There every number must be equal.
Elsewhere kernels round differently, so the numbers agree within `ELSEWHERE` only.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cheap_runs import CHEAP, VERSION

from ecgbook.experiments.execute import execute
from ecgbook.runs import machine
from ecgbook.runs.run import Run
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.training import selection

NET = json.loads(Path(__file__).with_name("replay.json").read_text(encoding="utf-8"))
SAME_MACHINE = (NET["processor"], NET["torch"]) == (machine.processor_name(), torch.__version__)
ELSEWHERE = 0.05
SCORES = ("focus_grad_cam_plus", "focus_integrated_gradients", "map_gini", "map_entropy", "el2n")
HISTORIES = ("self_influence", "mean_confidence", "aum", "forgetting")


def _selected(method: str, **params: Any) -> Run:
    params = {"epochs": 3, "width": 2, "batch_size": 32, **params}
    return Run("x", "ptbxl", VERSION, "superdiagnostic", "resnet18", method, "quick", 1, 100, params)


def _plain(model: str, **params: Any) -> Run:
    params = {"epochs": 2, "batch_size": 64, **params}
    return Run("x", "ptbxl", VERSION, "superdiagnostic", model, "supervised", "quick", 1, 100, params)


RUNS = [
    *CHEAP,
    *(_selected(name) for name in selection.names() if name != "erts_dbpd"),
    *(_selected("erts_dbpd", granularity=kind, phi=0.9) for kind in ("batch", "rebatch", "epoch", "stale")),
    _selected("erts_dbpd", rule="share", labels="multi", window_s=2.5),
    *(_selected("filtered_dbpd", by=by, phi=0.5) for by in (*SCORES, *HISTORIES)),
    *(_plain(model) for model in ("fcn_wang", "resnet1d_wang", "inception1d", "lstm", "lstm_bidir")),
    _plain("xresnet1d101", epochs=1, window_s=1.0),
    _plain("fcn_wang", epochs=1, bf16=True),
    _plain("light_resnet18/E12", epochs=1, window_s=1.0),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(folder / "cache"))
        yield make_synthetic(folder / "ptbxl", "ptbxl", n=200, seed=0).parent


def _same(was: Any, now: Any, where: str) -> None:
    if isinstance(was, dict):
        assert was.keys() <= now.keys(), where  # a new code may say more
        for key in was:
            _same(was[key], now[key], f"{where}.{key}")
    elif isinstance(was, list):
        assert len(was) == len(now), where
        for index, pair in enumerate(zip(was, now, strict=True)):
            _same(*pair, f"{where}[{index}]")
    elif isinstance(was, float) and not SAME_MACHINE:
        assert was == pytest.approx(now, abs=ELSEWHERE, rel=ELSEWHERE, nan_ok=True), where
    else:
        assert was == now or (was != was and now != now), where


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.method}-{run.model}-{run.hash[:4]}")
def test_runs_give_what_they_gave(run: Run, data: Path, tmp_path: Path) -> None:
    was = NET["runs"][run.hash]
    path = execute(run, tmp_path, data_root=data, device="cpu", threads=1)
    now = json.loads(path.read_text(encoding="utf-8"))
    now["predictions"] = {}
    for file in sorted(path.parent.glob(f"{path.stem}*.npz")):
        with np.load(file, allow_pickle=False) as arrays:
            now["predictions"] |= {
                f"{file.name.removeprefix(path.stem)} {name}": arrays[name].astype(float).ravel().tolist()
                for name in arrays.files
                if arrays[name].dtype.kind == "f"
            }
    _same(was, now, run.method)
