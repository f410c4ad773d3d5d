"""Tables: reading those that data sets are published with, cell by cell, and keeping our own.

A published table may have passed through a spreadsheet. A byte order mark, semicolons or tabs between the
cells, Windows' line ends, rows and columns of nothing at the end, ``1.0`` for 1 and a comma as the decimal
sign are all read; a cell that cannot be what its column holds is named with its line, column and text.
"""

import csv
import hashlib
import io
import math
import os
import re
import stat
import zipfile
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ecgkit.errors import DamagedError, DataNotFoundError, FormatError, StoreError, TableError

__all__ = [
    "Table",
    "find_files",
    "frame_to_arrays",
    "frame_update",
    "read_arrays",
    "read_frame",
    "read_table",
]

T = TypeVar("T", bound=Hashable)

_LARGEST_BYTES = 2**28  # PTB-XL's table has 6 MB
# What stands for "no value", as pandas reads tables.
_BLANK = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
    | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d+|\.)?|[.,]\d+)(?:[eE][-+]?\d{1,4})?", re.ASCII)
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+", re.ASCII)  # or a comma as the decimal sign: who knows?
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, eq=False)
class Table:
    """A table as text.

    Attributes:
        path: Its file.
        columns: The cells of each column, without blanks around them.
        lines: The line of the file in which each row ends.
        key: The column whose cells name the rows in messages.
    """

    path: Path
    columns: Mapping[str, list[str]]
    lines: list[int]
    key: str

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def error(self, row: int, column: str, problem: str) -> TableError:
        """The error to raise for a cell: it names file, line, row, column, text and remedy."""
        name, cell = self.columns[self.key][row], self.columns[column][row]
        shown = cell if len(cell) <= 60 else cell[:57] + "..."
        return TableError(
            f"{self.path}, line {self.lines[row]} ({self.key} {name[:40] or 'missing'}), column {column}: "
            f"{shown!r} {problem}; correct this cell or download the table again"
        )

    def texts(self, column: str) -> list[str | None]:
        """The cells, None for those that hold nothing; all None where there is no such column."""
        cells = self.columns.get(column, [""] * len(self))
        return [None if cell in _BLANK else cell for cell in cells]

    def numbers(
        self, column: str, low: float = -math.inf, high: float = math.inf, whole: bool = False
    ) -> np.ndarray:
        """The cells as float64, NaN for those that hold nothing; all NaN where there is no such column.

        Raises:
            TableError: If a cell is no number, is not in [low, high], or has to be `whole` and is not.
        """
        values = np.full(len(self), np.nan)
        for row, cell in enumerate(self.columns.get(column, ())):
            if cell in _BLANK:
                continue
            if not _NUMBER.fullmatch(cell) or _THOUSANDS.fullmatch(cell):
                raise self.error(row, column, "is no number")
            value = float(cell.replace(",", "."))
            if not low <= value <= high or not math.isfinite(value):
                raise self.error(row, column, f"is not a number from {low:g} to {high:g}")
            if whole and value != int(value):
                raise self.error(row, column, "is no whole number")
            values[row] = value
        return values

    def integers(self, column: str, low: int = 0, high: int = 2**53) -> np.ndarray:
        """The cells as int64.

        Raises:
            TableError: If a cell is blank, no whole number, or not in [low, high].
        """
        values = self.numbers(column, low, high, whole=True)
        if np.isnan(values).any():
            raise self.error(int(np.isnan(values).argmax()), column, "holds no number")
        return values.astype(np.int64)

    def choices(self, column: str, meaning: Mapping[str, T], blank: T) -> list[T]:
        """What the cells mean, in any case of letters; `blank` for those that hold nothing.

        Raises:
            TableError: If a cell is none of those in `meaning`.
        """
        values = []
        for row, cell in enumerate(self.columns[column]):
            if cell in _BLANK:
                values.append(blank)
            elif (known := cell.casefold().removesuffix(".0")) in meaning:
                values.append(meaning[known])
            else:
                raise self.error(row, column, f"is not one of {', '.join(meaning)}")
        return values

    def require_unique(self, column: str, values: Sequence[Hashable] | None = None) -> None:
        """Raise TableError if a cell of `column` (or its value in `values`) is blank or occurs twice."""
        first: dict[Hashable, int] = {}
        for row, value in enumerate(self.columns[column] if values is None else values):
            if value == "":
                raise self.error(row, column, "holds nothing")
            if value in first:
                raise self.error(row, column, f"was listed before, in line {self.lines[first[value]]}")
            first[value] = row


