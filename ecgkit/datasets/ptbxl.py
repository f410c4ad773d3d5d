"""PTB-XL: 21,799 clinical 12-lead ECGs of 10 s, at 100 and 500 Hz, annotated with SCP-ECG statements.

Source:
    Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset", Scientific Data 7:154
    (2020), https://physionet.org/content/ptb-xl/1.0.3/ (CC BY 4.0).
"""

import ast
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecgkit.datasets.base import Contents, DataSource, Labels
from ecgkit.datasets.labels_ptbxl import LEVELS, classes_of, level_labels, statements
from ecgkit.errors import DataNotFoundError, RecordError

__all__ = ["PTBXL", "QUALITY_CLASSES", "SYNTHETIC", "TASKS", "read_labels", "read_metadata"]

QUALITY_CLASSES = ("any", "baseline_drift", "static_noise", "burst_noise", "electrodes_problems")
TASKS = ("superdiagnostic", "all", "diagnostic", "subdiagnostic", "form", "rhythm", "age", "sex", "quality")

_DATABASE = "ptbxl_database.csv"
_STATEMENTS = "scp_statements.csv"
_VERSIONS = {21837: "1.0.1", 21801: "1.0.2"}
_COLUMNS = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr", "filename_hr")
_TEXTS = (
    "report",
    "heart_axis",
    "device",
    "recording_date",
    *QUALITY_CLASSES[1:],
    "extra_beats",
    "pacemaker",
)
_NUMBERS = ("height", "weight", "nurse", "site", "validated_by")


def read_metadata(path: str | Path) -> pd.DataFrame:
    """The metadata of PTB-XL, without any signal.

    Args:
        path: A ``ptbxl_database.csv`` of version 1.0.0 to 1.0.3, or the folder it lies in.

    Returns:
        One row per record in the file's order: record_id, patient, fold, age (years; NaN where it is not
        known, or hidden because it is above 89), age_over_89, sex ("female", "male"; missing where it is not
        known), height (cm), weight (kg), site, nurse, validated_by, device, recording_date, report,
        heart_axis, validated_by_human, the technical expert's free-text notes (baseline_drift, static_noise,
        burst_noise, electrodes_problems, extra_beats, pacemaker; missing where there is none), scp_codes
        (JSON: likelihood in percent per statement), filename_lr and filename_hr. ``frame.attrs["version"]``
        is the version.

    Raises:
        DataNotFoundError: If the file is not there.
        RecordError: If a column is missing, a cell cannot be read, a record is listed twice or a fold is not
            one of 1 to 10.
    """
    path = Path(path)
    path = path / _DATABASE if path.is_dir() else path
    try:
        return _parse(pd.read_csv(path), path)
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path} is not there; `ecgkit data download ptbxl` gets it") from error
    except RecordError:
        raise
    except ValueError as error:  # pandas cannot read the file, or a cell is not the number it should be
        raise RecordError(f"{path} cannot be read ({str(error).strip()}); download it again") from error


