"""Age, sex and diagnosis codes from the texts in which data sets write them."""

import math
import re
from collections.abc import Sequence

from ecgkit.signals.record import CodingSystem, Sex

__all__ = ["OLDEST_AGE", "age_from_text", "codes_from_text", "comment_fields", "sex_from_text"]

# The longest human life recorded is 122 years; PTB-XL writes 300 for every age above 89.
OLDEST_AGE = 122

_FIELD = re.compile(r"\s*([A-Za-z]+)\s*:\s*(.*?)\s*$")
_SEX: dict[str, Sex] = {"f": "female", "female": "female", "m": "male", "male": "male"}


def comment_fields(comments: Sequence[str]) -> dict[str, str]:
    """Comment lines of the form ``key: value`` as a dictionary with lower-case keys; the first one counts.

    >>> comment_fields(["Age: 65", " Sex:Female", "no field"])
    {'age': '65', 'sex': 'Female'}
    """
    fields: dict[str, str] = {}
    for comment in comments:
        match = _FIELD.match(comment)
        if match:
            fields.setdefault(match[1].casefold(), match[2])
    return fields


def age_from_text(text: str) -> float | None:
    """Age in years, or None where the text says that it is not known.

    NaN, "Unknown", an empty text, a negative number (the Challenge writes -1) and a number above
    `OLDEST_AGE` (PTB-XL writes 300 for "over 89") all give None.

    >>> [age_from_text(text) for text in ("65", "0", "NaN", "-1", "300", "Unknown", "")]
    [65.0, 0.0, None, None, None, None, None]
    """
    try:
        age = float(text)
    except ValueError:
        return None
    return age if math.isfinite(age) and 0 <= age <= OLDEST_AGE else None


def sex_from_text(text: str) -> Sex | None:
    """ "female", "male", or None for any other text ("Unknown", "NaN", "").

    >>> [sex_from_text(text) for text in ("Female", "F", "male", "M", "NaN")]
    ['female', 'female', 'male', 'male', None]
    """
    return _SEX.get(text.strip().casefold())


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
    return codes, "SNOMED CT" if all(code.isascii() and code.isdigit() for code in codes) else None
