"""The command `ecgkit scoreboard`."""

from pathlib import Path
from typing import Annotated

import typer

from ecgbook.cli_runs import ResultsOption
from ecgkit.files import atomic_write

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the command line's application."""
    app.command()(scoreboard)


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
    from ecgkit.errors import EcgkitError

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
