"""The commands `ecgkit train`, `ecgkit sweep` and `ecgkit results`."""

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from ecgbook.runs.results import results_folder
from ecgkit.errors import EcgkitError

__all__ = ["register"]

ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help="Results folder (default: $ECGKIT_RESULTS, or ./results, or that of ecgkit's own checkout).",
    ),
]
RootOption = Annotated[
    Path | None, typer.Option("--data-root", help="Folder of the data (default: $ECGKIT_DATA).")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="CPU threads per run (default: the cores shared out).")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line's application."""
    for command in (run, sweep, results):
        app.command()(command)


def _fail(error: BaseException | str) -> typer.Exit:
    typer.secho(f"error: {error}", fg="red", err=True)
    return typer.Exit(1)


def _params(pairs: list[str]) -> dict[str, Any]:
    """``name=value`` pairs; values are JSON where they can be, else text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--param {pair}: write it as name=value, for example --param epochs=10")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params


def run(
    model: Annotated[
        str, typer.Option(help="Name of the model; `none` for methods without one.")
    ] = "fcn_wang",
    dataset: Annotated[str, typer.Option(help="Name of the data set.")] = "synthetic",
    task: Annotated[str, typer.Option(help="Task of the data set.")] = "superdiagnostic",
    method: Annotated[
        str, typer.Option(help="supervised, naive, wavelet_nn, or a selection such as dbpd.")
    ] = "supervised",
    protocol: Annotated[str, typer.Option(help="paper, reduced or quick.")] = "quick",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs (default: those of the protocol).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and windows.")] = 0,
    sampling_rate_hz: Annotated[int, typer.Option("--rate", help="Sampling rate in Hz.")] = 100,
    param: Annotated[list[str] | None, typer.Option(help="Another setting, name=value; repeatable.")] = None,
    experiment: Annotated[str, typer.Option(help="Folder of the results that gets the record.")] = "mine",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data_root: RootOption = None,
    results: ResultsOption = None,
) -> None:
    """Train one model, test it, and record the run. Run it again to go on after an interruption."""
    from tqdm import tqdm

    from ecgbook.experiments.runner import execute
    from ecgbook.runs.claims import claim
    from ecgbook.runs.results import read_record
    from ecgbook.runs.run import Run
    from ecgkit import datasets

    try:
        params = _params(param or []) | ({} if epochs is None else {"epochs": epochs})
        version = datasets.load(dataset, data_root, task, sampling_rate_hz).version
        fields: dict[str, Any] = {
            "experiment": experiment,
            "dataset": dataset,
            "dataset_version": version,
            "task": task,
        }
        fields |= {"model": model, "method": method, "protocol": protocol, "seed": seed}
        run = Run.from_dict({**fields, "sampling_rate_hz": sampling_rate_hz, "params": params})
        folder = results_folder(results)
        with claim(folder, run) as held, tqdm(unit="epoch", disable=None) as bar:
            if not held:
                raise EcgkitError("this run is under way in another process")

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            path = execute(run, folder, data_root=data_root, device=device, threads=threads, progress=show)
    except (EcgkitError, ValueError, ArithmeticError) as error:
        raise _fail(error) from error
    except KeyboardInterrupt:
        typer.echo("stopped; run the same command to go on", err=True)
        raise typer.Exit(130) from None
    for name, value in read_record(path)["metrics"].items():
        typer.echo(
            f"{name:12} {value['point']:.4f}  (95 % interval {value['low']:.4f} to {value['high']:.4f})"
        )
    typer.echo(f"record: {path}")


def sweep(
    file: Annotated[Path, typer.Argument(help="Sweep file (.yaml or .json).", exists=True, dir_okay=False)],
    workers: Annotated[int, typer.Option(min=1, help="Runs at the same time on this machine.")] = 1,
    threads: ThreadsOption = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler to run on.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after this time; run again to go on.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do failed runs again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would run.")] = False,
    device: DeviceOption = "auto",
    data_root: RootOption = None,
    results: ResultsOption = None,
) -> None:
    """Run what is missing of a grid. Ctrl-C stops it; the same command goes on."""
    from ecgbook.experiments.runner import execute
    from ecgbook.runs.display import Bar
    from ecgbook.runs.grids import read_sweep
    from ecgbook.runs.results import record_path
    from ecgbook.runs.sweep import plan
    from ecgbook.runs.sweep import sweep as run_sweep

    folder = results_folder(results)
    try:
        runs = read_sweep(file)
        planned = plan(runs, folder)
        to_do = [p for p in planned if p.state != "finished" and (p.state != "failed" or retry_failed)]
        if dry_run:
            _list_runs(planned, to_do, folder)
            return
        if scheduler is None and threads is None:
            threads = max(1, (os.cpu_count() or 1) // workers)
        options = {"data_root": data_root and data_root.resolve(), "device": device, "threads": threads}
        arguments: dict[str, Any] = {
            "run_one": execute,
            "options": options,
            "minutes": minutes,
            "retry_failed": retry_failed,
            "display": Bar(len(to_do)),
        }
        before = signal.signal(signal.SIGTERM, _as_ctrl_c)
        try:
            if scheduler is not None:
                from ecgbook.runs.cluster import sweep_on_cluster

                summary = sweep_on_cluster(runs, folder, scheduler=scheduler, **arguments)
            else:
                summary = run_sweep(runs, folder, workers=workers, **arguments)
        finally:
            signal.signal(signal.SIGTERM, before)
        failures = _failures(record_path(folder, run) for run in runs)
    except (EcgkitError, ValueError) as error:
        raise _fail(error) from error
    typer.echo(str(summary))
    if failures:
        typer.secho("\n".join([*failures, "--retry-failed does failed runs again"]), fg="red", err=True)
    raise typer.Exit(130 if summary.interrupted else 1 if summary.failed else 0)


def _failures(records: Iterable[Path]) -> list[str]:
    """A line for each record of a failed run: where it is, and why it failed."""
    from ecgbook.runs.results import read_record

    stored = {path: read_record(path) for path in records if path.exists()}
    return [
        f"failed: {path}: {record['error']['type']}: {record['error']['message']}"
        for path, record in stored.items()
        if record["status"] == "failed"
    ]


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # a batch system that ends the job: stop in order


def _list_runs(planned: list[Any], to_do: list[Any], folder: Path) -> None:
    from ecgbook.runs.display import run_title
    from ecgbook.runs.sizing import estimate_seconds, measured_runs

    measured = measured_runs(folder)
    total, unknown = 0.0, 0
    for item in planned:
        line = f"{item.state:9} {item.run.hash}  {run_title(item.run)}"
        if item in to_do:
            seconds = estimate_seconds(item.run, measured)
            line += "  (time not known)" if seconds is None else f"  (about {seconds / 60:.1f} min)"
            total, unknown = total + (seconds or 0.0), unknown + (seconds is None)
        typer.echo(line)
    typer.echo(
        f"{len(planned)} runs, {len(to_do)} to do: about {total / 3600:.1f} h by the times of recorded runs"
        + (f", and {unknown} of which no time is known" if unknown else "")
    )


def results(
    experiment: Annotated[
        str | None, typer.Argument(help="Experiment to show, or `check`; without it all are listed.")
    ] = None,
    aggregate: Annotated[
        bool, typer.Option("--aggregate", help="Mean over seeds with a 95 % t interval.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the full table to this file.")] = None,
    page: Annotated[
        list[Path] | None,
        typer.Option(help="For `check`: pages or folders of pages; repeatable.", exists=True),
    ] = None,
    results: ResultsOption = None,
) -> None:
    """Show recorded runs, or check that every record and every page is whole (`ecgkit results check`)."""
    folder = results_folder(results)
    try:
        if experiment == "check":
            _check(folder, page)
        elif experiment is None:
            if aggregate or csv is not None:
                raise EcgkitError("--aggregate and --csv need the name of an experiment")
            _list_experiments(folder)
        else:
            _show(experiment, folder, aggregate, csv)
    except (EcgkitError, OSError) as error:
        raise _fail(error) from error


def _not_empty(folder: Path) -> None:
    if not any(folder.glob("*/*.json")):
        raise EcgkitError(
            f"no run is recorded in {folder}: name the results folder with --results, or do a run with "
            "`ecgkit train`"
        )


def _check(folder: Path, pages: list[Path] | None) -> None:
    from ecgbook.runs.check import changed_code, check

    found = pages or [p for name in ("book", "notebooks", "_build/html") if (p := Path(name)).exists()]
    _not_empty(folder)
    problems = check(folder, found)
    for problem in problems:
        typer.secho(problem, fg="red", err=True)
    records = len(list(folder.glob("*/*.json")))
    typer.echo(f"{records} records checked, {len(problems)} problems")
    if not found:
        typer.echo("note: no page was checked; name pages or their folders with --page")
    if changed := changed_code(folder):
        typer.echo(f"note: {len(changed)} were made with source files that differ from the commit they name")
    if problems:
        raise typer.Exit(1)


def _list_experiments(folder: Path) -> None:
    from ecgbook.runs.results import experiments, load

    _not_empty(folder)
    for name in experiments(folder):
        counts = [len(load(name, folder, status)) for status in ("finished", "failed")]
        typer.echo(f"{name}: {counts[0]} finished, {counts[1]} failed")


def _show(experiment: str, folder: Path, by_seed: bool, csv: Path | None) -> None:
    from ecgbook.page.tables import provenance
    from ecgbook.runs import results as store
    from ecgkit.files import atomic_write

    for failure in _failures(sorted((folder / experiment).glob("*.json"))):
        typer.secho(failure, fg="red", err=True)
    runs = store.load(experiment, folder)
    if runs.empty:
        raise EcgkitError(
            f"no finished run of {experiment!r} in {folder}; `ecgkit results` lists what there is"
        )
    frame = store.aggregate(runs) if by_seed else runs
    if csv is not None:
        with atomic_write(csv) as file:
            frame.to_csv(file, index=False)
    metrics = store.metric_names(frame)
    shown = [
        c for c in store.run_fields(frame) if frame[c].nunique(dropna=False) > 1 or c in ("task", "model")
    ]
    table = frame[shown].copy()
    for column in ("seed", "seeds"):
        if column in frame:
            table[column] = frame[column]
    for name in metrics:
        values = zip(frame[name], frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
        table[name] = [f"{point:.4f} ({low:.4f} to {high:.4f})" for point, low, high in values]
    rest = [c for c in ("epochs", "device", "date", "hash") if c in frame]
    typer.echo(table.join(frame[rest]).to_string(index=False))
    typer.echo(provenance(runs))
