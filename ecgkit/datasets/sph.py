"""The Shandong Provincial Hospital (SPH) set: 25,770 records of 10 to 56 s, AHA statements, patients known.

The folder holds ``metadata.csv`` and ``records/A00001.h5`` ..., as unpacked from figshare (records beside
``metadata.csv`` are found as well). Signals are resampled to the rate asked for (100 Hz unless said
otherwise) by a polyphase filter. Records longer than 30 s (57 of them) keep their first 30 s, since the
longest would double the store; shorter ones are followed by zeros (`ECGDataset.lengths`). Column
`duration_s` has the full length, column `codes` the statements as published, modifiers included.

Tasks:
    all: The 44 primary statements, as AHA codes; modifiers are left out.
    category: The 11 categories of these statements, as letters of `ecgkit.datasets.labels_aha.CATEGORIES`.

Source:
    Liu et al., Scientific Data 9 (2022) 272, doi:10.1038/s41597-022-01403-5.
"""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ecgkit.datasets.base import Contents, DataSource, Labels
from ecgkit.datasets.labels_aha import CATEGORIES, aha_codes, parse_statements
from ecgkit.datasets.labels_challenge import label_matrix
from ecgkit.datasets.splits import stratified_folds
from ecgkit.errors import DataNotFoundError, RecordError
from ecgkit.signals.patient import age_from_text, sex_from_text
from ecgkit.signals.resampling import resample
from ecgkit.signals.sph import SPH_SAMPLING_RATE_HZ, read_sph

__all__ = ["MAX_DURATION_S", "SPH", "read_metadata"]

MAX_DURATION_S = 30
"""Seconds that are kept of a record."""

_METADATA = "metadata.csv"
_COLUMNS = ("ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N", "Date")
_RECORD = re.compile(r"A\d{5}\.h5")


def read_metadata(root: str | Path) -> pd.DataFrame:
    """``metadata.csv``, whether or not the records are there.

    Returns:
        One row per record, sorted by record_id: record_id, patient, age (years, NaN where unknown), sex,
        codes (the statements as published), duration_s, date.

    Raises:
        DataNotFoundError: If there is no ``metadata.csv`` in `root`.
        RecordError: If it cannot be read, lacks a column, or names a record twice.
    """
    path = Path(root) / _METADATA
    if not path.exists():
        raise DataNotFoundError(f"{path}: no such file; get it with `ecgkit data download sph`")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise RecordError(f"{path} cannot be read ({str(error).strip()}); download it again") from error
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing or table["ECG_ID"].duplicated().any():
        what = f"lacks {', '.join(missing)}" if missing else "names a record twice"
        raise RecordError(f"{path} {what}; download it again")
    try:
        samples = table["N"].astype(int)
    except ValueError as error:
        raise RecordError(f"{path}: a length is no number ({error}); download it again") from None
    meta = pd.DataFrame(
        {
            "record_id": table["ECG_ID"],
            "patient": table["Patient_ID"],
            "age": [age_from_text(text) for text in table["Age"]],
            "sex": [sex_from_text(text) for text in table["Sex"]],
            "codes": table["AHA_Code"],
            "duration_s": samples / SPH_SAMPLING_RATE_HZ,
            "date": table["Date"],
        }
    )
    meta["age"] = meta["age"].astype(float)
    return meta.sort_values("record_id", ignore_index=True)


def _files(root: Path, sampling_rate_hz: int) -> list[Path]:
    found = [root / _METADATA] if (root / _METADATA).exists() else []
    for folder, _, names in os.walk(root):
        found += [Path(folder, name) for name in names if _RECORD.fullmatch(name)]
    return found


def _describe(root: Path, sampling_rate_hz: int, files: list[Path]) -> Contents:
    listed = read_metadata(root)
    there = {file.stem: file for file in files if file.suffix == ".h5"}
    meta = listed[[name in there for name in listed["record_id"]]].reset_index(drop=True)
    unlisted = sorted(set(there) - set(listed["record_id"]))
    if unlisted:
        raise RecordError(f"{there[unlisted[0]]}: not listed in {root / _METADATA}; download both again")
    try:
        primary = [list(dict.fromkeys(s.primary for s in parse_statements(text))) for text in meta["codes"]]
    except ValueError as error:
        raise RecordError(f"{root / _METADATA}: {error}; download it again") from None
    codes = [entry.code for entry in aha_codes().values() if entry.category]
    for name, found in zip(meta["record_id"], primary, strict=True):
        if unknown := set(found) - set(codes):
            raise RecordError(
                f"{root / _METADATA}: {name} has code {min(unknown)}, none of the {len(codes)} primary "
                "statements of SPH; download it again"
            )
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
    )


def _read(path: Path, sampling_rate_hz: int) -> tuple[np.ndarray, float]:
    """The signal in mV, shape (12, samples), and the factor 1."""
    record = read_sph(path)
    kept = record.signal_mv[:, : round(MAX_DURATION_S * record.sampling_rate_hz)]
    return resample(kept, record.sampling_rate_hz, sampling_rate_hz), 1.0


SPH = DataSource(
    name="sph",
    title="SPH, 25,770 records of 10 to 56 s (China), AHA statements",
    markers=("records/A[0-9]*.h5", "A[0-9]*.h5"),
    tasks=("all", "category"),
    sampling_rates_hz=(100, 500, 250),
    mv_per_unit=0.001,
    files=_files,
    describe=_describe,
    read=_read,
    remedy="get it with `ecgkit data download sph`",
)
