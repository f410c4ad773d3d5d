"""The Shandong Provincial Hospital (SPH) set: 25,770 records of 10 to 56 s, AHA statements, patients known.

The folder holds ``metadata.csv`` and ``records/A00001.h5`` ..., as unpacked from figshare (records beside
``metadata.csv`` are found as well). Signals are resampled to the rate asked for (100 Hz unless said
otherwise) by a polyphase filter. Records longer than 30 s (57 of them) keep their first 30 s, since the
longest would double the store; shorter ones are followed by zeros (`ECGDataset.lengths`). Column
`duration_s` has the full length, column `codes` the statements as published, modifiers included.

Tasks:
    all: The 44 primary statements, as AHA codes; modifiers are left out.
    category: The 11 categories of these statements, as letters of `ecgkit.datasets.code_systems.CATEGORIES`.

Source:
    Liu et al., Scientific Data 9 (2022) 272, doi:10.1038/s41597-022-01403-5.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from ecgkit.datasets.base import Contents, DataSource, Labels
from ecgkit.datasets.code_systems import CATEGORIES, aha_codes, parse_statements
from ecgkit.datasets.labels_challenge import label_matrix, without_copies
from ecgkit.datasets.splits import stratified_folds
from ecgkit.signals.filters import resample
from ecgkit.signals.hdf5 import SPH_SAMPLING_RATE_HZ, read_sph
from ecgkit.signals.record import OLDEST_AGE, SEXES
from ecgkit.tabular import find_files, read_table

__all__ = ["MAX_DURATION_S", "SPH", "read_metadata"]

MAX_DURATION_S = 30
"""Seconds that are kept of a record."""

_METADATA = "metadata.csv"
_COLUMNS = ("ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N", "Date")
_RECORD = re.compile(r".+\.h5", re.IGNORECASE)


def read_metadata(root: str | Path) -> pd.DataFrame:
    """``metadata.csv``, whether or not the records are there.

    Returns:
        One row per record, sorted by record_id: record_id, patient (the record's own name where the table
        names none), age (years, NaN where unknown), sex, codes (the statements as published), duration_s,
        date.

    Raises:
        DataNotFoundError: If there is no ``metadata.csv`` in `root`.
        DamagedError: If it is empty.
        TableError: If it lacks a column, names a record twice, or a cell cannot be what its column holds;
            the message names line, column and cell.
    """
    path = Path(root) / _METADATA
    table = read_table(path, _COLUMNS, "metadata.csv of SPH", "get it with `ecgkit data download sph`")
    names = [re.sub(r"\.h5$", "", cell, flags=re.IGNORECASE) for cell in table.columns["ECG_ID"]]
    table.require_unique("ECG_ID", names)
    codes = {entry.code for entry in aha_codes().values() if entry.category}
    for row, text in enumerate(table.columns["AHA_Code"]):
        try:
            unknown = {statement.primary for statement in parse_statements(text)} - codes
        except ValueError as error:
            raise table.error(row, "AHA_Code", f"cannot be read: {error}") from None
        if unknown:
            raise table.error(
                row, "AHA_Code", f"holds {min(unknown)}, none of the {len(codes)} primary statements of SPH"
            )
    age = table.numbers("Age", 0)
    meta = pd.DataFrame(
        {
            "record_id": names,
            "patient": [given or own for given, own in zip(table.texts("Patient_ID"), names, strict=True)],
            "age": np.where(age > OLDEST_AGE, np.nan, age),
            "sex": table.choices("Sex", SEXES, None),
            "codes": table.columns["AHA_Code"],
            "duration_s": table.integers("N", 1) / SPH_SAMPLING_RATE_HZ,
            "date": table.columns["Date"],
        }
    )
    return meta.sort_values("record_id", ignore_index=True)


def _files(root: Path, sampling_rate_hz: int) -> list[str]:
    tables = [str(root / _METADATA)] if (root / _METADATA).exists() else []
    return tables + find_files(root, _RECORD)


def _describe(root: Path, sampling_rate_hz: int, files: list[str]) -> Contents:
    listed = read_metadata(root)
    kept, left_out = without_copies(file for file in files if file.lower().endswith(".h5"))
    there = {path.stem: path for path in kept}
    meta = listed[listed["record_id"].isin(list(there))].reset_index(drop=True)
    unlisted = set(there) - set(listed["record_id"])
    left_out += [(there[name], f"{_METADATA} does not list it") for name in unlisted]
    primary = [list(dict.fromkeys(s.primary for s in parse_statements(text))) for text in meta["codes"]]
    codes = [entry.code for entry in aha_codes().values() if entry.category]
    members = {letter: [c for c in codes if aha_codes()[c].category == letter] for letter in CATEGORIES}
    labels = Labels(tuple(codes), label_matrix(primary, [[code] for code in codes]))
    meta.insert(2, "fold", stratified_folds(labels.values, meta["patient"].to_numpy()))
    longest = float(np.minimum(meta["duration_s"], MAX_DURATION_S).max()) if len(meta) else 0.0
    return Contents(
        version="1",
        records=tuple(there[name] for name in meta["record_id"]),
        meta=meta,
        tasks={
            "all": labels,
            "category": Labels(tuple(members), label_matrix(primary, members.values())),
        },
        max_samples=round(np.ceil(longest * sampling_rate_hz - 1e-6)),
        missing=len(listed) - len(meta),
        left_out=tuple(sorted(left_out)),
    )


def _read(path: Path, sampling_rate_hz: int) -> tuple[np.ndarray, float]:
    """The signal in mV, shape (12, samples), and the factor 1."""
    record = read_sph(path)
    kept = record.signal_mv[:, : round(MAX_DURATION_S * record.sampling_rate_hz)]
    return resample(kept, record.sampling_rate_hz, sampling_rate_hz), 1.0


SPH = DataSource(
    name="sph",
    title="SPH, 25,770 records of 10 to 56 s (China), AHA statements",
    markers=("records/[!.]*.h5", "[!.]*.h5"),
    tasks=("all", "category"),
    sampling_rates_hz=(100, 500, 250),
    mv_per_unit=0.001,
    files=_files,
    describe=_describe,
    read=_read,
    remedy="get it with `ecgkit data download sph`",
)
