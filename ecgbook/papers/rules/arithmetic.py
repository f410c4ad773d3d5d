"""Rules of arithmetic that any reader can apply to any table.

Every rule takes numbers as they are printed ("0.6488", "1.74M", ".925(06)") and asks whether there are true
values that round to them and obey the rule. It says no only when there are none: what rounding can explain is
never an alarm. The tolerance `EPS` is for the computer's own rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ecgbook.papers.printed import Printed, number

__all__ = [
    "Outcome",
    "adds_up",
    "between",
    "common_divisor",
    "common_share",
    "difference",
    "quotient",
    "random_schedule",
    "relative_change",
    "same_number",
]

EPS = 1e-9


@dataclass(frozen=True)
class Outcome:
    """What a rule found.

    Attributes:
        ok: Whether the printed numbers can be right.
        printed: What is printed.
        implied: What the rule says it would have to be.
    """

    ok: bool
    printed: str
    implied: str


def _meets(low: float, high: float, printed: Printed) -> bool:
    slack = EPS * max(1.0, abs(low), abs(high))
    return low <= printed.high + slack and printed.low - slack <= high


def _range(low: float, high: float) -> str:
    a, b = f"{low:.6g}", f"{high:.6g}"
    return a if a == b else f"{a} to {b}"


def same_number(first: str, second: str) -> Outcome:
    """Two places that print the same quantity must agree, to the digits of the coarser one.

    >>> same_number("62", "67").ok, same_number("23.76", "23.8").ok
    (False, True)
    """
    a, b = number(first), number(second)
    same = a.value == b.value if a.step == b.step else _meets(a.low, a.high, b)
    return Outcome(same, first, second)


def difference(old: str, new: str, printed: str) -> Outcome:
    """A printed difference must follow from its two columns: new - old, each within its rounding.

    >>> difference("0.6488", "0.6586", "+0.0098").ok
    True
    """
    a, b, d = number(old), number(new), number(printed)
    low, high = b.low - a.high, b.high - a.low
    return Outcome(_meets(low, high, d), printed, _range(low, high))


def relative_change(old: str, new: str, printed: str, saved: bool = True) -> Outcome:
    """A printed percentage must follow from its two columns: 100 (old - new) / old, or its negative.

    >>> relative_change("33.78", "2.24", "93.4").ok, relative_change("23.76", "19.39", "18.5%").ok
    (True, False)
    """
    a, b, p = number(old), number(new), number(printed)
    low, high = 100 * (1 - b.high / a.low), 100 * (1 - b.low / a.high)
    if not saved:
        low, high = -high, -low
    return Outcome(_meets(low, high, p), printed, _range(low, high))


def quotient(part: str, whole: str, printed: str) -> Outcome:
    """A printed ratio must be part / whole. Effective epochs are samples / training records.

    >>> quotient("329K", "17.4K", "18.9").ok, quotient("1.24M", "17.4K", "59.6").ok
    (True, False)
    """
    a, b, q = number(part), number(whole), number(printed)
    low, high = a.low / b.high, a.high / b.low
    return Outcome(_meets(low, high, q), printed, _range(low, high))


def common_divisor(parts: Sequence[str], quotients: Sequence[str]) -> Outcome:
    """Ratios with one divisor: is there a single whole for which every part / whole is as printed?

    Each pair allows the wholes from part.low / ratio.high to part.high / ratio.low. All must overlap.

    >>> common_divisor(["100", "200"], ["10.0", "20.0"]).ok
    True
    >>> common_divisor(["100", "200"], ["10.0", "25.0"]).ok
    False
    """
    allowed = []
    for part, ratio in zip(parts, quotients, strict=True):
        a, q = number(part), number(ratio)
        allowed.append((a.low / q.high, a.high / q.low))
    low, high = max(a for a, _ in allowed), min(b for _, b in allowed)
    spread = f"one whole for all {len(allowed)} pairs"
    implied = (
        _range(low, high)
        if low <= high * (1 + EPS)
        else (f"none: one pair needs at least {low:.6g}, another at most {high:.6g}")
    )
    return Outcome(low <= high * (1 + EPS), spread, implied)


def random_schedule(gamma: str, epochs: int, full_epochs: int, printed: str, batch: int = 16) -> Outcome:
    """Effective epochs of a random schedule: the share gamma^t in epoch t, and everything in the last epochs.

    The kept shares are a geometric series: (1 - gamma^m) / (1 - gamma) + full_epochs, where m = epochs -
    full_epochs. Two conventions are left open: the first epoch may already drop a share, and a batch keeps a
    whole number of records, so it may lose up to one in every epoch.

    >>> random_schedule("0.95", 100, 1, "20.9").ok, random_schedule("0.98", 100, 1, "20.32").ok
    (True, False)
    """
    g, p, m = float(gamma), number(printed), epochs - full_epochs
    series = (1 - g**m) / (1 - g)
    low, high = g * series + full_epochs - m / batch, series + full_epochs
    return Outcome(_meets(low, high, p), printed, _range(low, high))


def adds_up(parts: Sequence[str], whole: str) -> Outcome:
    """Parts must add up to their whole, within the rounding of each.

    >>> adds_up(["82K", "22K"], "104K").ok, adds_up(["259K", "102K"], "281K").ok
    (True, False)
    """
    numbers = [number(p) for p in parts]
    low, high = sum(p.low for p in numbers), sum(p.high for p in numbers)
    return Outcome(_meets(low, high, number(whole)), f"{' + '.join(parts)} = {whole}", _range(low, high))


def between(mean: str, parts: Sequence[str]) -> Outcome:
    """A mean over everything lies between the means over its parts.

    >>> between("7.16", ["6.89", "7.38"]).ok, between("7.5", ["6.89", "7.38"]).ok
    (True, False)
    """
    numbers = [number(p) for p in parts]
    low, high = min(p.low for p in numbers), max(p.high for p in numbers)
    return Outcome(_meets(low, high, number(mean)), mean, f"between {low:.6g} and {high:.6g}")


def common_share(rows: Sequence[tuple[str, str, str]]) -> Outcome:
    """Means over all records and over two parts of them: one share of records mixes every row.

    Each row is (whole, first part, second part), and whole = w first + (1 - w) second. Its rounding leaves a
    range for w. But w belongs to the records and not to the row, so all rows must allow a common one. Holds
    for accuracies and mean errors, not for AUC or R².

    >>> common_share([("5", "0", "10"), ("6", "2", "10")]).ok
    True
    >>> common_share([("5.00", "0.00", "10.00"), ("6.00", "5.00", "10.00")]).ok
    False
    """
    allowed = []
    for whole, first, second in rows:
        a, x, y = number(whole), number(first), number(second)
        corners = [
            (m - v) / (u - v)
            for m in (a.low, a.high)
            for u in (x.low, x.high)
            for v in (y.low, y.high)
            if u != v
        ]
        allowed.append((min(corners), max(corners)))
    low, high = max(a for a, _ in allowed), min(b for _, b in allowed)
    ok = low <= high + EPS
    implied = (
        _range(low, high) if ok else f"none: one row needs at least {low:.3f}, another at most {high:.3f}"
    )
    return Outcome(ok, f"one share of records for {len(allowed)} rows", implied)
