"""How long runs take, by the recorded ones."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from ecgbook.runs.grids import read_sweep
from ecgbook.runs.records import read_record, results_folder
from ecgbook.runs.run import Run, canonical_json

__all__ = ["Seconds", "recorded_seconds", "sizes_markdown", "typical_seconds"]

Seconds = dict[str, list[float]]
"""Wall-clock times of finished runs, by what they did: all of a run but its experiment and its seed."""


def recorded_seconds(results: str | Path | None = None) -> Seconds:
    """The times of all finished runs; of one that was stopped and went on, of all its parts."""
    found: Seconds = {}
    for path in sorted(results_folder(results).glob("[!.]*/*.json")):
        record = read_record(path)
        if record["status"] == "finished":
            seconds = sum(max(0.0, each) for each in record["seconds"].values())
            found.setdefault(_setting(Run.from_dict(record["run"])), []).append(seconds)
    return found


def typical_seconds(run: Run, recorded: Seconds) -> float | None:
    """The median time of recorded runs of the same setting, on whatever device; None if there is none."""
    alike = recorded.get(_setting(run))
    return median(alike) if alike else None


def _setting(run: Run) -> str:
    return canonical_json(run.to_dict() | {"experiment": "", "seed": 0})


def sizes_markdown(sweeps: Path, results: str | Path | None = None) -> str:
    """How large the sweep files in a folder are, as a Markdown table: runs, recorded ones, hours of these."""
    recorded, stored = recorded_seconds(results), _hashes(results_folder(results))
    lines = ["| sweep | runs | recorded | hours, as far as known |", "| --- | --: | --: | --: |"]
    every: dict[str, Run] = {}
    for path in sorted(sweeps.glob("*.yaml")):
        runs = read_sweep(path)
        every |= {run.hash: run for run in runs}
        lines.append(_row(f"`{path.stem}`", runs, recorded, stored))
    return "\n".join([*lines, _row("**all**", list(every.values()), recorded, stored)])


def _hashes(results: Path) -> set[str]:
    return {path.stem for path in results.glob("[!.]*/*.json")}


def _row(name: str, runs: Sequence[Run], recorded: Seconds, stored: set[str]) -> str:
    times = [typical_seconds(run, recorded) for run in runs]
    known = [seconds for seconds in times if seconds is not None]
    unknown = len(times) - len(known)
    hours = f"{sum(known) / 3600:,.1f}" + (f" and {unknown:,} runs" if unknown else "")
    return f"| {name} | {len(runs):,} | {sum(run.hash in stored for run in runs):,} | {hours} |"
