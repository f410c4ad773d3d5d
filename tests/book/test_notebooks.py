"""The notebooks: their frame, the conversion for Colab, the guarded outputs, execution."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import colab  # noqa: E402
import execute  # noqa: E402
from bookinfo import sources  # noqa: E402
from plain_markdown import read_bibliography, references, to_plain  # noqa: E402

each_source = pytest.mark.parametrize("path", sources(), ids=lambda p: f"{p.parent.name}/{p.stem}")


def test_every_ipynb_is_what_its_source_gives() -> None:
    assert colab.check() == []


def test_every_page_is_in_the_table_of_contents() -> None:
    toc = (ROOT / "_toc.yml").read_text()
    listed = {ROOT / f"{name}.md" for name in re.findall(r"(?:file|root): (\S+)", toc)}
    assert [p.name for p in listed if not p.exists()] == []
    for pattern in re.findall(r"glob: (\S+)", toc):
        listed |= set(ROOT.glob(f"{pattern}.md"))
    assert [p.name for p in {*ROOT.glob("book/**/*.md"), *sources()} if p not in listed] == []


@each_source
def test_the_frame_of_a_chapter(path: Path) -> None:
    """Each chapter opens and closes in the same way."""
    text = path.read_text()
    assert len(re.findall(r"^# ", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M)) == 1
    for part in ("What you will learn", "Prerequisites", "Time", "Take-aways", "Exercises", "References"):
        assert re.search(rf"{part}", text), f"{path.name} has no {part!r}"
    assert re.search(r"to read.*CPU.*T4", text, flags=re.S), "the three times: to read, on a CPU, on a T4"


@each_source
def test_one_cell_of_parameters(path: Path) -> None:
    cells = [c for c in colab.read_source(path).cells if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    values: dict[str, object] = {}
    exec(cells[0].source, values)
    assert (values["PROFILE"], values["DATA"]) == ("quick", "synthetic")
    assert isinstance(values["SEED"], int)


@each_source
def test_figures_have_alternative_text_and_a_caption(path: Path) -> None:
    for cell in colab.read_source(path).cells:
        if cell.cell_type == "code" and re.search(r"^(plt\.show|plot_ecg|plot_leads)\(", cell.source, re.M):
            own = cell.metadata.get("mystnb", {})
            assert len(own.get("image", {}).get("alt", "")) > 20, f"no alternative text: {cell.source[:80]}"
            assert own.get("figure", {}).get("caption"), f"no caption: {cell.source[:80]}"


@each_source
def test_the_notebook_for_colab(path: Path) -> None:
    notebook = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.cells[1]["id"] == "install-on-colab"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            raw = r"(?<!`)\{[a-z:.-]+\}`|^(`{3,}|:{3,})\{|^\([\w:.-]+\)=|\{\{"
            assert not re.search(raw, cell.source, flags=re.M), cell.source
        else:
            assert bool(cell.outputs) == colab._guarded(cell)
            assert (cell.execution_count is None) == (not cell.outputs)


@pytest.mark.parametrize(
    ("myst", "plain"),
    [
        ("```{note}\nSay *it*.\n```", "> **Note**\n>\n> Say *it*."),
        (":::{admonition} Title\n:class: tip\nA\n\nB\n:::", "> **Title**\n>\n> A\n>\n> B"),
        ("```{math}\n:label: a\nx^2\n```", "$$\nx^2\n$$"),
        (
            "```{figure} figures/a.png\n:alt: A dot\n\nThe dot.\n```",
            "![A dot](https://h/r/raw/v1/notebooks/p/figures/a.png)\n\n*The dot.*",
        ),
        ("See {term}`lead` and {term}`that <lead>`.", "See lead and that."),
        ("{py:func}`ecgkit.models.create` or {func}`~a.b`", "`ecgkit.models.create` or `b`"),
        ("{cite}`one2020` and {cite:t}`one2020,two2021`", "(One, 2020) and One (2020), Two and Three (2021)"),
        ("(here)=\n## Head\n% gone\nkept", "## Head\nkept"),
        ("[next](02_b.md#x)", "[next](https://h/r/blob/v1/notebooks/p/02_b.ipynb#x)"),
        ("[page](../../book/how.md)", "[page](https://h/r/blob/v1/book/how.md)"),
        ("[away](https://a.org/b.md)", "[away](https://a.org/b.md)"),
        ("```python\n{note}\n```", "```python\n{note}\n```"),
        ("Write `{term}` so", "Write `{term}` so"),
        ("version {{ version }}", "version 9"),
        (
            "```{list-table} T\n:header-rows: 1\n* - a\n  - b\n* - 1\n  - 2\n```",
            "**T**\n\n| a | b |\n| --- | --- |\n| 1 | 2 |",
        ),
        (
            "````{admonition} Answer\n:class: dropdown\n```{note}\nin\n```\n````",
            "<details>\n<summary>Answer</summary>\n\n> **Note**\n>\n> in\n\n</details>",
        ),
        ("```{glossary}\nlead\n  A view.\n```", "**lead**\n  A view."),
    ],
)
def test_myst_becomes_plain_markdown(myst: str, plain: str) -> None:
    entries = {
        "one2020": {"author": "One, Ann", "year": "2020", "title": "A"},
        "two2021": {"author": "Two, Bo and Three, Cy", "year": "2021", "title": "B"},
    }
    values = {"tag": "v1", "version": "9"}
    assert (
        to_plain(myst, base="https://h/r", folder="notebooks/p", values=values, bibliography=entries) == plain
    )


@each_source
def test_a_page_declares_the_experiments_that_it_loads(path: Path) -> None:
    declared = colab.read_source(path).metadata.ecgkit.get("results", [])
    loaded = set(re.findall(r"\bload\(\s*\"([\w-]+)\"", path.read_text()))
    known = {p.stem for p in (ROOT / "sweeps").glob("*.yaml")} | {
        p.name for p in (ROOT / "results").iterdir()
    }
    data_sets = {"cpsc2018", "icbeb2018", "synthetic", "ptbxl"}
    assert sorted(declared) == declared
    assert set(declared) <= known
    assert (loaded & known) - data_sets <= set(declared)


@pytest.mark.parametrize("myst", ["```{unheard-of}\n```", "{cite}`nobody1900`", "```{note}\nnever closed"])
def test_what_cannot_be_converted_is_an_error(myst: str) -> None:
    with pytest.raises(ValueError, match=r"unheard-of|nobody1900|never closed"):
        to_plain(myst, base="https://h/r", folder="notebooks/p", values={"tag": "v1"})


def test_the_bibliography_is_read_with_its_accents() -> None:
    entries = read_bibliography(ROOT / "book" / "references.bib")
    assert entries["wagner2020"]["title"] == "PTB-XL, a large publicly available electrocardiography dataset"
    shown = "\n".join(references(entries))
    assert "Grégoire Montavon" in shown and "Klaus-Robert Müller" in shown
    assert not re.search(r"[\\{}]", shown)


def source(folder: Path, *cells: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "01_tiny.md"
    head = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n# Tiny\n"
    first = "```{code-cell} ipython3\n:tags: [parameters]\n\n"
    first += 'PROFILE = "quick"\nDATA = "synthetic"\nSEED = 0\n```'
    path.write_text("\n".join([head, first, *(f"```{{code-cell}} ipython3\n{c}\n```\n" for c in cells)]))
    return path


def test_ids_stay_when_another_cell_changes(tmp_path: Path) -> None:
    before = [c["id"] for c in colab.read_source(source(tmp_path, "a = 1", "a", "a")).cells]
    after = [c["id"] for c in colab.read_source(source(tmp_path, "a = 2", "new", "a", "a")).cells]
    assert len(set(before)) == len(before)
    assert after[:2] == before[:2]
    assert after[-2:] == before[-2:]
    assert after[2] != before[2]


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    monkeypatch.setattr(execute, "BUILD", tmp_path / "_build")
    return tmp_path


def test_printed_text_is_stored_in_one_piece() -> None:
    out = [
        nbformat.v4.new_output("stream", name=n, text=t)
        for n, t in zip("aab", ("1\n", "2\n", "3\n"), strict=True)
    ]
    shown = nbformat.v4.new_output("display_data", data={})
    joined = colab._joined([*out, shown, nbformat.v4.new_output("stream", name="b", text="4\n")])
    assert [o.get("text") for o in joined] == ["1\n2\n", "3\n", None, "4\n"]


@pytest.mark.slow
def test_a_failing_cell_names_the_notebook_and_the_cell(in_tmp: Path) -> None:
    path = source(in_tmp, "fine = 1", "1 / 0  # here")
    with pytest.raises(RuntimeError, match=r"(?s)tiny\.md failed in cell 4 of 4 .*ZeroDivisionError.*# here"):
        execute.execute(path, "synthetic", "quick", False, "code")


def test_what_pages_read_beside_the_package_counts_as_a_change(in_tmp: Path) -> None:
    states = [execute.state_of_the_code()]
    for name in ("ecgkit/a.py", "ecgbook/a.py", "results/x/a.json", "benchmarks/a.json"):
        (in_tmp / name).parent.mkdir(parents=True, exist_ok=True)
        (in_tmp / name).write_text("1")
        states.append(execute.state_of_the_code())
    assert len(set(states)) == len(states)


def test_a_data_set_that_no_notebook_names_is_refused(in_tmp: Path) -> None:
    with pytest.raises(SystemExit, match="no notebook runs on 'ptb-xl'"):
        execute.execute_all("ptb-xl", "quick")


@pytest.mark.slow
def test_pages_use_the_results_of_this_checkout_and_the_data_named(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(in_tmp)
    monkeypatch.setenv("ECGKIT_RESULTS", str(in_tmp / "others"))
    path = source(
        in_tmp / "part", "import os; print(*[os.environ[f'ECGKIT_{n}'] for n in ('RESULTS', 'DATA')])"
    )
    shown = []
    for folder in ("here", "there"):  # relative to the folder that the build is called in
        monkeypatch.setenv("ECGKIT_DATA", folder)
        key = execute.execute(path, "synthetic", "quick", False, "code")["key"]
        page = nbformat.read(in_tmp / "_build" / "cache" / f"{key}.ipynb", as_version=4)
        shown.append(page.cells[-1].outputs[0].text.split())
    assert shown == [[str(in_tmp / "results"), str(in_tmp / name)] for name in ("here", "there")]


@pytest.mark.slow
def test_what_has_not_changed_is_not_executed_again(in_tmp: Path) -> None:
    path = source(in_tmp, "import time; print(time.time_ns())")
    first = execute.execute(path, "synthetic", "quick", False, "code")
    assert execute.execute(path, "synthetic", "quick", False, "code") == first
    assert execute.execute(path, "synthetic", "quick", False, "other code")["key"] != first["key"]
    cells = nbformat.read(in_tmp / "_build" / "cache" / f"{first['key']}.ipynb", as_version=4).cells
    assert [c.cell_type for c in cells] == [
        "markdown",
        "code",
        "code",
    ]  # no injected cell: the values are the page's
    execute.execute(path, "synthetic", "full", False, "code")
    assert len(list((in_tmp / "_build" / "cache").glob("*.ipynb"))) == 3
