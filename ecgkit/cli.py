"""The command line: ``ecgkit data ...`` and ``ecgkit train``.

Exit codes: 0 when all went well, 1 when something failed (one line on stderr says what and what to do), 2 for
wrong usage, 130 after Ctrl-C. Tables go to stdout, everything else to stderr.
"""

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
    from typer.core import TyperGroup
except ModuleNotFoundError as error:
    raise SystemExit(f"the commands need the package {error.name}: pip install 'ecgkit[data]'") from error

from ecgkit import __version__
from ecgkit.errors import DataNotFoundError, EcgkitError

__all__ = ["Group", "app", "main"]


class Group(TyperGroup):
    """Commands whose expected errors end in one clear message instead of a traceback."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run; what the terminal's encoding does not have is written as an escape."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("\ninterrupted; run the same command again to go on", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise
        except ModuleNotFoundError as error:
            if (error.name or "ecgkit").partition(".")[0] in ("ecgkit", "ecgbook"):
                raise
            raise _fail(f"this needs the package {error.name}: pip install 'ecgkit[data]'") from error
        except MemoryError as error:
            raise _fail("out of memory: close other programs, or take fewer or smaller data") from error
        except FloatingPointError as error:
            raise _fail(str(error)) from error
        except OSError as error:
            if isinstance(error, EcgkitError):
                raise _fail(error.strerror or str(error)) from error
            if error.filename is None:  # of the standard output
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would try again at its end
                raise _fail(f"cannot write the output: {error.strerror or error}") from error
            raise _fail(f"{error.filename}: {error.strerror}") from error
        except EcgkitError as error:
            raise _fail(str(error)) from error


def _fail(message: str) -> typer.Exit:
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(1)


@contextmanager
def _usage() -> Iterator[None]:
    """A ValueError in here is wrong usage: one line and exit code 2."""
    try:
        yield
    except EcgkitError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _known(name: str, names: Sequence[str], option: str = "NAME") -> None:
    """Exit with 2 and a suggestion when there is no such name."""
    if name not in names:
        close = difflib.get_close_matches(name.lower(), names, 1, 0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise typer.BadParameter(
            f"there is no {name!r}.{hint} There are: {', '.join(names)}", param_hint=option
        )


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecgkit {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")


@app.callback()
def ecgkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Learning from the ECG with deep networks.

    \b
    Examples:
      ecgkit data list
      ecgkit data download ptbxl --rate 100
      ecgkit train --model fcn_wang --dataset synthetic --epochs 3 --out first
    """


_Root = Annotated[
    Path | None,
    typer.Option(
        "--data-root", help="Folder of the data set, or of all data sets. [default: $ECGKIT_DATA or ./data]"
    ),
]
_Name = Annotated[str, typer.Argument(help="Name of a data set, as `ecgkit data list` shows it.")]


@data_app.callback()
def data() -> None:
    """Data sets: list, describe, make, download, convert, check.

    \b
    Data sets are looked for in the folder that the environment variable
    ECGKIT_DATA names, or else in ./data.
    """


@data_app.command("list")
def list_(data_root: _Root = None) -> None:
    """Show all data sets, and where they were found.

    \b
    Examples:
      ecgkit data list
      ecgkit data list --data-root /mnt/ecg
    """
    from ecgkit import datasets
    from ecgkit.datasets.cards import CARDS

    rows = []
    for name in datasets.names():
        card = CARDS[name]
        rates = ", ".join(f"{rate:g}" for rate in card.sampling_rates_hz)
        rows.append((name, f"{card.records:,}", rates, card.licence, str(_where(name, data_root) or "-")))
    _print_table(("name", "records", "rate (Hz)", "licence", "found in"), rows)


@data_app.command()
def info(name: _Name, data_root: _Root = None) -> None:
    """Describe a data set: what it is, its licence, its known faults, and where it is.

    \b
    Examples:
      ecgkit data info ptbxl
    """
    from ecgkit import datasets
    from ecgkit.datasets.cards import CARDS

    _known(name, datasets.names())
    typer.echo(str(CARDS[name]))
    folder = _where(name, data_root)
    how = "made when first loaded" if name == "synthetic" else f"`ecgkit data download {name}` gets it"
    typer.echo(f"On disk: {folder}" if folder else f"Not on disk: {how}")


