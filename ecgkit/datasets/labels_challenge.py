"""The labels of the Challenge sets from headers or label files alone, without any signal.

Three kinds of sources give the same table: a folder of headers, the ``REFERENCE.csv`` of CPSC 2018, and a
table of age, sex and diagnoses of all 43,101 records of the Challenge 2020.
"""

import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.datasets.labels_snomed import CPSC9, TABLES, code_of
from ecgkit.errors import DataNotFoundError, RecordError
from ecgkit.signals.header import Header, read_header
from ecgkit.signals.patient import age_from_text, codes_from_text, comment_fields, sex_from_text

__all__ = ["TRANCHES", "header_codes", "label_matrix", "published_counts", "read_headers", "read_labels"]

# The first headers of CPSC 2018, still in circulation, name the class in place of a code; NORM is "Normal".
_CLASS_NAMES = {"Normal": "426783006", **dict(CPSC9.values())}

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
        RecordError: If the file is of another kind or a header cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        headers = [header for _, header in read_headers(sorted(path.rglob("*.hea")))]
        if not headers:
            raise DataNotFoundError(
                f"{path}: no header (.hea) in this folder; name the folder of a Challenge set"
            )
        return _table(_header_row(header) for header in headers)
    if not path.exists():
        raise DataNotFoundError(f"{path}: no such file; name a folder of headers or a table of labels")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    columns = set(table.columns)
    if {"Recording", "First_label", "Second_label", "Third_label"} <= columns:
        return _table(_reference_row(row, path) for row in table.to_dict("records"))
    if {"record", "tranche_name", "age", "sex", "diagnosis"} <= columns:
        return _table(_demographics_row(row, path) for row in table.to_dict("records"))
    raise RecordError(f"{path}: neither CPSC 2018's REFERENCE.csv nor the Challenge's table of diagnoses")


def read_headers(paths: Iterable[Path]) -> list[tuple[Path, Header]]:
    """Read headers and leave out, with a warning, those that break the rules of WFDB.

    Two headers of Chapman-Shaoxing-Ningbo 1.0.0 (JS01052 and JS23074) were published with a lost line
    break; a set must not become unreadable for them.
    """
    good, bad = [], []
    for path in paths:
        try:
            good.append((path, read_header(path)))
        except RecordError as error:
            bad.append(str(error))
    if bad:
        warnings.warn(
            f"{len(bad)} records are left out, their headers cannot be read: {'; '.join(bad[:5])}",
            stacklevel=2,
        )
    return good


def header_codes(header: Header) -> tuple[str, ...]:
    """The different SNOMED CT codes of a header's ``Dx`` line, in its order.

    The first release of CPSC 2018 wrote the names of the nine classes; they are turned into the codes of
    the later releases. Georgia's headers repeat codes; repetitions are dropped.

    >>> from ecgkit.signals.header import parse_header
    >>> text = "a 1 500 10\\na.mat 16+24 1000/mV 16 0 0 0 0 II\\n#Dx: AF,RBBB,AF\\n"
    >>> header_codes(parse_header(text))
    ('164889003', '59118001')
    """
    codes, _ = codes_from_text(comment_fields(header.comments).get("dx", ""))
    return tuple(dict.fromkeys(_CLASS_NAMES.get(code, code) for code in codes))


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


def _header_row(header: Header) -> dict[str, Any]:
    fields = comment_fields(header.comments)
    return {
        "record_id": header.name,
        "source": None,
        "age": age_from_text(fields.get("age", "")),
        "sex": sex_from_text(fields.get("sex", "")),
        "codes": header_codes(header),
    }


def _reference_row(row: dict[Any, Any], path: Path) -> dict[str, Any]:
    numbers = [text for text in (row["First_label"], row["Second_label"], row["Third_label"]) if text.strip()]
    try:
        codes = tuple(dict.fromkeys(CPSC9[int(number)][1] for number in numbers))
    except (ValueError, KeyError):
        raise RecordError(
            f"{path}: record {row['Recording']} has labels {numbers}, not numbers from 1 to 9"
        ) from None
    return {"record_id": row["Recording"], "source": "cpsc2018", "age": None, "sex": None, "codes": codes}


def _demographics_row(row: dict[Any, Any], path: Path) -> dict[str, Any]:
    try:
        codes = tuple(dict.fromkeys(code_of(name) for name in row["diagnosis"].split(";") if name))
        source = TRANCHES[row["tranche_name"]]
    except KeyError as error:
        raise RecordError(f"{path}: record {row['record']}: {error}") from None
    return {
        "record_id": row["record"],
        "source": source,
        "age": age_from_text(row["age"]),
        "sex": sex_from_text(row["sex"]),
        "codes": codes,
    }
