"""Checking the results store: every record whole, every number reproducible, every page's runs there."""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ecgbook.runs.results import (
    ALL_DRAWS,
    SCHEMA,
    Predictions,
    read_predictions,
    read_record,
    record_path,
)
from ecgbook.runs.run import Run
from ecgbook.runs.sources import loaded_experiments
from ecgkit.errors import RecordError

__all__ = ["FIELDS", "MAX_MB", "changed_code", "check", "check_pages", "check_record", "unshown"]

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
        "intervals": str,
        "per_class": list,
        "config": dict,
        "curve": list,
        "samples_backprop": int,
        "effective_epochs": (int, float),
        "seconds": dict,
        "peak_memory_mib": (int, float, type(None)),
        "device": str,
        "threads": int,
        "versions": dict,
        "data": dict,
        "commit": str,
        "predictions": (str, type(None)),
    },
    "failed": {**_ALWAYS, "error": dict},
}
"""Fields that a record must have, by status, with their types."""

_BATCHED = ("macro_auc", "micro_auc", "fmax")  # the metrics that many resamples are evaluated for at once
_DRAWN = re.compile(r"bootstrap over test records, (\d+) draws, (\d+) %")
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
    """Problems of one record: form, name, seal, and whether its numbers follow from its predictions.

    Metrics and the AUC of each class are computed again, as far as predictions are stored, and counts are
    compared with the sums that they must be. Intervals are drawn again for AUC and Fmax only, because the
    others would take too long. Losses of the learning curve, positive training records and rows of ``table``
    cannot be computed without training: for them there is only the seal. For the record numbers beside the
    predictions there is not even that. Whatever goes wrong in checking is a problem too, never an error.
    """
    found = []
    try:
        for problem in _problems(path):
            found.append(f"{path}: {problem}")
    except RecordError as error:  # names the file
        found.append(str(error))
    except Exception as error:
        found.append(f"{path}: cannot be checked ({type(error).__name__}: {error})")
    return found


def _problems(path: Path) -> Iterator[str]:
    record = read_record(path)
    wrong = list(_form(record))
    if wrong:
        yield from wrong
        return
    run = Run.from_dict(record["run"])
    if record_path(path.parent.parent, run) != path or record["hash"] != run.hash:
        yield f"its run belongs to {run.experiment}/{run.hash}.json"
    if record["status"] == "finished":
        yield from _counts(record)
        yield from _numbers(path, record)


def changed_code(results: Path) -> list[str]:
    """Records, as "experiment/hash", whose source files differed from the commit that they name."""
    found = []
    for path in sorted(results.glob("*/*.json")):
        with suppress(RecordError):  # `check` says it
            if str(read_record(path).get("commit", "")).endswith("+changes"):
                found.append(f"{path.parent.name}/{path.stem}")
    return found


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


def _counts(record: Mapping[str, Any]) -> Iterator[str]:
    """Counts that follow from other counts: windows per training record, and sums over epochs."""
    trained = record["data"]["records"].get("train")
    if trained and abs(record["effective_epochs"] - record["samples_backprop"] / trained) > TOLERANCE:
        yield f"effective_epochs is not {record['samples_backprop']} windows over {trained} records"
    accounting = record.get("accounting", {})
    if accounting and accounting.get("backprop") != record["samples_backprop"]:
        yield "accounting and samples_backprop count different windows"
    for name, total in accounting.items():
        each = [entry[name] for entry in record["curve"] if name in entry]
        if each and abs(sum(each) - total) > TOLERANCE * max(1, abs(total)):
            yield f"accounting says {name} {total:g}, the epochs add up to {sum(each):g}"


