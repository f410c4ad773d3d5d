"""The sets of the PhysioNet/CinC Challenges: CPSC 2018 and CPSC-Extra, Georgia, Chapman-Shaoxing-Ningbo, PTB.

Each is a folder of records (.hea and .mat), at the top or in sub-folders as PhysioNet publishes them. Their
records are of unequal length and rate, and the store needs one shape; these are the rules:

- Signals are resampled to the rate asked for (100 Hz unless said otherwise) by a polyphase filter.
- Records longer than the set's cap keep their first seconds: 60 s for CPSC 2018 and CPSC-Extra, 120 s for
  PTB; column `duration_s` of the metadata has the full length.
- Shorter records are followed by zeros; `ECGDataset.lengths` says where.
- Samples marked as invalid are interpolated between their neighbours in time; a lead without any valid one
  is 0.

CPSC 2018 is read in two layouts: that of the Challenge, and that of its own organisers (a MATLAB structure
per record, no header, the classes in ``REFERENCE.csv``), which has the nine classes as its only labels.

No set names its patients: every record counts as one patient, although this is not known to be so.

Tasks:
    all: Every code that the set has, in order of the code, as SNOMED CT codes.
    scored: The 24 classes of the Challenge 2020 (27 codes, three pairs merged).
    scored2021: The 26 classes of the Challenge 2021 (30 codes, four pairs merged).
    cpsc9: The nine classes of CPSC 2018.
    melep: The labels that MELEP uses. `labelled()` leaves out records shorter than ten seconds, as MELEP
        does, and keeps records with none of these labels, which the paper does not mention; `first_seconds`
        (in `ecgkit.datasets.derived`) crops the rest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ecgkit.datasets.base import Contents, DataSource, Labels
from ecgkit.datasets.code_systems import CPSC9, MELEP_LABELS, scored_classes, snomed_codes
from ecgkit.datasets.labels_challenge import (
    header_codes,
    label_matrix,
    published_counts,
    read_headers,
    read_labels,
    without_copies,
)
from ecgkit.datasets.splits import stratified_folds
from ecgkit.errors import DataNotFoundError, FormatError, RecordError
from ecgkit.signals.filters import resample
from ecgkit.signals.formats import data_file
from ecgkit.signals.header import Header
from ecgkit.signals.read import read_millivolts, read_record
from ecgkit.signals.record import age_from_text, comment_fields, sex_from_text
from ecgkit.tabular import find_files

__all__ = ["CHALLENGE_SETS", "CPSC2018", "CPSC2018_EXTRA", "CSN", "GEORGIA", "MELEP_SECONDS", "PTB"]

MELEP_SECONDS = 10
"""MELEP crops records to their first ten seconds and leaves out what is shorter."""


@dataclass(frozen=True)
class _Layout:
    """What distinguishes one Challenge set from another; `stem` is a pattern of its records' names."""

    name: str
    version: str
    stem: str
    max_duration_s: int
    tasks: tuple[str, ...]


def _files(layout: _Layout, root: Path, sampling_rate_hz: int) -> list[str]:
    """All headers and signal files of records of this set, and the labels of CPSC 2018's own layout."""
    reference = "|REFERENCE\\.csv" if layout.name == "cpsc2018" else ""
    pattern = rf"(?:{layout.stem})\.(?:hea|mat|dat){reference}"
    return find_files(root, re.compile(pattern, re.IGNORECASE | re.ASCII))


def _describe(layout: _Layout, root: Path, sampling_rate_hz: int, files: list[str]) -> Contents:
    headers, tables, signals = (
        [file for file in files if file.lower().endswith(ends)] for ends in (".hea", ".csv", (".mat", ".dat"))
    )
    missing = 0
    if not headers and signals and layout.name == "cpsc2018":
        rows, left_out, missing = _own_layout(root, signals, tables)
    else:
        rows, left_out = _with_headers(headers, signals)
    if not rows:
        some = "".join(f"; {path.name}: {reason}" for path, reason in left_out[:3])
        raise FormatError(f"{root}: no complete record (.hea with .mat) of {layout.name}{some}")
    records = tuple(path for path, _ in rows)
    meta = pd.DataFrame([row for _, row in rows])
    samples = meta.pop("samples").to_numpy(np.int64)
    codes = [text.split(",") if text else [] for text in meta["codes"]]
    tasks = _tasks(layout, codes, meta["duration_s"].to_numpy(float))
    meta.insert(2, "fold", stratified_folds(tasks["all"].values, meta["patient"].to_numpy()))
    pairs = zip(samples.tolist(), meta["published_rate_hz"].tolist(), strict=True)
    return Contents(
        version=layout.version,
        records=records,
        meta=meta,
        tasks={name: tasks[name] for name in layout.tasks},
        max_samples=max(_kept(n, rate, layout.max_duration_s, sampling_rate_hz) for n, rate in pairs),
        missing=missing,
        left_out=tuple(sorted(left_out)),
    )


