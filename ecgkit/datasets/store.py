"""The cache of converted data sets: one memory-mapped int16 array and small tables, made once.

Layout of a store folder, ``<cache>/<name>-<rate>hz-<key of the root>/``::

    signals.npy   int16 (N, 12, T)
    meta.npz      the metadata, one array per column
    labels.npz    labels and known records of every task, lengths
    truth.npz     planted truth, synthetic sets only
    store.json    sizes of these files, where they came from, fingerprint; written last
"""

import hashlib
import json
import logging
import os
import shutil
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from ecgkit import __version__
from ecgkit.datasets.base import Contents, DataSource, ECGDataset, known_records
from ecgkit.datasets.convert import Converted, convert_signals, read_wfdb
from ecgkit.datasets.frames import frame_to_arrays, frame_update, read_arrays, read_frame
from ecgkit.errors import DataNotFoundError, EcgkitError, RecordError, StoreError
from ecgkit.files import write_error

__all__ = ["SCHEMA", "adopt", "cache_root", "open_or_convert", "read_wfdb", "store_folder"]

SCHEMA = 1

# The generator of synthetic data writes these two beside a published layout.
_TRUTH, _SYNTHETIC = "truth.csv", "synthetic.json"

_LOG = logging.getLogger(__name__)
_ONE_AT_A_TIME = threading.Lock()


def cache_root() -> Path:
    """Folder of all caches: ``$ECGKIT_CACHE``, or the user's cache folder."""
    given = os.environ.get("ECGKIT_CACHE")
    if given:
        return Path(given)
    try:
        from platformdirs import user_cache_dir
    except ImportError:
        return Path.home() / ".cache" / "ecgkit"
    return Path(user_cache_dir("ecgkit", appauthor=False))


def store_folder(source: DataSource, root: Path, sampling_rate_hz: int) -> Path:
    """Where the store of a data set that lies in `root` is kept."""
    key = hashlib.sha256(os.fspath(root.resolve()).encode()).hexdigest()[:10]
    return cache_root() / f"{source.name}-{sampling_rate_hz}hz-{key}"


def open_or_convert(source: DataSource, root: Path, task: str, sampling_rate_hz: int) -> ECGDataset:
    """Open the store of a data set; make it first if there is none that fits the files in `root`.

    A store is made anew when the names, sizes or times of the source's files have changed, when another
    version of ecgkit wrote it, or when it is damaged. Only one process makes it; others wait for it.

    Raises:
        DataNotFoundError: If none of the records is in `root`.
        RecordError: If a record is damaged.
        StoreError: If the cache folder is full or cannot be written.
    """
    files = source.files(root, sampling_rate_hz)
    files += [root / name for name in (_TRUTH, _SYNTHETIC) if (root / name).exists()]
    folder = store_folder(source, root, sampling_rate_hz)
    state = _listing(source, root, files)
    info = _valid(folder, state)
    if info is None:
        with _locked(folder):
            info = _valid(folder, state) or _make(source, root, sampling_rate_hz, files, folder, state)
    return _open(source, folder, info, task)


def _listing(source: DataSource, root: Path, files: list[Any]) -> str:
    """SHA-256 over name, size and time of each file that the store depends on."""
    head = f"{__version__} {source.name} {source.mv_per_unit!r} {source.tasks}\n"
    start = len(os.fspath(root))
    lines = []
    for file in map(os.fspath, files):
        status = os.stat(file)  # noqa: PTH116 - Path is slow for 40,000 files
        lines.append(f"{file[start:]}\t{status.st_size}\t{status.st_mtime_ns}\n")
    lines.sort()
    return hashlib.sha256((head + "".join(lines)).encode()).hexdigest()


def _valid(folder: Path, state: str) -> dict[str, Any] | None:
    """The store's description, or None where it is missing, outdated or damaged."""
    try:
        info: dict[str, Any] = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        if info["schema"] != SCHEMA or info["source"] != state:
            return None
        if any((folder / name).stat().st_size != size for name, size in info["sizes"].items()):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return info


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a store. The system frees it when its holder dies, however it dies."""
    path = folder.with_name(folder.name + ".lock")
    with _ONE_AT_A_TIME:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            raise _cache_error(path, error) from error
        with file:
            _lock(file, path)
            yield


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,unused-ignore]
        return
    # A POSIX lock, because forked workers do not inherit it.
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _LOG.warning("another process is converting this data set; waiting for it (%s)", path)
        fcntl.lockf(file, fcntl.LOCK_EX)


def _make(
    source: DataSource, root: Path, sampling_rate_hz: int, files: list[Any], folder: Path, state: str
) -> dict[str, Any]:
    """Convert into a temporary folder beside `folder` and put it in place. The lock is held."""
    for left_over in folder.parent.glob(f"{folder.name}.*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)
    contents = source.describe(root, sampling_rate_hz, files)
    if not contents.records:
        raise DataNotFoundError(
            f"{root} lists {contents.missing} records of {source.name} but holds none of them at "
            f"{sampling_rate_hz} Hz. {source.remedy}"
        )
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        _check_space(folder.parent, len(contents.records) * 24 * contents.max_samples)
        info = _write(source, root, contents, sampling_rate_hz, temporary, state)
        if folder.exists():
            old = folder.with_name(f"{folder.name}.{os.getpid()}.old.tmp")
            folder.replace(old)
            temporary.replace(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.replace(folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, EcgkitError):
            raise _cache_error(folder, error) from error
        raise
    return info


def _aligned(truth: pd.DataFrame, meta: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows of the planted truth in the order of the metadata."""
    rows = pd.Index(truth["record_id"].astype(str)).get_indexer(pd.Index(meta["record_id"].astype(str)))
    if (rows < 0).any():
        raise RecordError(
            f"{path} does not know record {meta['record_id'].iloc[int(rows.argmin())]}; make it anew"
        )
    return truth.iloc[rows].reset_index(drop=True)


