"""The 71 SCP-ECG statements of PTB-XL and their hierarchy: statements, 23 subclasses, 5 superclasses."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ecgkit.datasets.base import Labels
from ecgkit.datasets.code_systems import TABLES
from ecgkit.tabular import read_table

__all__ = [
    "LEVELS",
    "SUPERCLASSES",
    "aggregate",
    "aggregation_matrix",
    "classes_of",
    "count_table",
    "level_labels",
    "likelihoods",
    "statements",
    "subclass_of",
    "superclass_of",
]

LEVELS = ("all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm")
SUPERCLASSES = ("CD", "HYP", "MI", "NORM", "STTC")

_COLUMNS = ("description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")


def statements(path: Path | None = None) -> pd.DataFrame:
    """The table of statements, indexed by code.

    Args:
        path: A ``scp_statements.csv`` as published with PTB-XL; None for the table inside the package.

    Returns:
        Columns description, diagnostic, form, rhythm (bool), diagnostic_class (the superclass) and
        diagnostic_subclass (None where a statement is not diagnostic), sorted by code.

    Raises:
        DataNotFoundError: If the file is not there.
        TableError: If it lacks a column, a cell cannot be what its column holds, a statement is listed
            twice, or a diagnostic one has no class; the message names line, column and cell.

    Source:
        PTB-XL 1.0.3, scp_statements.csv (Wagner et al., 2020).

    >>> table = statements()
    >>> len(table), int(table.diagnostic.sum()), int(table.form.sum()), int(table.rhythm.sum())
    (71, 44, 19, 12)
    """
    return _own_table() if path is None else _read_table(path)


@cache
def _own_table() -> pd.DataFrame:
    return _read_table(TABLES / "scp_statements.csv")


def _read_table(path: Path) -> pd.DataFrame:
    # The column of codes has no name in the published file; a spreadsheet may have given it one.
    table = read_table(path, _COLUMNS, "scp_statements.csv of PTB-XL", "it is part of PTB-XL", first="code")
    table.require_unique("code")
    frame = pd.DataFrame(index=pd.Index(table.columns["code"], name="code"))
    frame["description"] = table.columns["description"]
    for column in ("diagnostic", "form", "rhythm"):
        frame[column] = table.choices(column, {"1": True, "0": False}, False)
    for column in ("diagnostic_class", "diagnostic_subclass"):
        cells = table.texts(column)
        for row, (cell, needed) in enumerate(zip(cells, frame["diagnostic"], strict=True)):
            if needed and cell is None:
                raise table.error(row, column, "is no class, which a diagnostic statement needs")
        frame[column] = pd.Series(cells, index=frame.index, dtype="str")
    return frame.sort_index()


def superclass_of(code: str) -> str | None:
    """Superclass of a statement: CD, HYP, MI, NORM or STTC; None for form and rhythm statements.

    >>> superclass_of("IMI"), superclass_of("AFIB")
    ('MI', None)
    """
    return _of(code, "diagnostic_class")


def subclass_of(code: str) -> str | None:
    """Diagnostic subclass of a statement; None for form and rhythm statements.

    >>> subclass_of("ASMI"), subclass_of("1AVB")
    ('AMI', '_AVB')
    """
    return _of(code, "diagnostic_subclass")


def _of(code: str, column: str) -> str | None:
    table = statements()
    if code not in table.index:
        raise KeyError(f"{code!r} is none of the 71 statements of PTB-XL")
    return str(table.at[code, column]) if table.at[code, "diagnostic"] else None


def classes_of(level: str, table: pd.DataFrame | None = None) -> tuple[str, ...]:
    """Classes of a level, sorted by name.

    Args:
        level: One of :data:`LEVELS`.
        table: As :func:`statements` returns it; None for the package's own.

    >>> classes_of("superdiagnostic")
    ('CD', 'HYP', 'MI', 'NORM', 'STTC')
    >>> [len(classes_of(level)) for level in LEVELS]
    [71, 44, 23, 5, 19, 12]
    """
    table = statements() if table is None else table
    if level == "all":
        return tuple(table.index)
    if level in ("diagnostic", "form", "rhythm"):
        return tuple(table.index[table[level]])
    if level not in LEVELS:
        raise ValueError(f"no level {level!r}; there are {', '.join(LEVELS)}")
    return tuple(sorted(set(table.loc[table["diagnostic"], _column(level)])))


def _column(level: str) -> str:
    return {"subdiagnostic": "diagnostic_subclass", "superdiagnostic": "diagnostic_class"}[level]


def aggregation_matrix(codes: Sequence[str], level: str, table: pd.DataFrame | None = None) -> np.ndarray:
    """Which statement belongs to which class of a level, uint8, shape (len(codes), classes).

    A statement that does not occur at the level has a row of zeros.
    """
    table = statements() if table is None else table
    position = {name: number for number, name in enumerate(classes_of(level, table))}
    matrix = np.zeros((len(codes), len(position)), np.uint8)
    for row, code in enumerate(codes):
        if code not in table.index:
            raise KeyError(f"{code!r} is none of the {len(table)} statements of PTB-XL")
        if level in ("subdiagnostic", "superdiagnostic"):
            target = str(table.at[code, _column(level)])  # "nan" for those that are not diagnostic
        else:
            target = code
        if target in position:
            matrix[row, position[target]] = 1
    return matrix


def aggregate(values: np.ndarray, codes: Sequence[str], level: str) -> np.ndarray:
    """Labels or probabilities of statements, summed up the hierarchy and limited to 1.

    Args:
        values: Labels (any integer type) or probabilities (float), shape (N, len(codes)).
        codes: Statement of each column.
        level: Level of the result, one of :data:`LEVELS`.

    Returns:
        Array of the type of `values`, shape (N, classes of the level).

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section IV-A.

    >>> aggregate(np.array([[0.5, 0.75, 0.25]]), ["IMI", "ASMI", "NORM"], "superdiagnostic")
    array([[0.  , 0.  , 1.  , 0.25, 0.  ]])
    """
    matrix = aggregation_matrix(codes, level)
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    return np.minimum(values.astype(kind) @ matrix.astype(kind), 1).astype(values.dtype)


def likelihoods(meta: pd.DataFrame, codes: Sequence[str] | None = None) -> np.ndarray:
    """How sure the annotator was of each statement, from the column scp_codes of the metadata.

    Diagnostic statements nearly always have one (15, 35, 50, 80 or 100 %, four times another number); 0 means
    that none was given, which is so for most form and rhythm statements.

    Returns:
        float32, shape (N, len(codes)), in [0, 1]; NaN where the statement was not made.

    >>> frame = pd.DataFrame({"scp_codes": ['{"IMI": 50.0, "SR": 0.0}']})
    >>> likelihoods(frame, ["IMI", "NORM", "SR"])
    array([[0.5, nan, 0. ]], dtype=float32)
    """
    codes = classes_of("all") if codes is None else codes
    position = {code: number for number, code in enumerate(codes)}
    result = np.full((len(meta), len(codes)), np.nan, np.float32)
    for row, text in enumerate(meta["scp_codes"]):
        for code, percent in json.loads(text).items():
            if code in position:
                result[row, position[code]] = percent / 100
    return result


def level_labels(made: np.ndarray, codes: Sequence[str], level: str, table: pd.DataFrame) -> Labels:
    """Labels of a level from the statements made, uint8 (N, len(codes)), each counting however likely."""
    matrix = aggregation_matrix(codes, level, table)
    values = (made.astype(np.int32) @ matrix > 0).astype(np.uint8)
    return Labels(classes_of(level, table), values)


def count_table(labels: dict[str, Labels]) -> pd.DataFrame:
    """How many records have 0, 1, 2, 3 and at least 4 labels, level by level.

    Returns:
        One row per level, columns classes, 0, 1, 2, 3, >=4.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Table I.
    """
    rows = {}
    for level, given in labels.items():
        each = np.minimum(given.values.sum(axis=1, dtype=np.int64), 4)
        rows[level] = [len(given.classes), *np.bincount(each, minlength=5)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["classes", "0", "1", "2", "3", ">=4"])
