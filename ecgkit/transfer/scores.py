"""All transferability scores under one interface."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from ecgkit.transfer.features import h_score, logme, transrate
from ecgkit.transfer.leep import leep, nce
from ecgkit.transfer.melep import melep

__all__ = ["SCORES", "Score"]


@dataclass(frozen=True)
class Score:
    """A transferability score: what it reads, which way is better, where it is from.

    Calling it with (source, target_labels) gives a float.
    """

    name: str
    function: Callable[[Any, Any], float]
    reads: Literal["probabilities", "features"]  # what `source` must be: (n, Z) in [0, 1], or (n, D)
    better: Literal["higher", "lower"]
    source: str

    def __call__(self, source: Any, target_labels: Any) -> float:
        return self.function(source, target_labels)

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
        value = self.function(source, target_labels)
        return value if self.better == "higher" else -value


def _melep(weights: Literal["paper", "authors"]) -> Callable[[Any, Any], float]:
    return lambda source, target_labels: float(melep(source, target_labels, weights))


SCORES = MappingProxyType(
    {
        score.name: score
        for score in (
            Score("melep", _melep("paper"), "probabilities", "lower", "Nguyen et al., 2024, Eq. (5)"),
            Score(
                "melep_authors",
                _melep("authors"),
                "probabilities",
                "lower",
                "Nguyen et al., 2024, weights of the authors' code",
            ),
            Score("leep", leep, "probabilities", "higher", "Nguyen et al., ICML 2020"),
            Score("nce", nce, "probabilities", "higher", "Tran et al., ICCV 2019"),
            Score("h_score", h_score, "features", "higher", "Bao et al., ICIP 2019"),
            Score("logme", logme, "features", "higher", "You et al., ICML 2021"),
            Score("transrate", transrate, "features", "higher", "Huang et al., ICML 2022"),
        )
    }
)
"""Every score by its name.

>>> [name for name, score in SCORES.items() if score.reads == "features"]
['h_score', 'logme', 'transrate']
"""
