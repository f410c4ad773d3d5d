"""Rules of digits: can these be shares of n records, and can separate measurements be this alike?"""

import math
from collections.abc import Mapping, Sequence

from ecgbook.papers.printed import number
from ecgbook.papers.rules.arithmetic import EPS, Outcome

__all__ = ["last_digits", "on_grid", "on_some_grid", "tied_columns", "unlike"]


def _off_grid(percentages: Sequence[str], n: int) -> list[str]:
    """The percentages for which there is no whole k with 100 k / n in their rounding."""
    off = []
    for text in percentages:
        p = number(text)
        if math.ceil(p.low * n / 100 - EPS) > math.floor(p.high * n / 100 + EPS):
            off.append(text)
    return off


def on_grid(percentages: Sequence[str], n: int) -> Outcome:
    """The GRIM test: a percentage of n records is 100 k / n for a whole k. Do all fall on that grid?

    It has teeth only while the grid is coarser than the print: 100 / n above the last digit.

    Source:
        Brown and Heathers (2017), The GRIM test.

    >>> on_grid(["33.3", "66.7"], 3).ok, on_grid(["33.4"], 3).ok
    (True, False)
    """
    off = _off_grid(percentages, n)
    shown = ", ".join(off[:4]) + (" ..." if len(off) > 4 else "")
    return Outcome(
        not off, shown or "all", f"{len(off)} of {len(percentages)} are no whole number of {n} records"
    )


def on_some_grid(percentages: Sequence[str], fewest: int, most: int) -> Outcome:
    """GRIM where the number of test records is not stated: is there any n that fits all percentages?

    >>> on_some_grid(["33.3", "66.7"], 2, 10).ok, on_some_grid(["33.3", "66.7", "50.1", "20.2"], 2, 10).ok
    (True, False)
    """
    numbers = [number(p) for p in percentages]
    off = {}
    for n in range(fewest, most + 1):
        off[n] = sum(math.ceil(p.low * n / 100 - EPS) > math.floor(p.high * n / 100 + EPS) for p in numbers)
    best = min(off, key=lambda n: off[n])
    total = len(percentages)
    implied = f"the closest, {best} records, leaves {off[best]} of {total} off its grid"
    return Outcome(off[best] == 0, f"{total} percentages, {fewest} to {most} records", implied)


def tied_columns(first: Sequence[str], second: Sequence[str], share: float = 0.5) -> Outcome:
    """Separate measurements do not stand in one fixed ratio, row by row, to the last digits.

    A row allows the factors second / first that its rounding leaves. The rule asks how many rows one single
    factor can serve, and objects when it is more than the given share of eight or more rows. It looks only at
    rows whose rounding leaves less than 0.2 % for the factor: coarser prints cannot tell. Independent
    measurements, whose ratio varies by far more than that, stay far below.

    >>> a = [f"{x:.4f}" for x in (0.5123, 0.6232, 0.7311, 0.5514, 0.4835, 0.6726, 0.5937, 0.7018)]
    >>> tied_columns(a, [f"{0.97 * float(x):.4f}" for x in a]).ok
    False
    >>> tied_columns(a, ["0.5310", "0.5902", "0.7441", "0.5123", "0.5036", "0.6402", "0.6015", "0.6887"]).ok
    True
    """
    allowed = []
    for x, y in zip(first, second, strict=True):
        a, b = number(x), number(y)
        low, high = b.low / a.high, b.high / a.low
        if high / low < 1.002:
            allowed.append((low, high))
    if len(allowed) < 8:
        return Outcome(True, f"{len(allowed)} rows", "too few rows are printed finely enough to tell")
    factor, served = max(
        ((end, sum(a <= end <= b for a, b in allowed)) for pair in allowed for end in pair),
        key=lambda found: found[1],
    )
    implied = f"are the first column times {factor:.4f}"
    return Outcome(served <= share * len(allowed), f"{served} of {len(allowed)} rows", implied)


def unlike(pairs: Mapping[str, tuple[str, str]], share: float = 0.5) -> Outcome:
    """Separate measurements with a spread of their own do not agree to the last of three digits or more.

    Two counts that vary by one part in fifty agree in their first three digits about once in twenty times.
    The rule objects when more than half of at least four pairs do.

    >>> unlike({k: (k, k) for k in ("137K", "104K", "131K", "171K")}).ok
    False
    """
    fine = {k: v for k, v in pairs.items() if sum(c.isdigit() for c in v[0].lstrip("0.")) >= 3}
    same = [k for k, (a, b) in fine.items() if number(a) == number(b)]
    ok = len(fine) < 4 or len(same) <= share * len(fine)
    return Outcome(ok, f"{len(same)} of {len(fine)} pairs are equal", "few or none")


def last_digits(values: Sequence[str]) -> Outcome:
    """A digit that was measured is not always 0.

    If the last printed digit were measured, it would be 0 about once in ten. The rule objects when all of at
    least eight values end in 0: they were measured to a digit less than is printed.

    >>> last_digits(["0.860"] * 8).ok, last_digits(["0.86", "0.91"] * 4).ok
    (False, True)
    """
    zeros = sum(v.rstrip("%kKM)").endswith("0") for v in values)
    ok = len(values) < 8 or zeros < len(values)
    return Outcome(ok, f"{zeros} of {len(values)} end in 0", f"about {len(values) / 10:.0f}")
