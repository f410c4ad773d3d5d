"""The audit of any table: the rules that need no knowledge of the paper that it stands in.

A relation between columns is not told to the rules but found: where one column is the difference of two
others in most rows, the rows that break it are the findings. So a table needs a few rows.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pandas as pd

from ecgbook.papers import rules
from ecgbook.papers.printed import number
from ecgbook.papers.rules.arithmetic import EPS, Outcome
from ecgkit.errors import DataNotFoundError, TableError

__all__ = ["EXPLANATIONS", "Explanation", "audit_table", "false_alarms", "read_table"]

MOST = 0.6  # share of the rows in which a relation must hold before the others are its exceptions
FEWEST = 4  # rows in which it must hold
LARGEST = 1_000_000  # bytes of a file
_EMPTY = {"", "-", "–", "—", "n/a", "na", "nan"}
_TOTAL = re.compile(r"\b(total|sum|all|overall)\b", re.I)
_MEAN = re.compile(r"\b(mean|average|avg)\b", re.I)


@dataclass(frozen=True)
class Explanation:
    """What a rule asks, and what else than an error would explain its alarm."""

    asks: str
    innocent: str


EXPLANATIONS = {
    "whole records": Explanation(
        "A percentage of n records is 100 k / n for a whole k.",
        "A mean over several runs or folds, another n in this row, or a share of decisions.",
    ),
    "interval": Explanation(
        "The 95 % interval of a share p of n records has a half-width of about 1.96 sqrt(p (1 - p) / n).",
        "An interval at another level, a standard error, or an interval over seeds instead of records.",
    ),
    "difference": Explanation(
        "In most rows this column is the difference of two others.",
        "A difference of unrounded numbers is within the rounding that is allowed here; a typo is not.",
    ),
    "percentage": Explanation(
        "In most rows this column is the relative change between two others, in percent.",
        "A percentage of another base in this row.",
    ),
    "sum": Explanation(
        "In most rows this column is the sum of two others.",
        "Parts that overlap, or a part that is left out, in this row.",
    ),
    "quotient": Explanation(
        "In most rows one column is the other divided by one and the same number.",
        "This row may count something else, such as another training set.",
    ),
    "total": Explanation(
        "The row of totals is the sum of the rows above it.",
        "Rows that are not shown, or records that count twice.",
    ),
    "mean": Explanation(
        "The row of means lies between the smallest and the largest row.",
        "A weighted mean lies there too; a mean over other rows need not.",
    ),
    "fixed factor": Explanation(
        "Two columns of separate measurements do not stand in one fixed ratio, row by row.",
        "One column may have been computed from the other on purpose, as a conversion of units.",
    ),
    "equal counts": Explanation(
        "Two columns of separate counts do not agree to the last digit in most rows.",
        "Both may show one and the same count.",
    ),
    "last digit": Explanation(
        "A digit that was measured is 0 about once in ten.",
        "Numbers noted to one digit less and padded.",
    ),
}
"""The rules of `audit_table` by name."""


@cache
def false_alarms() -> dict[str, float]:
    """How many of 1,000 simulated honest tables each rule objects to, as shares by the name of the rule."""
    text = (Path(__file__).parent / "false_alarms.json").read_text(encoding="utf-8")
    return dict(json.loads(text)["alarms"])


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table as it is printed: every cell a text, the first column the names of the rows.

    Commas, semicolons or tabs may divide the cells, and the file may be UTF-8 or Latin-1.

    Raises:
        DataNotFoundError: If there is no such file.
        TableError: If it is no table of at least two columns and two rows.
    """
    path = Path(path)
    if not path.is_file():
        raise DataNotFoundError(f"{path}: there is no such file; check the path")
    if path.stat().st_size > LARGEST:
        raise TableError(f"{path} has more than {LARGEST:,} bytes, which no printed table has; cut it down")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "\0" in text:
        raise TableError(f"{path} is no text; save the table as .csv")
    head = text.lstrip().partition("\n")[0]
    divider = max(",;\t", key=head.count)
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text), delimiter=divider) if any(c.strip() for c in row)
        ]
    except csv.Error as error:
        raise TableError(f"{path} cannot be read as a table ({error}); save it as .csv again") from error
    if len(rows) < 3 or len(rows[0]) < 2:
        raise TableError(f"{path} needs a line of names and at least two rows and two columns")
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise TableError(
                f"{path}, row {line} has {len(row)} cells and the first has {len(rows[0])}; "
                "put numbers that hold the divider, such as 21,837, in quotes"
            )
    names = [name.strip() or f"column {place}" for place, name in enumerate(rows[0], start=1)]
    if len(set(names)) < len(names):
        raise TableError(f"{path}: two columns have one name; name them apart")
    return pd.DataFrame([[c.strip() for c in row] for row in rows[1:]], columns=names).set_index(names[0])


