"""The audit of any table: planted errors are found, honest tables pass, bad files are one sentence."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgbook import papers
from ecgbook.papers.reader_table import EXPLANATIONS, audit_table, false_alarms, read_table
from ecgkit.errors import DataNotFoundError, EcgkitError, TableError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from audit_rules import honest_table


def test_honest_tables_are_left_alone() -> None:
    for seed in range(5000, 5012):
        table, n = honest_table(seed)
        assert audit_table(table, n=n, percent=["accuracy"]).empty, seed


def test_every_rule_has_a_measured_rate_of_false_alarms() -> None:
    assert false_alarms().keys() == EXPLANATIONS.keys()
    assert max(false_alarms().values()) <= 0.01


def planted() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows, n, records = 10, 400, 8000
    f1 = rng.uniform(0.6, 0.7, rows)
    samples = rng.uniform(100_000, 400_000, rows)
    table = pd.DataFrame(
        {
            "accuracy": [f"{100 * k / n:.2f}" for k in rng.integers(250, 350, rows)],
            "AUC": [f"{x:.3f}" for x in rng.uniform(0.8, 0.9, rows)],
            "F1": [f"{x:.4f}" for x in f1],
            "gain": [f"{x - 0.6:+.4f}" for x in f1],
            "base": ["0.6000"] * rows,
            "kept": [f"{x / 1000:.0f}K" for x in samples],
            "EE": [f"{x / records:.2f}" for x in samples],
            "removed": [f"{0.1 * x / 1000:.0f}K" for x in samples],
            "offered": [f"{1.1 * x / 1000:.0f}K" for x in samples],
            "all": ["400K"] * rows,
            "saved": [f"{100 * (1 - x / 400_000):.1f}%" for x in samples],
        },
        index=[f"m{i}" for i in range(rows)],
    )
    table["removed"] = [f"{x:.0f}K" for x in rng.uniform(10, 90, rows)]
    table["offered"] = [
        f"{float(a[:-1]) + float(b[:-1]):.0f}K" for a, b in zip(table["kept"], table["removed"], strict=True)
    ]
    return table


PLANTED = {
    "whole records": ("accuracy", "m3", "70.10"),
    "difference": ("gain", "m4", "+0.2000"),
    "percentage": ("saved", "m5", "99.9%"),
    "sum": ("offered", "m6", "999K"),
    "quotient": ("EE", "m7", "99.99"),
}


def test_a_clean_table_has_no_finding() -> None:
    assert audit_table(planted(), n=400, percent=["accuracy"]).empty


@pytest.mark.parametrize("rule", PLANTED)
def test_a_planted_error_is_found_in_its_cell(rule: str) -> None:
    column, row, wrong = PLANTED[rule]
    table = planted()
    table.loc[row, column] = wrong
    found = audit_table(table, n=400, percent=["accuracy"])
    hit = found[found["rule"] == rule]
    assert [text.split(" = ")[-1] for text in hit["printed"]] == [wrong]
    assert hit["place"].iloc[0].endswith(f": {row}")
    assert len(found) == 1


@pytest.mark.parametrize(
    ("rule", "columns", "options"),
    [
        (
            "interval",
            {"accuracy": [f"{70 + i}.00(05)" for i in range(6)]},
            {"n": 100, "percent": ["accuracy"]},
        ),
        ("last digit", {"AUC": [f"0.{80 + i}0" for i in range(9)]}, {}),
        (
            "equal counts",
            {"a": [f"{137 + i}K" for i in range(6)], "b": [f"{137 + i}K" for i in range(6)]},
            {},
        ),
        (
            "fixed factor",
            {
                "a": [f"{x:.4f}" for x in np.linspace(0.51, 0.83, 9) ** 2],
                "b": [f"{0.97 * x:.4f}" for x in np.linspace(0.51, 0.83, 9) ** 2],
            },
            {},
        ),
        ("total", {"records": ["10", "20", "30", "61"], "x": ["1", "2", "3", "6"]}, {}),
        ("mean", {"score": ["0.71", "0.72", "0.73", "0.75"]}, {}),
    ],
)
def test_rules_of_whole_columns_and_of_summary_rows(rule: str, columns: dict, options: dict) -> None:
    last = {"total": "Total", "mean": "mean"}.get(rule, "last")
    rows = len(next(iter(columns.values())))
    table = pd.DataFrame(columns, index=[*(f"m{i}" for i in range(rows - 1)), last])
    found = audit_table(table, **options)
    assert set(found["rule"]) == {rule}


def test_the_tables_of_the_works() -> None:
    """On ERTS's tables the rules find by themselves what the audit knows; Table 2 of MELEP is clean."""
    frame = papers.tables("erts", "Table 4")
    frame["column"] = frame["group"] + " " + frame["column"]
    wide = frame.pivot(index="row", columns="column", values="printed").fillna("")
    found = audit_table(wide)
    assert "MobileNetV2 F1 and ResNet-18 F1" in set(found.query("rule == 'fixed factor'")["place"])
    assert "EfficientNetV2-S Samples and ResNet-18 Samples" in set(found["place"])
    melep = papers.tables("melep", "Table 2")
    melep["column"] = melep["group"] + " " + melep["column"]
    assert audit_table(melep.pivot(index="row", columns="column", values="printed").fillna("")).empty


@pytest.mark.parametrize("divider", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, divider: str, encoding: str) -> None:
    lines = [["Mod\u00e8le", "F1"], ["A", "0.61"], ["B", '"0.62"'], []]
    file = tmp_path / "t.csv"
    file.write_bytes("\r\n".join(divider.join(line) for line in lines).encode(encoding))
    assert read_table(file)["F1"].tolist() == ["0.61", "0.62"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "needs a line of names"),
        (b"a\n1\n2\n", "at least two rows and two columns"),
        (b"a,b\n1,2,3\n4,5\n", "row 2 has 3 cells"),
        (b"a,b,b\nx,1,2\ny,3,4\n", "two columns have one name"),
        (b"a,b\n\0,1\n", "no text"),
        (b"a," + b"1" * 2_000_000, "more than 1,000,000 bytes"),
    ],
)
def test_what_is_no_table_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    with pytest.raises(TableError, match=says) as error:
        read_table(file)
    assert str(file) in str(error.value)


def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no.csv"):
        with pytest.raises(DataNotFoundError):
            read_table(path)
    assert issubclass(DataNotFoundError, EcgkitError)
    with pytest.raises(ValueError, match="no column 'z'"):
        audit_table(planted(), n=400, percent=["z"])
    with pytest.raises(ValueError, match="say of how many"):
        audit_table(planted(), percent=["accuracy"])
