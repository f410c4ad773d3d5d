"""Records of the Shandong Provincial Hospital set: one HDF5 file each, values in mV as float16."""

import csv
from functools import lru_cache
from math import prod
from pathlib import Path

import numpy as np

from ecgkit.errors import DamagedError, EcgkitError, FormatError, TableError
from ecgkit.signals.header import file_size, read_file
from ecgkit.signals.record import STANDARD_LEADS, Record, age_from_text, sex_from_text

__all__ = ["SPH_SAMPLING_RATE_HZ", "read_sph"]

SPH_SAMPLING_RATE_HZ = 500.0

_LARGEST = 2**27  # bytes of the signal: the longest record has 56 s and 0.7 MB
_LARGEST_TABLE = 2**26
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
    table, row = _metadata_row(path)
    samples = row.get("N", "")
    if table and not (samples.isascii() and samples.isdigit()):
        raise TableError(
            f"{table}: the length N of {path.stem} is {samples[:40]!r}, not a number; correct it"
        )
    if table and samples.lstrip("0") != str(signal.shape[1]):
        raise DamagedError(
            f"{path}: {signal.shape[1]} samples where {table.name} says {samples[:40]}; download it again"
        )
    codes = tuple(code.strip() for code in row.get("AHA_Code", "").split(";") if code.strip())
    return Record(
        name=path.stem,
        signal_mv=signal,
        sampling_rate_hz=SPH_SAMPLING_RATE_HZ,
        leads=STANDARD_LEADS,
        age=age_from_text(row.get("Age", "")),
        sex=sex_from_text(row.get("Sex", "")),
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
            stored = dataset.id.get_storage_size()
            if needed > _LARGEST or needed * _LEAST_RATIO > size or stored == 0:
                raise DamagedError(
                    f"{path}: {needed:,} bytes of signal in a file of {size:,} cannot be; download it again"
                )
            signal = dataset[()].astype(np.float32)
    except EcgkitError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError and others for damaged files
        raise DamagedError(f"{path}: not a readable HDF5 file ({error}); download it again") from error
    bad = ~np.isfinite(signal)
    if bad.any():
        leads = ", ".join(lead for lead, row in zip(STANDARD_LEADS, bad, strict=True) if row.any())
        raise DamagedError(
            f"{path}: {int(bad.sum())} samples are not numbers (lead {leads}); leave the record out"
        )
    return np.ascontiguousarray(signal)


def _metadata_row(path: Path) -> tuple[Path | None, dict[str, str]]:
    """The nearest metadata.csv and the row of this record in it; (None, {}) where there is no table."""
    for folder in (path.absolute().parent, path.absolute().parent.parent):
        table = folder / "metadata.csv"
        if table.exists():
            file_size(table)
            status = table.stat()
            row = _metadata(table, status.st_mtime_ns, status.st_size).get(path.stem)
            if row is None:
                raise TableError(
                    f"{table}: record {path.stem} is not listed; add it, or move the record elsewhere"
                )
            return table, row
    return None, {}


@lru_cache(maxsize=2)
def _metadata(table: Path, _modified: int, _size: int) -> dict[str, dict[str, str]]:
    """All rows of metadata.csv by record; read again when the file changes."""
    data = read_file(table, _LARGEST_TABLE)
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        first = text.split("\n", 1)[0]
        # Spreadsheets write semicolons where a comma is the decimal sign.
        delimiter = ";" if first.count(";") > first.count(",") else ","
        lines = csv.DictReader(text.splitlines(), delimiter=delimiter)
        rows = {}
        for line in lines:
            cells = {key.strip(): cell or "" for key, cell in line.items() if isinstance(key, str)}
            name = cells["ECG_ID"].strip()
            rows[name[:-3] if name.lower().endswith(".h5") else name] = cells
    except (KeyError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise TableError(
            f"{table}: not the SPH set's metadata.csv in UTF-8 ({error!r}); correct or remove it"
        ) from error
    return rows
