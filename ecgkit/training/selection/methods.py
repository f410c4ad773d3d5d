"""The selection methods: each sees the scores of some samples and says which of them train.

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

from ecgkit.training.selection.sample_scores import SampleScore
from ecgkit.training.settings import check_settings

__all__ = [
    "Control",
    "Dbpd",
    "Filter",
    "FullData",
    "Hardest",
    "Mistakes",
    "RandomShare",
    "Scores",
    "Selector",
    "SelfPaced",
    "Smrd",
    "Srd",
    "Uncertain",
    "create",
    "names",
]


# What a method is ---------------------------------------------------------------------------------------


def _nothing() -> Tensor:
    return torch.empty(0)


def _no_score(candidates: Tensor) -> Tensor:
    raise ValueError("this method needs the focus or another score, and none can be computed here")


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
        score: Gives the candidates' own scores, which are the focus in ERTS: mask (size,) -> (number of
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
    score: Callable[[Tensor], Tensor] = _no_score


class Selector(ABC):
    """A selection method: ``selector(scores)`` is a mask, bool, shape (size,), of the samples that train."""

    @property
    def needs_scores(self) -> bool:
        """Whether it looks at confidence, loss, correctness or certainty, which costs a forward pass."""
        return False

    @property
    def score(self) -> SampleScore | None:
        """What ``scores.score`` computes; None if it is not called."""
        return None

    @abstractmethod
    def __call__(self, scores: Scores) -> Tensor: ...


class _Scored(Selector):
    """A method that looks at the scores."""

    @property
    def needs_scores(self) -> bool:
        return True


def _everything(scores: Scores) -> Tensor:
    return torch.ones(scores.size, dtype=torch.bool, device=scores.device)


def _count(share: float, size: int) -> int:
    """Samples in a share of `size`, rounded down.

    >>> _count(0.29, 100), 0.29 * 100 < 29  # the product of floats falls short
    (29, True)
    """
    return int(share * size + 1e-9)


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
class _Settings:
    """Every number of a method is a share or a factor: above 0 and at most 1."""

    def __post_init__(self) -> None:
        check_settings(self)
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, (int, float)) and not 0 < value <= 1:
                raise ValueError(f"{each.name} is {value}; choose a number above 0 and at most 1")


# Methods that stand alone -------------------------------------------------------------------------------


@dataclass(frozen=True)
class FullData(_Settings, Selector):
    """Every sample: plain training."""

    def __call__(self, scores: Scores) -> Tensor:
        return _everything(scores)


@dataclass(frozen=True)
class RandomShare(_Settings, Selector):
    """The same share at random in every epoch."""

    share: float = 0.2

    def __call__(self, scores: Scores) -> Tensor:
        return _draw(_everything(scores), _count(self.share, scores.size), scores.generator)


@dataclass(frozen=True)
class Hardest(_Settings, _Scored):
    """The share with the highest loss.

    Source:
        Shrivastava et al., "Training region-based object detectors with online hard example mining" (2016).
    """

    share: float = 0.2

    def __call__(self, scores: Scores) -> Tensor:
        return _highest(scores.loss, _count(self.share, scores.size))


@dataclass(frozen=True)
class Mistakes(_Settings, _Scored):
    """The samples that are predicted wrongly."""

    def __call__(self, scores: Scores) -> Tensor:
        return ~scores.correct


@dataclass(frozen=True)
class Dbpd(_Settings, _Scored):
    """Difficulty-based progressive dropout: the samples whose truth has a probability below `tau`.

    A confidence that is NaN counts as low: such a sample is not known.

    Source:
        Progressive Data Dropout (Shriram et al., 2025); ERTS, Eq. (2).
    """

    tau: float = 0.7

    def __call__(self, scores: Scores) -> Tensor:
        return ~(scores.confidence >= self.tau)


@dataclass(frozen=True)
class Smrd(_Settings, _Scored):
    """Schedule-matched random dropout: as many as DBPD would keep, but any.

    Source:
        Progressive Data Dropout (Shriram et al., 2025).
    """

    tau: float = 0.7

    def __call__(self, scores: Scores) -> Tensor:
        count = int(Dbpd(self.tau)(scores).sum())
        return _draw(_everything(scores), count, scores.generator)


@dataclass(frozen=True)
class Srd(_Settings, Selector):
    """Scalar random dropout: the share gamma^(epoch - 1), any samples. It needs no forward pass.

    Source:
        Progressive Data Dropout (Shriram et al., 2025).
    """

    gamma: float = 0.95

    def __call__(self, scores: Scores) -> Tensor:
        count = _count(self.gamma ** (scores.epoch - 1), scores.size)
        return _draw(_everything(scores), count, scores.generator)


@dataclass(frozen=True)
class SelfPaced(_Settings, _Scored):
    """A curriculum that the network makes itself: the share with the lowest loss, larger in every epoch.

    The opposite of DBPD: easy samples first, hard ones when the network is ready for them.

    Source:
        Bengio et al., "Curriculum learning" (2009); Kumar et al., "Self-paced learning" (2010).
    """

    start: float = 0.3
    step: float = 0.1

    def __call__(self, scores: Scores) -> Tensor:
        share = min(1.0, self.start + self.step * (scores.epoch - 1))
        return _highest(-scores.loss, _count(share, scores.size))


@dataclass(frozen=True)
class Uncertain(_Settings, _Scored):
    """Active learning's choice: the share whose two most probable classes are closest. No label is looked at.

    Source:
        Scheffer et al., "Active hidden Markov models for information extraction" (2001), margin sampling.
    """

    share: float = 0.2

    def __call__(self, scores: Scores) -> Tensor:
        return _highest(-scores.certainty, _count(self.share, scores.size))


# ERTS and the filters beside it: of what a base method chooses, only what can be trusted -----------------


@dataclass(frozen=True)
class Filter(_Settings, Selector):
    """A base method, and of its samples only those with a high score. By the focus, this is ERTS.

    Attributes:
        base: The method that proposes candidates.
        phi: What `rule` says.
        rule: "threshold" keeps a score of at least `phi`, Eq. (5) as printed, so a higher `phi` removes more.
            "share" keeps the share `phi` with the highest score, at least one; a lower `phi` removes more,
            which is how the paper's tables are ordered.
        by: The score, a name in `ecgkit.training.selection.SAMPLE_SCORES`.
        q: Quantile of the focus; other scores have none.

    Source:
        ERTS (Dangeti et al., 2026), section 3.3.
    """

    base: Selector
    phi: float = 0.7
    rule: Literal["threshold", "share"] = "threshold"
    by: str = "focus"
    q: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        SampleScore(self.by, self.q)  # says so if there is no such score

    @property
    def needs_scores(self) -> bool:
        return self.base.needs_scores

    @property
    def score(self) -> SampleScore:
        return SampleScore(self.by, self.q)

    def __call__(self, scores: Scores) -> Tensor:
        kept = self.base(scores).clone()
        values = scores.score(kept.clone())  # (candidates,)
        if self.rule == "threshold":
            kept[kept.clone()] = values >= self.phi
        elif len(values):
            kept[kept.clone()] = _highest(values, max(1, round(self.phi * len(values))))
        return kept


@dataclass(frozen=True)
class Control(Filter):
    """The control of a filter: of the base method's samples as many as it would keep, but any."""

    def __call__(self, scores: Scores) -> Tensor:
        looked: list[Tensor] = []

        def score(candidates: Tensor) -> Tensor:
            looked.append(candidates)
            return scores.score(candidates)

        kept = super().__call__(replace(scores, score=score))
        return _draw(looked[0], int(kept.sum()), scores.generator)


