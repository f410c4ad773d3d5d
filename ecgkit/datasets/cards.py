"""Data-set cards: what a set is, under which terms, how it is split, and what is wrong with it.

`CARDS` serves `ecgkit data list` and `ecgkit data info NAME`. Numbers that the data or the label files can
show are tested against them.
"""

import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ecgkit.datasets.code_systems import TABLES

__all__ = ["CARDS", "Card", "Reference"]


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
        lines += [wrap(f"{label:<14}{value}", " " * 16) for label, value in self.facts()]
        lines += ["", "Known problems"]
        lines += [wrap(problem, "    ", "  - ") for problem in self.problems]
        lines += ["", "References"]
        lines += [wrap(_plain(reference), "    ", "  - ") for reference in self.references]
        return "\n".join(lines)

    def facts(self) -> list[tuple[str, str]]:
        """Label and text of what fits into a table."""
        return [
            ("Records", f"{self.records:,}"),
            ("Patients", f"{self.patients:,}" if self.patients is not None else "not told apart"),
            ("Sampling rate", f"{', '.join(map(str, self.sampling_rates_hz))} Hz"),
            ("Duration", self.duration),
            ("Labels", f"{self.labels} codes, {self.coding}"),
            ("Labelled by", self.labelling),
            ("Splits", self.splits),
            ("Licence", self.licence),
            ("Page", self.page),
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
