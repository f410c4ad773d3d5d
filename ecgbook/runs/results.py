"""The results store: one JSON record per run, predictions beside it, and both as tidy tables."""

import json
import os
import traceback
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgbook.runs.run import Run, canonical_json
from ecgkit.errors import RecordError
from ecgkit.files import atomic_write

__all__ = [
    "ALL_DRAWS",
    "SCHEMA",
    "Predictions",
    "aggregate",
    "content_sha256",
    "experiments",
    "failed_record",
    "load",
    "load_predictions",
    "load_tables",
    "metric_names",
    "read_predictions",
    "read_record",
    "record_path",
    "results_folder",
    "run_fields",
    "save_predictions",
    "state_folder",
    "write_record",
]

SCHEMA = 1
ALL_DRAWS = "classes that a draw lost are left out of it"
"""What `intervals` of a record adds where draws without all classes were not drawn again."""
_IDENTITY = ("dataset", "dataset_version", "task", "model", "method", "protocol", "sampling_rate_hz")


def results_folder(folder: str | Path | None = None) -> Path:
    """The folder of all results: `folder`, else ``$ECGKIT_RESULTS``, else ``results`` in the working folder,
    or, where there is none, ``results`` of the checkout that ecgkit is installed from.
    """
    if chosen := folder or os.environ.get("ECGKIT_RESULTS"):
        return Path(chosen)
    here, checkout = Path("results"), Path(__file__).parents[2] / "results"
    return checkout if checkout.is_dir() and not here.is_dir() else here


def record_path(results: Path, run: Run) -> Path:
    """Where the record of `run` is, or will be: ``results/<experiment>/<hash>.json``."""
    return results / run.experiment / f"{run.hash}.json"


def state_folder(results: Path, run: Run) -> Path:
    """Where a run keeps its lock and checkpoints until it is finished: ``results/.state/<hash>``."""
    return results / ".state" / run.hash


def content_sha256(record: Mapping[str, Any]) -> str:
    """SHA-256 over everything in a record but the field of that name: a number edited by hand shows.

    >>> content_sha256({"a": 1}) == content_sha256({"a": 1, "content_sha256": "anything"})
    True
    """
    rest = {key: value for key, value in record.items() if key != "content_sha256"}
    return sha256(canonical_json(rest).encode()).hexdigest()


def write_record(results: Path, record: Mapping[str, Any]) -> Path:
    """Write the record of a run, whole or not at all, sealed with its ``content_sha256``.

    Args:
        results: The results folder.
        record: At least ``run`` (a dict), ``status`` and whatever was measured, as plain JSON values.

    Returns:
        The path of the JSON file.

    Raises:
        StoreError: If the file cannot be written.
        ValueError: If a value is NaN or infinite, which JSON cannot hold (store None instead).
    """
    run = Run.from_dict(record["run"])
    sealed = {"schema": SCHEMA, **record, "hash": run.hash}
    sealed["content_sha256"] = content_sha256(sealed)
    path = record_path(results, run)
    with atomic_write(path) as file:
        json.dump(sealed, file, indent=1, allow_nan=False, ensure_ascii=False)
        file.write("\n")
    return path