@data_app.command("make-synthetic")
def make_synthetic(
    out: Annotated[Path, typer.Argument(help="Folder to make; it must not hold anything else.")],
    dataset: Annotated[str, typer.Option(help="Whose layout to write.")] = "ptbxl",
    n: Annotated[int, typer.Option(min=1, help="Number of records.")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """Make synthetic ECGs with known truth, in the layout of a published data set.

    \b
    Examples:
      ecgkit data make-synthetic made/ptbxl --n 100
      ecgkit data make-synthetic made/georgia --dataset georgia --seed 7
    """
    from ecgkit.datasets.synthetic import LAYOUTS
    from ecgkit.datasets.synthetic import make_synthetic as make

    _known(dataset, LAYOUTS, "--dataset")
    with _usage():
        folder = make(out, dataset=dataset, n=n, seed=seed)
    typer.echo(f"{n} synthetic records in the layout of {dataset}: {folder}")
    typer.echo(f'Load them with datasets.load("{dataset}", root="{folder}")', err=True)


@data_app.command()
def download(
    name: _Name,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data sets; NAME becomes a folder in it. [default: $ECGKIT_DATA or ./data]"
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Published version. [default: the one the book uses]")
    ] = None,
    records: Annotated[int | None, typer.Option(min=1, help="Only the first so many records.")] = None,
    rate: Annotated[int | None, typer.Option(help="PTB-XL only: 100 or 500 Hz. [default: both]")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Files fetched at the same time.")] = 8,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            help="Ask this one first: aws (when PhysioNet crawls), physionet, or the address of a copy; "
            "give it again for a second copy."
        ),
    ] = None,
) -> None:
    """Download a data set. Run it again to resume; what is complete is not fetched again.

    \b
    Examples:
      ecgkit data download ptbxl --rate 100
      ecgkit data download ptbxl --records 500 --mirror aws
      ecgkit data download georgia --out /mnt/ecg
    """
    from ecgkit.datasets.download import default_root
    from ecgkit.datasets.download import download as fetch
    from ecgkit.datasets.published import PUBLISHED

    _known(name, tuple(PUBLISHED))
    root = out or default_root()
    with _usage():
        folder = fetch(
            name,
            root,
            version=version,
            records=records,
            sampling_rate_hz=rate,
            workers=workers,
            mirror=mirror[0] if mirror and len(mirror) == 1 else mirror,
            progress=sys.stderr.isatty(),
        )
    if PUBLISHED[name].files:
        typer.echo(f"{name}: complete in {folder}; its publisher gives no checksums")
    else:
        typer.echo(f"{name}: complete and checked in {folder}")
    if root.resolve() != default_root().resolve():
        typer.echo(f"So that ecgkit finds it: export ECGKIT_DATA={root.resolve()}", err=True)


@data_app.command()
def convert(
    name: _Name,
    rate: Annotated[int | None, typer.Option(help="Sampling rate in Hz. [default: the set's first]")] = None,
    data_root: _Root = None,
) -> None:
    """Convert a data set into the cache, so that it opens at once afterwards.

    \b
    Examples:
      ecgkit data convert ptbxl
      ecgkit data convert ptbxl --rate 500
    """
    from ecgkit import datasets

    _known(name, datasets.names())
    with _usage():
        ds = datasets.load(name, root=data_root, sampling_rate_hz=rate)
    typer.echo(repr(ds))
    typer.echo(f"fingerprint {ds.fingerprint}")


@data_app.command()
def check(
    name: _Name,
    sha256: Annotated[
        bool, typer.Option("--sha256", help="Compare all files with SHA256SUMS.txt, too.")
    ] = False,
    data_root: _Root = None,
) -> None:
    """Read every record of a data set as loading does, and list what cannot be used; exit with 1 if anything.

    Records that the set's table lists and that are not here are counted. A download may be a part of the
    set, so this is a fault only when none is here.

    \b
    Examples:
      ecgkit data check ptbxl
      ecgkit data check georgia --sha256
    """
    from ecgkit import datasets
    from ecgkit.datasets.check import check_records, check_sums, sums_of

    _known(name, datasets.names())
    folder = datasets.data_folder(name, data_root)
    report = check_records(datasets.SOURCES[name], folder, lambda paths: _bar(paths, "records"))
    faults = list(report.faults)
    said = f"{name}: {report.records:,} records read in {folder}"
    if sha256:
        sums = sums_of(name, folder)
        compared = list(_bar(check_sums(folder, sums), "SHA-256", len(sums)))
        faults += [(path, fault) for path, fault in compared if fault]
        absent = sum(fault == "" for _, fault in compared)
        said += f", {len(sums) - absent:,} files compared with SHA256SUMS.txt ({absent:,} of it are not here)"
    left_out = [(path, "published with a broken header, left out") for path in report.published_broken]
    if faults or left_out:
        _print_table(("file", "fault"), [_row(folder, *each) for each in faults + left_out])
    verdict = (
        f"{len(faults)} cannot be used" if faults
        else "none damaged" if report.missing or left_out else "all good"
    )  # fmt: skip
    if report.missing:
        verdict += f", {report.missing:,} of {report.listed:,} listed records are not here"
    typer.echo(f"{said}: {verdict}")
    if faults:
        raise typer.Exit(1)


