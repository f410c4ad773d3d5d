"""Writing the signals of a data set into one int16 array, in parallel."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgkit.errors import DamagedError, EcgkitError, FormatError, StoreError
from ecgkit.signals.read import read_record

__all__ = ["Converted", "Reader", "convert_signals", "read_units", "read_wfdb", "to_units"]

Reader = Callable[[Path, int], tuple[np.ndarray, float]]

_CHUNK = 128  # records per piece of work, or fewer where they are long
_CHUNK_BYTES = 2**25
_SMALL = 1000  # up to so many records, starting workers costs more than it saves
_IDLE_S = 5  # after so long without work a worker process ends, also when its parent was killed
_LONG = 2000  # from so many records on there is a progress bar


@dataclass(frozen=True, eq=False)
class Converted:
    """What came of a conversion: valid samples and SHA-256 of each record, clipped samples by record."""

    lengths: np.ndarray
    digests: list[bytes]
    clipped: dict[str, int]


def read_wfdb(path: Path, sampling_rate_hz: int) -> tuple[np.ndarray, float]:
    """Read a WFDB record for the store.

    Returns:
        Values in mV, shape (12, samples), leads in standard order, and the factor 1.

    Raises:
        RecordError: If the record cannot be used; FormatError if it has another sampling rate.
    """
    record = read_record(path)
    if record.sampling_rate_hz != sampling_rate_hz:
        raise FormatError(
            f"{path}: sampled at {record.sampling_rate_hz:g} Hz, not at {sampling_rate_hz} Hz; resample it "
            "or put it into the folder of its rate"
        )
    return record.signal_mv, 1.0


def to_units(values: np.ndarray, mv_per_value: float, mv_per_unit: float) -> tuple[np.ndarray, int]:
    """Values as int16 in steps of `mv_per_unit`, and how many did not fit and were clipped.

    >>> to_units(np.array([[1.0, -40.0]]), 1.0, 0.001)
    (array([[  1000, -32768]], dtype=int16), 1)
    """
    if values.dtype == np.int16 and mv_per_value == mv_per_unit:
        return values, 0
    scaled = np.rint(values.astype(np.float64) * (mv_per_value / mv_per_unit))
    if not np.isfinite(scaled).all():
        raise DamagedError("the signal holds values that are not finite; leave the record out")
    limited = np.clip(scaled, -32768, 32767)
    return limited.astype(np.int16), int((limited != scaled).sum())


def read_units(
    path: Path, samples: int, sampling_rate_hz: int, mv_per_unit: float, read: Reader
) -> tuple[np.ndarray, int]:
    """One record as the store keeps it. Loading and `ecgkit data check` share this function and its verdict.

    Returns:
        Signal in steps of `mv_per_unit`, int16, shape (12, at most `samples`), and how many samples were
        clipped.

    Raises:
        RecordError: If the record cannot be used; the message names its file.
    """
    try:
        values, mv_per_value = read(path, sampling_rate_hz)
        if values.ndim != 2 or len(values) != 12 or not 0 < values.shape[1] <= samples:
            raise DamagedError(
                f"{path}: signal of shape {values.shape} where (12, 1) to (12, {samples}) was expected; get "
                "it anew, or leave it out"
            )
        return to_units(values, mv_per_value, mv_per_unit)
    except EcgkitError as error:
        if str(path.with_suffix("")) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None
    except OSError as error:
        raise DamagedError(f"{path}: cannot be read ({error.strerror or error}); get it anew") from error
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error


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
    from joblib import Parallel, cpu_count, delayed  # type: ignore[import-untyped]
    from tqdm import tqdm

    with target.open("wb") as file:
        description = {"descr": "<i2", "fortran_order": False, "shape": (len(records), 12, samples)}
        np.lib.format.write_array_header_1_0(file, description)
        offset = file.tell()
        file.truncate(offset + len(records) * 24 * samples)
    lengths = np.zeros(len(records), np.int32)
    digests = [b""] * len(records)
    clipped: dict[str, int] = {}
    size = max(1, min(_CHUNK, _CHUNK_BYTES // (24 * samples)))
    starts = range(0, len(records), size)
    workers = 1 if len(records) <= _SMALL else min(cpu_count(), 8, len(starts))
    pool = Parallel(n_jobs=workers, return_as="generator_unordered", idle_worker_timeout=_IDLE_S)
    pieces = pool(
        delayed(_convert_chunk)(
            target, offset, start, records[start : start + size], samples, sampling_rate_hz, mv_per_unit, read
        )
        for start in starts
    )
    with tqdm(total=len(records), unit="record", disable=len(records) < _LONG, mininterval=0.5) as bar:
        try:
            for start, some_lengths, some_digests, some_clipped in pieces:
                lengths[start : start + len(some_lengths)] = some_lengths
                digests[start : start + len(some_digests)] = some_digests
                clipped.update(some_clipped)
                bar.update(len(some_lengths))
        except BrokenProcessPool as error:
            raise StoreError(
                "a worker process was killed while it converted records; free some memory and load again"
            ) from error
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
        units, outside = read_units(path, samples, sampling_rate_hz, mv_per_unit, read)
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
