"""Selection methods: each sees the scores of some samples and says which of them train.

>>> generator = torch.Generator().manual_seed(0)
>>> scores = Scores(size=4, epoch=1, generator=generator, confidence=torch.tensor([0.9, 0.2, 0.7, 0.4]))
>>> create("dbpd", tau=0.7)(scores).tolist()
[False, True, False, True]
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = [
    "Control",
    "Dbpd",
    "Erts",
    "FullData",
    "Hardest",
    "Mistakes",
    "RandomShare",
    "Scores",
    "Selector",
    "Smrd",
    "Srd",
    "create",
    "names",
]


def _nothing() -> Tensor:
    return torch.empty(0)


def _no_focus(candidates: Tensor) -> Tensor:
    raise ValueError("this method needs focus scores, and none can be computed here")


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
        focus: Gives the focus of the candidates: mask (size,) -> (number of candidates,). Grad-CAM is
            computed when it is called, so only for these.
    """

    size: int
    epoch: int
    generator: torch.Generator
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    confidence: Tensor = field(default_factory=_nothing)
    loss: Tensor = field(default_factory=_nothing)
    correct: Tensor = field(default_factory=_nothing)
    focus: Callable[[Tensor], Tensor] = _no_focus


class Selector(ABC):
    """A selection method: ``selector(scores)`` is a mask, bool, shape (size,), of the samples that train."""

    @property
    def needs_scores(self) -> bool:
        """Whether it looks at confidence, loss or correctness, which costs a forward pass."""
        return False

    @property
    def needs_focus(self) -> bool:
        """Whether it calls ``scores.focus``."""
        return False

    @abstractmethod
    def __call__(self, scores: Scores) -> Tensor: ...


class _Scored(Selector):
    @property
    def needs_scores(self) -> bool:
        return True


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name} is {value}; choose a number above 0 and at most 1")


def _everything(scores: Scores) -> Tensor:
    return torch.ones(scores.size, dtype=torch.bool, device=scores.device)


