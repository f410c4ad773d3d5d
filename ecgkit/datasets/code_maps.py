"""From one coding system to another, as far as a published source maps them.

SCP-ECG to SNOMED CT: the PhysioNet/CinC Challenge 2020 re-coded PTB-XL, and the headers that it published
are the map: over all 21,837 records, the ``Dx`` codes are exactly the images of the 71 SCP-ECG statements
under the table `tables/scp_codes.csv`, of any likelihood, plus a code for `heart_axis`. The tests check
this record by record. SCP-ECG to AHA: the column "AHA code" of PTB-XL's `scp_statements.csv`.

What is not mapped:
    - The map to SNOMED CT merges statements, so that the way back has several answers: 13 statements become
      "myocardial infarction", and both NORM and SR become "sinus rhythm". A normal ECG cannot be told from
      a mere sinus rhythm any more.
    - PVC becomes "ventricular ectopics" (164884008), which the Challenge did not score, instead of
      427172004.
    - 34 of the 71 statements have no AHA code in PTB-XL's table; the AHA modifiers have no counterpart.
    - Codes of CPSC, Georgia and CSN that PTB-XL does not use have no SCP-ECG statement.
    - The normal axis ("MID") and an unknown one have no code.
"""

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

from ecgkit.datasets.labels_snomed import TABLES

__all__ = ["HEART_AXIS", "challenge_codes", "scp_to_aha", "scp_to_snomed", "snomed_to_scp"]

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
def _rows() -> tuple[Mapping[str, str], ...]:
    with (TABLES / "scp_codes.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def scp_to_snomed() -> Mapping[str, str]:
    """SCP-ECG statement -> SNOMED CT code, for all 71 statements of PTB-XL.

    >>> scp_to_snomed()["LAFB"]
    '445118002'
    """
    return MappingProxyType({row["scp"]: row["snomed"] for row in _rows()})


@cache
def snomed_to_scp() -> Mapping[str, tuple[str, ...]]:
    """SNOMED CT code -> every SCP-ECG statement that becomes it.

    >>> snomed_to_scp()["426783006"]
    ('NORM', 'SR')
    """
    back: dict[str, tuple[str, ...]] = {}
    for row in _rows():
        back[row["snomed"]] = (*back.get(row["snomed"], ()), row["scp"])
    return MappingProxyType(back)


@cache
def scp_to_aha() -> Mapping[str, str]:
    """SCP-ECG statement -> AHA code, where PTB-XL's table of statements names one.

    >>> scp_to_aha()["NORM"]
    '1'
    """
    return MappingProxyType({row["scp"]: row["aha"] for row in _rows() if row["aha"]})


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
