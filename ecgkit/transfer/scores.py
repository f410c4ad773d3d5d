"""All transferability scores under one interface."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from ecgkit.transfer.melep import melep
from ecgkit.transfer.rivals import h_score, leep, logme, nce, transrate

__all__ = ["SCORES", "TransferScore"]


@dataclass(frozen=True)
class TransferScore:
    """A transferability score: what it reads, which way is better, where it is from.

    Calling it with (source, target_labels) gives a float.
    """

    name: str
    function: Callable[[Any, Any], Any]
    reads: Literal["probabilities", "features"]  # what `source` must be: (n, Z) in [0, 1], or (n, D)
    better: Literal["higher", "lower"]
    source: str

    def __call__(self, source: Any, target_labels: Any) -> float:
        return float(self.function(source, target_labels))

    def goodness(self, source: Any, target_labels: Any) -> float:
        """The score with its sign turned so that more is always better: what to sort candidates by.

        Args:
            source: Probabilities (n, Z) or features (n, D), as `reads` says.
            target_labels: Zeros and ones, shape (n, Y).

        Raises:
            ValueError: As the score itself does.

        >>> SCORES["melep"].goodness([[0.3], [0.3]], [[1], [0]]) < 0
        True
        """
        value = self(source, target_labels)
        return value if self.better == "higher" else -value


_ALL = (
    TransferScore("melep", melep, "probabilities", "lower", "Nguyen et al., 2024, Eq. (5)"),
    TransferScore(
        "melep_authors",
        partial(melep, weights="authors"),
        "probabilities",
        "lower",
        "Nguyen et al., 2024, weights of the authors' code",
    ),
    TransferScore("leep", leep, "probabilities", "higher", "Nguyen et al., ICML 2020"),
    TransferScore("nce", nce, "probabilities", "higher", "Tran et al., ICCV 2019"),
    TransferScore("h_score", h_score, "features", "higher", "Bao et al., ICIP 2019"),
    TransferScore("logme", logme, "features", "higher", "You et al., ICML 2021"),
    TransferScore("transrate", transrate, "features", "higher", "Huang et al., ICML 2022"),
)
SCORES = MappingProxyType({score.name: score for score in _ALL})
"""Every score by its name.

>>> [name for name, score in SCORES.items() if score.reads == "features"]
['h_score', 'logme', 'transrate']
"""