def _draw(candidates: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the candidates at random, as a mask."""
    rows = candidates.nonzero()[:, 0]
    order = torch.randperm(len(rows), generator=generator)[:count]
    mask = torch.zeros_like(candidates)
    mask[rows[order.to(rows.device)]] = True
    return mask


def _highest(values: Tensor, count: int) -> Tensor:
    """The `count` highest values as a mask; of equal ones, those that come first."""
    mask = torch.zeros_like(values, dtype=torch.bool)
    mask[values.argsort(descending=True, stable=True)[:count]] = True
    return mask


@dataclass(frozen=True)
class FullData(Selector):
    """Every sample: plain training."""

    def __call__(self, scores: Scores) -> Tensor:
        return _everything(scores)


@dataclass(frozen=True)
class RandomShare(Selector):
    """The same share at random in every epoch."""

    share: float = 0.2

    def __post_init__(self) -> None:
        _check_share("share", self.share)

    def __call__(self, scores: Scores) -> Tensor:
        return _draw(_everything(scores), int(self.share * scores.size), scores.generator)


@dataclass(frozen=True)
class Hardest(_Scored):
    """The share with the highest loss.

    Source:
        Shrivastava et al., "Training region-based object detectors with online hard example mining" (2016).
    """

    share: float = 0.2

    def __post_init__(self) -> None:
        _check_share("share", self.share)

    def __call__(self, scores: Scores) -> Tensor:
        return _highest(scores.loss, int(self.share * scores.size))


@dataclass(frozen=True)
class Mistakes(_Scored):
    """The samples that are predicted wrongly."""

    def __call__(self, scores: Scores) -> Tensor:
        return ~scores.correct


@dataclass(frozen=True)
class Dbpd(_Scored):
    """Difficulty-based progressive dropout: the samples whose truth has a probability below `tau`.

    Source:
        Progressive Data Dropout (Shriram et al., 2025); ERTS, Eq. (2).
    """

    tau: float = 0.7

    def __post_init__(self) -> None:
        _check_share("tau", self.tau)

    def __call__(self, scores: Scores) -> Tensor:
        return scores.confidence < self.tau


@dataclass(frozen=True)
class Smrd(_Scored):
    """Schedule-matched random dropout: as many as DBPD would keep, but any.

    Source:
        Progressive Data Dropout (Shriram et al., 2025).
    """

    tau: float = 0.7

    def __post_init__(self) -> None:
        _check_share("tau", self.tau)

    def __call__(self, scores: Scores) -> Tensor:
        count = int((scores.confidence < self.tau).sum())
        return _draw(_everything(scores), count, scores.generator)


@dataclass(frozen=True)
class Srd(Selector):
    """Scalar random dropout: the share gamma^(epoch - 1), any samples. It needs no forward pass.

    Source:
        Progressive Data Dropout (Shriram et al., 2025).
    """

    gamma: float = 0.95

    def __post_init__(self) -> None:
        _check_share("gamma", self.gamma)

    def __call__(self, scores: Scores) -> Tensor:
        count = int(self.gamma ** (scores.epoch - 1) * scores.size)
        return _draw(_everything(scores), count, scores.generator)


@dataclass(frozen=True)
class Erts(Selector):
    """A base method, and of its samples only those with a focused explanation.

    Attributes:
        base: The method that proposes candidates.
        phi: What `rule` says.
        rule: "threshold" keeps a focus of at least `phi`, Eq. (5) as printed, so a higher `phi` removes more.
            "share" keeps the share `phi` with the highest focus, at least one; a lower `phi` removes more,
            which is how the paper's tables are ordered.

    Source:
        ERTS (Dangeti et al., 2026), section 3.3.
    """

    base: Selector
    phi: float = 0.7
    rule: Literal["threshold", "share"] = "threshold"

    def __post_init__(self) -> None:
        _check_share("phi", self.phi)
        if self.rule not in ("threshold", "share"):
            raise ValueError(f"rule is {self.rule!r}; choose 'threshold' or 'share'")

    @property
    def needs_scores(self) -> bool:
        return self.base.needs_scores

    @property
    def needs_focus(self) -> bool:
        return True

    def __call__(self, scores: Scores) -> Tensor:
        kept = self.base(scores).clone()
        focus = scores.focus(kept.clone())  # (candidates,)
        if self.rule == "threshold":
            kept[kept.clone()] = focus >= self.phi
        elif len(focus):
            kept[kept.clone()] = _highest(focus, max(1, round(self.phi * len(focus))))
        return kept


@dataclass(frozen=True)
class Control(Erts):
    """The control of ERTS: of the base method's samples as many as ERTS would keep, but any."""

    def __call__(self, scores: Scores) -> Tensor:
        looked: list[Tensor] = []

        def focus(candidates: Tensor) -> Tensor:
            looked.append(candidates)
            return scores.focus(candidates)

        kept = super().__call__(replace(scores, focus=focus))
        return _draw(looked[0], int(kept.sum()), scores.generator)


_BASES: dict[str, type[Selector]] = {
    "full_data": FullData,
    "random_share": RandomShare,
    "hardest": Hardest,
    "mistakes": Mistakes,
    "dbpd": Dbpd,
    "smrd": Smrd,
    "srd": Srd,
}
_FILTERS: dict[str, tuple[type[Erts], str]] = {
    f"{prefix}_{base}": (kind, base)
    for prefix, kind in (("erts", Erts), ("control", Control))
    for base in ("dbpd", "smrd", "srd")
}


def names() -> tuple[str, ...]:
    """Names of all selection methods, for `create`."""
    return (*_BASES, *_FILTERS)


def create(name: str, **settings: Any) -> Selector:
    """Make a selection method.

    Args:
        name: One of `names()`. "erts_dbpd" is ERTS on top of DBPD; "control_dbpd" removes as many at random.
        settings: tau, gamma, share, phi or rule, as the method has them.

    Raises:
        ValueError: If there is no such method, or it has no such setting.

    >>> create("erts_srd", gamma=0.98, phi=0.9)
    Erts(base=Srd(gamma=0.98), phi=0.9, rule='threshold')
    """
    if name not in names():
        raise ValueError(f"no selection method {name!r}; there are {', '.join(names())}")
    kind, base = _FILTERS.get(name, (None, name))
    own = {f.name for f in fields(_BASES[base])}  # type: ignore[arg-type]
    known = own | ({"phi", "rule"} if kind else set())
    if unknown := set(settings) - known:
        raise ValueError(
            f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known)) or 'none'}"
        )
    selector = _BASES[base](**{key: value for key, value in settings.items() if key in own})
    if kind is None:
        return selector
    return kind(selector, **{key: value for key, value in settings.items() if key not in own})
