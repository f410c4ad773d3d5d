"""The command line: ``ecgkit data ...``.

Exit codes: 0 when all went well, 1 when something failed (one line on stderr says what and what to do), 2 for
wrong usage, 130 after Ctrl-C. Tables go to stdout, everything else to stderr.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ecgkit import __version__, cli_data
from ecgkit.errors import EcgkitError

__all__ = ["Group", "app", "main"]


class Group(TyperGroup):
    """Commands whose expected errors end in one clear message instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("\ninterrupted; run the same command again to go on", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise
        except (EcgkitError, OSError) as error:
            if isinstance(error, EcgkitError):
                message = getattr(error, "strerror", None) or str(error)
            elif error.filename is not None:
                message = f"{error.filename}: {error.strerror}"
            else:
                raise
            typer.echo(f"error: {message}", err=True)
            raise typer.Exit(1) from error


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
      ecgkit data make-synthetic data --n 600
      ecgkit data download ptbxl --rate 100
    """


app.add_typer(cli_data.app, name="data")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, by default on the arguments of the process."""
    app(args=None if arguments is None else list(arguments), prog_name="ecgkit")


if __name__ == "__main__":
    main(sys.argv[1:])
