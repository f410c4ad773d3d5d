"""Diagnostic statements after the AHA/ACC/HRS recommendations, as the SPH database writes them.

A record's label is a list of statements separated by ";". A statement is a primary code with any number of
modifiers, joined by "+": ``"60+310"`` is ventricular premature complex(es) (60), frequent (310).
`tables/aha.csv` holds the 44 primary codes and 15 modifiers that SPH uses; the recommendations list more.

Source:
    Mason et al., Circulation 115 (2007) 1325-1332, doi:10.1161/CIRCULATIONAHA.106.180201; Liu et al.,
    Scientific Data 9 (2022) 272, doi:10.1038/s41597-022-01403-5.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from ecgkit.datasets.labels_snomed import TABLES

__all__ = ["CATEGORIES", "AhaCode", "AhaStatement", "aha_codes", "describe", "parse_statements"]

CATEGORIES: Mapping[str, str] = MappingProxyType(
    {
        "A": "Overall interpretation",
        "C": "Sinus node rhythms and arrhythmias",
        "D": "Supraventricular arrhythmias",
        "E": "Supraventricular tachyarrhythmias",
        "F": "Ventricular arrhythmias",
        "H": "Atrioventricular conduction",
        "I": "Intraventricular and intra-atrial conduction",
        "J": "Axis and voltage",
        "K": "Chamber hypertrophy or enlargement",
        "L": "ST segment, T wave, and U wave",
        "M": "Myocardial infarction",
    }
)
"""The categories of the recommendations that SPH uses (B, G and N do not occur in it)."""


@dataclass(frozen=True)
class AhaCode:
    """One code: `category` is a letter of `CATEGORIES`, or None for a modifier."""

    code: str
    category: str | None
    name: str


@dataclass(frozen=True)
class AhaStatement:
    """One statement: a primary code and its modifiers."""

    primary: str
    modifiers: tuple[str, ...] = ()


@cache
def aha_codes() -> Mapping[str, AhaCode]:
    """The 44 primary codes and 15 modifiers of SPH.

    >>> aha_codes()["60"].name
    'Ventricular premature complex(es)'
    """
    with (TABLES / "aha.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return MappingProxyType({r["code"]: AhaCode(r["code"], r["category"] or None, r["name"]) for r in rows})


def parse_statements(text: str) -> tuple[AhaStatement, ...]:
    """Take the label of a record apart.

    Raises:
        ValueError: If a part is empty or not a number, or a code stands in the wrong place (a known
            modifier as the primary code, or a known primary code as a modifier).

    >>> parse_statements("22;60+310")
    (AhaStatement(primary='22', modifiers=()), AhaStatement(primary='60', modifiers=('310',)))
    """
    statements = []
    for part in text.split(";"):
        codes = [code.strip() for code in part.split("+")]
        if not all(code.isascii() and code.isdigit() for code in codes):
            raise ValueError(
                f"{text!r} is no list of AHA statements: {part!r} is not of the form 60 or 60+310"
            )
        for place, code in enumerate(codes):
            entry = aha_codes().get(code)
            if entry is not None and (entry.category is None) != (place > 0):
                kind = "a modifier" if entry.category is None else "a primary code"
                raise ValueError(f"{text!r} is no list of AHA statements: {code} ({entry.name}) is {kind}")
        statements.append(AhaStatement(codes[0], tuple(codes[1:])))
    return tuple(statements)


def describe(statement: AhaStatement) -> str:
    """A statement in words; codes that SPH does not use keep their number.

    >>> describe(AhaStatement("60", ("310",)))
    'Ventricular premature complex(es), frequent'
    """
    known = aha_codes()
    names = [known[c].name if c in known else f"code {c}" for c in (statement.primary, *statement.modifiers)]
    return ", ".join([names[0], *(name[0].lower() + name[1:] for name in names[1:])])
