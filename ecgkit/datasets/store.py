"""The cache of converted data sets: one memory-mapped int16 array and small tables, made once.

Layout of a store folder, ``<cache>/<name>-<rate>hz-<key of the root>/``::

    signals.npy   int16 (N, 12, T)
    meta.npz      the metadata, one array per column
    labels.npz    labels and known records of every task, lengths
    truth.npz     planted truth, synthetic sets only
    store.json    size and SHA-256 of these files, where they came from, fingerprint, a seal; written last
"""

import hashlib
import json
import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from ecgkit import __version__
from ecgkit.datasets.base import Contents, DataSource, ECGDataset, known_records
from ecgkit.datasets.convert import Converted, convert_signals, read_wfdb
from ecgkit.errors import DamagedError, DataNotFoundError, EcgkitError, StoreError, TableError
from ecgkit.files import sha256_file, write_error
from ecgkit.tabular import frame_to_arrays, frame_update, read_arrays, read_frame

__all__ = ["SCHEMA", "cache_root", "open_or_convert", "planted", "read_wfdb", "store_folder", "verify_store"]

SCHEMA = 2

# The generator of synthetic data writes these two beside a published layout.
_TRUTH, _SYNTHETIC = "truth.csv", "synthetic.json"

_WHOLE_BYTES = 2**26  # files up to this size are compared whole at each opening, of longer ones the beginning
_BEGINNING_BYTES = 2**16

# Modules that decide neither labels nor signals; a change of any other one makes stores anew.
_OTHER_CODE = ("archives", "cards", "check", "download", "fetch", "plot", "published", "wavelets", "windows")

_LOG = logging.getLogger(__name__)


def cache_root() -> Path:
    """Folder of all caches: ``$ECGKIT_CACHE``, or the user's cache folder."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("ECGKIT_CACHE") or user_cache_dir("ecgkit", appauthor=False))


def store_folder(source: DataSource, root: Path, sampling_rate_hz: int) -> Path:
    """Where the store of a data set that lies in `root` is kept."""
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:10]
    return cache_root() / f"{source.name}-{sampling_rate_hz}hz-{key}"


def open_or_convert(source: DataSource, root: Path, task: str, sampling_rate_hz: int) -> ECGDataset:
    """Open the store of a data set; make it first if there is none that fits the files in `root`.

    A store is made anew when the names, sizes or times of the source's files have changed, or the code or the
    tables of ecgkit that make labels and signals, or when it is damaged. Only one process makes it; others
    wait for it.

    Raises:
        DataNotFoundError: If none of the records is in `root`.
        RecordError: If a table is at fault or a record cannot be used.
        StoreError: If the cache folder is full or cannot be written.
    """
    files = source.files(root, sampling_rate_hz)
    made = [root / name for name in (_TRUTH, _SYNTHETIC) if (root / name).exists()]
    folder = store_folder(source, root, sampling_rate_hz)
    state = _state(source, root, [*files, *made])
    info = _valid(folder, state)
    if info is None:
        with _locked(folder):
            info = _valid(folder, state) or _make(source, root, sampling_rate_hz, files, folder, state)
    return _open(source, folder, info, task)


def verify_store(source: DataSource, root: Path, sampling_rate_hz: int) -> None:
    """Compare all files of the store of a data set, if there is one, with their SHA-256.

    Raises:
        StoreError: If one is damaged; the message names it.
    """
    folder = store_folder(source, root, sampling_rate_hz)
    if (folder / "store.json").exists() and (fault := _fault(folder, None, whole=True)):
        raise StoreError(f"{fault} is damaged; delete the folder {folder}, it is made anew when it is needed")


def _state(source: DataSource, root: Path, files: list[Any]) -> str:
    """SHA-256 over all that a store depends on: name, size and time of each file, and the code and tables."""
    lines = [f"{__version__} {source.name} {source.mv_per_unit!r} {source.tasks} {_code(source)}\n"]
    start = len(os.fspath(root))
    for file in sorted(map(os.fspath, files)):
        try:
            status = os.stat(file)  # noqa: PTH116 - Path is slow for 40,000 files
            lines.append(f"{file[start:]}\t{status.st_size}\t{status.st_mtime_ns}\n")
        except OSError:  # a link that leads nowhere
            lines.append(f"{file[start:]}\tgone\n")
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _code(source: DataSource) -> str:
    """SHA-256 over the code and the tables that decide labels and signals.

    They are the package's own files, and, where a function comes from elsewhere (in a data set of the user's,
    or put in the place of one of ours), that function.
    """
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    kinds = ("datasets/*.py", "signals/*.py", "tabular.py", "datasets/tables/*.csv")
    own: set[str] = set()  # names of our functions
    functions: list[Any] = [source.files, source.describe, source.read]
    for path in sorted(file for kind in kinds for file in package.glob(kind) if file.stem not in _OTHER_CODE):
        content = path.read_bytes()
        own.update(name.decode() for name in re.findall(rb"^def (\w+)", content, re.MULTILINE))
        digest.update(path.name.encode() + content)
    for name, module in sorted(sys.modules.items()):
        if name.startswith(("ecgkit.datasets.", "ecgkit.signals.", "ecgkit.tabular")):
            functions += [vars(module)[function] for function in sorted(own & vars(module).keys())]
    for function in functions:
        while isinstance(function, partial):
            function = function.func
        home, code = str(getattr(function, "__module__", "")), getattr(function, "__code__", None)
        if code is not None and not home.startswith("ecgkit."):
            file = getattr(sys.modules.get(home), "__file__", None)
            digest.update(Path(file).read_bytes() if file else b"")
            constants = [value for value in code.co_consts if not isinstance(value, CodeType)]
            digest.update(repr((function.__name__, code.co_code, code.co_names, constants)).encode())
    return digest.hexdigest()


def _valid(folder: Path, state: str) -> dict[str, Any] | None:
    """The store's description, or None where it is missing, outdated or damaged."""
    try:
        info = _description(folder)
        if info["schema"] != SCHEMA or info["source"] != state:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if fault := _fault(folder, info):
        _LOG.warning("%s is damaged; the data set is converted again", fault)
        return None
    return info