def _version(contents: Contents, root: Path) -> str:
    """The published version, or that of the generator: synthetic data must not pass for real ones."""
    if not (root / _SYNTHETIC).exists():
        return contents.version
    return f"synthetic-{json.loads((root / _SYNTHETIC).read_text(encoding='utf-8'))['generator_version']}"


def _write(
    source: DataSource, root: Path, contents: Contents, sampling_rate_hz: int, folder: Path, state: str
) -> dict[str, Any]:
    done = convert_signals(
        folder / "signals.npy",
        contents.records,
        contents.max_samples,
        sampling_rate_hz,
        source.mv_per_unit,
        source.read or read_wfdb,
    )
    np.savez(folder / "meta.npz", **frame_to_arrays(contents.meta))  # type: ignore[arg-type]
    if (root / _TRUTH).exists():
        truth = _aligned(pd.read_csv(root / _TRUTH), contents.meta, root / _TRUTH)
        np.savez(folder / "truth.npz", **frame_to_arrays(truth))  # type: ignore[arg-type]
    arrays = {"lengths": done.lengths}
    for task, labels in contents.tasks.items():
        known = known_records(labels.values) if labels.known is None else labels.known
        arrays |= {f"{task} values": labels.values, f"{task} known": known}
    np.savez(folder / "labels.npz", **arrays)  # type: ignore[arg-type]
    info = {
        "schema": SCHEMA,
        "source": state,
        "name": source.name,
        "version": _version(contents, root),
        "sampling_rate_hz": sampling_rate_hz,
        "mv_per_unit": source.mv_per_unit,
        "fingerprint": _fingerprint(source, contents, sampling_rate_hz, done),
        "records": len(contents.records),
        "missing": contents.missing,
        "clipped": done.clipped,
        "classes": {task: list(labels.classes) for task, labels in contents.tasks.items()},
        "sizes": {file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    }
    with (folder / "store.json").open("w", encoding="utf-8") as file:
        json.dump(info, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return info


def _fingerprint(source: DataSource, contents: Contents, sampling_rate_hz: int, done: Converted) -> str:
    """SHA-256 over the valid samples of all records, in order, and the metadata."""
    digest = hashlib.sha256(f"{source.mv_per_unit!r} mV, {sampling_rate_hz} Hz\n".encode())
    for record in done.digests:
        digest.update(record)
    frame_update(digest, contents.meta)
    return digest.hexdigest()


def _open(source: DataSource, folder: Path, info: dict[str, Any], task: str) -> ECGDataset:
    if info["missing"]:
        warnings.warn(
            f"{source.name}: {info['missing']} of {info['missing'] + info['records']} records are not on "
            f"this disk or have an unreadable header; only the other {info['records']} were loaded",
            stacklevel=4,
        )
    if info["clipped"]:
        first = next(iter(info["clipped"]))
        warnings.warn(
            f"{source.name}: {sum(info['clipped'].values())} samples of {len(info['clipped'])} records (such "
            f"as {first}) exceed {32767 * source.mv_per_unit:.1f} mV and were clipped",
            stacklevel=4,
        )
    labels = read_arrays(folder / "labels.npz", ["lengths", f"{task} values", f"{task} known"])
    truth = folder / "truth.npz"
    return ECGDataset(
        name=source.name,
        version=info["version"],
        task=task,
        sampling_rate_hz=info["sampling_rate_hz"],
        signals=np.load(folder / "signals.npy", mmap_mode="r", allow_pickle=False),
        mv_per_unit=info["mv_per_unit"],
        labels=labels[f"{task} values"],
        classes=tuple(info["classes"][task]),
        meta=read_frame(read_arrays(folder / "meta.npz")),
        fingerprint=info["fingerprint"],
        lengths=labels["lengths"],
        known=labels[f"{task} known"],
        truth=read_frame(read_arrays(truth)) if truth.exists() else None,
    )


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(
            f"{folder}: the disk is full: converting needs {needed / 1e6:,.0f} MB and {free / 1e6:,.0f} MB "
            "are free; free some space, or set ECGKIT_CACHE to a folder on another disk"
        )


def _cache_error(path: Path, error: OSError) -> StoreError:
    return StoreError(
        error.errno, f"{write_error(path, error).strerror} (ECGKIT_CACHE names the cache folder)"
    )


def adopt(source: DataSource, root: Path, sampling_rate_hz: int, made: Path) -> Path:
    """Take over a store folder that was made on another machine, so that `open_or_convert` opens it as it is.

    Args:
        source: The data set.
        root: Its folder on this machine; the tables are enough, signals are not needed.
        sampling_rate_hz: The rate of the store.
        made: The folder of the store; it is moved into the cache.

    Returns:
        Where the store is now.
    """
    folder = store_folder(source, root, sampling_rate_hz)
    info = json.loads((made / "store.json").read_text(encoding="utf-8"))
    info["source"] = _listing(source, root, source.files(root, sampling_rate_hz))
    info["sizes"] = {file.name: file.stat().st_size for file in made.iterdir() if file.name != "store.json"}
    (made / "store.json").write_text(json.dumps(info, indent=1), encoding="utf-8")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made.replace(folder)
    return folder
