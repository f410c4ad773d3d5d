"""The papers' tables: every printed number stands in the source text, in its table and its row."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ecgbook import papers
from ecgbook.papers.printed import number

TABLES = papers.tables()
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "papers"

_CAPTION = {
    "ptbxl_benchmark": r"^\W*TABLE {}:",
    "light_resnet18": r"^Table {}:",
    "melep": r"^Table {} ",
    "erts": r"^Table {}: ",
}
_FILES = {"light_resnet18": "light_resnet18_thesis"}
_SAYS = {"sub-diag.": "sub diag."}  # the table's own spelling of a row


@pytest.fixture(scope="session")
def texts() -> Path:
    """The works' texts, which are not part of the book: in ``$ECGKIT_PAPERS``, or beside the checkout."""
    folder = Path(os.environ.get("ECGKIT_PAPERS", BESIDE))
    if not (folder / "erts.txt").exists():
        pytest.skip(f"the texts of the works are not in {folder}: set ECGKIT_PAPERS")
    return folder


def lines_of(texts: Path, work: str, table: str) -> list[str]:
    """The 45 lines that follow a table's caption (the last such line: a list of tables comes before)."""
    lines = [
        line.strip("\f ")
        for line in (texts / f"{_FILES.get(work, work)}.txt").read_text(encoding="utf-8").splitlines()
    ]
    pattern = _CAPTION[work].format(re.escape(table.split()[-1]))
    starts = [i for i, line in enumerate(lines) if re.match(pattern, line)]
    assert starts, f"{work}: no caption of {table}"
    lines = lines[starts[-1] : starts[-1] + 45]
    next_one = re.compile(_CAPTION[work].format(r"[\dIVX.]+"))
    return lines[: next((i for i, line in enumerate(lines) if i and next_one.match(line)), len(lines))]


def in_order(tokens: list[str], line: str) -> bool:
    """Whether all tokens stand in the line, one after the other, each as a whole number."""
    at = 0
    for token in tokens:
        match = re.compile(rf"(?<![\d.]){re.escape(token)}(?![\d]|\.\d)").search(line, at)
        if match is None:
            return False
        at = match.end()
    return True


@pytest.mark.parametrize(("work", "table"), sorted(set(zip(TABLES["work"], TABLES["table"], strict=True))))
def test_every_printed_number_stands_in_its_row_of_the_text(texts: Path, work: str, table: str) -> None:
    lines = lines_of(texts, work, table)
    frame = papers.tables(work, table)
    by_group = work == "melep" and table in ("Table 2", "Table 3")  # there a row of the text is one network's
    for key, row in frame.groupby(["row", "group"] if by_group else ["row"], sort=False):
        tokens = list(row["printed"])
        found = [line for line in lines if in_order(tokens, line)]
        assert found, f"{work}, {table}, {key}: {tokens} stand in no line"
        if work == "ptbxl_benchmark":
            name = _SAYS.get(key[0], key[0])
            assert any(line.startswith(name) for line in found)
        if work == "erts" and table != "Table 1":
            name, *settings = key[0].split()
            values = [s.partition("=")[2] for s in settings]
            assert any(line.startswith(name) and in_order(values, line) for line in found)


def test_no_row_of_the_texts_is_left_out(texts: Path) -> None:
    """As many numbers as the rows of the text have: counted from the text, not from the files."""
    for work, table in (("erts", "Table 2"), ("erts", "Table 3"), ("erts", "Table 4")):
        rows = [
            x for x in lines_of(texts, work, table) if re.match(r"(Baseline|DBPD|SMRD|SRD|ERTS-[A-Z]+) ", x)
        ]
        counted = sum(len(re.sub(r"^\S+ (\([^)]*\) )?", "", row).split()) for row in rows)
        assert counted == len(papers.tables(work, table))
    rows = [x for x in lines_of(texts, "light_resnet18", "Table 4.1") if re.match(r"E\d+\t", x)]
    assert sum(len(row.split("\t")) - 2 for row in rows) == len(papers.tables("light_resnet18", "Table 4.1"))


def test_value_step_and_spread_are_those_of_the_print() -> None:
    assert len(TABLES) == 1143
    for row in TABLES.to_dict("records"):
        n = number(row["printed"])
        assert n.value == pytest.approx(row["value"], rel=1e-12)
        assert n.step == pytest.approx(row["step"], rel=1e-9)
        assert n.spread == pytest.approx(0.0 if row["spread"] != row["spread"] else row["spread"])


def test_no_cell_twice() -> None:
    assert not TABLES.duplicated(["work", "table", "row", "group", "column"]).any()


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "0.5)", "--1", "1 2"])
def test_what_is_no_number_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a printed number"):
        number(text)


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="no table"):
        papers.tables("erts", "Table 9")


def test_importing_the_papers_loads_no_heavy_package() -> None:
    code = (
        "import sys, ecgbook.papers; print([m for m in ('matplotlib', 'torch', 'wfdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