def _description(folder: Path) -> dict[str, Any]:
    """What ``store.json`` says; OSError where it is no file (a pipe would be waited for)."""
    path = folder / "store.json"
    if not path.is_file():
        raise FileNotFoundError(path)
    info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return info


def _fault(folder: Path, info: dict[str, Any] | None, whole: bool = False) -> Path | None:
    """The first file of a store that is not as it was written, None where all are."""
    path = folder / "store.json"
    try:
        info = info or _description(folder)
        if info["seal"] != _seal(info):
            return path
        for name, written in info["files"].items():
            path = folder / name
            short = not whole and written["bytes"] > _WHOLE_BYTES
            if path.stat().st_size != written["bytes"]:
                return path
            if (_beginning(path) if short else sha256_file(path)) != written[
                "beginning" if short else "sha256"
            ]:
                return path
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return path
    return None


def _seal(info: dict[str, Any]) -> str:
    """SHA-256 of a description without its seal."""
    plain = {name: value for name, value in info.items() if name != "seal"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(_BEGINNING_BYTES)).hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a store. The system frees it when its holder dies, however it dies."""
    path = folder.with_name(folder.name + ".lock")
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _LOG.warning("another process is converting this data set; waiting for it (%s)", path)
            lock.acquire()
    except OSError as error:
        raise _cache_error(path, error) from error
    except NotImplementedError as error:
        raise StoreError(
            f"{path}: this file system has no locks; set ECGKIT_CACHE to a local folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _make(
    source: DataSource, root: Path, sampling_rate_hz: int, files: list[Any], folder: Path, state: str
) -> dict[str, Any]:
    """Convert into a temporary folder beside `folder` and put it in place. The lock is held."""
    for left_over in folder.parent.glob(f"{folder.name}.*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)
    contents = source.describe(root, sampling_rate_hz, files)
    if not contents.records:
        some = "".join(f". {_short(root, path)}: {reason}" for path, reason in contents.left_out[:3])
        raise DataNotFoundError(
            f"{root} lists {contents.missing} records of {source.name} but holds none of them at "
            f"{sampling_rate_hz} Hz{some}. {source.remedy}"
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


def _short(root: Path, path: Path) -> str:
    """A file's name below the root of its data set."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _truth(path: Path, meta: pd.DataFrame) -> pd.DataFrame:
    """The rows of the planted truth in the order of the metadata."""
    try:
        truth = pd.read_csv(path)
        names = pd.Index(truth["record_id"].astype(str))
    except (OSError, ValueError, KeyError) as error:
        raise TableError(f"{path} cannot be read ({str(error).strip()}); make the data set anew") from error
    if names.has_duplicates:
        raise TableError(f"{path} lists record {names[names.duplicated()][0]} twice; make the data set anew")
    rows = names.get_indexer(pd.Index(meta["record_id"].astype(str)))
    if (rows < 0).any():
        unknown = meta["record_id"].iloc[int(rows.argmin())]
        raise TableError(f"{path} does not know record {unknown}; make the data set anew")
    return truth.iloc[rows].reset_index(drop=True)


