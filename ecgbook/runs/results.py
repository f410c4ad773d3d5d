"""The recorded runs as tables: one row per run, or one per configuration."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgbook.runs.records import load_predictions, read_record, results_folder, write_record
from ecgbook.runs.run import check_experiment

__all__ = [
    "aggregate",
    "experiments",
    "load",
    "load_predictions",
    "load_tables",
    "metric_names",
    "provenance",
    "read_record",
    "results_folder",
    "run_fields",
    "run_references",
    "write_record",
]

_IDENTITY = ("dataset", "dataset_version", "task", "model", "method", "protocol", "sampling_rate_hz")


def experiments(results: str | Path | None = None) -> list[str]:
    """Names of the experiments that have at least one record."""
    files = results_folder(results).glob("*/*.json")
    return sorted({path.parent.name for path in files if not path.parent.name.startswith(".")})


def load(experiment: str, results: str | Path | None = None, status: str = "finished") -> pd.DataFrame:
    """All runs of an experiment, one row each.

    Columns: the fields of `Run` (``params`` as ``params.<name>``), for each metric ``<name>``, ``<name>_low``
    and ``<name>_high``, then epochs, effective_epochs, samples_backprop, seconds, peak_memory_mib,
    records_train, records_validation, records_test, predicted (if each test record has a score),
    fingerprint, device, commit, date, status, hash and
    content_sha256. Training on less data adds its counts (see `ecgkit.training.selection.Accounting`),
    compute_equivalent_epochs, and seconds_<phase>.

    Args:
        experiment: Folder of the results.
        results: The results folder; see `results_folder`.
        status: "finished" or "failed".

    Returns:
        A frame with a row per run, sorted by the fields of the run; empty when nothing has been run.

    Raises:
        RecordError: If a record cannot be read; see `read_record`.
    """
    folder = results_folder(results) / check_experiment(experiment)
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    rows = [_row(record) for record in records if record["status"] == status]
    if not rows:
        return pd.DataFrame(columns=["experiment", *_IDENTITY, "seed", "device", "date", "status", "hash"])
    frame = pd.DataFrame(rows)
    params = sorted(name for name in frame.columns if name.startswith("params."))
    first = ["experiment", *_IDENTITY, *params, "seed"]
    frame = frame[first + [name for name in frame.columns if name not in first]]
    keys = [name for name in [*_IDENTITY, "seed", "hash"] if name in frame.columns]
    return frame.sort_values(keys, kind="stable").reset_index(drop=True)


def load_tables(runs: pd.DataFrame, results: str | Path | None = None) -> pd.DataFrame:
    """The tables that runs stored, one below the other, with the columns ``hash`` and ``seed`` of their run.

    Args:
        runs: Rows of `load`.
        results: The results folder; see `results_folder`.

    Raises:
        RecordError: If a record cannot be read; see `read_record`.
    """
    folder, frames = results_folder(results), []
    for experiment, key, seed in zip(runs["experiment"], runs["hash"], runs["seed"], strict=True):
        record = read_record(folder / experiment / f"{key}.json")
        frames.append(pd.DataFrame(record.get("table", [])).assign(hash=key, seed=seed))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["hash", "seed"])


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    run = dict(record["run"])
    params = run.pop("params", {})
    # A list is shown as text: a cell of a table must be a plain value to be grouped and compared.
    flat = {
        f"params.{key}": value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
        for key, value in params.items()
    }
    metrics: dict[str, Any] = {}
    for name, value in record.get("metrics", {}).items():
        metrics |= {name: value["point"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
    data = record.get("data", {})
    counts = {f"records_{part}": count for part, count in data.get("records", {}).items()}
    seconds = record.get("seconds")
    measured = {
        "epochs": len(record["curve"]) if "curve" in record else None,
        "effective_epochs": record.get("effective_epochs"),
        "samples_backprop": record.get("samples_backprop"),
        "seconds": sum(max(0.0, each) for each in seconds.values()) if seconds else None,
        "peak_memory_mib": record.get("peak_memory_mib"),
        **({"gpu_joules": record["gpu_joules"]} if "gpu_joules" in record else {}),
        **counts,
        "predicted": bool(record.get("predictions")),
        "fingerprint": data.get("fingerprint"),
        "device": record.get("device"),
        "commit": record.get("commit"),
    }
    if "accounting" in record:
        measured |= record["accounting"]
        measured |= {f"seconds_{phase}": value for phase, value in record["seconds"].items()}
    if record["status"] == "failed":
        measured["error"] = record.get("error", {}).get("message")
    last = {key: record.get(key) for key in ("date", "status", "hash", "content_sha256")}
    return {**run, **flat, **metrics, **measured, **last}


def metric_names(frame: pd.DataFrame) -> list[str]:
    """The metrics in a frame of `load`: the columns that have an interval beside them."""
    return [c for c in frame.columns if f"{c}_low" in frame.columns and f"{c}_high" in frame.columns]


def run_fields(frame: pd.DataFrame) -> list[str]:
    """The columns that tell configurations apart: everything of a run but its seed."""
    fixed = [name for name in ("experiment", *_IDENTITY) if name in frame.columns]
    return fixed + [name for name in frame.columns if name.startswith("params.")]


def aggregate(frame: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """One row per configuration: each metric's mean over seeds with its Student t interval.

    A configuration with a single seed keeps that run's own bootstrap interval; the column ``seeds`` says
    which of the two a row has. A seed counts once, whatever is listed twice. Where runs of a configuration
    lack a metric that others have, ``<metric>_seeds`` says how many seeds it has.

    Args:
        frame: What `load` returned.
        level: Level of the interval over seeds.
    """
    from ecgkit.evaluation import mean_interval

    fields, names = run_fields(frame), metric_names(frame)
    rows: list[dict[str, Any]] = []
    for key, group in frame.groupby(fields, sort=False, dropna=False):
        row: dict[str, Any] = dict(zip(fields, key, strict=True))
        row["seeds"] = group["seed"].nunique()
        for name in names:
            known = group.dropna(subset=[name])
            by_seed = known.groupby("seed", sort=False)[name].mean().to_numpy(float)
            ends = (name, f"{name}_low", f"{name}_high")
            if len(by_seed) > 1:
                interval = mean_interval(by_seed, level=level)
                row |= dict(zip(ends, (interval.mean, interval.low, interval.high), strict=True))
            else:
                row |= {column: known[column].iloc[0] if len(known) else np.nan for column in ends}
            if 0 < len(by_seed) < row["seeds"]:
                row[f"{name}_seeds"] = len(by_seed)
        row |= {"device": ", ".join(sorted(set(group["device"].dropna()))), "date": group["date"].max()}
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else [*fields, "seeds", "device", "date"])


def run_references(frame: pd.DataFrame) -> list[str]:
    """One text per run, ``experiment/hash:content``, with the first 8 digits of the content's SHA-256.

    `ecgbook results check` finds them in the built pages and compares them with the records: it notices a run
    that is gone, and a page that is older than a record.
    """
    rows = zip(frame["experiment"], frame["hash"], frame["content_sha256"], strict=True)
    return sorted(f"{experiment}/{key}:{content[:8]}" for experiment, key, content in rows)


def provenance(frame: pd.DataFrame, with_seeds: bool = True) -> str:
    """One line that says where numbers come from: data, records, seeds, devices, dates.

    Args:
        frame: Rows of `ecgbook.runs.results.load`.
        with_seeds: Whether to say how many seeds a setting has.
    """
    if frame.empty:
        return "Not run yet."
    data = _listed(f"{name} {v}" for name, v in zip(frame["dataset"], frame["dataset_version"], strict=True))
    if "method" in frame and frame["method"].str.startswith("melep").all():  # they draw tasks of their own
        parts = frame[["records_train", "records_validation", "records_test"]]
        records = f"tasks drawn from {_span(parts.sum(axis=1))} records"
    else:
        records = f"{_span(frame['records_test'])} test records"
    seeds = ""
    if with_seeds:
        count = frame.groupby(run_fields(frame), dropna=False)["seed"].nunique()
        seeds = f", {_span(count)} {'seeds' if count.max() > 1 else 'seed'} per setting"
    dates = " to ".join(sorted({frame["date"].min()[:10], frame["date"].max()[:10]}))
    runs = f"{len(frame)} run{'s' * (len(frame) > 1)}"
    return (
        f"Data: {data}; {records}; {runs}{seeds}; "
        f"protocol: {_listed(frame['protocol'])}; device: {_listed(frame['device'])}; {dates}."
    )


def _span(counts: pd.Series) -> str:
    return "–".join(f"{int(n):,}" for n in sorted({counts.min(), counts.max()}))


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted({str(value) for value in values}))
