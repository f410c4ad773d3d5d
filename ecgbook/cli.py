"""The command line of the book: ``ecgbook run``, ``sweep``, ``results`` and ``scoreboard``.

Exit codes are those of `ecgkit.cli`.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ecgbook import cli_papers, cli_runs
from ecgkit import __version__
from ecgkit.cli import Group

__all__ = ["app", "main"]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecgbook {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def ecgbook(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The runs behind 'ECG Learning, Reproduced', and what they say of the four works."""


cli_runs.register(app)  # run, sweep, results
cli_papers.register(app)  # scoreboard


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, by default on the arguments of the process."""
    app(args=None if arguments is None else list(arguments), prog_name="ecgbook")


if __name__ == "__main__":
    main(sys.argv[1:])