def _kept(samples: int, rate_hz: float, max_duration_s: int, sampling_rate_hz: int) -> int:
    """Samples that `_read` returns for a record of so many samples."""
    kept = min(samples, round(max_duration_s * rate_hz))
    return -int(-kept * sampling_rate_hz // rate_hz)


_Rows = list[tuple[Path, dict[str, object]]]


def _with_headers(headers: list[str], signals: list[str]) -> tuple[_Rows, list[tuple[Path, str]]]:
    """The records of the Challenge's layout, and the files that make none."""
    kept, left_out = without_copies(headers)
    read, bad = read_headers(kept)
    owner: dict[Path, Path] = {}  # of each file of signals
    rows: _Rows = []
    for path, header in read:
        try:
            file = path if header.segments else data_file(path, header.signals[0])
        except (RecordError, DataNotFoundError) as error:
            bad.append((path, str(error).removeprefix(f"{path}: ")))
            continue
        if file in owner:
            bad.append((path, f"its signals ({file.name}) are those of {owner[file].name}"))
        else:
            owner[file] = path
            rows.append((path, _meta_row(path, header)))
    known = {Path(file).stem.casefold() for file in (*headers, *map(str, owner))}
    alone = [Path(file) for file in signals if Path(file).stem.casefold() not in known]
    return rows, left_out + bad + [(file, "its header (.hea) is not here") for file in alone]


def _own_layout(
    root: Path, signals: list[str], tables: list[str]
) -> tuple[_Rows, list[tuple[Path, str]], int]:
    """The records of CPSC 2018's own layout, files that make none, and how many listed ones are not here."""
    if not tables:
        raise DataNotFoundError(
            f"{root} holds records of CPSC 2018 without headers, and no REFERENCE.csv with their labels; put "
            "it there, or get the Challenge's layout with `ecgkit data download cpsc2018`"
        )
    table = read_labels(tables[0])
    labels = dict(zip(table["record_id"].str.casefold(), table["codes"], strict=True))
    kept, left_out = without_copies(signals)
    rows: _Rows = []
    for path in kept:
        codes = labels.get(path.stem.casefold())
        if codes is None:
            left_out.append((path, f"{tables[0]} does not list it"))
            continue
        try:
            record = read_record(path)
        except (RecordError, DataNotFoundError) as error:
            left_out.append((path, str(error).removeprefix(f"{path}: ")))
            continue
        samples, rate = record.signal_mv.shape[1], record.sampling_rate_hz
        age = np.nan if record.age is None else record.age
        rows.append((path, _row(path, age, record.sex, codes, samples, rate)))
    return rows, left_out, len(labels.keys() - {path.stem.casefold() for path in kept})


def _meta_row(path: Path, header: Header) -> dict[str, object]:
    fields = comment_fields(header.comments)
    age = age_from_text(fields.get("age", ""))
    sex = sex_from_text(fields.get("sex", ""))
    codes = header_codes(header)
    return _row(path, np.nan if age is None else age, sex, codes, header.samples, header.sampling_rate_hz)


def _row(
    path: Path, age: float, sex: str | None, codes: tuple[str, ...], samples: int, rate_hz: float
) -> dict[str, object]:
    return {
        "record_id": path.stem.upper(),
        "patient": path.stem.upper(),
        "age": age,
        "sex": sex,
        "codes": ",".join(codes),
        "duration_s": samples / rate_hz,
        "published_rate_hz": rate_hz,
        "samples": samples,
    }


def _tasks(layout: _Layout, codes: list[list[str]], duration_s: np.ndarray) -> dict[str, Labels]:
    """Labels of all tasks that the Challenge sets have."""
    counts = published_counts()[layout.name]
    every = sorted({*counts.index[counts > 0], *(c for record in codes for c in record)}, key=_code_order)
    groups: dict[str, Mapping[str, list[str]]] = {
        "all": {code: [code] for code in every},
        "scored": _scored_groups(2020),
        "scored2021": _scored_groups(2021),
        "cpsc9": {name: [code] for name, code in CPSC9.values()},
        "melep": {name: [code] for name, code in MELEP_LABELS.get(layout.name, {}).items()},
    }
    known = {"melep": duration_s >= MELEP_SECONDS}
    return {
        name: Labels(tuple(group), label_matrix(codes, group.values()), known.get(name))
        for name, group in groups.items()
    }


def _scored_groups(year: int) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {code: [] for code in scored_classes(year)}
    for entry in snomed_codes().values():
        if year in entry.scored_as:
            groups[entry.scored_as[year]].append(entry.code)
    return groups


def _code_order(code: str) -> tuple[int, str]:
    return (int(code), code)


def _read(max_duration_s: int, path: Path, sampling_rate_hz: int) -> tuple[np.ndarray, float]:
    """The signal in mV by the rules above, shape (12, samples), and the factor 1."""
    if path.suffix.lower() == ".mat":
        record = read_record(path)
        signal, rate = record.signal_mv, record.sampling_rate_hz
    else:
        signal, header = read_millivolts(path)
        rate = header.sampling_rate_hz
    signal = signal[:, : round(max_duration_s * rate)]
    for lead in signal:
        valid = np.isfinite(lead)
        if not valid.all():
            places = np.flatnonzero(valid)
            lead[:] = np.interp(np.arange(len(lead)), places, lead[places]) if len(places) else 0
    if signal.shape[1] == 1:  # nothing to filter
        return np.repeat(signal, -int(-sampling_rate_hz // rate), axis=1), 1.0
    return resample(signal, rate, sampling_rate_hz), 1.0


def _source(
    layout: _Layout, title: str, folders: tuple[str, ...], glob: str, rates: tuple[int, ...] = (100, 500, 250)
) -> DataSource:
    return DataSource(
        name=layout.name,
        title=title,
        markers=tuple(f"{folder}{glob}" for folder in folders),
        tasks=layout.tasks,
        sampling_rates_hz=rates,
        mv_per_unit=0.001,
        files=partial(_files, layout),
        describe=partial(_describe, layout),
        read=partial(_read, layout.max_duration_s),
        remedy=f"get it with `ecgkit data download {layout.name}`",
    )


_GROUPS = ("", "g*/")
_SCORED = ("all", "scored", "scored2021")

CPSC2018 = _source(
    _Layout("cpsc2018", "1.0.3", r"A\d{4}", 60, ("cpsc9", "all", "scored", "scored2021", "melep")),
    "CPSC 2018, 6,877 records of 6 to 60 s (China), nine classes",
    ("", "g*/", "TrainingSet*/"),
    "A[0-9]*.[hm]*",
)
CPSC2018_EXTRA = _source(
    _Layout("cpsc2018_extra", "1.0.3", r"Q\d{4}", 60, _SCORED),
    "CPSC 2018 Extra, 3,453 records (China), SNOMED CT codes",
    _GROUPS,
    "Q[0-9]*.hea",
)
GEORGIA = _source(
    _Layout("georgia", "1.0.3", r"E\d{5}", 10, (*_SCORED, "melep")),
    "Georgia 12-lead (G12EC), 10,344 records of up to 10 s (USA), SNOMED CT codes",
    _GROUPS,
    "E[0-9]*.hea",
)
CSN = _source(
    _Layout("csn", "1.0.0", r"JS\d{5}|S\d{5}", 10, (*_SCORED, "melep")),
    "Chapman-Shaoxing and Ningbo, 45,152 records of 10 s (China), SNOMED CT codes",
    ("", "g*/", "WFDBRecords/*/*/", "*/*/", "chapman_shaoxing/g*/", "ningbo/g*/"),
    "JS[0-9]*.hea",
)
PTB = _source(
    _Layout("ptb", "1.0.3", r"S\d{4}", 120, _SCORED),
    "PTB diagnostic, 516 records of up to 120 s (Germany), SNOMED CT codes",
    _GROUPS,
    "S[0-9][0-9][0-9][0-9].hea",
    (100, 1000, 500, 250),
)
CHALLENGE_SETS = (CPSC2018, CPSC2018_EXTRA, GEORGIA, CSN, PTB)
