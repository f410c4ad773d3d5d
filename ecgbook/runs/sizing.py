"""What a grid costs: from the times of recorded runs, a benchmark, and the data sheets of cards."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import pandas as pd

from ecgbook.runs.gpus import GPUS, gpu_seconds
from ecgbook.runs.grids import read_sweep
from ecgbook.runs.results import experiments, read_record, results_folder
from ecgbook.runs.run import Run
from ecgbook.runs.work import Records, Work, network_size, work

__all__ = [
    "Measured",
    "RunSize",
    "estimate_seconds",
    "measured_runs",
    "network_seconds",
    "size_grid",
    "size_run",
    "sizes_markdown",
]


_BENCHMARK_WINDOW = 250  # samples: 2.5 s at 100 Hz
_BENCHMARK_RECORDS = 17_084  # of the PTB-XL epoch that benchmarks/training_speed.py times
_RELATIVES = {"resnet1d101": "xresnet1d101", "bilstm": "lstm_bidir"}  # not in the benchmark: timed by another


@dataclass(frozen=True)
class Measured:
    """A recorded run: its device, its seconds in all, those for loading and bootstrap, its work."""

    run: Run
    device: str
    seconds: float
    around: float
    train_records: int
    work: Work


def measured_runs(results: str | Path | None = None) -> list[Measured]:
    """All finished runs of all experiments."""
    folder = results_folder(results)
    paths = [path for name in experiments(folder) for path in sorted((folder / name).glob("*.json"))]
    records = [record for path in paths if (record := read_record(path))["status"] == "finished"]
    runs = [Run.from_dict(record["run"]) for record in records]
    counts = [int(record["data"]["records"]["train"]) for record in records]
    known: dict[tuple[str, str], int] = {}
    for run, count in zip(runs, counts, strict=True):
        known[run.dataset, run.task] = max(count, known.get((run.dataset, run.task), 0))
    found = []
    for run, record, count in zip(runs, records, counts, strict=True):
        # Of a run that was stopped and went on, "other" is negative: it knows the time of its last part only.
        phases = {name: max(0.0, seconds) for name, seconds in record["seconds"].items()}
        around = phases.get("load", 0.0) + phases.get("bootstrap", 0.0)
        device = str(record["device"])
        found.append(Measured(run, device, sum(phases.values()), around, count, work(run, known)))
    return found


def _is_gpu(device: str) -> bool:
    return device.startswith(("NVIDIA", "Tesla"))


def _known(measured: Sequence[Measured]) -> Records:
    known: dict[tuple[str, str], int] = {}
    for one in measured:
        key = one.run.dataset, one.run.task
        known[key] = max(one.train_records, known.get(key, 0))
    return known


def estimate_seconds(run: Run, measured: Sequence[Measured], device: str | None = None) -> float | None:
    """Expected wall-clock seconds of a run, or None where nothing like it was recorded.

    A run that is recorded takes what it took. Else its training windows are multiplied by the median time per
    window of the runs alike: of the same method, network, precision, window and data set, and of the same
    experiment where there are any. Loading, validation, test and bootstrap are part of the time. Runs without
    a network take what such runs took.

    Args:
        run: The run.
        measured: What `measured_runs` found.
        device: Only runs on this device count; None: on any.
    """
    on_it = [one for one in measured if device is None or one.device == device]
    own = [one.seconds for one in on_it if one.run == run]
    if own:
        return own[0]
    wanted = work(run, _known(measured))
    alike = [one for one in on_it if _is_alike(one, run, wanted)]
    if not alike:
        return None
    if run.model == "none":
        same = [one for one in alike if (one.run.dataset, one.run.task) == (run.dataset, run.task)]
        return median(one.seconds for one in same or alike)
    alike = [one for one in alike if one.run.experiment == run.experiment] or alike
    return wanted.windows * median(one.seconds / one.work.windows for one in alike)


def _is_alike(one: Measured, run: Run, wanted: Work) -> bool:
    names = ["model", "method"] + (["dataset", "sampling_rate_hz"] if run.model != "none" else [])
    if any(getattr(one.run, name) != getattr(run, name) for name in names):
        return False
    return (one.work.multiply_adds, one.work.bf16) == (wanted.multiply_adds, wanted.bf16)


def network_seconds(benchmarks: Path) -> dict[str, dict[str, float]]:
    """Seconds of one training window of 2.5 s at 100 Hz, by network and precision ("float32" or "bf16").

    Args:
        benchmarks: Folder of the files that `benchmarks/training_speed.py` wrote; of several machines the
            median counts.
    """
    files = [json.loads(path.read_text("utf-8")) for path in sorted(benchmarks.glob("training_speed*.json"))]
    epochs = [file["seconds_per_ptbxl_epoch"] for file in files]
    names = sorted({name for epoch in epochs for name in epoch})
    return {
        name: {
            kind: median(epoch[name][kind] for epoch in epochs if name in epoch) / _BENCHMARK_RECORDS
            for kind in ("float32", "bf16")
        }
        for name in names
    }


def _benchmark_seconds(run: Run, wanted: Work, speeds: Mapping[str, Mapping[str, float]]) -> float | None:
    """Time of a run's training by the benchmark of its network, in proportion to the multiply-adds.

    These grow with the length of the window. A network that was not timed takes as long per multiply-add as
    the one of its family that is closest in size.
    """
    name = _RELATIVES.get(run.model, run.model)
    family = [name] if name in speeds else [n for n in speeds if n.split("/")[0] == name.split("/")[0]]
    if not family or not wanted.multiply_adds:
        return None
    sizes = {n: network_size(n, _BENCHMARK_WINDOW)[0] for n in family}
    nearest = min(sizes, key=lambda n: abs(sizes[n] - wanted.multiply_adds))
    each = speeds[nearest]["bf16" if wanted.bf16 else "float32"] / sizes[nearest]
    return each * wanted.multiply_adds * wanted.windows


@dataclass(frozen=True)
class RunSize:
    """Seconds of a run on the processor, from what they are known, and its range on each of `GPUS`."""

    processor: float | None
    basis: Literal["itself", "a run alike", "the benchmark", "nothing"]
    gpus: Mapping[str, tuple[float, float] | None]


def size_run(
    run: Run, measured: Sequence[Measured], speeds: Mapping[str, Mapping[str, float]] | None = None
) -> RunSize:
    """How long a run takes.

    On the processor: as `estimate_seconds` says, else by the benchmark of its network. On a card: the time by
    runs recorded on it, else the range of `gpu_seconds`, whose upper end then includes what loading and
    bootstrap take on the processor. A run without a network takes as long as on the processor.

    Args:
        run: The run.
        measured: What `measured_runs` found.
        speeds: What `network_seconds` found.
    """
    here = [one for one in measured if not _is_gpu(one.device)]
    wanted = work(run, _known(measured))
    around = median([one.around for one in here]) if here else 0.0
    basis: Literal["itself", "a run alike", "the benchmark", "nothing"] = "a run alike"
    seconds = estimate_seconds(run, here)
    if any(one.run == run for one in here):
        basis = "itself"
    if seconds is None:
        training = _benchmark_seconds(run, wanted, speeds or {})
        seconds = None if training is None else training + around
        basis = "nothing" if training is None else "the benchmark"
    ranges: dict[str, tuple[float, float] | None] = {}
    for gpu in GPUS:
        there = estimate_seconds(run, measured, gpu.name)
        if there is not None:
            ranges[gpu.name] = there, there
        elif run.model == "none" and seconds is not None:
            ranges[gpu.name] = seconds, seconds
        elif not wanted.multiply_adds:
            ranges[gpu.name] = None
        else:
            low, high = gpu_seconds(wanted, gpu)
            ranges[gpu.name] = low, high + around
    return RunSize(seconds, basis, ranges)


def size_grid(
    runs: Sequence[Run],
    measured: Sequence[Measured],
    speeds: Mapping[str, Mapping[str, float]] | None = None,
    usd_per_hour: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Hours of a grid, one run after another, on the processor and on each of `GPUS`, and what these cost.

    Args:
        runs: The runs.
        measured: What `measured_runs` found.
        speeds: What `network_seconds` found.
        usd_per_hour: Price of an hour by name of the card; where none is given, the example of `GPUS`.

    Returns:
        Columns device, runs, known (runs of which a time is known), hours_from, hours_to, usd_from, usd_to.
    """
    return _summary([size_run(run, measured, speeds) for run in runs], usd_per_hour or {})


