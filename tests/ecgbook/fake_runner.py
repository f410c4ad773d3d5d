"""A trainer without a network for tests of sweeps: deterministic, with epochs and checkpoints, killable."""

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ecgbook.runs.records import Predictions, save_predictions, state_folder, write_record
from ecgbook.runs.run import Run
from ecgkit.errors import DataNotFoundError
from ecgkit.evaluation import bootstrap, macro_auc
from ecgkit.files import atomic_write


def make_run(seed: int = 0, model: str = "fake", experiment: str = "demo", **params: Any) -> Run:
    return Run(experiment, "synthetic", "1", "toy", model, "supervised", "quick", seed, 100, params)


def fake_execute(
    run: Run,
    results: Path,
    *,
    progress: Callable[..., None] | None = None,
    epoch_s: float = 0.02,
    epochs: int = 5,
) -> Path:
    """Draw a weight per epoch from the seed; the score of a run is their sum. Logs each epoch it computes."""
    state = state_folder(results, run)
    checkpoint = state / "checkpoint.json"
    done = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"epoch": 0, "weight": 0.0}
    if run.params.get("fails"):
        raise ArithmeticError("the loss is NaN")
    if run.params.get("full") == "os":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(checkpoint))
    if run.params.get("full") == "torch":
        raise RuntimeError("[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed")
    if run.params.get("absent"):
        raise DataNotFoundError("fetch them with `ecgkit data download`")
    if run.params.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    for epoch in range(done["epoch"], epochs):
        time.sleep(epoch_s)
        weight = float(np.random.default_rng([run.seed, epoch]).normal())
        done = {"epoch": epoch + 1, "weight": done["weight"] + weight}
        with atomic_write(checkpoint) as file:
            json.dump(done, file)
        with (results / "epochs.log").open("a") as log:
            log.write(f"{run.hash} {epoch} {os.getpid()}\n")
        if progress:
            progress(epoch + 1, epochs)
    rng = np.random.default_rng(run.seed)
    y_true = (rng.random((40, 3)) < 0.4).astype(np.uint8)
    y_score = (0.3 * y_true + rng.random((40, 3)) + 0.01 * done["weight"]).astype(np.float16)
    auc = bootstrap(macro_auc, y_true, y_score.astype(np.float64))
    return write_record(
        results,
        {
            "status": "finished",
            "run": run.to_dict(),
            "metrics": {"macro_auc": {"point": auc.point, "low": auc.low, "high": auc.high}},
            "intervals": "bootstrap over test records, 1000 draws, 95 %",
            "per_class": [],
            "config": {},
            "curve": [{"epoch": e + 1, "train_loss": 1 / (e + 1)} for e in range(epochs)],
            "samples_backprop": 100 * epochs,
            "effective_epochs": float(epochs),
            "seconds": {"train": 100 * epochs * 0.001},
            "peak_memory_mib": 1.0,
            "device": "cpu",
            "threads": 1,
            "versions": {"numpy": np.__version__},
            "data": {
                "version": run.dataset_version,
                "fingerprint": "0" * 64,
                "records": {"train": 100, "validation": 20, "test": 40},
            },
            "commit": "none",
            "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            "predictions": save_predictions(results, run, Predictions(np.arange(40), y_true, y_score)),
            "weight": done["weight"],
        },
    )
