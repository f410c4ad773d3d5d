"""Put the book's pages together for Jupyter Book: prose, executed notebooks, API pages, status page."""

import json
import os
import pkgutil
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path

import nbformat
import yaml
from bookinfo import BUILD, ROOT, repository, tag, version
from colab import cited_entries
from plain_markdown import references

from ecgbook.page.model_pages import write_pages
from ecgbook.papers import scoreboard
from ecgbook.papers.scoreboard import badge, markdown
from ecgbook.runs.machine import processor_name
from ecgbook.runs.times import sizes_markdown

__all__ = ["stage"]

MATHJAX = "tex-svg-full.js"  # one file, fonts included: equations are typeset without a network

_BIBLIOGRAPHY = re.compile(r"^(`{3,}|:{3,})\{bibliography\}.*?^\1\s*?$", flags=re.M | re.S)
_CHAPTER = re.compile(r"\]\(((?:\.\./\w+/)?\d\d_\w+)\.md\b")  # a link to a chapter: staged as .ipynb


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _device() -> str:
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return f"{processor_name()}, {os.cpu_count()} cores{gpu}"


def _data_version(data: str) -> str:
    """The version of a data set as its loader states it."""
    if data == "synthetic":
        return f"made by ecgkit {version()}"
    from ecgkit import datasets

    return str(datasets.load(data).version)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def status_page(times: list[dict]) -> str:
    """How and when the pages were executed: what `book/status.md` ends with."""
    commit = (_git("rev-parse", "--short=12", "HEAD") or "unknown") + (
        " with uncommitted changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    )
    versions = {n: _data_version(n) for n in {t["data"] for t in times}}
    rows = []
    for t in times:
        page = t["notebook"].removesuffix(".md")
        link = f"[{page.removeprefix('notebooks/')}](../{page})"
        rows.append([link, t["data"], versions[t["data"]], t["profile"], f"{t['seconds']:.0f} s"])
    names = ("torch", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "jupyter-book")
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts = [["commit", commit], ["book and ecgkit", version()], ["built", made], ["hardware", _device()]]
    facts += [["system", f"{platform.system()} {platform.machine()}"], ["Python", platform.python_version()]]
    facts += [[name, installed(name)] for name in names]
    pages = _table(["notebook", "data", "data version", "profile", "run time"], rows)
    return f"## Pages\n\n{pages}\n\n## This build\n\n{_table(['what', 'value'], facts)}\n"


def training_speed(folder: Path = ROOT / "benchmarks") -> str:
    """What `benchmarks/training_speed.py` measured, two tables per machine."""
    parts = []
    for path in sorted(folder.glob("training_speed*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        amx = {True: ", with AMX", False: ", without AMX"}.get(found.get("amx"), "")
        parts.append(
            f"**{found['device']}{amx}, {found['threads']} threads, torch {found['versions']['torch']}, "
            f"{found['date'][:10]}.** {found['records']:,} records of {found['data']}; median of "
            f"{found['repeats']} after one pass that does not count."
        )
        loops = []
        for name, row in found["loops"].items():
            rates = [f"{row[f'{loop}_windows_per_s']:,.0f}" for loop in ("dataloader", "ecgkit")]
            loops.append([f"`{name}`", *rates, f"{row['ratio']:.2f}"])
        parts.append(_table(["network", "windows/s, DataLoader", "windows/s, ecgkit", "ratio"], loops))
        epochs = []
        for name, row in found["seconds_per_ptbxl_epoch"].items():
            seconds = [f"{row[precision]:.0f} s" for precision in ("float32", "bf16")]
            epochs.append([f"`{name}`", *seconds, f"{row['float32'] / row['bf16']:.2f}"])
        parts.append(_table(["network", "float32", "bfloat16", "float32 / bfloat16"], epochs))
    return "\n\n".join(parts)


def _packages(name: str) -> list[str]:
    """A package and the packages below it."""
    module = import_module(name)
    below = [m.name for m in pkgutil.iter_modules(module.__path__, f"{name}.") if m.ispkg]
    return [name] + [n for b in below for n in _packages(b) if getattr(import_module(b), "__all__", None)]


def api_pages(folder: Path) -> None:
    """One page for each public subpackage of ecgkit."""
    import ecgkit

    for sub in sorted(n for n in ecgkit.__all__ if find_spec(f"ecgkit.{n}")):
        blocks = [f"# ecgkit.{sub}\n"]
        for number, name in enumerate(_packages(f"ecgkit.{sub}")):
            heading = f"## {name}\n\n" if number else ""
            options = ":members:\n   :imported-members:"
            blocks.append(f"{heading}```{{eval-rst}}\n.. automodule:: {name}\n   {options}\n```\n")
        (folder / f"{sub}.md").write_text("\n".join(blocks), encoding="utf-8")


def _config(folder: Path) -> None:
    """The book's own _config.yml with what depends on the checkout filled in."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["exclude_patterns"] = []
    config["repository"] = {"url": repository(), "branch": tag(), "path_to_book": ""}
    config["html"]["use_repository_button"] = True
    config["html"]["use_issues_button"] = True
    config["sphinx"]["local_extensions"] = {"book_extension": str(ROOT / "tools")}
    own = config["sphinx"]["config"]
    own["mathjax_path"] = f"../mathjax/{MATHJAX}"
    own["html_extra_path"] = ["_extra"]
    own["myst_substitutions"] = {"repository": repository(), "tag": tag(), "version": version()}
    own["myst_substitutions"]["sweep_sizes"] = sizes_markdown(ROOT / "sweeps", ROOT / "results")
    own["myst_substitutions"]["training_speed"] = training_speed()
    (folder / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _list_references(page: Path) -> None:
    """Write a chapter's references out: Sphinx allows an entry in only one bibliography of a book."""
    source = ROOT / "notebooks" / page.parent.name / f"{page.stem}.md"
    listed = "\n".join(references(cited_entries(source)))
    notebook = nbformat.read(page, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _BIBLIOGRAPHY.sub(lambda _: listed, cell.source)
            cell.source = _CHAPTER.sub(r"](\1.ipynb", cell.source)
    nbformat.write(notebook, page)


def stage(executed: Path) -> Path:
    """Lay out the folder that `jupyter-book build` reads, and return it."""
    folder = BUILD / "stage"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("_static"))
    shutil.copytree(ROOT / "book" / "_static", folder / "_static")
    shutil.copytree(executed, folder / "notebooks", ignore=shutil.ignore_patterns("times.json"))
    for page in (folder / "notebooks").glob("*/*.ipynb"):
        _list_references(page)
    for picture in (ROOT / "notebooks").glob("*/figures"):
        shutil.copytree(picture, folder / "notebooks" / picture.parent.name / "figures")
    shutil.copyfile(ROOT / "_toc.yml", folder / "_toc.yml")
    _config(folder)
    api_pages(folder / "book" / "api")
    write_pages(folder / "book" / "cards" / "models", ROOT / "sweeps", ROOT / "results")
    board = scoreboard(ROOT / "results")
    (folder / "_static" / "scoreboard.svg").write_text(badge(board), encoding="utf-8")
    with (folder / "book" / "scoreboard.md").open("a", encoding="utf-8") as page_of_claims:
        page_of_claims.write("\n" + markdown(board))
    with (folder / "book" / "status.md").open("a", encoding="utf-8") as status:
        status.write("\n" + status_page(json.loads((executed / "times.json").read_text())))

    found = find_spec("mathjax")
    if found is None or found.origin is None:
        raise SystemExit("MathJax is not installed: run `make venv` (it comes with django-static-mathjax)")
    mathjax = Path(found.origin).parent / "static" / "mathjax"
    (folder / "_extra" / "mathjax").mkdir(parents=True)
    shutil.copyfile(mathjax / "es5" / MATHJAX, folder / "_extra" / "mathjax" / MATHJAX)
    shutil.copyfile(mathjax / "LICENSE", folder / "_extra" / "mathjax" / "LICENSE")
    return folder