def read_record(path: Path) -> dict[str, Any]:
    """One record as it was written.

    Raises:
        RecordError: If the file is no JSON object, or was changed after it was written.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        content = content_sha256(record) if isinstance(record, dict) else ""
    except ValueError as error:
        raise RecordError(f"{path} is not a whole JSON file: delete it and run the sweep again") from error
    if not isinstance(record, dict) or record.get("content_sha256") != content:
        raise RecordError(
            f"{path} was changed after the run wrote it: restore it, or delete it and run again"
        )
    return record


def failed_record(run: Run, error: BaseException | str, date: datetime | None = None) -> dict[str, Any]:
    """The record of a run that failed: what was run, and the traceback."""
    kind, message, trace = "ProcessDied", str(error), ""
    if isinstance(error, BaseException):
        kind, trace = type(error).__name__, "".join(traceback.format_exception(error))
    return {
        "schema": SCHEMA,
        "status": "failed",
        "run": run.to_dict(),
        "hash": run.hash,
        "error": {"type": kind, "message": message, "traceback": trace},
        "date": (date or datetime.now(UTC)).isoformat(timespec="seconds"),
    }


# Predictions ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Predictions:
    """What a run predicted for the test records, or for another part.

    Attributes:
        record_ids: Identifier of each record, shape (N,).
        y_true: Labels, shape (N, K): uint8, or float32 for a regression task.
        y_score: Scores, shape (N, K) float32, rounded to float16 when they were stored.
    """

    record_ids: np.ndarray
    y_true: np.ndarray
    y_score: np.ndarray


def save_predictions(
    results: Path,
    run: Run,
    test: Predictions,
    learned: Mapping[str, Predictions] | None = None,
) -> str:
    """Store predictions beside the record, compressed and with scores as float16.

    Compute a run's metrics from ``y_score.astype(np.float16)``: they can then be recomputed exactly.

    Args:
        results: The results folder.
        run: The run.
        test: Of the test records.
        learned: Of "train" and "validation", for runs that choose something on them.

    Returns:
        The file name for the record's field ``predictions``.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    arrays: dict[str, np.ndarray] = {}
    for part, found in {"test": test, **(learned or {})}.items():
        ids, y_true, y_score = np.asarray(found.record_ids), found.y_true, found.y_score
        if not len(ids) == len(y_true) == len(y_score) or y_true.shape != y_score.shape:
            raise ValueError(
                f"{len(ids)} {part} records, labels {y_true.shape} and scores {y_score.shape} do not fit"
            )
        arrays |= {
            _array("record_ids", part): ids if ids.dtype.kind in "iu" else ids.astype(str),
            _array("y_true", part): y_true,
            _array("y_score", part): y_score.astype(np.float16),
        }
    path = record_path(results, run).with_suffix(".npz")
    with atomic_write(path, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return path.name


def load_predictions(run_hash: str, results: str | Path | None = None, part: str = "test") -> Predictions:
    """The stored predictions of the run with this hash (or the beginning of it).

    Args:
        run_hash: Hash of the run.
        results: The results folder; see `results_folder`.
        part: "test", or, of runs of the method "decisions", "train" or "validation".

    Raises:
        FileNotFoundError: If no run, or more than one, is stored under that hash with predictions.
        RecordError: If the file is damaged.
        ValueError: If there are no predictions of that part.
    """
    folder = results_folder(results)
    found = sorted(folder.glob(f"*/{run_hash}*.npz"))
    if len(found) != 1:
        raise FileNotFoundError(f"{len(found)} files of predictions match {folder}/*/{run_hash}*.npz")
    return read_predictions(found[0], part)


def read_predictions(path: Path, part: str = "test") -> Predictions:
    """The predictions in a file; see `load_predictions`.

    Raises:
        RecordError: If the file is damaged.
        ValueError: If there are no predictions of that part.
    """
    names = [_array(name, part) for name in ("record_ids", "y_true", "y_score")]
    try:
        with np.load(path, allow_pickle=False) as file:
            found = [file[name] for name in names if name in file]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordError(
            f"{path} cannot be read ({type(error).__name__}: {error}): "
            "restore it, or delete it and its record and run again"
        ) from error
    if len(found) < len(names):
        raise ValueError(f"{path} holds no scores of {part} records")
    ids, y_true, y_score = found
    return Predictions(ids, y_true, y_score.astype(np.float32))


def _array(name: str, part: str) -> str:
    """Name of an array in the file: those of the test records have no prefix."""
    return name if part == "test" else f"{part}_{name}"


# Tables -----------------------------------------------------------------------------------------------


def experiments(results: str | Path | None = None) -> list[str]:
    """Names of the experiments that have at least one record."""
    return sorted({path.parent.name for path in _files(results_folder(results), "*")})


def load(experiment: str, results: str | Path | None = None, status: str = "finished") -> pd.DataFrame:
    """All runs of an experiment, one row each.

    Columns: the fields of `Run` (``params`` as ``params.<name>``), for each metric ``<name>``, ``<name>_low``
    and ``<name>_high``, then epochs, effective_epochs, samples_backprop, seconds, peak_memory_mib,
    records_train, records_validation, records_test, predicted (if each test record has a score),
    fingerprint, device, commit, date, status, hash and
    content_sha256. Training on less data adds its counts (see `ecgkit.training.selection.Accounting`),
    compute_equivalent_epochs, and seconds_<phase>.

    Args:
        experiment: Folder of the results.
        results: The results folder; see `results_folder`.
        status: "finished" or "failed".

    Returns:
        A frame with a row per run, sorted by the fields of the run; empty when nothing has been run.

    Raises:
        RecordError: If a record was changed after it was written.
    """
    records = [read_record(path) for path in _files(results_folder(results), experiment)]
    rows = [_row(record) for record in records if record["status"] == status]
    if not rows:
        return pd.DataFrame(columns=["experiment", *_IDENTITY, "seed", "device", "date", "status", "hash"])
    frame = pd.DataFrame(rows)
    params = sorted(name for name in frame.columns if name.startswith("params."))
    first = ["experiment", *_IDENTITY, *params, "seed"]
    frame = frame[first + [name for name in frame.columns if name not in first]]
    keys = [name for name in [*_IDENTITY, "seed", "hash"] if name in frame.columns]
    return frame.sort_values(keys, kind="stable").reset_index(drop=True)


def load_tables(runs: pd.DataFrame, results: str | Path | None = None) -> pd.DataFrame:
    """The tables that runs stored, one below the other, with the columns ``hash`` and ``seed`` of their run.

    Args:
        runs: Rows of `load`.
        results: The results folder; see `results_folder`.

    Raises:
        RecordError: If a record was changed after it was written.
    """
    folder, frames = results_folder(results), []
    for experiment, key, seed in zip(runs["experiment"], runs["hash"], runs["seed"], strict=True):
        record = read_record(folder / experiment / f"{key}.json")
        frames.append(pd.DataFrame(record.get("table", [])).assign(hash=key, seed=seed))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["hash", "seed"])


