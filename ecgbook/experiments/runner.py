"""Doing one run, from the data set to its record in `results/`."""

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgbook.experiments.methods import METHODS
from ecgbook.runs import machine
from ecgbook.runs.data import load_for
from ecgbook.runs.energy import gpu_joules
from ecgbook.runs.outcome import Outcome, Parts, drawn
from ecgbook.runs.results import (
    Predictions,
    read_record,
    record_path,
    save_predictions,
    state_folder,
    write_record,
)
from ecgbook.runs.run import Run
from ecgkit import evaluation
from ecgkit.datasets.base import ECGDataset
from ecgkit.evaluation import bootstrap, class_aucs
from ecgkit.evaluation.bootstrap import BootstrapResult
from ecgkit.training import choose_device

__all__ = ["execute"]


def execute(
    run: Run,
    results: Path,
    *,
    data_root: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Do one run and write its record; a finished run returns at once, a stopped one goes on.

    Args:
        run: What to do.
        results: The results folder.
        data_root: Folder of all the run's data; see `ecgkit.datasets.load`.
        device: "auto", "cpu", "cuda" or "mps".
        threads: CPU threads; None leaves torch's choice.
        progress: Called with the steps done and the steps in all.

    Returns:
        The path of the record.

    Raises:
        ValueError: If the method is not known, or the data are of another version than the run asks for.
        DataNotFoundError: If the data are not there, or not whole (see `ecgbook.runs.data`).
    """
    path = record_path(results, run)
    if path.exists() and read_record(path)["status"] == "finished":
        return path
    if run.method not in METHODS:
        raise ValueError(f"no method {run.method!r}; there are {', '.join(METHODS)}")
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = choose_device(device)
    machine.reset_peak_memory(chosen.type)  # a worker may have done other runs before
    begin = time.perf_counter()
    parts = _parts(run, data_root)
    loaded = time.perf_counter()
    state = state_folder(results, run)
    joules = gpu_joules() if chosen.type == "cuda" else None
    outcome = METHODS[run.method](run, parts, chosen, state / "checkpoint.pt", progress)
    worked = time.perf_counter()
    spent = gpu_joules() if joules is not None else None
    seconds = {"load": loaded - begin, **outcome.seconds}
    # The method's phases include those of a stopped run's earlier processes, so they may exceed this one's
    # time; load and other are this process's alone.
    seconds["other"] = max(0.0, worked - loaded - sum(outcome.seconds.values()))
    record = _record(run, parts, outcome, results)
    record["seconds"] = {**seconds, "bootstrap": time.perf_counter() - worked}
    if joules is not None and spent is not None:
        record["gpu_joules"] = spent - joules  # of the whole card, with whatever else ran on it
    record["device"] = machine.device_name(chosen.type)
    record["threads"] = torch.get_num_threads()
    record["peak_memory_mib"] = machine.peak_memory_mib(chosen.type)
    write_record(results, record)
    shutil.rmtree(state, ignore_errors=True)
    return path


def _parts(run: Run, root: Path | None) -> Parts:
    dataset = load_for(run, run.dataset, run.task, root)
    if dataset.version != run.dataset_version:
        raise ValueError(
            f"the run asks for {run.dataset} {run.dataset_version}, the data at hand are {dataset.version}"
        )
    return Parts(*dataset.labelled().split(), root=root)


def _record(run: Run, parts: Parts, outcome: Outcome, results: Path) -> dict[str, Any]:
    """Everything but times and device."""
    parts = outcome.parts or parts
    intervals = [outcome.intervals] if outcome.values else []
    metrics: dict[str, dict[str, float]] = {}
    per_class: list[dict[str, Any]] = []
    predictions = None
    if outcome.scores is not None:
        y_true = parts.test.labels
        y_score = outcome.scores.astype(np.float16).astype(np.float32)  # as they are stored
        found, how = _bootstrapped(outcome.metrics, y_true, y_score)
        metrics = {name: {"point": i.point, "low": i.low, "high": i.high} for name, i in found.items()}
        per_class = _per_class(parts, y_score)
        predictions = save_predictions(
            results,
            run,
            _predictions(parts.test, y_score),
            {name: _predictions(getattr(parts, name), s) for name, s in outcome.learned_scores.items()},
        )
        intervals.insert(0, how)
    return {
        "status": "finished",
        "run": run.to_dict(),
        "metrics": {**metrics, **outcome.values},
        "intervals": "; ".join(intervals),
        "per_class": per_class,
        "config": outcome.config,
        "curve": outcome.curve,
        "samples_backprop": outcome.samples_backprop,
        "effective_epochs": outcome.samples_backprop / len(parts.train),
        **({"accounting": outcome.accounting} if outcome.accounting else {}),
        **({"table": outcome.table} if outcome.table else {}),
        "data": {
            "version": parts.test.version,
            "fingerprint": parts.test.fingerprint,
            "records": {part: len(getattr(parts, part)) for part in ("train", "validation", "test")},
            **({"sources": outcome.sources} if outcome.sources else {}),
        },
        "predictions": predictions,
        "versions": machine.versions(),
        "commit": machine.commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _bootstrapped(
    names: tuple[str, ...], y_true: np.ndarray, y_score: np.ndarray
) -> tuple[dict[str, BootstrapResult], str]:
    """Metrics with their intervals, and how these were drawn."""

    def draw(redraw: bool) -> dict[str, BootstrapResult]:
        return {
            name: bootstrap(
                getattr(evaluation, name), y_true, y_score, n=1000, level=0.95, seed=0, redraw=redraw
            )
            for name in names
        }

    return drawn(draw, "bootstrap over test records, 1000 draws, 95 %")


def _predictions(part: ECGDataset, scores: np.ndarray) -> Predictions:
    return Predictions(part.meta["record_id"].to_numpy(), part.labels, scores)


def _per_class(parts: Parts, y_score: np.ndarray) -> list[dict[str, Any]]:
    if parts.test.labels.dtype.kind == "f":  # a number, not classes
        return []
    aucs = class_aucs(parts.test.labels, y_score)
    return [
        {
            "class": name,
            "auc": None if np.isnan(auc) else float(auc),
            "positives": {
                part: int(getattr(parts, part).labels[:, k].sum()) for part in ("train", "validation", "test")
            },
        }
        for k, (name, auc) in enumerate(zip(parts.test.classes, aucs, strict=True))
    ]