def _row(folder: Path, path: Path, reason: str) -> tuple[str, str]:
    """File and fault; where the reason names a file of the record, that is the one."""
    name = path.relative_to(folder).as_posix()
    text = re.sub(rf"(?<!\S){re.escape(str(folder))}{re.escape(os.sep)}", "", reason)
    named, colon, rest = text.partition(": ")
    return (named, rest) if colon and named.startswith(name) else (name, text)


def _bar(paths: Iterable[Any], what: str, total: int | None = None) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(
        paths, desc=what, total=total, unit="file", file=sys.stderr, disable=not sys.stderr.isatty()
    )
    return bar


def _where(name: str, data_root: Path | None) -> Path | None:
    from ecgkit import datasets

    if name == "synthetic" and data_root is None:  # data_folder would make it
        made = sorted(datasets.cache_root().glob("synthetic-*hz/synthetic.json"))
        return made[0].parent if made else None
    try:
        return datasets.data_folder(name, data_root)
    except (DataNotFoundError, OSError):
        return None


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for weights.pt, predictions.csv and metrics.json.")],
    model: Annotated[str, typer.Option(help="Name of a network, such as xresnet1d101.")] = "fcn_wang",
    dataset: Annotated[str, typer.Option(help="Name of a data set.")] = "synthetic",
    task: Annotated[str | None, typer.Option(help="Which labels. [default: the set's first task]")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training records.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, order and windows.")] = 0,
    rate: Annotated[int | None, typer.Option(help="Sampling rate in Hz. [default: the set's first]")] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Records of a step.")] = 128,
    max_lr: Annotated[float, typer.Option(help="Highest learning rate of the schedule.")] = 0.01,
    window_s: Annotated[float, typer.Option("--window", help="Length of the windows in seconds.")] = 2.5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    data_root: _Root = None,
) -> None:
    """Train one network on one data set, and test it. Run it again to go on after an interruption.

    Folds 1-8 are trained on, fold 9 validates, fold 10 tests.

    \b
    Examples:
      ecgkit train --epochs 3 --out first
      ecgkit train --model xresnet1d101 --dataset ptbxl --task superdiagnostic --out mine
    """
    from tqdm import tqdm

    from ecgkit import cli_train, datasets, models

    _known(model, models.names(), "--model")
    _known(dataset, datasets.names(), "--dataset")
    with tqdm(total=epochs, unit="epoch", file=sys.stderr, disable=not sys.stderr.isatty()) as bar, _usage():

        def show(entry: dict[str, float]) -> None:
            bar.update(int(entry["epoch"]) - bar.n)
            bar.set_postfix(loss=f"{entry['train_loss']:.3g}")

        request = cli_train.Request(model, dataset, task, epochs, seed, rate, batch_size, max_lr, window_s)
        metrics = cli_train.train_into(out, request, data_root, device, show)
    for name, value in metrics.items():
        if value["point"] is None:
            typer.echo(f"{name:10} not defined: {value['reason']}")
        else:
            low, high = value["low"], value["high"]
            interval = "" if low is None else f"  (95 % interval {low:.4f} to {high:.4f})"
            typer.echo(f"{name:10} {value['point']:.4f}{interval}")
    typer.echo(f"weights, predictions and metrics: {out}", err=True)


def _moved(name: str) -> Callable[[typer.Context], None]:
    def command(ctx: typer.Context) -> None:
        typer.echo(f"this is now `ecgbook {name}`", err=True)
        raise typer.Exit(2)

    return command


for _old in ("sweep", "results", "scoreboard"):
    app.command(
        _old,
        hidden=True,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(_moved(_old))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, by default on the arguments of the process."""
    app(args=None if arguments is None else list(arguments), prog_name="ecgkit")


if __name__ == "__main__":
    main(sys.argv[1:])
