"""Names of leads: one spelling and one order for all data sets."""

from collections.abc import Sequence

from ecgkit.errors import RecordError
from ecgkit.signals.record import STANDARD_LEADS

__all__ = ["EXTRA_LEADS", "normalise_lead", "standard_order"]

# Leads that some data sets record beside the standard twelve: Frank leads, right-sided and posterior leads.
EXTRA_LEADS = ("vx", "vy", "vz", "V3R", "V4R", "V5R", "V6R", "V7", "V8", "V9")

_SPELLING = {name.casefold(): name for name in (*STANDARD_LEADS, *EXTRA_LEADS)}


def normalise_lead(name: str) -> str:
    """The standard spelling of the name of a lead.

    Args:
        name: The name as written in a file; case and surrounding blanks do not matter.

    Raises:
        RecordError: If the name is not one of the standard twelve leads or of `EXTRA_LEADS`.

    >>> [normalise_lead(name) for name in ("AVR", "avl", "V1 ", "ii")]
    ['aVR', 'aVL', 'V1', 'II']
    """
    try:
        return _SPELLING[name.strip().casefold()]
    except KeyError:
        known = ", ".join(STANDARD_LEADS)
        raise RecordError(
            f"unknown lead name {name!r}; rename it to one of {known} if it is one of these"
        ) from None


def standard_order(names: Sequence[str]) -> list[int]:
    """Where each of the standard twelve leads lies among `names`; extra leads are left out.

    Args:
        names: Names of leads in any spelling that `normalise_lead` knows.

    Returns:
        Twelve indices, such that ``signal[standard_order(names)]`` is in standard order.

    Raises:
        RecordError: If a name is unknown, appears twice, or one of the twelve leads is missing.

    >>> standard_order(["V6", "V5", "V4", "V3", "V2", "V1", "AVF", "AVL", "AVR", "III", "II", "I"])
    [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    """
    position: dict[str, int] = {}
    for index, name in enumerate(map(normalise_lead, names)):
        if name in position:
            raise RecordError(f"lead {name} appears twice; remove one of the two")
        position[name] = index
    missing = [lead for lead in STANDARD_LEADS if lead not in position]
    if missing:
        raise RecordError(f"missing lead {', '.join(missing)}; use a record with all twelve leads")
    return [position[lead] for lead in STANDARD_LEADS]
