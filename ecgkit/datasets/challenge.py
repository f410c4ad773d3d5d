"""The sets of the PhysioNet/CinC Challenges: CPSC 2018 and CPSC-Extra, Georgia, Chapman-Shaoxing-Ningbo, PTB.

Each is a folder of records (.hea and .mat), at the top or in sub-folders as PhysioNet publishes them. Their
records are of unequal length and rate, and the store needs one shape; these are the rules:

- Signals are resampled to the rate asked for (100 Hz unless said otherwise) by a polyphase filter.
- Records longer than the set's cap keep their first seconds: 60 s for CPSC 2018 and CPSC-Extra, 120 s for
  PTB. CPSC 2018 is published with up to 60 s; column
  `duration_s` of the metadata has the full length.
- Shorter records are followed by zeros; `ECGDataset.lengths` says where.
- Samples marked as invalid are interpolated between their neighbours in time; a lead without any valid one
  is 0.

No set names its patients: every record counts as one patient, although this is not known to be so.

Tasks:
    all: Every code that the set has, in order of the code, as SNOMED CT codes.
    scored: The 24 classes of the Challenge 2020 (27 codes, three pairs merged).
    scored2021: The 26 classes of the Challenge 2021 (30 codes, four pairs merged).
    cpsc9: The nine classes of CPSC 2018.
    melep: The labels that MELEP uses. `labelled()` leaves out records shorter than ten seconds, as MELEP
        does, and keeps records with none of these labels, which the paper does not mention; `first_seconds`
        crops the rest.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ecgkit.datasets.base import Contents, DataSource, ECGDataset, Labels
from ecgkit.datasets.labels_challenge import header_codes, label_matrix, published_counts, read_headers
from ecgkit.datasets.labels_snomed import CPSC9, MELEP_LABELS, scored_classes, snomed_codes
from ecgkit.datasets.splits import stratified_folds
from ecgkit.errors import RecordError
from ecgkit.signals.header import Header, SignalLine
from ecgkit.signals.patient import age_from_text, comment_fields, sex_from_text
from ecgkit.signals.read import INVALID_SAMPLE, lead_order, read_digital
from ecgkit.signals.resampling import resample

__all__ = ["CHALLENGE_SETS", "CPSC2018", "CPSC2018_EXTRA", "CSN", "GEORGIA", "PTB", "first_seconds"]

MELEP_SECONDS = 10


@dataclass(frozen=True)
class _Layout:
    """What distinguishes one Challenge set from another."""

    name: str
    version: str
    stem: str
    max_duration_s: int
    tasks: tuple[str, ...]


def first_seconds(dataset: ECGDataset, duration_s: float = MELEP_SECONDS) -> ECGDataset:
    """The records that last at least `duration_s`, cropped to their first `duration_s` seconds.

    Source:
        MELEP (Nguyen et al., 2024), section 2.2: crop to ten seconds, leave out what is shorter.

    >>> import numpy as np, pandas as pd
    >>> meta = pd.DataFrame({"record_id": ["a", "b"], "patient": ["a", "b"], "fold": [1, 2]})
    >>> ds = ECGDataset("toy", "1", "all", 100, np.ones((2, 12, 1500), np.int16), 0.001,
    ...                 np.ones((2, 1), np.uint8), ("AF",), meta, lengths=np.array([600, 1500], np.int32))
    >>> part = first_seconds(ds)
    >>> part.signals.shape, part.meta["record_id"].tolist()
    ((1, 12, 1000), ['b'])
    """
    samples = round(duration_s * dataset.sampling_rate_hz)
    long_enough = dataset.lengths >= samples
    part = dataset.subset(long_enough)
    return replace(
        part,
        signals=dataset.signals[:, :, :samples][long_enough],
        lengths=np.full(len(part), samples, np.int32),
        fingerprint=hashlib.sha256(f"{part.fingerprint} first {samples}".encode()).hexdigest(),
    )


def _files(layout: _Layout, root: Path, sampling_rate_hz: int) -> list[Path]:
    """All headers and signal files of records of this set."""
    pattern = re.compile(rf"(?:{layout.stem})\.(?:hea|mat)")
    found = []
    for folder, _, names in os.walk(root):
        found += [Path(folder, name) for name in names if pattern.fullmatch(name)]
    return found


def _describe(layout: _Layout, root: Path, sampling_rate_hz: int, files: list[Path]) -> Contents:
    paths = sorted((file for file in files if file.suffix == ".hea"), key=lambda path: path.stem)
    there = set(files)
    headers = [
        (path, header)
        for path, header in read_headers(paths)
        if path.with_name(header.signals[0].file_name) in there
    ]
    if not headers:
        raise RecordError(
            f"{root}: no complete record (.hea with .mat) of {layout.name}; download the records again"
        )
    meta = pd.DataFrame([_meta_row(path, header) for path, header in headers])
    codes = [text.split(",") if text else [] for text in meta["codes"]]
    tasks = _tasks(layout, codes, meta["duration_s"].to_numpy(float))
    everything = tasks["all"].values
    meta.insert(2, "fold", stratified_folds(everything, meta["patient"].to_numpy()))
    longest = max(_samples(header, layout.max_duration_s, sampling_rate_hz) for _, header in headers)
    return Contents(
        version=layout.version,
        records=tuple(path for path, _ in headers),
        meta=meta,
        tasks={name: tasks[name] for name in layout.tasks},
        max_samples=longest,
        missing=len(paths) - len(headers),
    )


def _samples(header: Header, max_duration_s: int, sampling_rate_hz: int) -> int:
    """Samples that `_read` returns for this record."""
    kept = min(header.samples, round(max_duration_s * header.sampling_rate_hz))
    return -int(-kept * sampling_rate_hz // header.sampling_rate_hz)


def _meta_row(path: Path, header: Header) -> dict[str, object]:
    fields = comment_fields(header.comments)
    age = age_from_text(fields.get("age", ""))
    return {
        "record_id": path.stem,
        "patient": path.stem,
        "age": np.nan if age is None else age,
        "sex": sex_from_text(fields.get("sex", "")),
        "codes": ",".join(header_codes(header)),
        "duration_s": header.samples / header.sampling_rate_hz,
        "published_rate_hz": header.sampling_rate_hz,
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
    return (int(code) if code.isdigit() else 0, code)


def _read(max_duration_s: int, path: Path, sampling_rate_hz: int) -> tuple[np.ndarray, float]:
    """The signal in mV by the rules above, shape (12, samples), and the factor 1."""
    digital, header = read_digital(path)
    samples = min(header.samples, round(max_duration_s * header.sampling_rate_hz))
    signal = np.empty((12, samples), np.float32)
    for row, index in enumerate(lead_order(header)):
        signal[row] = _millivolts(path, header.signals[index], digital[index, :samples])
    return resample(signal, header.sampling_rate_hz, sampling_rate_hz), 1.0


def _millivolts(path: Path, line: SignalLine, digital: np.ndarray) -> np.ndarray:
    """One lead in mV; invalid samples interpolated, shape (samples,)."""
    if line.units.casefold() != "mv":
        raise RecordError(
            f"{path}: lead {line.lead} is in {line.units!r}, not in mV; download the header again"
        )
    values = (digital.astype(np.float64) - line.baseline) / line.gain
    valid = digital != INVALID_SAMPLE.get(line.format, -32768)
    if valid.all():
        return values
    if not valid.any():
        return np.zeros_like(values)
    return np.interp(np.arange(len(values)), np.flatnonzero(valid), values[valid])


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
    _GROUPS,
    "A[0-9]*.hea",
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
