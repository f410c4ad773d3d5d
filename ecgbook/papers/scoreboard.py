"""The scoreboard: every claim of the works' abstracts and conclusions, with a verdict that is computed."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from ecgbook.papers.cells import WORKS
from ecgbook.papers.verdicts import TESTS

__all__ = ["VERDICTS", "badge", "claims", "markdown", "scoreboard"]

VERDICTS = ("reproduced", "partly", "not", "undecided", "open", "not testable here")
"""The verdicts. "undecided": the runs are recorded and cannot tell. "open": they are not recorded yet."""


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """A value with every {name} replaced, in lists and tables too."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, list):
        return [_filled(v, names) for v in value]
    if isinstance(value, dict):
        return {k: _filled(v, names) for k, v in value.items()}
    return value


def _expanded(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One claim for each line of its `each`, which fills the names in braces; else the claim itself."""
    each = entry.pop("each", [{}])
    for number, names in enumerate(each):
        claim = _filled(entry, names)
        yield claim | {"key": claim["key"] + (f"-{number + 1}" if len(each) > 1 else "")}


@cache
def claims() -> tuple[dict[str, Any], ...]:
    """The claims: key, work, place, the claim in short, the test and its arguments.

    >>> len(claims()) >= 40
    True
    """
    entries = tomllib.loads((Path(__file__).parent / "claims.toml").read_text(encoding="utf-8"))["claim"]
    return tuple(claim for entry in entries for claim in _expanded(dict(entry)))


def scoreboard(results: str | Path | None = None) -> pd.DataFrame:
    """The verdict on every claim, from the runs recorded now.

    Args:
        results: The results folder; by default that of `ecgbook.runs.results.results_folder`.

    Returns:
        Columns ``key``, ``work``, ``place``, ``claim``, ``test`` (a function of `ecgbook.papers.verdicts`),
        ``ours`` (values with 95 % intervals, or what is missing), ``verdict`` (one of `VERDICTS`),
        ``provenance`` (data, records, seeds, device, date) and ``runs`` (references of the records).

    Raises:
        RecordError: If a record was changed after it was written.
    """
    from ecgbook.runs.records import results_folder
    from ecgbook.runs.results import provenance, run_references

    folder, rows = results_folder(results), []
    for claim in claims():
        verdict = TESTS[claim["test"]](folder, claim.get("say", {}))
        known = len(verdict.runs) > 0
        rows.append(
            {name: claim[name] for name in ("key", "work", "place", "claim", "test")}
            | {
                "ours": verdict.ours,
                "verdict": verdict.word,
                "provenance": provenance(verdict.runs) if known else "",
                "runs": " ".join(run_references(verdict.runs)) if known else "",
            }
        )
    return pd.DataFrame(rows)


def _counts(board: pd.DataFrame) -> dict[str, int]:
    return {word: int((board["verdict"] == word).sum()) for word in VERDICTS}


def markdown(board: pd.DataFrame) -> str:
    """The scoreboard as a page's tables: counts, then the claims of each work.

    Args:
        board: What `scoreboard` returned.
    """
    counts = _counts(board)
    parts = ["| verdict | claims |", "| --- | --- |"]
    parts += [f"| {word} | {count} |" for word, count in counts.items()]
    for work, title in WORKS.items():
        own = board[board["work"] == work]
        if own.empty:
            continue
        references = " ".join(sorted({r for runs in own["runs"] for r in runs.split()}))
        parts += ["", f"## {title[0].upper()}{title[1:]}", ""]
        parts += ["| claim | stands in | ours | verdict |", "| --- | --- | --- | --- |"]
        for row in own.to_dict("records"):
            ours = row["ours"] + (f" {row['provenance']}" if row["provenance"] else "")
            cells = (row["claim"], row["place"], f"{ours} *Test: {row['test']}.*", f"**{row['verdict']}**")
            parts.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        if references:
            parts += ["", f'<div data-runs="{escape(references)}"></div>']
    return "\n".join(parts) + "\n"


def badge(board: pd.DataFrame) -> str:
    """A small picture (SVG) with the counts, for the README: all but what cannot be tested here."""
    counts = _counts(board)
    label, text = "claims", ", ".join(f"{counts[w]} {w}" for w in VERDICTS[:-1])
    left, right = 7 * len(label) + 12, round(6.2 * len(text)) + 14
    total = left + right
    font = 'text-anchor="middle" font-family="Verdana,sans-serif" font-size="11"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="20" role="img" '
        f'aria-label="{label}: {text}"><title>{label}: {text}</title>'
        f'<rect width="{left}" height="20" fill="#555"/><rect x="{left}" width="{right}" height="20" '
        f'fill="#0072B2"/><g fill="#fff" {font}><text x="{left / 2}" y="14">{label}</text>'
        f'<text x="{left + right / 2}" y="14">{text}</text></g></svg>\n'
    )
