"""Checking the results store: every record whole, every number reproducible, every page's runs there."""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgbook.runs.records import ALL_DRAWS, Predictions, read_predictions, read_record
from ecgkit import evaluation
from ecgkit.errors import EcgkitError
from ecgkit.files import sha256_file

__all__ = ["MAX_MB", "changed_code", "check", "check_pages", "check_record", "run_references_in"]

MAX_MB = 60.0
TOLERANCE = 1e-6  # metrics are computed from the scores as they are stored

_BATCHED = ("macro_auc", "micro_auc", "fmax")  # the metrics that many resamples are evaluated for at once
_DRAWN = re.compile(r"bootstrap over test records, (\d+) draws, (\d+) %")
_PAGE_RUNS = re.compile(r'data-runs=\\*"([^"\\]*)')
_REFERENCE = re.compile(r"([\w-]+)/([0-9a-f]{16}):([0-9a-f]{8})")
_LOADS = re.compile(r"results\.load\(\s*\\?[\"']([\w-]+)")
_HEAD = re.compile(r"\A---\n(.*?)^---\n", re.MULTILINE | re.DOTALL)


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
    cannot be computed without training: for them there is only the seal. Whatever goes wrong in checking is
    a problem too, never an error.
    """
    found = []
    try:
        record = read_record(path)
        if record["status"] == "finished":
            for problem in (*_counts(record), *_numbers(path, record)):
                found.append(f"{path}: {problem}")
    except EcgkitError as error:  # names the file
        found.append(str(error))
    except Exception as error:
        found.append(f"{path}: cannot be checked ({type(error).__name__}: {error})")
    return found


def changed_code(results: Path) -> list[str]:
    """Records, as "experiment/hash", whose source files differed from the commit that they name."""
    found = []
    for path in sorted(results.glob("*/*.json")):
        try:
            commit = read_record(path).get("commit", "")
        except EcgkitError:  # `check` says it
            continue
        if commit.endswith("+changes"):
            found.append(f"{path.parent.name}/{path.stem}")
    return found


def _counts(record: Mapping[str, Any]) -> Iterator[str]:
    """Counts that follow from other counts: windows per training record, and sums over epochs."""
    trained = record["data"]["records"]["train"]
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
    metrics = {name: value["point"] for name, value in record["metrics"].items()}
    for name, value in record["metrics"].items():
        if not value["low"] <= value["point"] <= value["high"]:
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
    if record.get("predictions_sha256", sealed := sha256_file(file)) != sealed:
        yield f"{file.name} was changed after the run wrote it"
    if len(stored.y_true) != record["data"]["records"]["test"]:
        yield f"{len(stored.y_true)} predictions for {record['data']['records']['test']} test records"
    if len(np.unique(stored.record_ids)) < len(stored.record_ids):
        yield "its predictions hold a record twice"
    again = {
        name: float(getattr(evaluation, name)(stored.y_true, stored.y_score))
        for name in metrics
        if hasattr(evaluation, name)
    }
    if record["run"]["method"] == "decisions":
        again |= _of_decisions(file, stored)
    for name, value in again.items():
        if name not in metrics:
            yield f"metric {name} is missing"
        elif not abs(metrics[name] - value) <= TOLERANCE:
            yield f"metric {name} is {metrics[name]:.6f}, its predictions give {value:.6f}"
        elif name in _BATCHED:
            yield from _interval(name, record, stored)
    if metrics and not again:
        yield "none of its metrics can be computed from its predictions"
    yield from _classes(record["per_class"], stored)


def _interval(name: str, record: Mapping[str, Any], stored: Predictions) -> Iterator[str]:
    """The bootstrap interval of a metric, drawn again as the record says it was."""
    drawn = _DRAWN.match(record["intervals"])
    if drawn is None:
        yield f"does not say how the interval of {name} was drawn: {record['intervals']!r}"
        return
    metric, (draws, percent) = getattr(evaluation, name), map(int, drawn.groups())
    if draws > 10_000:
        yield f"says that its intervals were drawn {draws:,} times"
        return
    redraw = ALL_DRAWS not in record["intervals"]
    again = evaluation.bootstrap(
        metric, stored.y_true, stored.y_score, draws, percent / 100, seed=0, redraw=redraw
    )
    written = record["metrics"][name]
    if max(abs(written["low"] - again.low), abs(written["high"] - again.high)) > TOLERANCE:
        yield (
            f"interval of {name} is {written['low']:.6f} to {written['high']:.6f}, "
            f"its predictions give {again.low:.6f} to {again.high:.6f}"
        )


def _of_decisions(file: Path, test: Predictions) -> dict[str, float]:
    """F and G of the method "decisions", with thresholds chosen again on training and validation records."""
    again: dict[str, float] = {}
    for part in ("train", "validation"):
        learned = read_predictions(file, part)
        for metric in ("f_beta", "g_beta"):
            thresholds = evaluation.optimal_thresholds(learned.y_true, learned.y_score, metric)
            decided = evaluation.apply_thresholds(test.y_score, thresholds)
            value = getattr(evaluation.f_beta_g_beta(test.y_true, decided), metric)
            again[f"{metric}_{part}"] = float(value)
    return again


def _classes(per_class: list[dict[str, Any]], stored: Predictions) -> Iterator[str]:
    """The AUC and the number of positive test records of each class."""
    if not per_class:
        return
    if len(per_class) != stored.y_true.shape[1]:
        yield f"{len(per_class)} classes, but predictions for {stored.y_true.shape[1]}"
        return
    aucs = evaluation.class_aucs(stored.y_true, stored.y_score)
    positives = stored.y_true.sum(axis=0).astype(int)
    for row, auc, count in zip(per_class, aucs, positives, strict=True):
        again = None if auc != auc else float(auc)  # without positive or negative records there is none
        if (row["auc"] is None) != (again is None) or abs((row["auc"] or 0.0) - (again or 0.0)) > TOLERANCE:
            yield f"AUC of {row['class']} is {row['auc']}, its predictions give {again}"
        if (written := row["positives"]["test"]) != count:
            yield f"{written} positive test records of {row['class']}, its labels have {count}"


# Pages ------------------------------------------------------------------------------------------------


def check_pages(results: Path, pages: Iterable[Path]) -> list[str]:
    """Whether all runs that pages show are in the store, unchanged, and all experiments they load exist.

    Built tables carry ``data-runs`` (see `ecgbook.runs.results.run_references`). A source declares the
    experiments that it loads in its front matter, ``ecgkit: {results: [erts_ptbxl]}``; those that it names
    in ``results.load("erts_ptbxl")`` count too. An experiment without any run must be one of the sweeps.
    """
    problems: list[str] = []
    known = {path.parent.name for path in results.glob("*/*.json")} | _planned()
    for page in _page_files(pages):
        for reference in run_references_in(page):
            problems += [f"{page}: {problem}" for problem in _reference(results, reference)]
        try:
            loaded = _declared(page) | set(_LOADS.findall(_text(page)))
        except ValueError as error:
            problems.append(f"{page}: {error}")
            continue
        for experiment in sorted(loaded - known):
            problems.append(f"{page}: loads {experiment!r}, which is neither in {results} nor in sweeps/")
    return problems


def run_references_in(page: Path) -> list[str]:
    """The runs that a built page shows in its tables and behind its claims, as "experiment/hash:content"."""
    return [
        reference for shown in _PAGE_RUNS.findall(_text(page)) for reference in html.unescape(shown).split()
    ]


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8", errors="replace")


def _page_files(pages: Iterable[Path]) -> Iterator[Path]:
    for page in pages:
        candidates = sorted(page.rglob("*")) if page.is_dir() else [page]
        yield from (p for p in candidates if p.suffix in (".html", ".md", ".ipynb") and p.is_file())


def _declared(page: Path) -> set[str]:
    """The experiments that the front matter of a notebook declares.

    Raises:
        ValueError: If it cannot be read, or declares something else than a list of names.
    """
    head: Any = {}
    if page.suffix == ".ipynb":
        try:
            head = json.loads(_text(page)).get("metadata", {})
        except (ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"is no notebook ({error})") from error
    elif page.suffix == ".md" and (found := _HEAD.match(_text(page))):
        import yaml

        try:
            head = yaml.safe_load(found[1])
        except yaml.YAMLError as error:
            raise ValueError(f"its front matter is not valid YAML ({error})") from error
    own = head.get("ecgkit") if isinstance(head, dict) else None
    names = own.get("results", []) if isinstance(own, dict) else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"declares the results {names!r}; a list of experiments is wanted")
    return set(names)


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
    except EcgkitError as error:
        yield str(error)
        return
    if not str(record["content_sha256"]).startswith(content):
        yield f"shows an older record of {experiment}/{key}: build the page again"
