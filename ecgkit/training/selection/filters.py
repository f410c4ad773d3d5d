"""ERTS and the filters beside it: of what a base method chooses, only what can be trusted."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from ecgkit.training.selection.selector import Scores, Selector, check_share, draw, highest
from ecgkit.training.selection.trust import Trust

__all__ = ["Control", "Filter"]


@dataclass(frozen=True)
class Filter(Selector):
    """A base method, and of its samples only those with a high score. By the focus, this is ERTS.

    Attributes:
        base: The method that proposes candidates.
        phi: What `rule` says.
        rule: "threshold" keeps a score of at least `phi`, Eq. (5) as printed, so a higher `phi` removes more.
            "share" keeps the share `phi` with the highest score, at least one; a lower `phi` removes more,
            which is how the paper's tables are ordered.
        by: The score, a name in `ecgkit.training.selection.trust.TRUST`.
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
        check_share("phi", self.phi)
        if self.rule not in ("threshold", "share"):
            raise ValueError(f"rule is {self.rule!r}; choose 'threshold' or 'share'")
        Trust(self.by, self.q)  # says so if there is no such score

    @property
    def needs_scores(self) -> bool:
        return self.base.needs_scores

    @property
    def trust(self) -> Trust:
        return Trust(self.by, self.q)

    def __call__(self, scores: Scores) -> Tensor:
        kept = self.base(scores).clone()
        values = scores.trust(kept.clone())  # (candidates,)
        if self.rule == "threshold":
            kept[kept.clone()] = values >= self.phi
        elif len(values):
            kept[kept.clone()] = highest(values, max(1, round(self.phi * len(values))))
        return kept


@dataclass(frozen=True)
class Control(Filter):
    """The control of a filter: of the base method's samples as many as it would keep, but any."""

    def __call__(self, scores: Scores) -> Tensor:
        looked: list[Tensor] = []

        def trust(candidates: Tensor) -> Tensor:
            looked.append(candidates)
            return scores.trust(candidates)

        kept = super().__call__(replace(scores, trust=trust))
        return draw(looked[0], int(kept.sum()), scores.generator)
