"""The coding systems of diagnoses: SNOMED CT (Challenges), AHA statements (SPH), and the maps between them.

SNOMED CT: the Challenge sets (CPSC 2018, CPSC-Extra, Georgia, Chapman-Shaoxing and Ningbo, PTB) label each
record in the ``Dx`` line of its header. The organisers published two maps per year, one of the scored and one
of the unscored codes; `tables/snomed.csv` holds the 133 codes of both years. Where two codes were scored as
the same diagnosis, one of them stands for both (`SnomedCode.scored_as`).

AHA: a record's label is a list of statements separated by ";". A statement is a primary code with any number
of modifiers, joined by "+": ``"60+310"`` is ventricular premature complex(es) (60), frequent (310).
`tables/aha.csv` holds the 44 primary codes and 15 modifiers that SPH uses; the recommendations list more.

SCP-ECG to SNOMED CT: the Challenge 2020 re-coded PTB-XL, and the headers that it published are the map: over
all 21,837 records, the ``Dx`` codes are exactly the images of the 71 SCP-ECG statements under
`tables/scp_codes.csv`, of any likelihood, plus a code for `heart_axis`. The tests check this record by
record. SCP-ECG to AHA: the column "AHA code" of PTB-XL's `scp_statements.csv`. What is not mapped:

    - The map to SNOMED CT merges statements: 13 become "myocardial infarction", and both NORM and SR become
      "sinus rhythm", so that a normal ECG cannot be told from a mere sinus rhythm any more.
    - PVC becomes "ventricular ectopics" (164884008), which the Challenge did not score, not 427172004.
    - 34 of the 71 statements have no AHA code in PTB-XL's table; the AHA modifiers have no counterpart.
    - Codes of CPSC, Georgia and CSN that PTB-XL does not use have no SCP-ECG statement.
    - The normal axis ("MID") and an unknown one have no code.

Source:
    Perez Alday et al., Physiol. Meas. 41 (2020) 124003; Reyna et al., Computing in Cardiology 2021; label
    maps of https://github.com/physionetchallenges. Mason et al., Circulation 115 (2007) 1325-1332,
    doi:10.1161/CIRCULATIONAHA.106.180201; Liu et al., Scientific Data 9 (2022) 272,
    doi:10.1038/s41597-022-01403-5.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

__all__ = [
    "CATEGORIES",
    "CPSC9",
    "HEART_AXIS",
    "MELEP_LABELS",
    "TABLES",
    "AhaCode",
    "AhaStatement",
    "SnomedCode",
    "aha_codes",
    "challenge_codes",
    "code_of",
    "describe",
    "parse_statements",
    "scored_classes",
    "scored_codes",
    "scp_to_aha",
    "scp_to_snomed",
    "snomed_codes",
    "snomed_to_scp",
]

TABLES = Path(__file__).parent / "tables"


def _rows(name: str) -> list[dict[str, str]]:
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


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
    return MappingProxyType(
        {
            row["code"]: SnomedCode(
                row["code"],
                row["abbreviation"],
                row["name"],
                MappingProxyType({y: row[f"scored_as{y}"] for y in (2020, 2021) if row[f"scored_as{y}"]}),
            )
            for row in _rows("snomed.csv")
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
        return _by_abbreviation()[abbreviation]
    except KeyError:
        raise KeyError(f"no code of the Challenge is abbreviated {abbreviation!r}") from None


@cache
def _by_abbreviation() -> Mapping[str, str]:
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
    codes = (AhaCode(row["code"], row["category"] or None, row["name"]) for row in _rows("aha.csv"))
    return MappingProxyType({entry.code: entry for entry in codes})


def parse_statements(text: str) -> tuple[AhaStatement, ...]:
    """Take the label of a record apart; empty parts (``"22;"``) say nothing and are skipped.

    Raises:
        ValueError: If a code is not a number or stands in the wrong place (a known modifier as the primary
            code, or a known primary code as a modifier).

    >>> parse_statements("22;60+310")
    (AhaStatement(primary='22', modifiers=()), AhaStatement(primary='60', modifiers=('310',)))
    """
    statements = []
    for part in filter(str.strip, text.split(";")):
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


HEART_AXIS: Mapping[str, str] = MappingProxyType(
    {
        "LAD": "39732003",
        "ALAD": "39732003",
        "RAD": "47665007",
        "ARAD": "47665007",
        "AXL": "251200008",
        "AXR": "251200008",
        "SAG": "251200008",
    }
)
"""PTB-XL's `heart_axis` -> SNOMED CT: left axis deviation, right axis deviation, indeterminate axis."""


@cache
def scp_to_snomed() -> Mapping[str, str]:
    """SCP-ECG statement -> SNOMED CT code, for all 71 statements of PTB-XL.

    >>> scp_to_snomed()["LAFB"]
    '445118002'
    """
    return MappingProxyType({row["scp"]: row["snomed"] for row in _rows("scp_codes.csv")})


@cache
def snomed_to_scp() -> Mapping[str, tuple[str, ...]]:
    """SNOMED CT code -> every SCP-ECG statement that becomes it.

    >>> snomed_to_scp()["426783006"]
    ('NORM', 'SR')
    """
    back: dict[str, tuple[str, ...]] = {}
    for row in _rows("scp_codes.csv"):
        back[row["snomed"]] = (*back.get(row["snomed"], ()), row["scp"])
    return MappingProxyType(back)


@cache
def scp_to_aha() -> Mapping[str, str]:
    """SCP-ECG statement -> AHA code, where PTB-XL's table of statements names one.

    >>> scp_to_aha()["NORM"]
    '1'
    """
    return MappingProxyType({row["scp"]: row["aha"] for row in _rows("scp_codes.csv") if row["aha"]})


def challenge_codes(scp_codes: Iterable[str], heart_axis: str | None = None) -> frozenset[str]:
    """The SNOMED CT codes that the Challenge gave a PTB-XL record.

    Args:
        scp_codes: The record's SCP-ECG statements, whatever their likelihood.
        heart_axis: Column `heart_axis` of `ptbxl_database.csv`, None where empty.

    Raises:
        KeyError: If a statement is none of PTB-XL's 71.

    >>> sorted(challenge_codes(["NORM", "LVOLT", "SR"]))     # PTB-XL record 1
    ['251146004', '426783006']
    """
    codes = {scp_to_snomed()[code] for code in scp_codes}
    axis = HEART_AXIS.get(heart_axis or "")
    return frozenset(codes if axis is None else codes | {axis})