def _parse(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    absent = [column for column in _COLUMNS if column not in table.columns]
    if absent:
        raise RecordError(f"{path} has no column {absent[0]!r}; is it the ptbxl_database.csv of PTB-XL?")
    if table["ecg_id"].duplicated().any():
        raise ValueError(f"it lists record {table['ecg_id'][table['ecg_id'].duplicated()].iloc[0]} twice")
    if not table["strat_fold"].isin(range(1, 11)).all():
        raise ValueError("a fold is not one of 1 to 10")
    if table[["filename_lr", "filename_hr"]].isna().any(axis=None):
        raise ValueError("a record has no file name")
    age = table["age"].to_numpy(np.float64)
    meta = pd.DataFrame(
        {
            "record_id": table["ecg_id"].astype(np.int64),
            "patient": table["patient_id"].astype(np.int64),
            "fold": table["strat_fold"].astype(np.int64),
            "age": np.where(age >= 300, np.nan, age),  # 1.0.3 writes 300 for ages above 89
            "age_over_89": age > 89,
            "sex": _text(table["sex"].map({0: "male", 1: "female"})),
        }
    )
    for column in _NUMBERS:
        meta[column] = table[column].astype(np.float64) if column in table else np.nan
    for column in _TEXTS:
        meta[column] = (
            _text(table[column]) if column in table else pd.Series(None, index=table.index, dtype="str")
        )
    human = (
        table["validated_by_human"] if "validated_by_human" in table else pd.Series(True, index=table.index)
    )
    meta["validated_by_human"] = human.astype(bool)
    meta["scp_codes"] = [_codes(cell, path) for cell in table["scp_codes"]]
    meta["filename_lr"], meta["filename_hr"] = table["filename_lr"], table["filename_hr"]
    meta.attrs["version"] = _VERSIONS.get(len(meta), "1.0.3")
    return meta


def _text(column: pd.Series) -> pd.Series:
    """Free text; blank cells count as missing."""
    text = column.astype("str").str.strip()
    return text.where(column.notna() & (text != ""), None)


def _codes(cell: str, path: Path) -> str:
    try:
        codes = {str(code): float(percent) for code, percent in ast.literal_eval(cell).items()}
    except (ValueError, SyntaxError, AttributeError, TypeError) as error:
        raise RecordError(f"{path}: cannot read the scp_codes {cell!r}; download the file again") from error
    return json.dumps(codes)


def read_labels(meta: pd.DataFrame, table: pd.DataFrame | None = None) -> dict[str, Labels]:
    """Labels of every task, from the metadata alone.

    Every statement that was made counts, whatever its likelihood, as in the benchmark. Task "age" is in
    years; "sex" is 1 for female; "quality" has one class per kind of note, and "any" for a note of drift,
    static or burst noise (the binary target of the benchmark). Age, sex and quality have a label of every
    record, but for unknown sexes and unknown or hidden ages.

    Args:
        meta: As :func:`read_metadata` returns it.
        table: As :func:`~ecgkit.datasets.labels_ptbxl.statements` returns it; None for the package's own.

    Raises:
        RecordError: If a record has a statement that is not in the table.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), sections III-A, III-C and III-D.
    """
    table = statements() if table is None else table
    codes = classes_of("all", table)
    position = {code: number for number, code in enumerate(codes)}
    made = np.zeros((len(meta), len(codes)), np.uint8)
    for row, text in enumerate(meta["scp_codes"]):
        for code in json.loads(text):
            if code not in position:
                raise RecordError(
                    f"record {meta['record_id'].iloc[row]}: unknown statement {code!r}, which is not in "
                    f"{_STATEMENTS}; download that and {_DATABASE} again"
                )
            made[row, position[code]] = 1
    labels = {level: level_labels(made, codes, level, table) for level in LEVELS}
    everyone = np.ones(len(meta), bool)
    labels["age"] = Labels(("age",), meta["age"].to_numpy(np.float32)[:, None])
    female = (meta["sex"] == "female").to_numpy(np.uint8)[:, None]
    labels["sex"] = Labels(("female",), female, meta["sex"].notna().to_numpy())
    notes = np.stack([meta[column].notna().to_numpy(np.uint8) for column in QUALITY_CLASSES[1:]], axis=1)
    anything = notes[:, :3].max(axis=1, keepdims=True)
    labels["quality"] = Labels(QUALITY_CLASSES, np.concatenate([anything, notes], axis=1), everyone)
    return labels


def _files(root: Path, sampling_rate_hz: int) -> list[str]:
    """Tables, and all that lies in the folder of records of that rate."""
    files = [str(root / name) for name in (_DATABASE, _STATEMENTS) if (root / name).exists()]
    for folder, _, names in os.walk(root / ("records100" if sampling_rate_hz == 100 else "records500")):
        files += [f"{folder}{os.sep}{name}" for name in names if name.endswith((".hea", ".dat"))]
    return files


def _describe(root: Path, sampling_rate_hz: int, files: list[str]) -> Contents:
    meta = read_metadata(root)
    version = meta.attrs.pop("version")
    own = root / _STATEMENTS
    labels = read_labels(meta, statements(own if own.exists() else None))
    names = meta["filename_lr" if sampling_rate_hz == 100 else "filename_hr"]
    there = set(map(str, files))
    stems = [str(root / name) for name in names]
    last = max((file.removesuffix(".hea") for file in there if file.endswith(".hea")), default="")
    if last > max(stems, default=""):  # records that a later version dropped lie before its last one
        raise RecordError(f"{root / _DATABASE} ends before record {Path(last).name}; download it again")
    present = np.array([stem + ".hea" in there and stem + ".dat" in there for stem in stems], bool)
    meta = meta.drop(columns=["filename_lr", "filename_hr"])
    return Contents(
        version=version,
        records=tuple(Path(stem) for stem, here in zip(stems, present, strict=True) if here),
        meta=meta[present].reset_index(drop=True),
        tasks={
            name: Labels(
                each.classes,
                each.values[present],
                None if each.known is None else each.known[present],
            )
            for name, each in labels.items()
        },
        max_samples=10 * sampling_rate_hz,
        missing=int((~present).sum()),
    )


PTBXL = DataSource(
    name="ptbxl",
    title="PTB-XL, 21,799 records of 10 s (Germany), SCP-ECG statements",
    markers=(_DATABASE,),
    tasks=TASKS,
    sampling_rates_hz=(100, 500),
    mv_per_unit=0.001,
    files=_files,
    describe=_describe,
    remedy="Get them with `ecgkit data download ptbxl`, or load them at the other rate.",
)

SYNTHETIC = replace(
    PTBXL,
    name="synthetic",
    title="Synthetic records in the layout of PTB-XL, with known truth",
    markers=("synthetic.json",),
    remedy="Make them with ecgkit.datasets.synthetic.make_synthetic.",
)
