"""SNOMED CT codes of the PhysioNet/CinC Challenges 2020 and 2021: names, abbreviations, and what was scored.

The Challenge sets (CPSC 2018, CPSC-Extra, Georgia, Chapman-Shaoxing and Ningbo, PTB) label each record with
SNOMED CT codes in the ``Dx`` line of its header. The organisers published two maps per year, one of the
scored and one of the unscored codes; `tables/snomed.csv` holds the 133 codes of both years. Where two codes
were scored as the same diagnosis, one of them stands for both (`SnomedCode.scored_as`).

Source:
    Perez Alday et al., Physiol. Meas. 41 (2020) 124003; Reyna et al., Computing in Cardiology 2021; label
    maps of https://github.com/physionetchallenges.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

__all__ = [
    "CPSC9",
    "MELEP_LABELS",
    "TABLES",
    "SnomedCode",
    "code_of",
    "scored_classes",
    "scored_codes",
    "snomed_codes",
]

TABLES = Path(__file__).parent / "tables"

CPSC9: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        1: ("NORM", "426783006"),
        2: ("AF", "164889003"),
        3: ("I-AVB", "270492004"),
        4: ("LBBB", "164909002"),
        5: ("RBBB", "59118001"),
        6: ("PAC", "284470004"),
        7: ("PVC", "164884008"),
        8: ("STD", "429622005"),
        9: ("STE", "164931005"),
    }
)
"""The nine classes of CPSC 2018: number in ``REFERENCE.csv`` -> (name, SNOMED CT code in the headers).

The headers code class 7 as "ventricular ectopics" (VEB), not as the scored "premature ventricular
contractions".
"""

MELEP_LABELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "cpsc2018": dict(CPSC9.values()),
        "georgia": {
            "NORM": "426783006",
            "AF": "164889003",
            "I-AVB": "270492004",
            "PAC": "284470004",
            "SB": "426177001",
            "LAD": "39732003",
            "STach": "427084000",
            "TAb": "164934002",
            "TInv": "59931005",
            "LQT": "111975006",
        },
        "csn": {
            "SB": "426177001",
            "NORM": "426783006",
            "STach": "427084000",
            "TAb": "164934002",
            "TInv": "59931005",
            "AF": "164889003",
            "STD": "429622005",
            "LAD": "39732003",
            "PAC": "284470004",
            "I-AVB": "270492004",
            "PVC": "427172004",
            "AFL": "164890007",
            "LVH": "55827005",
            "STC": "55930002",
            "SA": "427393009",
            "LQRSV": "251146004",
            "PR": "10370003",
            "NSTTA": "428750005",
            "CRBBB": "713427006",
            "QAb": "164917005",
        },
    }
)
"""The label subsets of MELEP (Nguyen et al., 2024, section 2.2): the paper's name -> SNOMED CT code.

CSN: the paper says that each of its 20 labels has more than 1,000 records. Left ventricular hypertrophy
(164873001) has 647; left ventricular high voltage (55827005) has 5,401 and completes the 20 codes above
1,000, so that the paper's "LVH" must be the latter.
"""


@dataclass(frozen=True)
class SnomedCode:
    """One code of the Challenge's maps.

    Attributes:
        code: SNOMED CT code, digits as text.
        abbreviation: The Challenge's abbreviation, for example "LAnFB".
        name: The Challenge's name.
        scored_as: Year (2020, 2021) -> the code that it is scored as. A year in which it is not scored is
            missing.
    """

    code: str
    abbreviation: str
    name: str
    scored_as: Mapping[int, str]


@cache
def snomed_codes() -> Mapping[str, SnomedCode]:
    """All 133 codes of the Challenge's maps of 2020 and 2021, in order of the code's number.

    >>> snomed_codes()["59118001"].name
    'right bundle branch block'
    >>> snomed_codes()["59118001"].scored_as[2020]     # scored as complete right bundle branch block
    '713427006'
    """
    with (TABLES / "snomed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return MappingProxyType(
        {
            row["code"]: SnomedCode(
                row["code"],
                row["abbreviation"],
                row["name"],
                MappingProxyType({y: row[f"scored_as{y}"] for y in (2020, 2021) if row[f"scored_as{y}"]}),
            )
            for row in rows
        }
    )


def code_of(abbreviation: str) -> str:
    """The SNOMED CT code that the Challenge abbreviates so.

    Raises:
        KeyError: If no code has this abbreviation.

    >>> code_of("IAVB")
    '270492004'
    """
    try:
        return _abbreviations()[abbreviation]
    except KeyError:
        raise KeyError(f"no code of the Challenge is abbreviated {abbreviation!r}") from None


@cache
def _abbreviations() -> Mapping[str, str]:
    return {entry.abbreviation: entry.code for entry in snomed_codes().values()}


def scored_classes(year: int = 2020) -> tuple[str, ...]:
    """The classes that the Challenge scored: 24 in 2020 (27 codes), 26 in 2021 (30 codes), equal ones merged.

    Raises:
        ValueError: If `year` is neither 2020 nor 2021.

    >>> len(scored_classes(2020)), len(scored_classes(2021))
    (24, 26)
    """
    if year not in (2020, 2021):
        raise ValueError(f"the 12-lead Challenges were those of 2020 and 2021, not {year}")
    return tuple(dict.fromkeys(e.scored_as[year] for e in snomed_codes().values() if year in e.scored_as))


def scored_codes(codes: Iterable[str], year: int = 2020) -> tuple[str, ...]:
    """What the Challenge scores of a record's codes: equal ones merged, the rest left out, order kept.

    >>> scored_codes(["59118001", "713427006", "429622005"])
    ('713427006',)
    """
    known = snomed_codes()
    merged = (known[c].scored_as.get(year) for c in codes if c in known)
    return tuple(dict.fromkeys(code for code in merged if code is not None))