def _numbers(path: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """Intervals in order, and metrics that can be computed again from the stored predictions."""
    from ecgkit import evaluation

    for name, value in record["metrics"].items():
        ends = [value.get(end) for end in ("low", "point", "high")]
        if not all(isinstance(end, (int, float)) for end in ends) or not ends[0] <= ends[1] <= ends[2]:
            yield f"metric {name}: {value} is no point in an interval"
    file = path.with_suffix(".npz")
    if record["predictions"] is None:
        if file.exists():
            yield f"names no predictions, but {file.name} is there"
        return
    if record["predictions"] != file.name or not file.exists():
        yield f"its predictions {record['predictions']} are missing"
        return
    stored = read_predictions(file)
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
        elif name in _BATCHED:
            yield from _interval(name, record, stored)
    if record["run"]["method"] == "decisions":
        computed += 1
        yield from _decisions(file, record, stored)
    if record["metrics"] and not computed:
        yield "none of its metrics can be computed from its predictions"
    yield from _classes(record["per_class"], stored)


def _interval(name: str, record: Mapping[str, Any], stored: Predictions) -> Iterator[str]:
    """The bootstrap interval of a metric, drawn again as the record says it was."""
    from ecgkit import evaluation

    drawn = _DRAWN.match(record["intervals"])
    if drawn is None:
        yield f"does not say how the interval of {name} was drawn: {record['intervals']!r}"
        return
    metric, (draws, percent) = getattr(evaluation, name), map(int, drawn.groups())
    redraw = ALL_DRAWS not in record["intervals"]
    again = evaluation.bootstrap(
        metric, stored.y_true, stored.y_score, draws, percent / 100, seed=0, redraw=redraw
    )
    said = record["metrics"][name]
    if max(abs(said["low"] - again.low), abs(said["high"] - again.high)) > TOLERANCE:
        yield (
            f"interval of {name} is {said['low']:.6f} to {said['high']:.6f}, "
            f"its predictions give {again.low:.6f} to {again.high:.6f}"
        )


def _decisions(file: Path, record: Mapping[str, Any], test: Predictions) -> Iterator[str]:
    """F and G, with thresholds chosen again on the stored scores of training and validation records."""
    from ecgbook.experiments.decisions import judged

    try:
        parts = {part: read_predictions(file, part) for part in ("train", "validation")}
    except ValueError as error:
        yield str(error)
        return
    learned = {part: (found.y_true, found.y_score) for part, found in parts.items()}
    values, _ = judged(learned, (test.y_true, test.y_score), n=1, redraw=False)
    for name, value in values.items():
        if name not in record["metrics"]:
            yield f"metric {name} is missing"
        elif abs((said := record["metrics"][name]["point"]) - value["point"]) > TOLERANCE:
            yield f"metric {name} is {said:.6f}, its scores give {value['point']:.6f}"


def _classes(per_class: list[dict[str, Any]], stored: Predictions) -> Iterator[str]:
    """The AUC and the number of positive test records of each class."""
    from ecgkit.evaluation import class_aucs

    if not per_class:
        return
    if len(per_class) != stored.y_true.shape[1]:
        yield f"{len(per_class)} classes, but predictions for {stored.y_true.shape[1]}"
        return
    positives = stored.y_true.sum(axis=0).astype(int)
    for row, auc, count in zip(per_class, class_aucs(stored.y_true, stored.y_score), positives, strict=True):
        again = None if auc != auc else float(auc)  # without positive or negative records there is none
        if (row["auc"] is None) != (again is None) or abs((row["auc"] or 0.0) - (again or 0.0)) > TOLERANCE:
            yield f"AUC of {row['class']} is {row['auc']}, its predictions give {again}"
        if (said := row["positives"]["test"]) != count:
            yield f"{said} positive test records of {row['class']}, its labels have {count}"


def check_pages(results: Path, pages: Iterable[Path]) -> list[str]:
    """Whether all runs that pages show are in the store, unchanged, and all experiments they load exist.

    Built tables carry ``data-runs`` (see `ecgbook.page.tables.run_references`). Sources name what they
    show in ``results.load(...)`` (see `ecgbook.runs.sources`); an experiment without any run must be
    one of the sweeps.
    """
    problems: list[str] = []
    known = {path.parent.name for path in results.glob("*/*.json")} | _planned()
    for page in _page_files(pages):
        text = page.read_text(encoding="utf-8", errors="replace")
        for shown in _PAGE_RUNS.findall(text):
            for reference in html.unescape(shown).split():
                problems += [f"{page}: {problem}" for problem in _reference(results, reference)]
        names, unknown = loaded_experiments(page)
        for experiment in sorted((names | set(_LOADS.findall(text))) - known):
            problems.append(f"{page}: loads {experiment!r}, which is neither in {results} nor in sweeps/")
        for argument in sorted(unknown):
            problems.append(f"{page}: which experiment is results.load({argument})? Name it in the page")
    return problems


def unshown(results: Path, pages: Iterable[Path]) -> list[str]:
    """Finished runs, as "experiment/hash", that no built page shows in a table or behind a claim.

    Args:
        results: The results folder.
        pages: Folders or files of the built book.
    """
    shown = {
        reference.partition(":")[0]
        for page in _page_files(pages)
        for references in _PAGE_RUNS.findall(page.read_text(encoding="utf-8", errors="replace"))
        for reference in html.unescape(references).split()
    }
    stored = {
        f"{path.parent.name}/{path.stem}"
        for path in results.glob("*/*.json")
        if not path.parent.name.startswith(".") and read_record(path)["status"] == "finished"
    }
    return sorted(stored - shown)


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
    try:
        record = read_record(path)
    except RecordError as error:
        yield str(error)
        return
    if not str(record["content_sha256"]).startswith(content):
        yield f"shows an older record of {experiment}/{key}: build the page again"