# All by name --------------------------------------------------------------------------------------------

_BASES: dict[str, type[Selector]] = {
    "full_data": FullData,
    "random_share": RandomShare,
    "hardest": Hardest,
    "mistakes": Mistakes,
    "uncertain": Uncertain,
    "self_paced": SelfPaced,
    "dbpd": Dbpd,
    "smrd": Smrd,
    "srd": Srd,
}
_PREFIXES: dict[str, tuple[type[Filter], dict[str, Any], set[str]]] = {
    "erts": (Filter, {"by": "focus"}, {"phi", "rule"}),
    "control": (Control, {"by": "focus"}, {"phi", "rule"}),
    "filtered": (Filter, {"rule": "share"}, {"phi", "by", "q"}),
}
"""What stands before the name of a base method: the kind of filter, what is fixed, what can be set."""
_FILTERS = {f"{prefix}_{base}": (prefix, base) for prefix in _PREFIXES for base in ("dbpd", "smrd", "srd")}


def names() -> tuple[str, ...]:
    """Names of all selection methods, for `create`."""
    return (*_BASES, *_FILTERS)


def create(name: str, **settings: Any) -> Selector:
    """Make a selection method.

    Args:
        name: A name from `names`. "erts_dbpd" filters the candidates of "dbpd" by their focus, "control_dbpd"
            removes as many of them at random; "filtered_dbpd" removes a share by another score, which `by`
            names.
        settings: tau, gamma, share, start, step, phi, rule, by or q, as the method has them.

    Raises:
        ValueError: If there is no such method, or it has no such setting, or the setting is out of range.

    >>> create("erts_srd", gamma=0.98, phi=0.9)
    Filter(base=Srd(gamma=0.98), phi=0.9, rule='threshold', by='focus', q=0.9)
    """
    if name not in names():
        raise ValueError(f"no selection method {name!r}; there are {', '.join(names())}")
    prefix, base = _FILTERS.get(name, (None, name))
    own = {f.name for f in fields(_BASES[base])}  # type: ignore[arg-type]
    kind, fixed, free = _PREFIXES[prefix] if prefix else (None, {}, set())
    known = own | free
    if unknown := set(settings) - known:
        raise ValueError(
            f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known)) or 'none'}"
        )
    selector = _BASES[base](**{key: value for key, value in settings.items() if key in own})
    if kind is None:
        return selector
    rest = {key: value for key, value in settings.items() if key not in own}
    return kind(selector, **fixed, **rest)