def _summary(sizes: Sequence[RunSize], usd_per_hour: Mapping[str, float]) -> pd.DataFrame:
    spans = {"processor": [None if s.processor is None else (s.processor, s.processor) for s in sizes]}
    spans |= {gpu.name: [s.gpus[gpu.name] for s in sizes] for gpu in GPUS}
    prices = {gpu.name: gpu.usd_per_hour for gpu in GPUS} | dict(usd_per_hour)
    rows = []
    for device, found in spans.items():
        known = [span for span in found if span is not None]
        low, high = (sum(span[end] for span in known) / 3600 for end in (0, 1))
        price = prices.get(device, float("nan"))
        rows.append((device, len(sizes), len(known), low, high, low * price, high * price))
    columns = ["device", "runs", "known", "hours_from", "hours_to", "usd_from", "usd_to"]
    return pd.DataFrame(rows, columns=columns)


def sizes_markdown(sweeps: Path, results: str | Path | None = None, benchmarks: Path | None = None) -> str:
    """The size of every sweep file in a folder, and of all together, as Markdown for the book.

    Args:
        sweeps: Folder of the sweep files.
        results: The results folder.
        benchmarks: Folder of what the benchmarks measured; None: the one beside `sweeps`.
    """
    measured = measured_runs(results)
    speeds = network_seconds(benchmarks or sweeps.parent / "benchmarks")
    done = {one.run.hash for one in measured}
    sizes: dict[str, RunSize] = {}
    grids: list[tuple[str, list[str]]] = []
    for path in sorted(sweeps.glob("*.yaml")):
        runs = read_sweep(path)
        sizes |= {run.hash: size_run(run, measured, speeds) for run in runs}
        grids.append((f"`{path.stem}`", [run.hash for run in runs]))
    grids.append(("**all**", list(sizes)))
    head = ["sweep", "runs", "recorded", "processor, h", *(f"{gpu.title}, h" for gpu in GPUS)]
    lines = [f"| {' | '.join(head)} |", "| --- |" + " --: |" * (len(head) - 1)]
    for name, keys in grids:
        table = _summary([sizes[key] for key in keys], {})
        hours = [_span(row["hours_from"], row["hours_to"]) for row in table.to_dict("records")]
        unknown = len(keys) - int(table["known"].iloc[0])
        hours[0] += f" and {unknown} runs" if unknown else ""
        lines.append(f"| {' | '.join([name, f'{len(keys):,}', f'{len(done & set(keys)):,}', *hours])} |")
    costs = [_span(row["usd_from"], row["usd_to"]) for row in table[1:].to_dict("records")]
    lines.append(f"| **cost of all**, US$ | | | | {' | '.join(costs)} |")
    sheets = [
        f"{gpu.title}: {gpu.tflops['float32']} TFLOP/s in float32, {gpu.tflops['bf16']} in bfloat16, "
        f"{gpu.gb_per_s} GB/s, US$ {gpu.usd_per_hour} an hour ({gpu.price_of})"
        for gpu in GPUS
    ]
    notes = [f"Data sheets, and examples of prices. {'; '.join(sheets)}.", _bases(list(sizes.values()))]
    return "\n\n".join(["\n".join(lines), *notes, _comparison(measured, speeds)])


