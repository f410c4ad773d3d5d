"""The labels of the Challenge sets from headers or label files alone, without any signal.

Three kinds of sources give the same table: a folder of headers, the ``REFERENCE.csv`` of CPSC 2018, and a
table of age, sex and diagnoses of all 43,101 records of the Challenge 2020.
"""

import filecmp
import re
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.datasets.code_systems import CPSC9, TABLES, code_of
from ecgkit.errors import DamagedError, DataNotFoundError, RecordError, TableError
from ecgkit.signals.header import Header
from ecgkit.signals.read import read_header
from ecgkit.signals.record import age_from_text, codes_from_text, comment_fields, sex_from_text
from ecgkit.tabular import Table, find_files, read_table

__all__ = [
    "TRANCHES",
    "header_codes",
    "label_matrix",
    "published_counts",
    "read_headers",
    "read_labels",
    "without_copies",
]

# The first headers of CPSC 2018, still in circulation, name the class in place of a code; NORM is "Normal".
_CLASS_NAMES = {"Normal": "426783006", **dict(CPSC9.values())}
_SNOMED_CODE = re.compile(r"\d{6,18}", re.ASCII)
_REFERENCE = ("First_label", "Second_label", "Third_label")
_DEMOGRAPHICS = ("tranche_name", "age", "sex", "diagnosis")

TRANCHES = {
    "CPSC": "cpsc2018",
    "CPSC-Extra": "cpsc2018_extra",
    "Georgia": "georgia",
    "PTB": "ptb",
    "PTB-XL": "ptbxl",
    "StPetersburg": "stpetersburg",
}
"""The Challenge's names of its sources -> names of data sets here (the last one has no loader)."""


@cache
def published_counts() -> pd.DataFrame:
    """How many records of each source have each code: rows are SNOMED CT codes, columns are data sets.

    Source:
        The Challenge's label maps of 2021; "csn" is the sum of Chapman-Shaoxing and Ningbo.

    >>> int((published_counts()["csn"] > 0).sum())     # MELEP, Table 1: 94 labels
    94
    """
    return pd.read_csv(TABLES / "snomed_counts.csv", dtype={"code": str}).set_index("code")


def read_labels(path: str | Path) -> pd.DataFrame:
    """Labels of records, from label files alone.

    Args:
        path: A folder with headers at any depth, a ``REFERENCE.csv`` of CPSC 2018, or the Challenge's table
            of demographics and diagnoses.

    Returns:
        One row per record, sorted by record_id: record_id, source (the data set; None for headers), age
        (years, NaN where unknown), sex ("female", "male" or None; all None for ``REFERENCE.csv``) and codes
        (a tuple of different SNOMED CT codes).

    Raises:
        DataNotFoundError: If there is no such file, or no header in the folder.
        TableError: If the file is of another kind, or a cell cannot be what its column holds.
    """
    path = Path(path)
    if path.is_dir():
        paths, copies = without_copies(find_files(path, re.compile(r".+\.hea", re.IGNORECASE)))
        headers, bad = read_headers(paths)
        bad += copies
        if bad:
            some = "; ".join(f"{file.name}: {reason}" for file, reason in bad[:5])
            warnings.warn(f"{path}: {len(bad)} records are left out: {some}", stacklevel=2)
        if not headers:
            raise DataNotFoundError(
                f"{path}: no header (.hea) in this folder; name the folder of a Challenge set"
            )
        return _table(_header_row(path, header) for path, header in headers)
    what = "REFERENCE.csv of CPSC 2018, or the Challenge's table of diagnoses"
    table = read_table(path, (), what, "name a folder of headers or a table of labels", first="record")
    names = [name.removesuffix(".mat") for name in table.columns["record"]]
    table.require_unique("record", names)
    if all(column in table for column in _REFERENCE):
        rows = (_reference_row(table, row) for row in range(len(table)))
    elif all(column in table for column in _DEMOGRAPHICS):
        rows = (_demographics_row(table, row) for row in range(len(table)))
    else:
        raise TableError(f"{path} is neither the {what}; name one of them")
    return _table({"record_id": name, **row} for name, row in zip(names, rows, strict=True))


def read_headers(paths: Iterable[Path]) -> tuple[list[tuple[Path, Header]], list[tuple[Path, str]]]:
    """Read headers: those that can be read, and those that cannot, each with the reason.

    Two headers of Chapman-Shaoxing-Ningbo 1.0.0 (JS01052 and JS23074) were published with a lost line
    break; a set must not become unreadable for them.
    """
    good, bad = [], []
    for path in paths:
        try:
            header = read_header(path)
            header_codes(header)
            good.append((path, header))
        except (RecordError, DataNotFoundError) as error:
            bad.append((path, str(error).removeprefix(f"{path}: ")))
    return good, bad


