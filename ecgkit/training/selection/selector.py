"""What a selection method is: it sees the scores of some samples and says which of them train.

>>> from ecgkit.training.selection import create
>>> generator = torch.Generator().manual_seed(0)
>>> scores = Scores(size=4, epoch=1, generator=generator, confidence=torch.tensor([0.9, 0.2, 0.7, 0.4]))
>>> create("dbpd", tau=0.7)(scores).tolist()
[False, True, False, True]
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ecgkit.training.selection.trust import Trust

__all__ = ["Scored", "Scores", "Selector", "check_share", "draw", "everything", "highest"]


def _nothing() -> Tensor:
    return torch.empty(0)


def _no_trust(candidates: Tensor) -> Tensor:
    raise ValueError("this method needs the focus or another score of trust, and none can be computed here")


@dataclass(frozen=True)
class Scores:
    """What a method may look at. Tensors have one value per sample, shape (size,).

    Attributes:
        size: Number of samples: a mini-batch, or the whole training set.
        epoch: Number of the epoch, from 1.
        generator: Source of randomness, on the CPU.
        device: Where the mask is wanted.
        confidence: Probability of the truth; empty where the method does not ask for scores.
        loss: Loss of each sample; likewise.
        correct: Whether the prediction is right, bool; likewise.
        certainty: The largest probability minus the second largest, which needs no label; likewise.
        trust: Gives the candidates' scores of trust, which is the focus in ERTS: mask (size,) -> (number of
            candidates,). Grad-CAM is computed when it is called, so only for these.
    """

    size: int
    epoch: int
    generator: torch.Generator
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    confidence: Tensor = field(default_factory=_nothing)
    loss: Tensor = field(default_factory=_nothing)
    correct: Tensor = field(default_factory=_nothing)
    certainty: Tensor = field(default_factory=_nothing)
    trust: Callable[[Tensor], Tensor] = _no_trust


class Selector(ABC):
    """A selection method: ``selector(scores)`` is a mask, bool, shape (size,), of the samples that train."""

    @property
    def needs_scores(self) -> bool:
        """Whether it looks at confidence, loss, correctness or certainty, which costs a forward pass."""
        return False

    @property
    def trust(self) -> Trust | None:
        """The score that ``scores.trust`` gives; None if it is not called."""
        return None

    @abstractmethod
    def __call__(self, scores: Scores) -> Tensor: ...


class Scored(Selector):
    """A method that looks at the scores."""

    @property
    def needs_scores(self) -> bool:
        return True


def check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name} is {value}; choose a number above 0 and at most 1")


def everything(scores: Scores) -> Tensor:
    return torch.ones(scores.size, dtype=torch.bool, device=scores.device)


def draw(candidates: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the candidates at random, as a mask."""
    rows = candidates.nonzero()[:, 0]
    order = torch.randperm(len(rows), generator=generator)[:count]
    mask = torch.zeros_like(candidates)
    mask[rows[order.to(rows.device)]] = True
    return mask


def highest(values: Tensor, count: int) -> Tensor:
    """The `count` highest values as a mask; of equal ones, those that come first."""
    mask = torch.zeros_like(values, dtype=torch.bool)
    mask[values.argsort(descending=True, stable=True)[:count]] = True
    return mask
