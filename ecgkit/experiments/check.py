"""Checking the results store: every record whole, every number reproducible, every page's runs there."""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ecgkit.errors import RecordError
from ecgkit.experiments.results import SCHEMA, load_predictions, read_record, record_path
from ecgkit.experiments.run import Run

__all__ = ["FIELDS", "MAX_MB", "check", "check_pages", "check_record"]

MAX_MB = 60.0
TOLERANCE = 1e-6  # metrics are computed from the scores as they are stored

_ALWAYS: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "status": str,
    "run": dict,
    "hash": str,
    "date": str,
    "content_sha256": str,
}
FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "finished": {
        **_ALWAYS,
        "metrics": dict,
        "per_class": list,
        "curve": list,
        "samples_backprop": int,
        "effective_epochs": (int, float),
        "seconds": dict,
        "peak_memory_mib": (int, float),
        "device": str,
        "versions": dict,
        "data": dict,
        "commit": str,
        "predictions": (str, type(None)),
    },
    "failed": {**_ALWAYS, "error": dict},
}
"""Fields that a record must have, by status, with their types."""

_PAGE_RUNS = re.compile(r'data-runs=\\*"([^"\\]*)')
_REFERENCE = re.compile(r"([\w-]+)/([0-9a-f]{16}):([0-9a-f]{8})")
_LOADS = re.compile(r"results\.load\(\s*\\?[\"']([\w-]+)")


def check(results: Path, pages: Iterable[Path] = ()) -> list[str]:
    """Check all records of a results folder, and the pages that show them.

    Args:
        results: The results folder.
        pages: Folders or files of the book: built pages and sources of notebooks.

    Returns:
        One line per problem; empty when all is well.
    """
    problems: list[str] = []
    files = [path for path in sorted(results.glob("*/*")) if not path.parent.name.startswith(".")]
    for path in files:
        if path.suffix == ".json":
            problems += check_record(path)
        elif path.suffix != ".npz":
            problems.append(f"{path}: does not belong into the results")
        elif not path.with_suffix(".json").exists():
            problems.append(f"{path}: predictions without a record")
    size = sum(path.stat().st_size for path in files) / 1e6
    if size >= MAX_MB:
        problems.append(f"{results}: {size:.1f} MB; the results must stay below {MAX_MB:.0f} MB")
    return problems + check_pages(results, pages)


def check_record(path: Path) -> list[str]:
    """Problems of one record: form, name, seal, and whether its metrics follow from its predictions."""
    try:
        record = read_record(path)
    except RecordError as error:
        return [str(error)]
    found = list(_form(record))
    if not found:
        run = Run.from_dict(record["run"])
        if record_path(path.parent.parent, run) != path or record["hash"] != run.hash:
            found.append(f"its run belongs to {run.experiment}/{run.hash}.json")
        if record["status"] == "finished":
            found += _numbers(path, record)
    return [f"{path}: {problem}" for problem in found]


def _form(record: Mapping[str, Any]) -> Iterator[str]:
    if record.get("schema") != SCHEMA:
        yield f"schema {record.get('schema')!r}, not {SCHEMA}"
        return
    fields = FIELDS.get(str(record.get("status")))
    if fields is None:
        yield f"status {record.get('status')!r}, not finished or failed"
        return
    for name, kind in fields.items():
        if name not in record:
            yield f"field {name} is missing"
        elif not isinstance(record[name], kind):
            yield f"field {name} has a wrong type: {type(record[name]).__name__}"
    try:
        Run.from_dict(record.get("run", {}))
    except (ValueError, TypeError) as error:
        yield f"field run: {error}"


def _numbers(path: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """Intervals in order, and metrics that can be computed again from the stored predictions."""
    from ecgkit import evaluation

    for name, value in record["metrics"].items():
        if set(value) < {"point", "low", "high"} or not value["low"] <= value["point"] <= value["high"]:
            yield f"metric {name}: {value} is no point in an interval"
    if record["predictions"] is None:
        return
    if not (path.parent / record["predictions"]).exists():
        yield f"its predictions {record['predictions']} are missing"
        return
    stored = load_predictions(path.stem, path.parent.parent)
    if len(stored.y_true) != record["data"]["records"]["test"]:
        yield f"{len(stored.y_true)} predictions for {record['data']['records']['test']} test records"
    computed = 0
    for name, value in record["metrics"].items():
        metric = getattr(evaluation, name, None)
        if metric is None:
            continue
        computed += 1
        again = float(metric(stored.y_true, stored.y_score))
        if abs(again - value["point"]) > TOLERANCE:
            yield f"metric {name} is {value['point']:.6f}, its predictions give {again:.6f}"
    if record["metrics"] and not computed:
        yield "none of its metrics can be computed from its predictions"


def check_pages(results: Path, pages: Iterable[Path]) -> list[str]:
    """Whether all runs that pages show are in the store, unchanged, and all experiments they load exist.

    Built tables carry ``data-runs`` (see `ecgkit.experiments.tables.run_references`). Sources name what they
    show in ``results.load("...")``; an experiment without any run must be one of the sweeps.
    """
    problems: list[str] = []
    known = {path.parent.name for path in results.glob("*/*.json")} | _planned()
    for page in _page_files(pages):
        text = page.read_text(encoding="utf-8", errors="replace")
        for shown in _PAGE_RUNS.findall(text):
            for reference in html.unescape(shown).split():
                problems += [f"{page}: {problem}" for problem in _reference(results, reference)]
        for experiment in sorted(set(_LOADS.findall(text)) - known):
            problems.append(f"{page}: loads {experiment!r}, which is neither in {results} nor in sweeps/")
    return problems


def _page_files(pages: Iterable[Path]) -> Iterator[Path]:
    for page in pages:
        candidates = sorted(page.rglob("*")) if page.is_dir() else [page]
        yield from (p for p in candidates if p.suffix in (".html", ".md", ".ipynb") and p.is_file())


def _planned() -> set[str]:
    """Names of the experiments in the sweep files of the working folder."""
    names = set()
    for path in Path("sweeps").glob("*.yaml"):
        names |= set(re.findall(r"^experiment:\s*([\w-]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return names


def _reference(results: Path, reference: str) -> Iterator[str]:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        yield f"{reference!r} is no reference to a run"
        return
    experiment, key, content = match.groups()
    path = results / experiment / f"{key}.json"
    if not path.exists():
        yield f"shows a run that is not in the results: {experiment}/{key}"
        return
    stored = str(json.loads(path.read_text(encoding="utf-8")).get("content_sha256", ""))
    if not stored.startswith(content):
        yield f"shows an older record of {experiment}/{key}: build the page again"
