"""Records of the Shandong Provincial Hospital set: one HDF5 file each, values in mV as float16."""

import csv
from functools import lru_cache
from pathlib import Path

import numpy as np

from ecgkit.errors import RecordError
from ecgkit.signals.patient import age_from_text, sex_from_text
from ecgkit.signals.record import STANDARD_LEADS, Record

__all__ = ["SPH_SAMPLING_RATE_HZ", "read_sph"]

SPH_SAMPLING_RATE_HZ = 500.0


def read_sph(path: str | Path) -> Record:
    """Read one .h5 record: dataset ``ecg``, shape (12, samples), mV, leads in standard order, 500 Hz.

    Age, sex and AHA codes come from ``metadata.csv`` in the folder of the file or one folder up; where
    there is none they stay empty. A code with modifiers is kept as written, such as "145+362".

    Raises:
        RecordError: If the file is missing, no HDF5 file, has no fitting dataset ``ecg``, holds a value
            that is not a number, or has another length than ``metadata.csv`` says.

    Source:
        Liu et al., A large-scale multi-label 12-lead electrocardiogram database with standardized
        diagnostic statements, Scientific Data 9:272, 2022.
    """
    path = Path(path)
    signal = _read_signal(path)
    row = {name: cell or "" for name, cell in (_metadata_row(path) or {}).items()}  # None: a row cut short
    if row.get("N", "").isdigit() and int(row["N"]) != signal.shape[1]:
        raise RecordError(
            f"{path}: {signal.shape[1]} samples where metadata.csv says {row['N']}; download it again"
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
    import h5py

    if not path.is_file():
        raise RecordError(f"{path}: no such file; check the path and the download")
    try:
        with h5py.File(path, "r") as file:
            dataset = file.get("ecg")
            if not isinstance(dataset, h5py.Dataset):
                there = ", ".join(file) or "nothing"
                raise RecordError(
                    f"{path}: no dataset 'ecg' (there is: {there}); use a record of the SPH set"
                )
            shape, kind = dataset.shape, dataset.dtype.kind
            if len(shape) != 2 or shape[0] != len(STANDARD_LEADS) or kind != "f":
                raise RecordError(
                    f"{path}: 'ecg' is {dataset.dtype} of shape {shape}, not floats of shape (12, samples); "
                    "use a record of the SPH set"
                )
            if shape[1] == 0:
                raise RecordError(f"{path}: the record has zero samples; leave it out or download it again")
            signal = dataset[()].astype(np.float32)
    except RecordError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError and RuntimeError for damaged files
        raise RecordError(f"{path}: not a readable HDF5 file ({error}); download it again") from error
    bad = ~np.isfinite(signal)
    if bad.any():
        leads = ", ".join(lead for lead, row in zip(STANDARD_LEADS, bad, strict=True) if row.any())
        raise RecordError(
            f"{path}: {int(bad.sum())} samples are not numbers (lead {leads}); leave the record out"
        )
    return np.ascontiguousarray(signal)


def _metadata_row(path: Path) -> dict[str, str | None] | None:
    """The row of this record in the nearest metadata.csv, or None."""
    for folder in (path.parent, path.parent.parent):
        table = folder / "metadata.csv"
        if table.is_file():
            return _metadata(table, table.stat().st_mtime_ns).get(path.stem)
    return None


@lru_cache(maxsize=2)
def _metadata(table: Path, _modified: int) -> dict[str, dict[str, str | None]]:
    """All rows of metadata.csv by record; read again when the file changes."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return {row["ECG_ID"]: row for row in csv.DictReader(file)}
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(
            f"{table}: not the SPH set's metadata.csv ({error!r}); download it again"
        ) from error
