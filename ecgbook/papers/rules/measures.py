"""Measures of the works, as they are printed, on cases whose answer is known beforehand."""

from collections.abc import Callable

import numpy as np

from ecgbook.papers.rules.arithmetic import Outcome

__all__ = ["CASES", "known_answer"]


def _focus(attention: np.ndarray) -> float:
    import torch

    from ecgkit.training.selection import focus_score

    return float(focus_score(torch.from_numpy(attention[None]))[0])


def _melep(source: np.ndarray, target: np.ndarray) -> float:
    from ecgkit.transfer import melep

    return float(melep(source, target, weights="paper"))


def _plateau(width: int) -> np.ndarray:
    attention = np.full(100, 0.1)
    attention[:width] = 1.0
    attention[-1] = 0.0  # the map reaches from 0 to 1, as the paper scales it
    return attention


def _averaged(attention: np.ndarray) -> float:
    """Share of the positions that the focus score averages over."""
    return float((attention >= np.quantile(attention, 0.9)).mean())


def _labels(*positives: int) -> np.ndarray:
    """Labels of 100 records, one column per count of positives."""
    return np.stack([np.arange(100) < count for count in positives], axis=1).astype(int)


CASES: dict[str, Callable[[], float]] = {
    "focus of one spike in 100 positions": lambda: _focus(np.eye(100)[3]),
    "focus of attention on 10 of 100 positions": lambda: _focus(_plateau(10)),
    "focus of attention on 90 of 100 positions": lambda: _focus(_plateau(90)),
    "MELEP of a source that knows the label": lambda: _melep(_labels(30).astype(float), _labels(30)),
    "MELEP of a source that says 0.5 for all": lambda: _melep(np.full((100, 1), 0.5), _labels(30)),
    "MELEP of a source that says 0.01 for all": lambda: _melep(np.full((100, 1), 0.01), _labels(30)),
    "MELEP of no knowledge, 5 of 100 positive": lambda: _melep(np.full((100, 1), 0.5), _labels(5)),
    "MELEP of no knowledge, 50 of 100 positive": lambda: _melep(np.full((100, 1), 0.5), _labels(50)),
    "share of positions averaged, attention on 90 of 100": lambda: _averaged(_plateau(90)),
    "a tenth of the positions": lambda: 0.1,
}
"""Cases with a known answer, by a name that says what they are."""


def known_answer(first: str, relation: str, second: str) -> Outcome:
    """A measure must order two cases as it is described, where the answer is known beforehand.

    Args:
        first: A name of `CASES`.
        relation: "<", ">" or "=".
        second: A name of `CASES`.

    >>> known_answer("focus of one spike in 100 positions", "=", "a tenth of the positions").ok
    False
    """
    a, b = CASES[first](), CASES[second]()
    same = bool(np.isclose(a, b))
    ok = {"<": a < b and not same, ">": a > b and not same, "=": same}[relation]
    return Outcome(ok, f"{first} {relation} {second}", f"{a:.3f} against {b:.3f}")
