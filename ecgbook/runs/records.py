"""Where results are, and what is kept of one run: a sealed JSON record, and its predictions beside it."""

import json
import os
import traceback
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from ecgbook.runs.run import Run, canonical_json
from ecgkit.errors import DamagedError, DataNotFoundError, FormatError, StoreError
from ecgkit.files import atomic_write

__all__ = [
    "ALL_DRAWS",
    "SCHEMA",
    "Predictions",
    "content_sha256",
    "failed_record",
    "load_predictions",
    "read_predictions",
    "read_record",
    "record_path",
    "require_writable",
    "results_folder",
    "save_predictions",
    "state_folder",
    "stored_status",
    "write_record",
]

SCHEMA = 1
ALL_DRAWS = "classes that a draw lost are left out of it"
"""What `intervals` of a record adds where draws without all classes were not drawn again."""
_MAX_BYTES = 2**26  # of a record; a larger file is not read
_MAX_UNPACKED = 2**30  # of a file of predictions: 1 GiB


# Folders ----------------------------------------------------------------------------------------------


def results_folder(folder: str | Path | None = None, to_write: bool = False) -> Path:
    """The folder of all results: `folder`, else ``$ECGKIT_RESULTS``, else ``results`` in the working folder.

    Where there is none, results are read from ``results`` of the checkout that the package is installed from.
    New runs never go there by themselves.

    Args:
        folder: The folder that was asked for.
        to_write: Whether runs will be written to it.
    """
    if chosen := folder or os.environ.get("ECGKIT_RESULTS"):
        return Path(chosen)
    here, checkout = Path("results"), Path(__file__).parents[2] / "results"
    return checkout if checkout.is_dir() and not here.is_dir() and not to_write else here


def record_path(results: Path, run: Run) -> Path:
    """Where the record of `run` is, or will be: ``results/<experiment>/<hash>.json``."""
    return results / run.experiment / f"{run.hash}.json"


def state_folder(results: Path, run: Run) -> Path:
    """Where a run keeps its lock and checkpoints until it is finished: ``results/.state/<hash>``."""
    return results / ".state" / run.hash


def require_writable(results: Path, experiment: str) -> None:
    """Fail before the training, and not after it, where its results could not be written.

    Raises:
        StoreError: If they could not.
    """
    for folder in (results / experiment, results / ".state"):
        probe = folder / f".writable-{os.getpid()}"
        with atomic_write(probe) as file:
            file.write("yes")
        probe.unlink(missing_ok=True)


