"""Rules of chance: what a test set of n records, or a sample of n points, can and cannot tell."""

import math
from collections.abc import Mapping, Sequence

from ecgbook.papers.printed import number
from ecgbook.papers.rules.arithmetic import EPS, Outcome

__all__ = [
    "beyond_sampling_error",
    "correlation_beyond",
    "correlation_p",
    "enough_label_sets",
    "net_records",
]


def net_records(first: str, second: str, n: int, level: float = 0.05) -> Outcome:
    """Two accuracies on the same n records differ by a net number k of records: can any test tell them apart?

    At best, every record on which the two disagree favours the same one. Then there are k such records, and
    the sign test's two-sided p-value is 2 / 2^k; any other pattern gives more. Below 6 records it stays above
    0.05.

    >>> net_records("74.71", "74.82", 1376).ok, net_records("70.00", "75.00", 1376).ok
    (False, True)
    """
    a, b = number(first), number(second)
    k = math.floor((abs(b.value - a.value) + (a.step + b.step) / 2) * n / 100 + EPS)
    p = min(1.0, 2.0 ** (1 - k))
    return Outcome(
        p < level, f"{first} and {second}", f"at most {k} of {n} records apart: p is at least {p:.2g}"
    )


def beyond_sampling_error(gains: Mapping[str, tuple[str, str]], n: int, z: float = 1.96) -> Outcome:
    """Differences between two scores near p on n records, against the sampling error of one such score.

    The half-width of a 95 % interval of a share p of n records is 1.96 sqrt(p (1 - p) / n). A macro F1 is no
    plain share, but it averages over classes with fewer records each and is seldom steadier. A paired
    comparison can tell more; the rule only says that the interval of neither score would.

    >>> beyond_sampling_error({"a": ("0.6488", "0.6586")}, 2158).ok
    False
    """
    inside, widest = [], 0.0
    for name, (old, new) in gains.items():
        a, b = number(old), number(new)
        p = (a.value + b.value) / 2
        half = z * math.sqrt(p * (1 - p) / n)
        widest = max(widest, half)
        if abs(b.value - a.value) < half:
            inside.append(name)
    largest = max(abs(number(b).value - number(a).value) for a, b in gains.values())
    return Outcome(
        not inside,
        f"differences up to {largest:.4f}",
        f"a half-width of {widest:.4f} with {n} records; {len(inside)} of {len(gains)} are smaller",
    )


def _p_value(r: float, n: int) -> float:
    from scipy import stats

    t = abs(r) * math.sqrt((n - 2) / (1 - r * r))
    return float(2 * stats.t.sf(t, n - 2))


def correlation_p(r: str, n: int, printed: str) -> Outcome:
    """A correlation of n points fixes its p-value: t = r sqrt((n - 2) / (1 - r²)), with n - 2 degrees.

    >>> correlation_p("-0.639", 100, "8.1×10^{-13}").ok, correlation_p("-0.639", 100, "0.02").ok
    (True, False)
    """
    a, p = number(r), number(printed)
    ends = [_p_value(x, n) for x in (a.low, a.high)]
    ok = min(ends) <= p.high * (1 + EPS) and p.low * (1 - EPS) <= max(ends)
    return Outcome(ok, printed, f"{min(ends):.2g} to {max(ends):.2g}")


def correlation_beyond(bound: str, rows: Mapping[str, str], n: int, z: float = 1.96) -> Outcome:
    """Correlations said to exceed a bound in size: does the 95 % interval of each, too?

    Fisher: atanh(r) has the standard error 1 / sqrt(n - 3).

    >>> correlation_beyond("0.6", {"a": "-0.639"}, 100).implied
    '1 of 1 intervals reach below 0.6, the lowest to 0.506'
    """
    limit = abs(number(bound).value)
    lows = {k: math.tanh(math.atanh(abs(number(v).value)) - z / math.sqrt(n - 3)) for k, v in rows.items()}
    below = [k for k, low in lows.items() if low < limit]
    implied = (
        f"{len(below)} of {len(rows)} intervals reach below {bound}, the lowest to {min(lows.values()):.3f}"
    )
    return Outcome(not below, f"above {bound} in {len(rows)} rows", implied)


def enough_label_sets(labels: int, sizes: Sequence[int], draws: int) -> Outcome:
    """Draws of label sets count as separate tasks only while there are that many different sets.

    The number of sets of k out of L labels is L choose k, summed over the sizes allowed.

    >>> enough_label_sets(5, [2, 3, 4, 5], 100).implied
    '26 different label sets'
    """
    sets = sum(math.comb(labels, k) for k in sizes)
    return Outcome(sets >= draws, f"{draws} draws", f"{sets} different label sets")
