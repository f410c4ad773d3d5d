"""Make the notebooks for Colab from their MyST sources, check them, and record the outputs that are guarded.

    python tools/colab.py sync      write notebooks/<part>/NN_name.ipynb beside each .md
    python tools/colab.py check     fail when one is not what `sync` would write
    python tools/colab.py record    take the guarded outputs from the last `make book`, then sync

A cell tagged `nbval-check-output` is guarded: its output is stored in the .ipynb, and `make guard` fails when
it moves. All other cells are stored without outputs.
"""

import hashlib
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from bookinfo import BUILD, ROOT, colab_install_cell, repository, sources, tag, version
from nbformat import NotebookNode
from plain_markdown import read_bibliography, to_plain

__all__ = ["GUARD", "check", "cited_entries", "colab_notebook", "read_source", "record", "sync"]

GUARD = "nbval-check-output"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


def _with_ids(notebook: NotebookNode) -> NotebookNode:
    """Give each cell an id that follows from its text, so that it stays while the text stays."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def read_source(path: Path) -> NotebookNode:
    """One MyST source as a notebook without outputs; its text still in MyST."""
    notebook = jupytext.read(path, fmt="md:myst")
    own = notebook.metadata.get("ecgkit", {})
    notebook.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"}, ecgkit=own)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return _with_ids(notebook)


def _label_texts(notebook: NotebookNode) -> dict[str, str]:
    """How references to this page's own equations, figures, tables and headings are written on Colab."""
    texts: dict[str, str] = {}
    numbers = {"eq": 0, "Figure": 0, "Table": 0}
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if figure:
            numbers["Figure"] += 1
            texts[figure.get("name", "")] = f"Figure {numbers['Figure']}"
        if cell.cell_type != "markdown":
            continue
        texts |= dict(re.findall(r"^\(([\w:.-]+)\)=\n+#+ (.+)$", cell.source, flags=re.M))
        for kind, label in re.findall(
            r"\{(math|figure|table|list-table)\}[^\n]*\n(?:[^\n]+\n)*?:?(?:label|name): *([\w:.-]+)",
            cell.source,
        ):
            word = {"math": "eq", "figure": "Figure"}.get(kind, "Table")
            numbers[word] += 1
            texts[label] = f"({numbers[word]})" if word == "eq" else f"{word} {numbers[word]}"
    return {f"label:{name}": text for name, text in texts.items() if name}


def _captions(cells: list[NotebookNode], labels: dict[str, str]) -> list[NotebookNode]:
    """After each cell that draws a figure, its caption as text: Colab does not show the metadata."""
    out = []
    for cell in cells:
        out.append(cell)
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if figure.get("caption"):
            number = labels.get(f"label:{figure.get('name')}", "Figure")
            out.append(nbformat.v4.new_markdown_cell(f"*{number}. {figure['caption'].strip()}*"))
            out[-1]["id"] = f"{cell['id']}-caption"
    return out


def cited_entries(path: Path) -> dict[str, dict[str, str]]:
    """The bibliography entries that a source cites."""
    keys = re.findall(r"\{cite[:\w]*\}`([^`]+)`", path.read_text(encoding="utf-8"))
    cited = {k.strip() for several in keys for k in several.split(",")}
    return {k: v for k, v in read_bibliography(ROOT / "book" / "references.bib").items() if k in cited}


def colab_notebook(path: Path) -> NotebookNode:
    """One MyST source as the notebook for Colab: plain Markdown, an install cell on top, no outputs."""
    notebook = read_source(path)
    book = cited_entries(path)
    folder = path.parent.relative_to(ROOT).as_posix()
    labels = _label_texts(notebook)
    values = {"tag": tag(), "version": version(), "repository": repository(), **labels}
    notebook.cells = _captions(notebook.cells, labels)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            try:
                cell.source = to_plain(
                    cell.source, base=repository(), folder=folder, values=values, bibliography=book
                )
            except ValueError as error:
                raise ValueError(f"{path.relative_to(ROOT)}: {error}") from error
        elif HIDDEN & set(cell.metadata.get("tags", [])):
            cell.metadata["cellView"] = "form"
            cell.metadata["jupyter"] = {"source_hidden": True}
    notebook.cells = [c for c in notebook.cells if c.source.strip()]
    install = nbformat.v4.new_code_cell(colab_install_cell().rstrip("\n"), metadata={"tags": ["remove-cell"]})
    install["id"] = "install-on-colab"
    # The title stays on top: Colab shows it in its table of contents.
    notebook.cells.insert(1 if notebook.cells[0].cell_type == "markdown" else 0, install)
    notebook.metadata.update(accelerator="GPU", colab={"gpuType": "T4", "provenance": []})
    return notebook


def _guarded(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and GUARD in cell.metadata.get("tags", [])


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Printed text in one piece: where a kernel cuts it depends on nothing but time."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if (
            last is not None
            and output.output_type == last.output_type == "stream"
            and output.name == last.name
        ):
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _take_outputs(notebook: NotebookNode, stored: Path) -> NotebookNode:
    """Copy the guarded outputs from a stored notebook. Cells are matched by id: a changed cell has none."""
    if not stored.exists():
        return notebook
    by_id = {c["id"]: c for c in nbformat.read(stored, as_version=4).cells if c.cell_type == "code"}
    for cell in filter(_guarded, notebook.cells):
        if cell["id"] in by_id:
            cell.outputs = _joined(by_id[cell["id"]].outputs)
            cell.execution_count = 1 if cell.outputs else None  # nbval takes a cell without one for never run
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output["execution_count"] = 1
    return notebook


def _text(notebook: NotebookNode) -> str:
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def sync() -> list[Path]:
    """Write the .ipynb files that differ from what their sources give. Returns those written."""
    written = []
    for path in sources():
        target = path.with_suffix(".ipynb")
        text = _text(_take_outputs(colab_notebook(path), target))
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            written.append(target)
    return written


def check() -> list[str]:
    """What is wrong with the .ipynb files: empty when all is well."""
    wrong = []
    for path in sources():
        target = path.with_suffix(".ipynb")
        name = target.relative_to(ROOT)
        notebook = _take_outputs(colab_notebook(path), target)
        if not target.exists() or target.read_text(encoding="utf-8") != _text(notebook):
            wrong.append(f"{name} differs from its .md: run `make notebooks`")
        elif any(not c.outputs for c in notebook.cells if _guarded(c)):
            wrong.append(f"{name} has a guarded cell without a stored output: run `make book record`")
    strays = {p for p in (ROOT / "notebooks").glob("*/*.ipynb") if not p.with_suffix(".md").exists()}
    return wrong + [f"{p.relative_to(ROOT)} has no .md source" for p in sorted(strays)]


def record() -> list[Path]:
    """Store the guarded outputs of the last quick execution on synthetic data."""
    written = sync()
    for path in sources():
        target = path.with_suffix(".ipynb")
        executed = BUILD / "executed" / "synthetic-quick" / path.parent.name / target.name
        before = target.read_text(encoding="utf-8")
        text = _text(_take_outputs(nbformat.read(target, as_version=4), executed))
        if text != before:
            target.write_text(text, encoding="utf-8")
            written.append(target)
    return written


def main() -> int:
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    if command == "check":
        wrong = check()
        print("\n".join(wrong) or f"{len(sources())} notebooks agree with their sources")
        return 1 if wrong else 0
    if command in ("sync", "record"):
        for path in sync() if command == "sync" else record():
            print(f"wrote {path.relative_to(ROOT)}")
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