# Records ----------------------------------------------------------------------------------------------


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
        DataNotFoundError: If there is no such file.
        DamagedError: If the file is no whole record, was changed after it was written, or lies under a name
            that belongs to another run.
        FormatError: If another version of the package wrote it.
        StoreError: If the file may not be read.
    """
    if not path.exists():
        raise DataNotFoundError(f"no record {path}: do the run, or check the path")
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise DamagedError(f"{path} is no file of a record's size: take it out of the results")
    try:
        record = json.loads(path.read_bytes().decode("utf-8"))
        content = content_sha256(record) if isinstance(record, dict) else ""
    except (ValueError, RecursionError, MemoryError) as error:
        raise DamagedError(
            f"{path} is not a whole JSON file ({error}): restore it, or delete it and run again"
        ) from error
    except OSError as error:
        raise StoreError(error.errno, f"{path} cannot be read ({error.strerror}): check who may") from error
    if not isinstance(record, dict) or record.get("content_sha256") != content:
        raise DamagedError(
            f"{path} was changed after the run wrote it: restore it, or delete it and run again"
        )
    if record.get("schema") != SCHEMA:
        raise FormatError(
            f"{path} has schema {record.get('schema')!r}, not {SCHEMA}: read it with what wrote it"
        )
    if problem := next(_faults(path, record), None):
        raise DamagedError(f"{path}: {problem}. Restore it, or delete it and run again")
    return record


def stored_status(results: Path, run: Run) -> tuple[str, str] | None:
    """Status and ``content_sha256`` of the record of a run, or None when it has none."""
    path = record_path(results, run)
    if not path.exists():
        return None
    record = read_record(path)
    return record["status"], record["content_sha256"]


_NUMBER: Any = (int, float)
_NUMBERS: Any = {...: _NUMBER}
_ALWAYS: dict[str, Any] = {"run": {}, "hash": str, "date": str}
_FIELDS: dict[str, dict[str, Any]] = {
    "finished": {
        **_ALWAYS,
        "metrics": {...: {"point": _NUMBER, "low": _NUMBER, "high": _NUMBER}},
        "intervals": str,
        "per_class": [{"class": str, "auc": (*_NUMBER, NoneType), "positives": {"test": int}}],
        "config": {},
        "curve": [{}],
        "samples_backprop": int,
        "effective_epochs": _NUMBER,
        "seconds": _NUMBERS,
        "peak_memory_mib": (*_NUMBER, NoneType),
        "device": str,
        "threads": int,
        "versions": {},
        "data": {"records": {"train": int, "validation": int, "test": int}},
        "commit": str,
        "predictions": (str, NoneType),
    },
    "failed": {**_ALWAYS, "error": {"type": str, "message": str, "traceback": str}},
}
"""What a record must hold, by status: types, lists, dictionaries with names, or with any (...)."""
_OPTIONAL: dict[str, Any] = {"accounting": _NUMBERS, "table": [{}], "gpu_joules": _NUMBER}


def _fits(value: Any, form: Any) -> bool:
    """Whether a value has a form; see `_FIELDS`. A truth value is no number."""
    if isinstance(form, list):
        return isinstance(value, list) and all(_fits(inner, form[0]) for inner in value)
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return False
        if ... in form:
            return all(_fits(inner, form[...]) for inner in value.values())
        return all(name in value and _fits(value[name], inner) for name, inner in form.items())
    return isinstance(value, form) and not (
        isinstance(value, bool) or (isinstance(value, int) and abs(value) >= 2**63)
    )


def _faults(path: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """What in a record is not as a run writes it."""
    needed = _FIELDS.get(str(record.get("status")))
    if needed is None:
        yield f"status {record.get('status')!r} is neither finished nor failed"
        return
    optional = {name: form for name, form in _OPTIONAL.items() if name in record}
    for name, form in {**needed, **optional}.items():
        if name not in record:
            yield f"field {name} is missing"
        elif not _fits(record[name], form):
            yield f"field {name} is not what a run writes: {str(record[name])[:60]}"
    try:
        run = Run.from_dict(record["run"])
    except (ValueError, TypeError, KeyError) as error:
        yield f"field run: {error}"
        return
    if record.get("hash") != run.hash or (path.parent.name, path.stem) != (run.experiment, run.hash):
        yield f"its run belongs to {run.experiment}/{run.hash}.json"


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
        DataNotFoundError: If no run, or more than one, is stored under that hash with predictions.
        DamagedError: If the file is damaged.
        ValueError: If there are no predictions of that part.
    """
    folder = results_folder(results)
    found = sorted(p for p in folder.glob("*/*.npz") if run_hash and p.stem.startswith(run_hash))
    if len(found) != 1:
        raise DataNotFoundError(
            f"{len(found)} files of predictions match {folder}/*/{run_hash}*.npz: check both"
        )
    return read_predictions(found[0], part)


def read_predictions(path: Path, part: str = "test") -> Predictions:
    """The predictions in a file; see `load_predictions`.

    Raises:
        DamagedError: If the file is damaged.
        ValueError: If there are no predictions of that part.
    """
    if not path.is_file():
        raise DataNotFoundError(f"no file of predictions {path}: restore it, or run again")
    names = [_array(name, part) for name in ("record_ids", "y_true", "y_score")]
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > _MAX_UNPACKED:
                raise ValueError(f"more than {_MAX_UNPACKED:,} bytes")
        with np.load(path, allow_pickle=False) as file:
            found = [file[name] for name in names if name in file]
            if (found or part == "test") and not (len(found) == len(names) and _fit(*found)):
                raise ValueError("its arrays are not all there, do not fit each other, or hold no numbers")
    except Exception as error:  # a damaged file can make numpy and zipfile raise nearly anything
        raise DamagedError(
            f"{path} cannot be read ({type(error).__name__}: {error}): "
            "restore it, or delete it and its record and run again"
        ) from error
    if not found:
        raise ValueError(f"{path} holds no scores of {part} records")
    ids, y_true, y_score = found
    return Predictions(ids, y_true, y_score.astype(np.float32))


def _fit(ids: np.ndarray, y_true: np.ndarray, y_score: np.ndarray) -> bool:
    same = y_true.ndim == 2 and ids.shape == y_true.shape[:1] and y_true.shape == y_score.shape
    return same and y_true.dtype.kind in "buif" and y_score.dtype.kind == "f"


def _array(name: str, part: str) -> str:
    """Name of an array in the file: those of the test records have no prefix."""
    return name if part == "test" else f"{part}_{name}"
