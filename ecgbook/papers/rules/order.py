"""Rules of order: is the best the best, does a threshold push the right way, does a sentence hold by row."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from ecgbook.papers.printed import Printed, number
from ecgbook.papers.rules.arithmetic import EPS, Outcome

__all__ = ["all_measured", "best_of", "each_row", "error_bars_meet", "monotone", "most_rows"]

_RELATIONS = (">", ">=", "<", "<=")


def _can_hold(left: Printed, relation: str, right: Printed) -> bool:
    """Whether values that round to the printed ones can stand in this relation."""
    if relation not in _RELATIONS:
        raise ValueError(f"relation is {relation!r}; choose one of {', '.join(_RELATIONS)}")
    if relation.startswith("<"):
        left, right = right, left
    if left.step == right.step:  # prints of one step keep the order; a tie supports no "greater"
        return left.value > right.value or (relation.endswith("=") and left.value == right.value)
    return left.high + EPS >= right.low and (relation.endswith("=") or left.high > right.low + EPS)


def monotone(values: Sequence[str], rising: bool) -> Outcome:
    """A count must move in the direction that the equation demands when a threshold rises.

    Keeping what is at least phi keeps fewer as phi rises; keeping what is below tau keeps more as tau rises.
    Equal counts are no alarm.

    Args:
        values: Printed counts, in the order of a rising threshold.
        rising: Whether the counts must rise.

    >>> monotone(["129K", "111K", "97K"], rising=False).ok, monotone(["97K", "111K", "129K"], rising=False).ok
    (True, False)
    """
    numbers = [number(v) for v in values]
    ok = all(_can_hold(b, ">=" if rising else "<=", a) for a, b in pairwise(numbers))
    return Outcome(ok, " to ".join(values), "rising" if rising else "falling")


def best_of(chosen: str, rows: Mapping[str, str], highest: bool = True) -> Outcome:
    """What is called the best must be the best of the rows that it is said to be taken from.

    >>> best_of("0.6488", {"DBPD": "0.6488", "SMRD": "0.6548"}).implied
    '0.6548 (SMRD)'
    """
    pick = max if highest else min
    name = pick(rows, key=lambda row: number(rows[row]).value)
    ok = _can_hold(number(chosen), ">=" if highest else "<=", number(rows[name]))
    return Outcome(ok, chosen, f"{rows[name]} ({name})")


def each_row(relation: str, rows: Mapping[str, tuple[str, str]]) -> Outcome:
    """A sentence about all rows must hold in every row: left relation right, within rounding.

    Two equal prints are a tie: they support "at least" but not "more".

    Args:
        relation: One of > >= < <=.
        rows: Name of a row to its (left, right) as printed.

    >>> each_row(">", {"a": ("0.66", "0.64"), "b": ("0.70", "0.70")}).implied
    'not in 1 of 2: b 0.70 against 0.70'
    """
    broken = [
        f"{name} {a} against {b}"
        for name, (a, b) in rows.items()
        if not _can_hold(number(a), relation, number(b))
    ]
    shown = "; ".join(broken[:6]) + (f" and {len(broken) - 6} more" if len(broken) > 6 else "")
    return Outcome(
        not broken, f"in all {len(rows)}", f"not in {len(broken)} of {len(rows)}: {shown}" if broken else ""
    )


def most_rows(relation: str, rows: Mapping[str, tuple[str, str]], share: float = 0.5) -> Outcome:
    """A sentence about "most" rows must hold in more than half of them (or more than another share).

    >>> most_rows("<", {"a": ("-0.476", "-0.500"), "b": ("-0.551", "-0.500")}).implied
    '1 of 2'
    """
    held = [_can_hold(number(a), relation, number(b)) for a, b in rows.values()]
    return Outcome(sum(held) > share * len(held), f"more than {share:.0%}", f"{sum(held)} of {len(held)}")


def error_bars_meet(rows: Mapping[str, str]) -> Outcome:
    """Results called "consistent within error bars": the intervals of every two of them must overlap.

    Overlap proves no tie, but a gap contradicts the words.

    >>> error_bars_meet({"a": "0.974(05)", "b": "0.957(07)"}).implied
    'apart: a 0.974(05) and b 0.957(07)'
    """
    apart, names = [], list(rows)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            a, b = number(rows[first]), number(rows[second])
            gap = abs(a.value - b.value) - (a.spread + b.spread)
            if gap > a.step + b.step + EPS:  # the value and the half-width are rounded, each by half a step
                apart.append(f"{first} {rows[first]} and {second} {rows[second]}")
    return Outcome(not apart, f"all pairs of {len(rows)}", f"apart: {'; '.join(apart)}" if apart else "")


def all_measured(needed: Sequence[str], there: Sequence[str]) -> Outcome:
    """A choice among settings needs a result of every setting; a comparison needs both of its sides.

    >>> all_measured(["0.5", "0.7", "0.9"], ["0.5", "0.7"]).implied
    'no result of 0.9'
    """
    missing = [name for name in needed if name not in there]
    return Outcome(not missing, f"needs {', '.join(needed)}", f"no result of {', '.join(missing)}")