def audit_table(
    table: pd.DataFrame, n: int | None = None, percent: Sequence[str] = (), share: Sequence[str] = ()
) -> pd.DataFrame:
    """Find what cannot be right in a table of printed numbers.

    Args:
        table: Cells as they are printed, as texts; the index names the rows. `read_table` makes it.
        n: Number of records behind the columns in `percent` and `share`; without it these are not looked at.
        percent: Columns of percentages of n records, such as an accuracy of 74.8.
        share: Columns of shares of n records, such as an accuracy of 0.748.

    Returns:
        One row per finding: ``rule`` (a key of `EXPLANATIONS`), ``place``, ``printed``, ``implied``,
        ``asks``, ``innocent`` and ``false_alarms``, the share of honest tables to which the rule objects.

    Raises:
        ValueError: If `n` is no positive whole number, or a column is not there.

    >>> f1, gain = [0.634, 0.655, 0.649, 0.640, 0.622], ["+0.022", "+0.034", "+0.037", "+0.028", "+0.010"]
    >>> table = pd.DataFrame({"base": ["0.612"] * 5, "F1": f1, "gain": gain}, index=list("BCDEF"))
    >>> audit_table(table)[["rule", "place", "printed", "implied"]].values.tolist()
    [['difference', 'gain = F1 - base: C', '+0.034', '0.042 to 0.044']]
    """
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise ValueError(f"n is {n!r}; give the number of records, a whole number from 1")
    for name in (*percent, *share):
        if name not in table.columns:
            raise ValueError(f"no column {name!r}; there are {', '.join(map(str, table.columns))}")
        if n is None:
            raise ValueError(f"column {name!r} is a share of records: say of how many with n")
    columns = {str(name): _numbers(table[name]) for name in table.columns}
    body = {name: _without_summary(cells) for name, cells in columns.items()}
    found: list[tuple[str, str, Outcome]] = []
    for name in percent:
        found += _shares(name, columns[name], n or 1, 1.0)
    for name in share:
        found += _shares(name, columns[name], n or 1, 100.0)
    found += _relations(body)
    found += _summary_rows(columns)
    found += _alike(body)
    rows = [
        (rule, place, o.printed, o.implied, EXPLANATIONS[rule].asks, EXPLANATIONS[rule].innocent)
        for rule, place, o in found
    ]
    frame = pd.DataFrame(rows, columns=["rule", "place", "printed", "implied", "asks", "innocent"])
    return frame.assign(false_alarms=[false_alarms().get(rule, np.nan) for rule in frame["rule"]])


Cells = dict[str, str]  # name of a row to its cell, where that is a number
RowRanges = dict[str, tuple[float, float]]  # name of a row to the ends of a range


def _numbers(column: pd.Series) -> Cells:
    cells = {}
    for place, (row, text) in enumerate(zip(column.index, column.astype(str), strict=True)):
        name = str(row) if (column.index == row).sum() == 1 else f"{row} (row {place + 1})"
        if text.strip().lower() in _EMPTY:
            continue
        try:
            number(text)
        except ValueError:
            continue
        cells[name] = text.strip()
    return cells


def _without_summary(cells: Cells) -> Cells:
    return {row: text for row, text in cells.items() if not (_TOTAL.search(row) or _MEAN.search(row))}


def _shares(name: str, cells: Cells, n: int, factor: float) -> Iterator[tuple[str, str, Outcome]]:
    """Whole records, and intervals that are too narrow."""
    for row, text in cells.items():
        p = number(text)
        low, high = p.low * factor, p.high * factor
        whole = np.ceil(low * n / 100 - 1e-9) <= np.floor(high * n / 100 + 1e-9)
        if not whole:
            below = int(low * n / 100)
            near = f"{100 * below / n / factor:.6g} or {100 * (below + 1) / n / factor:.6g}"
            yield (
                "whole records",
                f"{name}: {row}",
                Outcome(False, text, f"{near} ({below} or one more of {n})"),
            )
        rate = p.value * factor / 100
        if p.spread and 0 < rate < 1:
            half = 1.96 * (rate * (1 - rate) / n) ** 0.5 * 100 / factor
            if p.spread + p.step / 2 < 0.8 * half:
                yield "interval", f"{name}: {row}", Outcome(False, text, f"a half-width of about {half:.2g}")