def _files(results: Path, experiment: str) -> Iterator[Path]:
    return (p for p in sorted(results.glob(f"{experiment}/*.json")) if not p.parent.name.startswith("."))


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    run = dict(record["run"])
    params = run.pop("params", {})
    # A list is shown as text: a cell of a table must be a plain value to be grouped and compared.
    flat = {
        f"params.{key}": value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
        for key, value in params.items()
    }
    metrics: dict[str, Any] = {}
    for name, value in record.get("metrics", {}).items():
        metrics |= {name: value["point"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
    data = record.get("data", {})
    counts = {f"records_{part}": count for part, count in data.get("records", {}).items()}
    seconds = record.get("seconds")
    measured = {
        "epochs": len(record["curve"]) if "curve" in record else None,
        "effective_epochs": record.get("effective_epochs"),
        "samples_backprop": record.get("samples_backprop"),
        "seconds": sum(max(0.0, each) for each in seconds.values()) if seconds else None,
        "peak_memory_mib": record.get("peak_memory_mib"),
        **({"gpu_joules": record["gpu_joules"]} if "gpu_joules" in record else {}),
        **counts,
        "predicted": bool(record.get("predictions")),
        "fingerprint": data.get("fingerprint"),
        "device": record.get("device"),
        "commit": record.get("commit"),
    }
    if "accounting" in record:
        measured |= record["accounting"]
        measured |= {f"seconds_{phase}": value for phase, value in record["seconds"].items()}
    if record["status"] == "failed":
        measured["error"] = record.get("error", {}).get("message")
    last = {key: record.get(key) for key in ("date", "status", "hash", "content_sha256")}
    return {**run, **flat, **metrics, **measured, **last}


def metric_names(frame: pd.DataFrame) -> list[str]:
    """The metrics in a frame of `load`: the columns that have an interval beside them."""
    return [c for c in frame.columns if f"{c}_low" in frame.columns and f"{c}_high" in frame.columns]


def run_fields(frame: pd.DataFrame) -> list[str]:
    """The columns that tell configurations apart: everything of a run but its seed."""
    fixed = [name for name in ("experiment", *_IDENTITY) if name in frame.columns]
    return fixed + [name for name in frame.columns if name.startswith("params.")]


def aggregate(frame: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """One row per configuration: each metric's mean over seeds with its Student t interval.

    A configuration with a single seed keeps that run's own bootstrap interval; the column ``seeds`` says
    which of the two a row has.

    Args:
        frame: What `load` returned.
        level: Level of the interval over seeds.
    """
    from ecgkit.evaluation import mean_interval

    fields, names = run_fields(frame), metric_names(frame)
    rows: list[dict[str, Any]] = []
    for key, group in frame.groupby(fields, sort=False, dropna=False):
        row: dict[str, Any] = dict(zip(fields, key, strict=True))
        row["seeds"] = group["seed"].nunique()
        for name in names:
            values = group[name].dropna().to_numpy(float)
            if len(values) > 1:
                interval = mean_interval(values, level=level)
                row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
            else:
                row |= {column: group[column].iloc[0] for column in (name, f"{name}_low", f"{name}_high")}
        row |= {"device": ", ".join(sorted(set(group["device"].dropna()))), "date": group["date"].max()}
        rows.append(row)
    return pd.DataFrame(rows)
