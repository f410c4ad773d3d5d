"""What a grid costs, computed from runs that were measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.experiments.grids import read_sweep
from ecgkit.experiments.results import experiments, load, results_folder
from ecgkit.experiments.run import Run
from ecgkit.experiments.sweep import plan

__all__ = [
    "MEMORY_GB_PER_S",
    "TARGETS",
    "estimate_seconds",
    "measured_runs",
    "size_grid",
    "sizes_markdown",
]

TARGETS = ("Tesla T4", "NVIDIA H100 80GB HBM3")

MEMORY_GB_PER_S = {"Tesla T4": 320, "NVIDIA H100 80GB HBM3": 3350, "NVIDIA H200": 4800}
"""Memory bandwidth by NVIDIA's data sheets: what a time is scaled by where a card was not measured."""


def measured_runs(results: str | Path | None = None) -> pd.DataFrame:
    """All finished runs of all experiments that say how long they took."""
    frames = [load(name, results) for name in experiments(results_folder(results))]
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame(columns=["model", "method", "device", "seconds", "samples_backprop"])
    return pd.concat(frames, ignore_index=True)


_SIZES = ("params.width", "params.ndim", "params.window_s", "params.seconds", "params.folds")


def estimate_seconds(run: Run, measured: pd.DataFrame, device: str | None = None) -> float | None:
    """Expected wall-clock seconds of a run, or None where nothing like it was measured.

    The median time per training record and epoch of the same model and method on signals of the same size,
    times this run's epochs and the training records of its task. Loading, validation, test and bootstrap are
    part of the measured time. A run without epochs costs what such runs took.

    Args:
        run: The run.
        measured: Rows of `measured_runs`.
        device: Only runs on this device count; None: on any.
    """
    alike = np.ones(len(measured), bool)
    for name in ("model", "method", "dataset", "sampling_rate_hz"):
        alike &= (measured[name] == getattr(run, name)).to_numpy() if name in measured else False
    for name in _SIZES:
        value = _shown(run, name)
        if name in measured:
            alike &= (measured[name].isna() if value is None else measured[name] == value).to_numpy()
        elif value is not None:
            return None
    if device is not None:
        alike &= (measured["device"] == device).to_numpy()
    if not alike.any():
        return None
    rows = measured[alike]
    same_task = rows[rows["task"] == run.task]
    if run.model == "none" or not (rows["epochs"] > 0).any():
        return float((same_task if len(same_task) else rows)["seconds"].median())
    rows = rows[rows["epochs"] > 0]
    each = (rows["seconds"] / (rows["epochs"] * rows["records_train"])).median()
    known = measured[(measured["dataset"] == run.dataset) & (measured["task"] == run.task)]
    records = float((same_task if len(same_task) else known if len(known) else rows)["records_train"].max())
    return float(each) * _epochs(run, int(rows["epochs"].median())) * records


def _alike(run: Run) -> tuple[object, ...]:
    """What the time of a run is estimated by: equal for runs that differ in seed or thresholds alone."""
    params = (_shown(run, name) for name in (*_SIZES, "params.epochs"))
    return (run.model, run.method, run.dataset, run.task, run.sampling_rate_hz, run.protocol, *params)


def _shown(run: Run, column: str) -> Any:
    """A parameter as `results.load` shows it: a list as text."""
    value = run.params.get(column.removeprefix("params."))
    return str(value) if isinstance(value, list) else value


def _epochs(run: Run, otherwise: int) -> int:
    from ecgkit.experiments.methods import selection_settings, train_config
    from ecgkit.training import selection

    try:
        if run.method == "supervised":
            return train_config(run).epochs
        if run.method in selection.names():
            return selection_settings(run)[0].epochs
    except ValueError:  # a parameter that is none: the run itself says which
        return otherwise
    return int(run.params.get("epochs", otherwise))


def size_grid(
    runs: Sequence[Run],
    measured: pd.DataFrame,
    devices: Sequence[str] = TARGETS,
    price_per_hour: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Hours, and where prices are given the cost, of a grid on each device.

    Where a device was measured its own runs count. Else the times of another card in `MEMORY_GB_PER_S` are
    scaled by memory bandwidth; networks as small as these wait for the launch of kernels as well, so a slower
    card loses less than that and the figure is an upper bound for it (and a lower bound for a faster one).
    Runs without a network work on the processor and count with what they took on any.

    Returns:
        Columns device, runs, covered (runs of which a time is known), hours (of those), cost, and basis:
        "measured", "scaled from ...", or "not measured yet".
    """
    rows: list[dict[str, object]] = []
    for device in devices:
        hours, covered = _hours(runs, measured, device)
        basis = "measured"
        for other, bandwidth in MEMORY_GB_PER_S.items():
            if covered == 0 and device in MEMORY_GB_PER_S and other != device:
                hours, covered = _hours(runs, measured, other)
                hours *= bandwidth / MEMORY_GB_PER_S[device]
                basis = f"scaled from {other}"
        known = covered > 0
        price = (price_per_hour or {}).get(device)
        rows.append(
            {
                "device": device,
                "runs": len(runs),
                "covered": covered,
                "hours": hours if known else None,
                "cost": hours * price if known and price is not None else None,
                "basis": basis if known else "not measured yet",
            }
        )
    return pd.DataFrame(rows)


def _hours(runs: Sequence[Run], measured: pd.DataFrame, device: str) -> tuple[float, int]:
    """Hours of the runs with a known time, and how many these are; 0 where no network was measured."""
    known_alike: dict[tuple[object, ...], float | None] = {}
    seconds = []
    for run in runs:
        alike = _alike(run)
        if alike not in known_alike:
            known_alike[alike] = estimate_seconds(run, measured, None if run.model == "none" else device)
        seconds.append(known_alike[alike])
    networks = [s for run, s in zip(runs, seconds, strict=True) if run.model != "none"]
    if networks and all(s is None for s in networks):
        return 0.0, 0
    known = [s for s in seconds if s is not None]
    return sum(known) / 3600, len(known)


def sizes_markdown(sweeps: Path, results: str | Path | None = None) -> str:
    """The size of every sweep file in a folder as a Markdown table, for the book."""
    measured = measured_runs(results)
    here = sorted(set(measured["device"].dropna()) - set(TARGETS)) if len(measured) else []
    lines = [
        "| sweep | runs | recorded | device | hours | runs covered | basis |",
        "| --- | --: | --: | --- | --: | --: | --- |",
    ]
    for path in sorted(sweeps.glob("*.yaml")):
        runs = read_sweep(path)
        recorded = sum(p.state == "finished" for p in plan(runs, results_folder(results)))
        for row in size_grid(runs, measured, [*here, *TARGETS]).to_dict("records"):
            hours = "–" if pd.isna(row["hours"]) else f"{row['hours']:.1f}"
            cells = [
                f"`{path.name}`",
                len(runs),
                recorded,
                row["device"],
                hours,
                row["covered"],
                row["basis"],
            ]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
