"""The command line of the book: ``ecgbook run``, ``sweep``, ``results`` and ``scoreboard``.

Exit codes are those of `ecgkit.cli`: 0 when all went well, 1 when something failed (one line on stderr says
what and what to do), 2 for wrong usage, 130 after Ctrl-C.
"""

import json
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from ecgbook.runs.records import read_record, record_path, require_writable, results_folder
from ecgbook.runs.run import Run, check_experiment
from ecgkit import __version__
from ecgkit.cli import Group
from ecgkit.errors import EcgkitError
from ecgkit.files import atomic_write

__all__ = ["app", "main"]


class Commands(Group):
    """Commands whose expected errors, wrong arguments among them, end in one clear message."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, ArithmeticError) as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help="Results folder (default: $ECGKIT_RESULTS, or ./results; to read, also that of the checkout).",
    ),
]
RootOption = Annotated[
    Path | None, typer.Option("--data-root", help="Folder of the data (default: $ECGKIT_DATA).")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="CPU threads per run (default: the cores shared out).")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecgbook {__version__}")
        raise typer.Exit


@app.callback()
def ecgbook(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The runs behind 'ECG Learning, Reproduced', and what they say of the four works."""


# Doing runs -------------------------------------------------------------------------------------------


def _params(pairs: list[str]) -> dict[str, Any]:
    """``name=value`` pairs; values are JSON where they can be, else text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--param {pair}: write it as name=value, for example --param epochs=10")
        try:
            params[name] = json.loads(value)
        except (ValueError, RecursionError):
            params[name] = value
    return params


@app.command()
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
    """Do one run: train, test, record. Run it again to go on after an interruption."""
    from tqdm import tqdm

    from ecgbook.experiments.execute import execute
    from ecgbook.runs.one_run import lock
    from ecgkit import datasets

    folder = results_folder(results, to_write=True)
    params = _params(param or []) | ({} if epochs is None else {"epochs": epochs})
    check_experiment(experiment)
    fields: dict[str, Any] = {"experiment": experiment, "dataset": dataset, "task": task, "model": model}
    fields |= {"method": method, "protocol": protocol, "seed": seed, "sampling_rate_hz": sampling_rate_hz}
    fields["dataset_version"] = datasets.load(dataset, data_root, task, sampling_rate_hz).version
    one = Run.from_dict({**fields, "params": params})
    require_writable(folder, experiment)
    with lock(folder, one) as held, tqdm(unit="epoch", disable=None) as bar:
        if not held:
            raise EcgkitError("this run is under way in another process")

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = execute(one, folder, data_root=data_root, device=device, threads=threads, progress=show)
    for name, value in read_record(path)["metrics"].items():
        typer.echo(
            f"{name:12} {value['point']:.4f}  (95 % interval {value['low']:.4f} to {value['high']:.4f})"
        )
    typer.echo(f"record: {path}")


@app.command()
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
    from ecgbook.runs.grids import read_sweep
    from ecgbook.runs.one_run import plan
    from ecgbook.runs.sweep import Bar
    from ecgbook.runs.sweep import sweep as do_sweep

    folder = results_folder(results, to_write=not dry_run)
    runs = read_sweep(file)
    planned = plan(runs, folder)
    to_do = [p for p in planned if p.state != "finished" and (p.state != "failed" or retry_failed)]
    if dry_run:
        _list_runs(planned, to_do, folder)
        return
    from ecgbook.experiments.execute import execute
    from ecgkit.training import choose_device

    if scheduler is None:
        choose_device(device)  # a device that is not there is no failure of the runs
    if scheduler is None and threads is None:
        threads = max(1, (os.cpu_count() or 1) // workers)
    before = signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        summary = do_sweep(
            runs,
            folder,
            execute=execute,
            workers=workers,
            scheduler=scheduler,
            options={"data_root": data_root and data_root.resolve(), "device": device, "threads": threads},
            minutes=minutes,
            retry_failed=retry_failed,
            bar=Bar(len(to_do)),
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    failures = _failures(record_path(folder, one) for one in runs)
    typer.echo(str(summary))
    if failures:
        typer.secho("\n".join([*failures, "--retry-failed does failed runs again"]), fg="red", err=True)
    for sentence in summary.no_data:
        typer.secho(f"not done: {sentence}", fg="red", err=True)
    raise typer.Exit(130 if summary.interrupted else 1 if summary.failed or summary.no_data else 0)


def _failures(records: Iterable[Path]) -> list[str]:
    """A line for each record of a failed run: where it is, and why it failed."""
    stored = {path: read_record(path) for path in records if path.exists()}
    return [
        f"failed: {path}: {record['error']['type']}: {record['error']['message']}"
        for path, record in stored.items()
        if record["status"] == "failed"
    ]


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # a batch system that ends the job: stop in order


def _list_runs(planned: list[Any], to_do: list[Any], folder: Path) -> None:
    from ecgbook.runs.sweep import run_title
    from ecgbook.runs.times import recorded_seconds, typical_seconds

    recorded = recorded_seconds(folder)
    total, unknown = 0.0, 0
    for item in planned:
        line = f"{item.state:9} {item.run.hash}  {run_title(item.run)}"
        if item in to_do:
            seconds = typical_seconds(item.run, recorded)
            line += "  (time not known)" if seconds is None else f"  (about {seconds / 60:.1f} min)"
            total, unknown = total + (seconds or 0.0), unknown + (seconds is None)
        typer.echo(line)
    typer.echo(
        f"{len(planned)} runs, {len(to_do)} to do: about {total / 3600:.1f} h by the times of recorded runs"
        + (f", and {unknown} of which no time is known" if unknown else "")
    )


# What came out ----------------------------------------------------------------------------------------


@app.command()
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
    """Show recorded runs, or check that every record and every page is whole (`ecgbook results check`)."""
    folder = results_folder(results)
    if experiment is not None:
        check_experiment(experiment)
    if not any(folder.glob("*/*.json")):
        raise EcgkitError(
            f"no run is recorded in {folder}: name the results folder with --results, or do a run with "
            "`ecgbook run`"
        )
    if experiment == "check":
        _check(folder, page)
    elif experiment is not None:
        _show(experiment, folder, aggregate, csv)
    elif aggregate or csv is not None:
        raise EcgkitError("--aggregate and --csv need the name of an experiment")
    else:
        _list_experiments(folder)


def _check(folder: Path, pages: list[Path] | None) -> None:
    from ecgbook.runs.check import changed_code, check

    found = pages or [p for name in ("book", "notebooks", "_build/html") if (p := Path(name)).exists()]
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

    for name in experiments(folder):
        counts = [len(load(name, folder, status)) for status in ("finished", "failed")]
        typer.echo(f"{name}: {counts[0]} finished, {counts[1]} failed")


def _show(experiment: str, folder: Path, by_seed: bool, csv: Path | None) -> None:
    from ecgbook.runs import results as store
    from ecgbook.runs.results import provenance

    for failure in _failures(sorted((folder / experiment).glob("*.json"))):
        typer.secho(failure, fg="red", err=True)
    runs = store.load(experiment, folder)
    if runs.empty:
        raise EcgkitError(
            f"no finished run of {experiment!r} in {folder}; `ecgbook results` lists what there is"
        )
    frame = store.aggregate(runs) if by_seed else runs
    if csv is not None:
        with atomic_write(csv) as file:
            frame.to_csv(file, index=False)
    shown = [
        c for c in store.run_fields(frame) if frame[c].nunique(dropna=False) > 1 or c in ("task", "model")
    ]
    table = frame[[*shown, *(c for c in ("seed", "seeds") if c in frame)]].copy()
    for name in store.metric_names(frame):
        values = zip(frame[name], frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
        table[name] = [f"{point:.4f} ({low:.4f} to {high:.4f})" for point, low, high in values]
    rest = [c for c in ("epochs", "device", "date", "hash") if c in frame]
    typer.echo(table.join(frame[rest]).to_string(index=False))
    typer.echo(provenance(runs))


@app.command()
def scoreboard(
    work: Annotated[str | None, typer.Option(help="Only this work: erts, melep, ...")] = None,
    badge: Annotated[
        Path | None, typer.Option(help="Write the badge of the README (SVG) to this file.")
    ] = None,
    results: ResultsOption = None,
) -> None:
    """The verdict on every claim of the four works, computed from the recorded runs."""
    from ecgbook.papers import WORKS
    from ecgbook.papers import scoreboard as verdicts
    from ecgbook.papers.scoreboard import VERDICTS
    from ecgbook.papers.scoreboard import badge as badge_of

    if work is not None and work not in WORKS:
        raise EcgkitError(f"there is no work {work!r}: choose one of {', '.join(WORKS)}")
    if results is not None and not results.is_dir():
        raise EcgkitError(f"there is no results folder {results}: check --results")
    board = verdicts(results)
    if badge is not None:
        with atomic_write(badge) as file:
            file.write(badge_of(board))
    if work is not None:
        board = board[board["work"] == work]
    for row in board.to_dict("records"):
        typer.echo(f"{row['verdict']:17}  {row['key']:20} {row['claim']}")
        typer.echo(f"{'':17}  {'':20} {row['ours']}")
    counts = [f"{(board['verdict'] == word).sum()} {word}" for word in VERDICTS]
    typer.echo(f"{len(board)} claims: {', '.join(counts)}")


# Tables -----------------------------------------------------------------------------------------------


@app.command()
def audit(
    table: Annotated[Path, typer.Argument(help="A table as it is printed: .csv, names of the rows first.")],
    n: Annotated[int | None, typer.Option(min=1, help="Records behind the columns below.")] = None,
    percent: Annotated[list[str] | None, typer.Option(help="A column of percentages of n records.")] = None,
    share: Annotated[list[str] | None, typer.Option(help="A column of shares of n records.")] = None,
) -> None:
    """What cannot be right in a table of yours, by rules that need to know nothing of it."""
    from ecgbook.papers.reader_table import audit_table, read_table

    found = audit_table(read_table(table), n, percent or (), share or ())
    for row in found.to_dict("records"):
        typer.echo(f"{row['place']}: {row['printed']}, to be {row['implied']}")
        typer.echo(f"  {row['asks']}")
        typer.echo(f"  Innocent readings: {row['innocent']}")
        typer.echo(f"  The rule {row['rule']!r} objects to {row['false_alarms']:.1%} of honest tables.")
    typer.echo(f"{len(found)} finding{'' if len(found) == 1 else 's'}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, by default on the arguments of the process."""
    app(args=None if arguments is None else list(arguments), prog_name="ecgbook")


if __name__ == "__main__":
    main(sys.argv[1:])