def planted(root: Path, contents: Contents) -> tuple[str, pd.DataFrame | None]:
    """Version and truth of a data set.

    Synthetic data have the version of their generator, so that they do not pass for real ones, and the truth
    that it planted; published data have none.

    Raises:
        DamagedError: If ``synthetic.json`` does not name the generator's version.
        TableError: If ``truth.csv`` does not fit the records.
    """
    path = root / _SYNTHETIC
    if not path.exists():
        return contents.version, None
    try:
        version = f"synthetic-{json.loads(path.read_text(encoding='utf-8'))['generator_version']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{path} does not name the generator's version; make the data set anew") from error
    truth = root / _TRUTH
    return version, _truth(truth, contents.meta) if truth.exists() else None


def _write(
    source: DataSource, root: Path, contents: Contents, sampling_rate_hz: int, folder: Path, state: str
) -> dict[str, Any]:
    version, truth = planted(root, contents)
    converted = convert_signals(
        folder / "signals.npy",
        contents.records,
        contents.max_samples,
        sampling_rate_hz,
        source.mv_per_unit,
        source.read or read_wfdb,
    )
    np.savez(folder / "meta.npz", **frame_to_arrays(contents.meta))  # type: ignore[arg-type]
    if truth is not None:
        np.savez(folder / "truth.npz", **frame_to_arrays(truth))  # type: ignore[arg-type]
    arrays = {"lengths": converted.lengths}
    for task, labels in contents.tasks.items():
        known = known_records(labels.values) if labels.known is None else labels.known
        arrays |= {f"{task} values": labels.values, f"{task} known": known}
    np.savez(folder / "labels.npz", **arrays)  # type: ignore[arg-type]
    info = {
        "schema": SCHEMA,
        "source": state,
        "name": source.name,
        "version": version,
        "sampling_rate_hz": sampling_rate_hz,
        "mv_per_unit": source.mv_per_unit,
        "fingerprint": _fingerprint(source, contents, sampling_rate_hz, converted),
        "records": len(contents.records),
        "missing": contents.missing,
        "left_out": [f"{_short(root, path)}: {reason}" for path, reason in contents.left_out],
        "clipped": converted.clipped,
        "classes": {task: list(labels.classes) for task, labels in contents.tasks.items()},
        "files": {
            file.name: {
                "bytes": file.stat().st_size,
                "sha256": sha256_file(file),
                "beginning": _beginning(file),
            }
            for file in sorted(folder.iterdir())
        },
    }
    info["seal"] = _seal(info)
    with (folder / "store.json").open("w", encoding="utf-8") as file:
        json.dump(info, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return info


def _fingerprint(source: DataSource, contents: Contents, sampling_rate_hz: int, converted: Converted) -> str:
    """SHA-256 over the valid samples of all records, in order, and the metadata."""
    digest = hashlib.sha256(f"{source.mv_per_unit!r} mV, {sampling_rate_hz} Hz\n".encode())
    for record in converted.digests:
        digest.update(record)
    frame_update(digest, contents.meta)
    return digest.hexdigest()


def _open(source: DataSource, folder: Path, info: dict[str, Any], task: str) -> ECGDataset:
    if out := info["missing"] + len(info["left_out"]):
        reasons = [f"{info['missing']} are not on this disk"] if info["missing"] else []
        reasons += info["left_out"][:5] + ["..."] * (len(info["left_out"]) > 5)
        warnings.warn(
            f"{source.name}: {out} of {out + info['records']} records are left out: {'; '.join(reasons)}",
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
