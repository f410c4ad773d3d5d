"""The tables of the four works as tidy data."""

from functools import cache
from pathlib import Path

import pandas as pd

__all__ = ["WORKS", "cell", "column", "tables"]

WORKS = {
    "ptbxl_benchmark": "Strodthoff et al. (2021), the PTB-XL benchmark",
    "light_resnet18": "Ahmed (2025), the lightweight ResNet-18",
    "melep": "Nguyen et al. (2024), MELEP",
    "erts": "Dangeti et al. (2026), ERTS",
    "erts_review": "the published review of ERTS",
}
"""The works by the short name that all frames of this package use."""

_FOLDER = Path(__file__).parent / "tables"


@cache
def _all() -> pd.DataFrame:
    kinds = dict.fromkeys(("work", "table", "row", "group", "column", "printed"), str)
    files = sorted(_FOLDER.glob("*.csv"))
    frame = pd.concat(
        [pd.read_csv(f, dtype=kinds, keep_default_na=False, na_values={"spread": ""}) for f in files]
    )
    return frame.reset_index(drop=True)


def tables(work: str | None = None, table: str | None = None) -> pd.DataFrame:
    """Every cell of every table of the four works, one row per cell.

    Args:
        work: Only this work, a key of `WORKS`.
        table: Only this table, as the work numbers it: "Table II", "Table 4.1".

    Returns:
        Columns ``work``, ``table``, ``row``, ``group`` (the heading above several columns: a backbone, a
        task), ``column``, ``value``, ``step`` (one unit of the last printed digit), ``spread`` (the
        half-width in brackets, else missing) and ``printed`` (the text itself). Percentages keep their size.

    Raises:
        KeyError: If there is no such work or table.

    Source:
        Tables I-VI of Strodthoff et al. (2021); 3.1 and 4.1 of Ahmed (2025); 1-3 of Nguyen et al. (2024);
        1-4 of Dangeti et al. (2026).

    >>> tables("melep", "Table 3")[["row", "group", "printed"]].head(2).values.tolist()
    [['PTB-XL', 'ResNet1d101', '0.744'], ['CPSC2018', 'ResNet1d101', '0.740']]
    """
    frame = _all()
    if work is not None:
        frame = frame[frame["work"] == work]
    if table is not None:
        frame = frame[frame["table"] == table]
    if frame.empty:
        raise KeyError(f"no table {table!r} of {work!r}; the works are {', '.join(WORKS)}")
    return frame.reset_index(drop=True).copy()


@cache
def _printed() -> dict[tuple[str, str, str, str, str], str]:
    frame = _all()
    keys = zip(frame["work"], frame["table"], frame["row"], frame["group"], frame["column"], strict=True)
    return dict(zip(keys, frame["printed"], strict=True))


def cell(work: str, table: str, row: str, group: str, column: str) -> str:
    """One cell as it is printed.

    Raises:
        KeyError: If the table has no such cell.

    >>> cell("erts", "Table 2", "Baseline", "ResNet-18", "Samples")
    '1.54M'
    """
    return _printed()[work, table, row, group, column]


def column(work: str, table: str, group: str, column: str) -> dict[str, str]:
    """One column as it is printed, by row, in the table's order.

    >>> column("ptbxl_benchmark", "Table I", "", "0")["form"]
    '12849'
    """
    key = (work, table, group, column)
    return {r: p for (w, t, r, g, c), p in _printed().items() if (w, t, g, c) == key}
