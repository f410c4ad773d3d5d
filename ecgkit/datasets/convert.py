"""Writing the signals of a data set into one int16 array, in parallel."""

import hashlib
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgkit.errors import RecordError, StoreError
from ecgkit.signals.read import INVALID_SAMPLE, lead_order, read_digital, read_record

__all__ = ["Converted", "Reader", "convert_signals", "read_wfdb", "to_units"]

Reader = Callable[[Path, int], tuple[np.ndarray, float]]

_CHUNK = 128  # records per piece of work, or fewer where they are long
_CHUNK_BYTES = 2**25
_SMALL = 256  # up to so many records, starting workers costs more than it saves
_LONG = 2000  # from so many records on there is a progress bar
_IN_ORDER = list(range(12))


@dataclass(frozen=True, eq=False)
class Converted:
    """What came of a conversion: valid samples and SHA-256 of each record, clipped samples by record."""

    lengths: np.ndarray
    digests: list[bytes]
    clipped: dict[str, int]


def read_wfdb(path: Path, sampling_rate_hz: int) -> tuple[np.ndarray, float]:
    """Read a WFDB record for the store: untouched integers where all leads share one gain, else mV.

    Returns:
        Values of shape (12, samples), leads in standard order, and mV per value.

    Raises:
        RecordError: If the record is damaged or has another sampling rate.
    """
    digital, header = read_digital(path)
    if header.sampling_rate_hz != sampling_rate_hz:
        raise RecordError(f"{path}: sampled at {header.sampling_rate_hz:g} Hz, not at {sampling_rate_hz} Hz")
    lines = header.signals
    plain = all(line.gain == lines[0].gain and line.baseline == 0 and line.units == "mV" for line in lines)
    invalid = INVALID_SAMPLE.get(lines[0].format)
    if not plain or (invalid is not None and bool((digital == invalid).any())):
        return read_record(path).signal_mv, 1.0
    order = lead_order(header)
    return (digital if order == _IN_ORDER and len(digital) == 12 else digital[order]), 1.0 / lines[0].gain


def to_units(values: np.ndarray, mv_per_value: float, mv_per_unit: float) -> tuple[np.ndarray, int]:
    """Values as int16 in steps of `mv_per_unit`, and how many did not fit and were clipped.

    >>> to_units(np.array([[1.0, -40.0]]), 1.0, 0.001)
    (array([[  1000, -32768]], dtype=int16), 1)
    """
    if values.dtype == np.int16 and mv_per_value == mv_per_unit:
        return values, 0
    scaled = np.rint(values.astype(np.float64) * (mv_per_value / mv_per_unit))
    if not np.isfinite(scaled).all():
        raise RecordError("the signal holds values that are not finite; leave the record out")
    limited = np.clip(scaled, -32768, 32767)
    return limited.astype(np.int16), int((limited != scaled).sum())


def convert_signals(
    target: Path,
    records: Sequence[Path],
    samples: int,
    sampling_rate_hz: int,
    mv_per_unit: float,
    read: Reader,
) -> Converted:
    """Write all records into `target`, an int16 .npy file of shape (records, 12, samples).

    Shorter records are followed by zeros.

    Raises:
        RecordError: If a record cannot be read or is longer than `samples`; the message names it.
        OSError: If the file cannot be written.
        StoreError: If the system killed a worker process.
    """
    from tqdm import tqdm

    with target.open("wb") as file:
        description = {"descr": "<i2", "fortran_order": False, "shape": (len(records), 12, samples)}
        np.lib.format.write_array_header_1_0(file, description)
        offset = file.tell()
        file.truncate(offset + len(records) * 24 * samples)
    lengths = np.zeros(len(records), np.int32)
    digests = [b""] * len(records)
    clipped: dict[str, int] = {}
    chunk = max(1, min(_CHUNK, _CHUNK_BYTES // (24 * samples)))
    with (
        _workers(len(records), chunk) as pool,
        tqdm(total=len(records), unit="record", disable=len(records) < _LONG, mininterval=0.5) as bar,
    ):
        jobs = [
            pool.submit(
                _convert_chunk,
                target,
                offset,
                start,
                records[start : start + chunk],
                samples,
                sampling_rate_hz,
                mv_per_unit,
                read,
            )
            for start in range(0, len(records), chunk)
        ]
        for job in as_completed(jobs):
            start, chunk_lengths, chunk_digests, chunk_clipped = job.result()
            lengths[start : start + len(chunk_lengths)] = chunk_lengths
            digests[start : start + len(chunk_digests)] = chunk_digests
            clipped.update(chunk_clipped)
            bar.update(len(chunk_lengths))
    with target.open("r+b") as file:
        os.fsync(file.fileno())
    return Converted(lengths, digests, dict(sorted(clipped.items())))


def _convert_chunk(
    target: Path,
    offset: int,
    start: int,
    records: Sequence[Path],
    samples: int,
    sampling_rate_hz: int,
    mv_per_unit: float,
    read: Reader,
) -> tuple[int, list[int], list[bytes], dict[str, int]]:
    """Convert some records in a row and write them to their place in the file."""
    block = np.zeros((len(records), 12, samples), "<i2")
    lengths, digests, clipped = [], [], {}
    for row, path in enumerate(records):
        values, mv_per_value = read(path, sampling_rate_hz)
        if values.shape[0] != 12 or values.shape[1] > samples:
            raise RecordError(
                f"{path}: signal of shape {values.shape} where at most (12, {samples}) was expected"
            )
        try:
            units, outside = to_units(values, mv_per_value, mv_per_unit)
        except RecordError as error:
            raise RecordError(f"{path}: {error}") from None
        block[row, :, : units.shape[1]] = units
        lengths.append(units.shape[1])
        digests.append(hashlib.sha256(units.astype("<i2", copy=False).tobytes()).digest())
        if outside:
            clipped[path.name] = outside
    # A write, not a memory map: a full disk then is an error that can be caught, not a SIGBUS.
    with target.open("r+b") as file:
        file.seek(offset + start * 24 * samples)
        file.write(block.data)
    return start, lengths, digests, clipped


@contextmanager
def _workers(records: int, chunk: int) -> Iterator[Executor]:
    """Processes on Linux, threads elsewhere (and for few records, and inside a daemonic process).

    Forked processes need neither a guarded main module nor time to start; other systems cannot fork safely.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, min(count, 8, -(-records // chunk)))
    daemonic = multiprocessing.current_process().daemon
    pool: Executor
    if sys.platform == "linux" and records > _SMALL and count > 1 and not daemonic:
        context = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(count, context, initializer=_end_with_parent, initargs=(os.getpid(),))
    else:
        pool = ThreadPoolExecutor(count)
    try:
        with warnings.catch_warnings():
            # Newer Pythons warn of forking beside threads; the workers use none of what threads may hold.
            warnings.filterwarnings("ignore", r".*fork\(\)", DeprecationWarning)
            yield pool
    except BrokenProcessPool as error:
        raise StoreError(
            "a worker process was killed while it converted records; free some memory and load again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent(parent: int) -> None:
    """Let a worker process end when the process that started it was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