def _spans(columns: dict[str, Cells]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """All rows, and what each cell can stand for: low and high, (columns, rows); NaN for no number."""
    rows = list(dict.fromkeys(row for cells in columns.values() for row in cells))
    ends = np.full((2, len(columns), len(rows)), np.nan)
    for i, cells in enumerate(columns.values()):
        for j, row in enumerate(rows):
            if row in cells:
                printed = number(cells[row])
                ends[:, i, j] = printed.low, printed.high
    return rows, ends[0], ends[1]


def _expected(rule: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What a column would have to be if it followed from a and b by the rule; all are ends, (2, rows)."""
    if rule in ("signed", "difference"):
        return np.stack([b[0] - a[1], b[1] - a[0]])
    if rule == "sum":
        return a + b
    base = np.where(a > 0, a, np.nan)
    saved = 100 * (1 - np.stack([b[1] / base[0], b[0] / base[1]]))
    return saved if rule == "saved" else -saved[::-1]


def _holds(expected: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where what is printed can be what is expected, bool, (columns, rows)."""
    slack = EPS * np.maximum(1.0, np.abs(expected[1]))
    return (expected[0] <= high + slack) & (low - slack <= expected[1])  # a NaN is never at most anything


def _followers(expected: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which columns follow in most rows, and not because all is lost in their rounding; positions."""
    known = np.isfinite(low + expected[0])
    held = _holds(expected, low, high)
    fine = held & (expected[1] - expected[0] < 0.15 * np.abs(low + high))
    enough = held.sum(axis=1) >= np.maximum(FEWEST, MOST * known.sum(axis=1))
    enough &= fine.sum(axis=1) >= np.maximum(3, held.sum(axis=1) / 2)
    return np.array([i for i in np.flatnonzero(enough) if len(np.unique(low[i][held[i]])) > 2], int)


def _blurred(ends: np.ndarray) -> np.ndarray:
    """A column with its median in each of its cells."""
    return np.where(np.isfinite(ends), np.nanmedian(ends, axis=1, keepdims=True), np.nan)


_FORMS: dict[str, tuple[str, str, Callable[[str, str, str], Outcome]]] = {
    "signed": ("difference", "{c} = {b} - {a}", rules.difference),  # a column of +0.022 and -0.010
    "sum": ("sum", "{c} = {a} + {b}", lambda a, b, c: rules.adds_up([a, b], c)),
    "difference": ("difference", "{c} = {b} - {a}", rules.difference),
    "saved": ("percentage", "{c} = % saved from {a} to {b}", rules.relative_change),
    "gained": ("percentage", "{c} = % gained from {a} to {b}", partial(rules.relative_change, saved=False)),
}


def _relations(columns: dict[str, Cells]) -> Iterator[tuple[str, str, Outcome]]:
    """Columns that follow from two others in most rows, and the rows in which they do not."""
    names = list(columns)
    rows, low, high = _spans(columns)
    ends = np.stack([low, high], axis=1)  # (columns, 2, rows)
    constant = [len(set(cells.values())) < 2 for cells in columns.values()]
    signed = [any(text.startswith("+") for text in cells.values()) for cells in columns.values()]
    explained: set[frozenset[int]] = set()
    for key, (rule, form, check) in _FORMS.items():
        for a, b in permutations(range(len(names)), 2):
            if key == "sum" and a > b:
                continue
            expected = _expected(key, ends[a], ends[b])
            for c in _followers(expected, low, high):
                if c in (a, b) or frozenset((a, b, c)) in explained or (key == "signed" and not signed[c]):
                    continue
                # A relation that survives without the values of a, or of b, is no relation with them.
                others = [] if constant[a] else [(_blurred(ends[a]), ends[b])]
                others += [] if constant[b] else [(ends[a], _blurred(ends[b]))]
                if any(len(_followers(_expected(key, *o), low[[c]], high[[c]])) for o in others):
                    continue
                explained.add(frozenset((a, b, c)))
                for row, holds in zip(rows, _holds(expected, low[[c]], high[[c]])[0], strict=True):
                    cells = [columns[names[i]].get(row) for i in (a, b, c)]
                    if not holds and all(cells) and number(str(cells[0])).value:
                        outcome = check(*map(str, cells))
                        if not outcome.ok:
                            place = form.format(a=names[a], b=names[b], c=names[c])
                            yield rule, f"{place}: {row}", outcome
    yield from _quotients(columns)


def _is_count(cells: Cells) -> bool:
    parsed = [number(text) for text in cells.values()]
    large = sum(p.value >= 1000 for p in parsed)
    return bool(parsed) and large > len(parsed) / 2


def _quotients(columns: dict[str, Cells]) -> Iterator[tuple[str, str, Outcome]]:
    """Counts divided by one number, such as effective epochs; each ratio by the counts that fit."""
    for ratio, cells in columns.items():
        if _is_count(cells) or len(set(cells.values())) < 3:
            continue
        best: tuple[tuple[bool, int], str, float, RowRanges] | None = None
        for count, counts in columns.items():
            if not _is_count(counts):
                continue
            wholes = _wholes(counts, cells)
            if len(wholes) <= FEWEST:
                continue
            whole = max((end for ends in wholes.values() for end in ends), key=lambda x: _served(x, wholes))
            held = _served(whole, wholes)
            rank = count.split()[0] == ratio.split()[0], held  # a group of columns first
            if held >= max(FEWEST, MOST * len(wholes)) and (best is None or rank > best[0]):
                best = rank, count, whole, wholes
        if best is None:
            continue
        _, count, whole, wholes = best
        for row, (low, high) in wholes.items():
            # Up to 2 % beside it: thousands cut instead of rounded, or records left over in a batch.
            if not 0.98 * low <= whole <= 1.02 * high:
                n = number(columns[count][row])
                implied = f"{n.low / whole:.4g} to {n.high / whole:.4g}, with {whole:,.0f} in the other rows"
                place = f"{ratio} = {count} / one number: {row}"
                yield "quotient", place, Outcome(False, cells[row], implied)


def _wholes(counts: Cells, ratios: Cells) -> RowRanges:
    """For each row the numbers that its count may be divided by to give its ratio, where that is narrow."""
    wholes = {}
    for row in ratios:
        q = number(ratios[row])
        if row in counts and q.low > 0:
            a = number(counts[row])
            if a.high / q.low < 1.01 * a.low / q.high:
                wholes[row] = (a.low / q.high, a.high / q.low)
    return wholes


def _served(whole: float, wholes: RowRanges) -> int:
    return sum(low * (1 - EPS) <= whole <= high * (1 + EPS) for low, high in wholes.values())


def _summary_rows(columns: dict[str, Cells]) -> Iterator[tuple[str, str, Outcome]]:
    """Rows of totals and of means."""
    for name, cells in columns.items():
        parts = list(_without_summary(cells).values())
        for row, text in cells.items():
            if len(parts) < 2 or row in _without_summary(cells):
                continue
            if _MEAN.search(row):
                outcome = rules.between(text, parts)
                if not outcome.ok:
                    yield "mean", f"{name}: {row}", outcome
            elif re.search(r"\b(total|sum)\b", row, re.I) and all(number(p).exact for p in (*parts, text)):
                outcome = rules.adds_up(parts, text)
                if not outcome.ok:
                    yield "total", f"{name}: {row}", Outcome(False, text, outcome.implied)


def _alike(columns: dict[str, Cells]) -> Iterator[tuple[str, str, Outcome]]:
    """Columns of separate measurements that are too much alike, and digits that were not measured."""
    for name, cells in columns.items():
        values = list(cells.values())
        if len(set(values)) > 2 and not _is_count(cells) and all(number(v).step < 1 for v in values):
            outcome = rules.last_digits(values)
            if not outcome.ok:
                yield "last digit", name, outcome
    for a, b in combinations(columns, 2):
        rows = [row for row in columns[a] if row in columns[b]]
        first, second = ([columns[x][row] for row in rows] for x in (a, b))
        if min(len(set(first)), len(set(second))) < 3:
            continue
        if _is_count(columns[a]) and _is_count(columns[b]):
            outcome = rules.unlike({row: (columns[a][row], columns[b][row]) for row in rows})
            if not outcome.ok:
                yield "equal counts", f"{a} and {b}", outcome
        elif not _is_count(columns[a]) and not _is_count(columns[b]):
            positive = [(x, y) for x, y in zip(first, second, strict=True) if min(_low(x), _low(y)) > 0]
            if len(positive) >= 8:
                outcome = rules.tied_columns([x for x, _ in positive], [y for _, y in positive])
                if not outcome.ok:
                    yield "fixed factor", f"{a} and {b}", outcome


def _low(text: str) -> float:
    return number(text).low