def without_copies(files: Iterable[str | Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """One file for each record: the one in the fewest folders, then the first by name; and the others.

    People keep a set twice in one folder, as it was packed and as it was unpacked.

    Raises:
        DamagedError: If two files of one name differ.
    """
    paths = sorted(map(Path, files), key=lambda path: (path.stem.casefold(), len(path.parts), str(path)))
    kept: list[Path] = []
    copies = []
    for path in paths:
        if not kept or path.stem.casefold() != kept[-1].stem.casefold():
            kept.append(path)
            continue
        first = kept[-1]
        if path.is_file() and first.is_file() and not filecmp.cmp(path, first, shallow=False):
            raise DamagedError(f"{path} and {first} are two different records of one name; remove one")
        copies.append((path, f"a second copy of {first}"))
    return kept, copies


def header_codes(header: Header) -> tuple[str, ...]:
    """The different SNOMED CT codes of a header's ``Dx`` line, in its order.

    The first release of CPSC 2018 wrote the names of the nine classes; they are turned into the codes of
    the later releases. Georgia's headers repeat codes; repetitions are dropped.

    Raises:
        TableError: If one is neither a SNOMED CT code nor the name of a class.

    >>> from ecgkit.signals.header import parse_header
    >>> text = "a 1 500 10\\na.mat 16+24 1000/mV 16 0 0 0 0 II\\n#Dx: AF,RBBB,AF\\n"
    >>> header_codes(parse_header(text))
    ('164889003', '59118001')
    """
    codes, _ = codes_from_text(comment_fields(header.comments).get("dx", ""))
    codes = tuple(dict.fromkeys(_CLASS_NAMES.get(code, code) for code in codes))
    if wrong := [code for code in codes if not _SNOMED_CODE.fullmatch(code)]:
        where = f"{header.path}: " if header.path else ""
        raise TableError(f"{where}the Dx line holds {wrong[0][:40]!r}, no SNOMED CT code; correct the header")
    return codes


def label_matrix(codes: Iterable[Iterable[str]], classes: Iterable[Iterable[str]]) -> np.ndarray:
    """Which records have which class.

    Args:
        codes: Codes of each of N records.
        classes: For each of K classes the codes that count as it.

    Returns:
        Shape (N, K), uint8.

    >>> label_matrix([["a"], ["b", "c"]], [["a", "b"], ["c"]]).tolist()
    [[1, 0], [1, 1]]
    """
    columns: dict[str, list[int]] = {}
    width = 0
    for width, members in enumerate(classes, start=1):
        for code in members:
            columns.setdefault(code, []).append(width - 1)
    rows = [[column for code in record for column in columns.get(code, ())] for record in codes]
    matrix = np.zeros((len(rows), width), np.uint8)
    for number, row in enumerate(rows):
        matrix[number, row] = 1
    return matrix


def _table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=["record_id", "source", "age", "sex", "codes"])
    table["age"] = table["age"].astype(float)
    return table.sort_values("record_id", ignore_index=True)


def _header_row(path: Path, header: Header) -> dict[str, Any]:
    fields = comment_fields(header.comments)
    return {
        "record_id": path.stem,
        "source": None,
        "age": age_from_text(fields.get("age", "")),
        "sex": sex_from_text(fields.get("sex", "")),
        "codes": header_codes(header),
    }


def _reference_row(table: Table, row: int) -> dict[str, Any]:
    classes = {str(number): code for number, (_, code) in CPSC9.items()}
    codes = []
    for column in _REFERENCE:
        cell = table.columns[column][row].removesuffix(".0")
        if cell and cell not in classes:
            raise table.error(row, column, "is not a number from 1 to 9")
        codes += [classes[cell]] if cell else []
    return {"source": "cpsc2018", "age": None, "sex": None, "codes": tuple(dict.fromkeys(codes))}


def _demographics_row(table: Table, row: int) -> dict[str, Any]:
    source = TRANCHES.get(table.columns["tranche_name"][row])
    if source is None:
        raise table.error(row, "tranche_name", f"is not one of {', '.join(TRANCHES)}")
    try:
        names = filter(None, map(str.strip, table.columns["diagnosis"][row].split(";")))
        codes = tuple(dict.fromkeys(code_of(name) for name in names))
    except KeyError as error:
        raise table.error(row, "diagnosis", f"cannot be read: {error.args[0]}") from None
    return {
        "source": source,
        "age": age_from_text(table.columns["age"][row]),
        "sex": sex_from_text(table.columns["sex"][row]),
        "codes": codes,
    }
