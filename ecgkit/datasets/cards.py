"""Data-set cards: what a set is, under which terms, how it is split, and what is wrong with it.

`CARDS` serves `ecgkit data info NAME` and the pages in `book/cards/`, which `write_cards` makes. Numbers
that the data or the label files can show are tested against them.
"""

import sys
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ecgkit.datasets.labels_snomed import TABLES
from ecgkit.files import atomic_write

__all__ = ["CARDS", "Card", "Reference", "to_markdown", "write_cards"]


@dataclass(frozen=True)
class Reference:
    """A publication; `doi` without the resolver's address."""

    text: str
    doi: str = ""


@dataclass(frozen=True)
class Card:
    """What a reader should know of a data set before using it.

    Attributes:
        name: Name for `datasets.load`.
        title: Full name.
        about: Where the records come from and what they are.
        version: The version that the numbers hold for.
        records: Number of records.
        patients: Number of patients, None where they are not told apart.
        sampling_rates_hz: Rates at which the set is published.
        duration: Length of the records, in words.
        coding: The coding system of the labels.
        labels: Number of different codes that occur.
        labelling: Who labelled, and how.
        splits: How the set is divided here.
        licence: Terms of use.
        page: Where it is published.
        problems: What is wrong with it, one sentence or two each.
        references: What to cite, and where the facts come from.
    """

    name: str
    title: str
    about: str
    version: str
    records: int
    patients: int | None
    sampling_rates_hz: tuple[int, ...]
    duration: str
    coding: str
    labels: int
    labelling: str
    splits: str
    licence: str
    page: str
    problems: tuple[str, ...]
    references: tuple[Reference, ...]

    def __str__(self) -> str:
        def wrap(text: str, indent: str = "  ", first: str = "  ") -> str:
            return textwrap.fill(text, 96, initial_indent=first, subsequent_indent=indent)

        lines = [f"{self.name}: {self.title} (version {self.version})", "", wrap(self.about), ""]
        lines += [wrap(f"{label:<14}{value}", " " * 16) for label, value in _facts(self)]
        lines += ["", "Known problems"]
        lines += [wrap(problem, "    ", "  - ") for problem in self.problems]
        lines += ["", "References"]
        lines += [wrap(_plain(reference), "    ", "  - ") for reference in self.references]
        return "\n".join(lines)


def _facts(card: Card) -> list[tuple[str, str]]:
    rates = ", ".join(map(str, card.sampling_rates_hz))
    return [
        ("Records", f"{card.records:,}"),
        ("Patients", f"{card.patients:,}" if card.patients is not None else "not told apart"),
        ("Sampling rate", f"{rates} Hz"),
        ("Duration", card.duration),
        ("Labels", f"{card.labels} codes, {card.coding}"),
        ("Labelled by", card.labelling),
        ("Splits", card.splits),
        ("Licence", card.licence),
        ("Page", card.page),
    ]


def _plain(reference: Reference) -> str:
    return f"{reference.text} doi:{reference.doi}" if reference.doi else reference.text


def _cards() -> Mapping[str, Card]:
    with (TABLES / "cards.toml").open("rb") as file:
        tables = tomllib.load(file)
    cards = {}
    for name, table in tables.items():
        cards[name] = Card(
            **{
                **table,
                "name": name,
                "patients": table.get("patients"),
                "sampling_rates_hz": tuple(table["sampling_rates_hz"]),
                "problems": tuple(table["problems"]),
                "references": tuple(Reference(*parts) for parts in table["references"]),
            }
        )
    return MappingProxyType(cards)


CARDS: Mapping[str, Card] = _cards()
"""One card per data set."""


def to_markdown(card: Card) -> str:
    """The card as a page of the book.

    >>> to_markdown(CARDS["georgia"]).splitlines()[0]
    '# Georgia 12-lead ECG Challenge Database (G12EC)'
    """
    facts = [f"| {label} | {value} |" for label, value in _facts(card) if label != "Page"]
    page = f"<{card.page}>" if card.page else "made by `ecgkit`"
    parts = [
        f"# {card.title}",
        f'`datasets.load("{card.name}")`, version {card.version}, {page}',
        card.about,
        "\n".join(["| | |", "|---|---|", *facts]),
        "## Known problems",
        "\n".join(f"- {problem}" for problem in card.problems),
        "## References",
        "\n".join(f"- {_linked(reference)}" for reference in card.references),
    ]
    return "\n\n".join(parts) + "\n"


def _linked(reference: Reference) -> str:
    if not reference.doi:
        return reference.text
    return f"{reference.text} [doi:{reference.doi}](https://doi.org/{reference.doi})"


def _overview() -> str:
    """One table of all data sets, with links to their pages."""
    rows = [
        f"| [{name}]({name}.md) | {card.records:,} | {', '.join(map(str, card.sampling_rates_hz))} "
        f"| {card.duration} | {card.coding} | {card.labels} | {card.licence} |"
        for name, card in CARDS.items()
    ]
    head = [
        "| data set | records | rate (Hz) | duration | coding | codes | licence |",
        "|---|---|---|---|---|---|---|",
    ]
    text = "Every data set that `ecgkit` loads has a card: what it is, its terms, splits and known problems."
    return "\n\n".join(["# Data sets", text, "\n".join([*head, *rows])]) + "\n"


def write_cards(folder: str | Path) -> list[Path]:
    """Write every card as ``<folder>/<name>.md``, and ``<folder>/index.md`` with a table of them.

    >>> import tempfile
    >>> sorted(path.name for path in write_cards(tempfile.mkdtemp()))[:2]
    ['cpsc2018.md', 'cpsc2018_extra.md']
    """
    pages = {name: to_markdown(card) for name, card in CARDS.items()} | {"index": _overview()}
    paths = []
    for name, text in pages.items():
        path = Path(folder) / f"{name}.md"
        with atomic_write(path) as file:
            file.write(text)
        paths.append(path)
    return paths


if __name__ == "__main__":
    write_cards(sys.argv[1])
