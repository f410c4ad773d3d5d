"""``ecgkit data``: find, make, download, convert and check data sets."""

import difflib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ecgkit.errors import DataNotFoundError, EcgkitError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_Root = Annotated[
    Path | None,
    typer.Option(
        "--data-root", help="Folder of the data set, or of all data sets. [default: $ECGKIT_DATA or ./data]"
    ),
]


@app.callback()
def data() -> None:
    """Data sets: list, describe, make, download, convert, check.

    \b
    Data sets are looked for in the folder that the environment variable
    ECGKIT_DATA names, or else in ./data.
    """


@app.command("list")
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


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="Name of a data set, as `ecgkit data list` shows it.")],
    data_root: _Root = None,
) -> None:
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
    typer.echo(f"On disk: {folder}" if folder else f"Not on disk: {_how_to_get(name)}")


@app.command("make-synthetic")
def make_synthetic(
    out: Annotated[Path, typer.Argument(help="Folder to make; it must not hold anything else.")],
    dataset: Annotated[str, typer.Option(help="Whose layout to write.")] = "ptbxl",
    n: Annotated[int, typer.Option(min=1, help="Number of records.")] = 600,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Make synthetic ECGs with known truth, in the layout of a published data set.

    \b
    Examples:
      ecgkit data make-synthetic data/ptbxl --n 100
      ecgkit data make-synthetic made/georgia --dataset georgia --seed 7
    """
    from ecgkit.datasets.synthetic import LAYOUTS
    from ecgkit.datasets.synthetic import make_synthetic as make

    _known(dataset, tuple(LAYOUTS), "--dataset")
    with _usage():
        folder = make(out, dataset=dataset, n=n, seed=seed)
    typer.echo(f"{n} synthetic records in the layout of {dataset}: {folder}")
    typer.echo(f'Load them with datasets.load("{dataset}", root="{folder}")', err=True)


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="Name of a data set, as `ecgkit data list` shows it.")],
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


@app.command()
def convert(
    name: Annotated[str, typer.Argument(help="Name of a data set, as `ecgkit data list` shows it.")],
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


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="Name of a data set, as `ecgkit data list` shows it.")],
    sha256: Annotated[
        bool, typer.Option("--sha256", help="Compare all files with SHA256SUMS.txt, too.")
    ] = False,
    data_root: _Root = None,
) -> None:
    """Read every record of a data set and list the damaged ones; exit with 1 if there are any.

    Records that the set's table lists and that are not here are counted. A download may be a part of the
    set, so this is a fault only when none is here.

    \b
    Examples:
      ecgkit data check ptbxl
      ecgkit data check georgia --sha256
    """
    from tqdm import tqdm

    from ecgkit import datasets
    from ecgkit.datasets.check import (
        PUBLISHED_BROKEN,
        check_record,
        check_sums,
        missing_records,
        record_files,
        sums_of,
    )

    _known(name, datasets.names())
    folder = datasets.data_folder(name, data_root)
    hidden = not sys.stderr.isatty()
    bad: list[tuple[str, str]] = []
    left_out: list[tuple[str, str]] = []

    def note(path: Path, fault: str | None) -> None:
        if fault is not None:
            bad.append((path.relative_to(folder).as_posix(), fault))

    files = record_files(name, folder)
    missing, listed = missing_records(name, folder, files)
    if not files:
        typer.echo(f"{name}: none of its {listed:,} records is in {folder}: {_how_to_get(name)}", err=True)
        raise typer.Exit(1)
    for path in tqdm(files, desc="records", unit="record", file=sys.stderr, disable=hidden):
        fault = check_record(path)
        if fault is not None and path.name in PUBLISHED_BROKEN.get(name, ()):
            left_out.append((path.relative_to(folder).as_posix(), "published with a broken header, left out"))
        else:
            note(path, fault)
    absent = 0
    if sha256:
        sums = sums_of(name, folder)
        for path, fault in tqdm(
            check_sums(folder, sums),
            total=len(sums),
            desc="SHA-256",
            unit="file",
            file=sys.stderr,
            disable=hidden,
        ):
            if fault == "":
                absent += 1
            else:
                note(path, fault)
    if bad or left_out:
        _print_table(("file", "fault"), bad + left_out)
    said = f"{name}: {len(files) - len(left_out):,} records read in {folder}"
    if sha256:
        said += f", {len(sums) - absent:,} files compared with SHA256SUMS.txt ({absent:,} of it are not here)"
    verdict = f"{len(bad)} damaged" if bad else "none damaged" if missing or left_out else "all good"
    if missing:
        verdict += f", {missing:,} of {listed:,} listed records are not here"
    typer.echo(f"{said}: {verdict}")
    if bad:
        typer.echo(f"Delete the damaged files and get them anew: {_how_to_get(name)}", err=True)
        raise typer.Exit(1)


def _where(name: str, data_root: Path | None) -> Path | None:
    from ecgkit import datasets

    if name == "synthetic" and data_root is None:  # data_folder would make it
        made = sorted(datasets.cache_root().glob("synthetic-*hz/synthetic.json"))
        return made[0].parent if made else None
    try:
        return datasets.data_folder(name, data_root)
    except DataNotFoundError:
        return None


def _how_to_get(name: str) -> str:
    return "made when first loaded" if name == "synthetic" else f"`ecgkit data download {name}` gets it"


def _known(name: str, names: Sequence[str], option: str = "NAME") -> None:
    """Exit with 2 and a suggestion when there is no such name."""
    if name not in names:
        close = difflib.get_close_matches(name.lower(), names, 1, 0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise typer.BadParameter(
            f"there is no {name!r}.{hint} There are: {', '.join(names)}", param_hint=option
        )


@contextmanager
def _usage() -> Iterator[None]:
    """A ValueError in here is wrong usage: one line and exit code 2."""
    try:
        yield
    except EcgkitError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
