"""One ECG: its leads, its signal, its patient and its labels, and how data sets write these."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ecgkit.errors import FormatError

__all__ = [
    "EXTRA_LEADS",
    "MOST_MV",
    "OLDEST_AGE",
    "SEXES",
    "STANDARD_LEADS",
    "CodingSystem",
    "Record",
    "Sex",
    "age_from_text",
    "codes_from_text",
    "comment_fields",
    "normalise_lead",
    "sex_from_text",
    "standard_order",
]

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

# Leads that some data sets record beside the standard twelve: Frank leads, right-sided and posterior leads.
EXTRA_LEADS = ("vx", "vy", "vz", "V3R", "V4R", "V5R", "V6R", "V7", "V8", "V9")

# No ECG has a kilovolt: what is beyond is a wrong gain or a damaged file.
MOST_MV = 1e6

# The longest human life recorded is 122 years; PTB-XL writes 300 for every age above 89.
OLDEST_AGE = 122

Sex = Literal["female", "male"]
CodingSystem = Literal["SCP-ECG", "SNOMED CT", "AHA"]

_SPELLING = {name.casefold(): name for name in (*STANDARD_LEADS, *EXTRA_LEADS)}
_FIELD = re.compile(r"^\s*([A-Za-z]+)\s*:\s*(.*?)\s*$")
_BRACKETED = re.compile(r"<([A-Za-z]+)>\s*:\s*([^<]*)")
_AGE = re.compile(r"\s*\+?(\d+(?:[.,]\d*)?)\s*(?:y|yrs?|years?)?\s*", re.ASCII | re.IGNORECASE)
SEXES: dict[str, Sex] = {"f": "female", "female": "female", "m": "male", "male": "male"}


@dataclass(frozen=True, eq=False)
class Record:
    """One ECG record.

    Attributes:
        name: Name of the record, without a file ending.
        signal_mv: Signal in mV, shape (leads, samples), float32.
        sampling_rate_hz: Samples per second and lead.
        leads: Names of the leads, in the order of the rows of `signal_mv`.
        age: Age in years, or None where it is not known.
        sex: "female", "male", or None where it is not known.
        codes: Label codes as the data set gives them.
        coding: The coding system of `codes`.
        path: The file that was read: the header, or the .h5 or .mat file where there is no header.

    >>> import numpy as np
    >>> record = Record("a", np.zeros((12, 5000), np.float32), 500.0)
    >>> record.duration_s
    10.0
    """

    name: str
    signal_mv: np.ndarray
    sampling_rate_hz: float
    leads: tuple[str, ...] = STANDARD_LEADS
    age: float | None = None
    sex: Sex | None = None
    codes: tuple[str, ...] = ()
    coding: CodingSystem | None = None
    path: Path | None = None

    @property
    def duration_s(self) -> float:
        """Length of the record in seconds."""
        return self.signal_mv.shape[1] / self.sampling_rate_hz


def normalise_lead(name: str) -> str:
    """The standard spelling of the name of a lead.

    Args:
        name: The name as written in a file; case and surrounding blanks do not matter.

    Raises:
        FormatError: If the name is not one of the standard twelve leads or of `EXTRA_LEADS`.

    >>> [normalise_lead(name) for name in ("AVR", "avl", "V1 ", "ii")]
    ['aVR', 'aVL', 'V1', 'II']
    """
    try:
        return _SPELLING[name.strip().casefold()]
    except KeyError:
        known = ", ".join(STANDARD_LEADS)
        raise FormatError(
            f"unknown lead name {name[:40]!r}; rename it to one of {known} if it is one of these"
        ) from None


def standard_order(names: Sequence[str]) -> list[int]:
    """Where each of the standard twelve leads lies among `names`; extra leads are left out.

    Args:
        names: Names of leads in any spelling that `normalise_lead` knows.

    Returns:
        Twelve indices, such that ``signal[standard_order(names)]`` is in standard order.

    Raises:
        FormatError: If a name is unknown, appears twice, or one of the twelve leads is missing.

    >>> standard_order(["V6", "V5", "V4", "V3", "V2", "V1", "AVF", "AVL", "AVR", "III", "II", "I"])
    [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    """
    position: dict[str, int] = {}
    for index, name in enumerate(map(normalise_lead, names)):
        if name in position:
            raise FormatError(f"lead {name} appears twice; remove one of the two")
        position[name] = index
    missing = [lead for lead in STANDARD_LEADS if lead not in position]
    if missing:
        raise FormatError(f"missing lead {', '.join(missing)}; use a record with all twelve leads")
    return [position[lead] for lead in STANDARD_LEADS]


def comment_fields(comments: Sequence[str]) -> dict[str, str]:
    """Comment lines of the form ``key: value`` as a dictionary with lower-case keys; the first one counts.

    Some sets put keys into brackets, and several into one line.

    >>> comment_fields(["Age: 65", " Sex:Female", "no field", "<height>: 170 <weight>: 60"])
    {'age': '65', 'sex': 'Female', 'height': '170', 'weight': '60'}
    """
    fields: dict[str, str] = {}
    for comment in comments:
        for key, value in _BRACKETED.findall(comment) or _FIELD.findall(comment):
            fields.setdefault(key.casefold(), value.strip())
    return fields


def age_from_text(text: str) -> float | None:
    """Age in years, or None where the text says that it is not known.

    NaN, "Unknown", an empty text, a negative number (the Challenge writes -1) and a number above
    `OLDEST_AGE` (PTB-XL writes 300 for "over 89") all give None.

    >>> [age_from_text(text) for text in ("65", "0", "NaN", "-1", "300", "Unknown", "")]
    [65.0, 0.0, None, None, None, None, None]
    >>> [age_from_text(text) for text in ("065Y", "65 years", "65,5")]
    [65.0, 65.0, 65.5]
    """
    match = _AGE.fullmatch(text)
    if not match:
        return None
    age = float(match[1].replace(",", "."))
    return age if math.isfinite(age) and age <= OLDEST_AGE else None


def sex_from_text(text: str) -> Sex | None:
    """ "female", "male", or None for any other text ("Unknown", "NaN", "").

    >>> [sex_from_text(text) for text in ("Female", "F", "male", "M", "NaN")]
    ['female', 'female', 'male', 'male', None]
    """
    return SEXES.get(text.strip().casefold())


def codes_from_text(text: str) -> tuple[tuple[str, ...], CodingSystem | None]:
    """The codes of a header's ``Dx`` field and their coding system.

    Returns:
        The codes, and "SNOMED CT" if there are any and all are numbers, else None.

    >>> codes_from_text("164889003,59118001")
    (('164889003', '59118001'), 'SNOMED CT')
    >>> codes_from_text("Unknown")
    ((), None)
    """
    if text.strip().casefold() in ("", "unknown", "nan"):
        return (), None
    codes = tuple(part.strip() for part in text.split(",") if part.strip())
    numbers = bool(codes) and all(code.isascii() and code.isdigit() for code in codes)
    return codes, "SNOMED CT" if numbers else None