def _span(low: float, high: float) -> str:
    """Two numbers with two digits each, or one where they are the same.

    >>> _span(0.1234, 4.56), _span(1234, 1234), _span(0.001, 0.2)
    ('0.12–4.6', '1,200', '<0.01–0.20')
    """
    texts = []
    for value in (low, high):
        decimals = 1 - math.floor(math.log10(max(value, 0.1)))
        rounded = round(value, decimals)
        texts.append(f"{rounded:,.{max(decimals, 0)}f}" if rounded >= 0.01 else "<0.01")
    return texts[0] if texts[0] == texts[1] else "–".join(texts)


def _bases(sizes: Sequence[RunSize]) -> str:
    count = Counter(size.basis for size in sizes)
    return (
        f"The processor's time of {count['itself']:,} of the {len(sizes):,} runs is their own, of "
        f"{count['a run alike']:,} it comes from recorded runs alike, of {count['the benchmark']:,} from the "
        "benchmark" + (f"; of {count['nothing']:,} it is not known." if count["nothing"] else ".")
    )


def _comparison(measured: Sequence[Measured], speeds: Mapping[str, Mapping[str, float]]) -> str:
    """How far the benchmark is from recorded runs."""
    ratios = []
    for one in measured:
        training = _benchmark_seconds(one.run, one.work, speeds) if not _is_gpu(one.device) else None
        if training:
            ratios.append(one.seconds / (training + one.around))
    if not ratios:
        return "No recorded run can be compared with the benchmark."
    return (
        f"How good is the benchmark's guess? For {len(ratios):,} recorded runs both are known: the time that "
        f"they took is {min(ratios):.1f} to {max(ratios):.1f} times the guess, in the median "
        f"{median(ratios):.1f} times."
    )
