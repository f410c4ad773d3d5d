"""What the runs of all methods have in common."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cheap_runs import CHEAP

from ecgbook.experiments.execute import execute
from ecgbook.runs.check import check_record
from ecgbook.runs.run import Run
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.evaluation.bootstrap import RareOutcomeError, resample_counts


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(folder / "cache"))
        yield make_synthetic(folder / "ptbxl", "ptbxl", n=200, seed=0).parent


@pytest.mark.slow
@pytest.mark.parametrize("run", CHEAP, ids=lambda run: f"{run.method}-{run.model}")
def test_classes_too_rare_to_be_redrawn_lose_no_run(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draws without all classes count where there are hardly others. Here no draw has them all."""

    def none_whole(y_true: Any, n: int, seed: int, groups: Any, redraw: bool) -> Iterator[tuple[Any, int]]:
        if redraw and np.ndim(y_true) == 2 and np.shape(y_true)[1] > 4:  # a few classes are never so rare
            raise RareOutcomeError("only 0 of 500 resamples had both outcomes of every class")
        return resample_counts(y_true, n, seed, groups, redraw)

    monkeypatch.setattr(import_module("ecgkit.evaluation.bootstrap"), "resample_counts", none_whole)
    record = execute(run, tmp_path, data_root=data, device="cpu", threads=1)
    assert check_record(record) == []
    assert json.loads(record.read_text())["metrics"]
