"""Doing one run, from the data set to its record in `results/`.

To add a method, write a function like `supervised`, in a module of its own, and enter it in `METHODS`.
"""

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ecgbook.experiments.age_sex_quality import age, quality, sex
from ecgbook.experiments.baselines import naive, wavelet_nn
from ecgbook.experiments.compressed import compressed
from ecgbook.experiments.decisions import decisions
from ecgbook.experiments.leakage import leakage
from ecgbook.experiments.melep_folds import melep_folds
from ecgbook.experiments.melep_selection import melep_selection
from ecgbook.experiments.method import RunResult, Splits, drawn, load_for
from ecgbook.experiments.planted import planted
from ecgbook.experiments.relevance import relevance
from ecgbook.experiments.selected import selected
from ecgbook.experiments.supervised import supervised
from ecgbook.experiments.thesis import thesis
from ecgbook.experiments.transfer_curve import transfer
from ecgbook.experiments.uncertainty import ensemble
from ecgbook.runs import machine
from ecgbook.runs.records import (
    Predictions,
    record_path,
    require_writable,
    save_predictions,
    state_folder,
    stored_status,
    write_record,
)
from ecgbook.runs.run import Run
from ecgkit import evaluation
from ecgkit.datasets.base import ECGDataset
from ecgkit.evaluation import bootstrap, class_aucs
from ecgkit.evaluation.bootstrap import BootstrapResult
from ecgkit.files import sha256_file
from ecgkit.training import choose_device, selection

__all__ = ["METHODS", "execute"]

METHODS: dict[str, Callable[..., RunResult]] = {
    "age": age,
    "compressed": compressed,
    "decisions": decisions,
    "ensemble": ensemble,
    "leakage": leakage,
    "naive": naive,
    "planted": planted,
    "quality": quality,
    "relevance": relevance,
    "sex": sex,
    "supervised": supervised,
    "wavelet_nn": wavelet_nn,
    "melep_folds": melep_folds,
    "melep_selection": melep_selection,
    "thesis": thesis,
    "transfer": transfer,
    **dict.fromkeys(selection.names(), selected),
}
"""How a run gets from training records to scores for the test records: one function per method."""


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

    Checkpoints belong to the run and to the fingerprint of its data: with other data it begins anew.

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
        DataNotFoundError: If the data are not there, or not whole (see `ecgbook.experiments.method`).
        StoreError: If the results cannot be written.
    """
    path = record_path(results, run)
    if (stored := stored_status(results, run)) and stored[0] == "finished":
        return path
    if run.method not in METHODS:
        raise ValueError(f"no method {run.method!r}; there are {', '.join(METHODS)}")
    require_writable(results, run.experiment)
    if threads is not None:
        torch.set_num_threads(threads)
        threadpool_limits(threads)  # of OpenMP and BLAS
    chosen = choose_device(device)
    machine.reset_peak_memory(chosen.type)  # a worker may have done other runs before
    begin = time.perf_counter()
    parts = _parts(run, data_root)
    loaded = time.perf_counter()
    state = state_folder(results, run)
    checkpoint = state / parts.train.fingerprint[:16] / "checkpoint.pt"
    joules = machine.gpu_joules() if chosen.type == "cuda" else None
    outcome = METHODS[run.method](run, parts, chosen, checkpoint, progress)
    worked = time.perf_counter()
    spent = machine.gpu_joules() if joules is not None else None
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


def _parts(run: Run, root: Path | None) -> Splits:
    dataset = load_for(run, run.dataset, run.task, root)
    if dataset.version != run.dataset_version:
        raise ValueError(
            f"the run asks for {run.dataset} {run.dataset_version}, the data at hand are {dataset.version}"
        )
    return Splits(*dataset.labelled().split(), root=root)


def _record(run: Run, parts: Splits, outcome: RunResult, results: Path) -> dict[str, Any]:
    """Everything but times and device."""
    parts = outcome.parts or parts
    intervals = [outcome.intervals] if outcome.values else []
    record: dict[str, Any] = {
        "status": "finished",
        "run": run.to_dict(),
        "per_class": [],
        "predictions": None,
    }
    metrics: dict[str, dict[str, float]] = {}
    if outcome.scores is not None:
        y_true = parts.test.labels
        y_score = outcome.scores.astype(np.float16).astype(np.float32)  # as they are stored
        found, how = _bootstrapped(outcome.metrics, y_true, y_score)
        metrics = {name: {"point": i.point, "low": i.low, "high": i.high} for name, i in found.items()}
        record["per_class"] = _per_class(parts, y_score)
        learned = {name: _predictions(getattr(parts, name), s) for name, s in outcome.learned_scores.items()}
        record["predictions"] = save_predictions(results, run, _predictions(parts.test, y_score), learned)
        record["predictions_sha256"] = sha256_file(record_path(results, run).with_suffix(".npz"))
        intervals.insert(0, how)
    return {
        **record,
        "metrics": {**metrics, **outcome.values},
        "intervals": "; ".join(intervals),
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


def _per_class(parts: Splits, y_score: np.ndarray) -> list[dict[str, Any]]:
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
