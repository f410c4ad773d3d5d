"""Records of the Shandong Provincial Hospital set: one HDF5 file each, values in mV as float16."""

import re
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgkit.errors import DamagedError, EcgkitError, FormatError, TableError
from ecgkit.signals.header import file_size
from ecgkit.signals.record import MOST_MV, SEXES, STANDARD_LEADS, Record, age_from_text

if TYPE_CHECKING:
    import h5py

    from ecgkit.tabular import Table

__all__ = ["SPH_SAMPLING_RATE_HZ", "read_sph"]

SPH_SAMPLING_RATE_HZ = 500.0

_LARGEST = 2**27  # bytes of the signal: the longest record has 56 s and 0.7 MB
_COLUMNS = ("ECG_ID", "AHA_Code", "Age", "Sex", "N")
_LEAST_RATIO = 2**-11  # of bytes in the file to bytes of the signal; deflate reaches 2**-10


def read_sph(path: str | Path) -> Record:
    """Read one .h5 record: dataset ``ecg``, shape (12, samples), mV, leads in standard order, 500 Hz.

    Age, sex and AHA codes come from ``metadata.csv`` in the folder of the file or one folder up; where
    there is none they stay empty. A code with modifiers is kept as written, such as "145+362".

    Raises:
        DataNotFoundError: If the file is missing.
        DamagedError: If it is broken, holds a value that is not a number, or has another length than
            ``metadata.csv`` says.
        FormatError: If it is no HDF5 file with a fitting dataset ``ecg`` in itself.
        TableError: If ``metadata.csv`` cannot be read or does not list the record.

    Source:
        Liu et al., A large-scale multi-label 12-lead electrocardiogram database with standardized
        diagnostic statements, Scientific Data 9:272, 2022.
    """
    path = Path(path)
    signal = _read_signal(path)
    row = _metadata_row(path)
    if row is None:
        return Record(path.stem, signal, SPH_SAMPLING_RATE_HZ, path=path)
    samples = int(row.integers("N", 1)[0])
    if samples != signal.shape[1]:
        raise DamagedError(
            f"{path}: {signal.shape[1]} samples where {row.path.name} says {samples}; download it again"
        )
    codes = tuple(code.strip() for code in row.columns["AHA_Code"][0].split(";") if code.strip())
    return Record(
        name=path.stem,
        signal_mv=signal,
        sampling_rate_hz=SPH_SAMPLING_RATE_HZ,
        leads=STANDARD_LEADS,
        age=age_from_text(f"{row.numbers('Age', 0)[0]:g}"),
        sex=row.choices("Sex", SEXES, None)[0],
        codes=codes,
        coding="AHA" if codes else None,
        path=path,
    )


def _read_signal(path: Path) -> np.ndarray:
    """Dataset ``ecg`` as float32, shape (12, samples); its size is known before anything is read."""
    import h5py

    size = file_size(path)
    with path.open("rb") as file:
        if b"\x89HDF\r\n\x1a\n" not in file.read(2048 + 8):
            raise DamagedError(f"{path}: not a readable HDF5 file (no signature); download it again")
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            link = file.get("ecg", getlink=True)
            if link is None:
                there = ", ".join(list(file)[:10]) or "nothing"
                raise FormatError(
                    f"{path}: no dataset 'ecg' (there is: {there}); use a record of the SPH set"
                )
            dataset = file["ecg"] if isinstance(link, h5py.HardLink) else None
            if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
                raise FormatError(
                    f"{path}: 'ecg' is no dataset of this file itself; use a record of the SPH set"
                )
            shape, kind = dataset.shape, dataset.dtype.kind
            if shape is None or len(shape) != 2 or shape[0] != len(STANDARD_LEADS) or kind != "f":
                raise FormatError(
                    f"{path}: 'ecg' is {dataset.dtype} of shape {shape}, not floats of shape (12, samples); "
                    "use a record of the SPH set"
                )
            if shape[1] == 0:
                raise DamagedError(f"{path}: the record has zero samples; leave it out or download it again")
            width = dataset.dtype.itemsize
            needed = max(prod(shape), prod(dataset.chunks or (0,))) * width
            if needed > _LARGEST or needed * _LEAST_RATIO > size or not _all_stored(dataset):
                raise DamagedError(
                    f"{path}: {needed:,} bytes of signal in a file of {size:,} cannot be; download it again"
                )
            values = dataset[()]
    except EcgkitError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError and others for damaged files
        raise DamagedError(f"{path}: not a readable HDF5 file ({error}); download it again") from error
    bad = ~np.isfinite(values)
    if bad.any():
        leads = ", ".join(lead for lead, row in zip(STANDARD_LEADS, bad, strict=True) if row.any())
        raise DamagedError(
            f"{path}: {int(bad.sum())} samples are not numbers (lead {leads}); leave the record out"
        )
    if np.abs(values).max() > np.float64(MOST_MV):  # float16 does not reach so far
        raise DamagedError(f"{path}: holds more than {MOST_MV:,.0f} mV; leave the record out")
    return np.ascontiguousarray(values, np.float32)


def _all_stored(dataset: "h5py.Dataset") -> bool:
    """Whether all of a dataset was written; what was not would be read as zeros."""
    stored: int = dataset.id.get_storage_size()
    if dataset.chunks is None:
        return stored >= dataset.nbytes
    pieces = [-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
    return bool(dataset.id.get_num_chunks() == prod(pieces))


def _metadata_row(path: Path) -> "Table | None":
    """The row of this record in the nearest metadata.csv; None where there is no table."""
    from ecgkit.tabular import Table

    for folder in (path.absolute().parent, path.absolute().parent.parent):
        file = folder / "metadata.csv"
        if file.exists():
            status = file.stat()
            table, rows = _metadata(file, status.st_mtime_ns, status.st_size)
            row = rows.get(path.stem)
            if row is None:
                raise TableError(
                    f"{file}: record {path.stem} is not listed; add it, or move the record elsewhere"
                )
            cells = {name: [column[row]] for name, column in table.columns.items()}
            return Table(file, cells, [table.lines[row]], table.key)
    return None


@lru_cache(maxsize=2)
def _metadata(file: Path, _modified: int, _size: int) -> tuple["Table", dict[str, int]]:
    """metadata.csv, and the row of each record in it; read again when the file changes."""
    from ecgkit.tabular import read_table

    table = read_table(file, _COLUMNS, "metadata.csv of SPH", "move the record elsewhere")
    names = [re.sub(r"\.h5$", "", cell, flags=re.IGNORECASE) for cell in table.columns["ECG_ID"]]
    table.require_unique("ECG_ID", names)
    return table, {name: row for row, name in enumerate(names)}