def read_table(
    path: Path, required: Sequence[str], what: str, remedy: str = "check the path", first: str = ""
) -> Table:
    """Read a comma, semicolon or tab separated table; see the head of this module.

    Args:
        path: The file.
        required: Columns that it must have; the first names its rows in messages.
        what: What the table is, for messages.
        remedy: What to do where it is not there.
        first: A name for the first column, whatever the table calls it; that column names the rows then.

    Raises:
        DataNotFoundError: If it is not there.
        FormatError: If it is no text table.
        DamagedError: If it is empty or has no rows.
        TableError: If it is not in UTF-8, its quotation marks do not match, a row has too many cells, or
            a column is missing or there twice.
    """
    text = _text_of(path, remedy)
    if not text.strip():
        raise DamagedError(f"{path} is empty; download it again")
    head = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise TableError(
            f"{path}, line {reader.line_num}: {error}; a cell or its quotation marks are at fault, or the "
            "table is cut off: correct it or download it again"
        ) from None
    names = rows.pop(0)
    del lines[0]
    if not rows:
        raise DamagedError(f"{path} has no rows below its head; download it again")
    while names and not names[-1]:
        names.pop()
    if first:
        names[0] = first
    for cells, line in zip(rows, lines, strict=True):
        if any(cells[len(names) :]):
            raise TableError(
                f"{path}, line {line}: more cells than the {len(names)} columns of the table; correct this "
                "row or download the table again"
            )
    absent = [name for name in required if name not in names]
    twice = [name for name in required if names.count(name) > 1]
    if absent or twice:
        fault = f"no column {absent[0]!r}" if absent else f"the column {twice[0]!r} twice"
        raise TableError(f"{path} has {fault}; is it the {what}? Correct it or download it again")
    columns = {
        name: [cells[number] if number < len(cells) else "" for cells in rows]
        for number, name in enumerate(names)
        if name
    }
    table = Table(path, columns, lines, first or required[0])
    for name, column in columns.items():
        bad = next((row for row, cell in enumerate(column) if _CONTROL.search(cell)), None)
        if bad is not None:
            raise table.error(bad, name, "holds a control character")
    return table


def _text_of(path: Path, remedy: str) -> str:
    """The text of a table, whatever byte order mark it begins with."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{path} is a folder or device, not a file; put the table itself there")
        if status.st_size > _LARGEST_BYTES:
            raise FormatError(
                f"{path} has {status.st_size:,} bytes, too many for a table; is it the right one?"
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path} is not there; {remedy}") from error
    except OSError as error:
        raise DataNotFoundError(
            f"{path} cannot be opened ({error.strerror or error}); check the path and its permissions"
        ) from error
    if data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise FormatError(f"{path} is a spreadsheet or archive; save the table as CSV in UTF-8")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TableError(
            f"{path}, line {line}: not in UTF-8 (byte 0x{data[error.start]:02x}); save the table as CSV in "
            "UTF-8, or download it again"
        ) from None


def find_files(root: Path, pattern: "re.Pattern[str]") -> list[str]:
    """Files below `root` whose whole name fits `pattern`, sorted; str is quicker than Path for 40,000.

    Links to folders are followed, each folder once, however many ways lead to it. Names that begin with a
    dot (macOS's ``._A0001.hea``) are left out.

    Raises:
        DataNotFoundError: If a folder cannot be opened.
    """

    def refused(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise DataNotFoundError(
                f"{error.filename} cannot be opened ({error.strerror}); check its permissions"
            ) from error

    seen, found = set(), []
    for folder, folders, names in os.walk(root, onerror=refused, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [f"{folder}{os.sep}{name}" for name in names if name[0] != "." and pattern.fullmatch(name)]
    return sorted(found)


# Our own tables: .npz files open in milliseconds, need no further package, and have one canonical form.
# Strings are one UTF-8 text: values end with the first sign, the second stands for a missing value.
_END, _MISSING = "\x1f", "\x00"


def _canonical(column: pd.Series) -> tuple[str, np.ndarray]:
    """Kind of a column (one of b, i, f, s) and its values as a plain little-endian array."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return "b", column.to_numpy(dtype=np.uint8)
    if pd.api.types.is_integer_dtype(column.dtype):
        return "i", column.to_numpy(dtype="<i8")
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy(dtype="<f8").copy()
        values[np.isnan(values)] = np.nan  # one bit pattern for all of them
        return "f", values
    missing = column.isna().to_numpy()
    texts = [_MISSING if gone else str(value) for value, gone in zip(column, missing, strict=True)]
    joined = "".join(text + _END for text in texts)
    if joined.count(_END) != len(texts):
        raise TableError(f"a text of column {column.name!r} holds the control character U+001F; correct it")
    return "s", np.frombuffer(joined.encode("utf-8", "surrogateescape"), np.uint8)


def frame_to_arrays(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns of a table as arrays for `np.savez`; :func:`read_frame` is the way back.

    >>> frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    >>> arrays = frame_to_arrays(frame)
    >>> sorted(arrays)
    ['000 i a', '001 s b']
    >>> read_frame(arrays)["b"].isna().tolist()
    [False, True]
    """
    arrays = {}
    for number, name in enumerate(frame.columns):
        kind, values = _canonical(frame[name])
        arrays[f"{number:03d} {kind} {name}"] = values
    return arrays


def read_frame(arrays: dict[str, np.ndarray]) -> pd.DataFrame:
    """The table that :func:`frame_to_arrays` took apart."""
    columns: dict[str, Any] = {}
    for key in sorted(arrays):
        _, kind, name = key.split(" ", 2)
        values = arrays[key]
        if kind == "s":
            texts = values.tobytes().decode("utf-8", "surrogateescape").split(_END)[:-1]
            columns[name] = pd.Series([None if text == _MISSING else text for text in texts], dtype="str")
        else:
            columns[name] = values.astype(bool) if kind == "b" else values
    return pd.DataFrame(columns)


def frame_update(digest: "hashlib._Hash", frame: pd.DataFrame) -> None:
    """Add a table to a checksum, in a form that depends on no machine and on no version of pandas."""
    for name in sorted(frame.columns):
        kind, values = _canonical(frame[name])
        digest.update(f"{name} {kind} {len(frame)}\n".encode())
        digest.update(values.tobytes())


def read_arrays(path: Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """The named arrays of an .npz file; all of them by default.

    Raises:
        StoreError: If the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (file.files if names is None else names)}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise StoreError(f"{path} is damaged ({error}); delete its folder, it is made anew") from error
