"""PTB-XL: 21,799 clinical 12-lead ECGs of 10 s, at 100 and 500 Hz, annotated with SCP-ECG statements.

Source:
    Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset", Scientific Data 7:154
    (2020), https://physionet.org/content/ptb-xl/1.0.3/ (CC BY 4.0).
"""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecgkit.datasets.base import Contents, DataSource, Labels
from ecgkit.datasets.labels_ptbxl import LEVELS, classes_of, level_labels, statements
from ecgkit.errors import TableError
from ecgkit.signals.record import OLDEST_AGE
from ecgkit.tabular import Table, find_files, read_table

__all__ = ["PTBXL", "QUALITY_CLASSES", "SYNTHETIC", "TASKS", "read_labels", "read_metadata"]

QUALITY_CLASSES = ("any", "baseline_drift", "static_noise", "burst_noise", "electrodes_problems")
TASKS = ("superdiagnostic", "all", "diagnostic", "subdiagnostic", "form", "rhythm", "age", "sex", "quality")

_DATABASE = "ptbxl_database.csv"
_STATEMENTS = "scp_statements.csv"
_RECORD = re.compile(r".+\.(?:hea|dat)", re.IGNORECASE)
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
_YES_NO = {"true": True, "1": True, "false": False, "0": False}


def read_metadata(path: str | Path) -> pd.DataFrame:
    """The metadata of PTB-XL, without any signal.

    Args:
        path: A ``ptbxl_database.csv`` of version 1.0.0 to 1.0.3, or the folder it lies in.

    Returns:
        One row per record in the file's order: record_id, patient (where the table names none, a negative
        number of the record's own), fold, age (years; NaN where it is not known, or hidden because it is
        above 89), age_over_89, sex ("female", "male"; missing where it is not known), height (cm), weight
        (kg), site, nurse, validated_by, device, recording_date, report, heart_axis, validated_by_human, the
        technical expert's free-text notes (baseline_drift, static_noise, burst_noise, electrodes_problems,
        extra_beats, pacemaker; missing where there is none), scp_codes (JSON: likelihood in percent per
        statement), filename_lr and filename_hr. ``frame.attrs["version"]`` is the version.

    Raises:
        DataNotFoundError: If the file is not there.
        DamagedError: If it is empty.
        TableError: If a column is missing, a cell cannot be what its column holds, a record or file is
            listed twice, or a fold is not one of 1 to 10; the message names line, column and cell.
    """
    path = Path(path)
    path = path / _DATABASE if path.is_dir() else path
    table = read_table(path, _COLUMNS, f"{_DATABASE} of PTB-XL", "`ecgkit data download ptbxl` gets it")
    record = table.integers("ecg_id")
    table.require_unique("ecg_id", record.tolist())
    patient = table.numbers("patient_id", 0, 2**53, whole=True)
    age = table.numbers("age", 0, 300)  # 1.0.3 writes 300 for ages above 89
    if (wrong := (age > OLDEST_AGE) & (age < 300)).any():
        raise table.error(int(wrong.argmax()), "age", f"is no age: at most {OLDEST_AGE}, or 300 for above 89")
    meta = pd.DataFrame(
        {
            "record_id": record,
            "patient": np.where(np.isnan(patient), -1 - record, np.nan_to_num(patient)).astype(np.int64),
            "fold": table.integers("strat_fold", 1, 10),
            "age": np.where(age >= 300, np.nan, age),
            "age_over_89": age > 89,
            "sex": _text(table.choices("sex", {"0": "male", "1": "female"}, None)),
        }
    )
    for column in _NUMBERS:
        meta[column] = table.numbers(column)
    for column in _TEXTS:
        meta[column] = _text(table.texts(column))
    known = "validated_by_human" in table
    meta["validated_by_human"] = table.choices("validated_by_human", _YES_NO, False) if known else True
    meta["scp_codes"] = [_codes(table, row, cell) for row, cell in enumerate(table.columns["scp_codes"])]
    for column in ("filename_lr", "filename_hr"):
        names = [re.sub(r"\.(hea|dat)$", "", cell.replace("\\", "/")) for cell in table.columns[column]]
        table.require_unique(column, names)
        meta[column] = names
    meta.attrs["version"] = _VERSIONS.get(len(meta), "1.0.3")
    return meta


def _text(values: list[str | None]) -> pd.Series:
    return pd.Series(values, dtype="str")


def _codes(table: Table, row: int, cell: str) -> str:
    """The statements of a record as JSON: code -> likelihood in percent."""
    try:
        codes = {str(code): float(percent) for code, percent in ast.literal_eval(cell).items()}
        right = all(0 <= percent <= 100 for percent in codes.values())
    except (ValueError, SyntaxError, AttributeError, TypeError, MemoryError, RecursionError):
        right = False
    if not right:
        raise table.error(row, "scp_codes", "is no list such as {'NORM': 100.0} of statements and percent")
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
        TableError: If a record has a statement that is not in the table.

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
                raise TableError(
                    f"{_DATABASE}, record {meta['record_id'].iloc[row]}, column scp_codes: unknown statement "
                    f"{code[:40]!r}, which is not in {_STATEMENTS}; correct it, or download both tables again"
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
    tables = [str(root / name) for name in (_DATABASE, _STATEMENTS) if (root / name).exists()]
    return tables + find_files(root / ("records100" if sampling_rate_hz == 100 else "records500"), _RECORD)


def _describe(root: Path, sampling_rate_hz: int, files: list[str]) -> Contents:
    meta = read_metadata(root)
    version = meta.attrs.pop("version")
    own = root / _STATEMENTS
    labels = read_labels(meta, statements(own if own.exists() else None))
    # Windows and network drives change the case of names: it does not count.
    listed = meta["filename_lr" if sampling_rate_hz == 100 else "filename_hr"]
    stems = [str(root / name).casefold() for name in listed]
    there = {file.casefold(): Path(file) for file in files}
    headers = {name.removesuffix(".hea"): file for name, file in there.items() if name.endswith(".hea")}
    samples = {name.removesuffix(".dat"): file for name, file in there.items() if name.endswith(".dat")}
    last = max(headers, default="")
    if last > max(stems, default=""):  # records that a later version dropped lie before its last one
        raise TableError(f"{root / _DATABASE} ends before record {headers[last].stem}; download it again")
    whole = headers.keys() & samples.keys()
    left_out = [(headers[stem], "its .dat file is not here") for stem in headers.keys() - whole]
    left_out += [(samples[stem], "its header (.hea) is not here") for stem in samples.keys() - whole]
    left_out += [(headers[stem], f"{_DATABASE} does not list it") for stem in whole - set(stems)]
    present = np.array([stem in whole for stem in stems], bool)
    absent = sum(stem not in headers and stem not in samples for stem in stems)
    return Contents(
        version=version,
        records=tuple(headers[stem].with_suffix("") for stem in stems if stem in whole),
        meta=meta.drop(columns=["filename_lr", "filename_hr"])[present].reset_index(drop=True),
        tasks={
            name: Labels(
                each.classes, each.values[present], None if each.known is None else each.known[present]
            )
            for name, each in labels.items()
        },
        max_samples=10 * sampling_rate_hz,
        missing=absent,
        left_out=tuple(sorted(left_out)),
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
    rate_folders=True,
)

SYNTHETIC = replace(
    PTBXL,
    name="synthetic",
    title="Synthetic records in the layout of PTB-XL, with known truth",
    markers=("synthetic.json",),
    remedy="Make them with ecgkit.datasets.synthetic.make_synthetic.",
)
