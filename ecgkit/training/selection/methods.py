"""Progressive Data Dropout and the methods beside it: each chooses from the scores of all samples."""

from dataclasses import dataclass

from torch import Tensor

from ecgkit.training.selection.selector import (
    Scored,
    Scores,
    Selector,
    check_share,
    draw,
    everything,
    highest,
)

__all__ = ["Dbpd", "FullData", "Hardest", "Mistakes", "RandomShare", "SelfPaced", "Smrd", "Srd", "Uncertain"]


@dataclass(frozen=True)
class FullData(Selector):
    """Every sample: plain training."""

    def __call__(self, scores: Scores) -> Tensor:
        return everything(scores)


@dataclass(frozen=True)
class RandomShare(Selector):
    """The same share at random in every epoch."""

    share: float = 0.2

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def __call__(self, scores: Scores) -> Tensor:
        return draw(everything(scores), int(self.share * scores.size), scores.generator)


@dataclass(frozen=True)
class Hardest(Scored):
    """The share with the highest loss.

    Source:
        Shrivastava et al., "Training region-based object detectors with online hard example mining" (2016).
    """

    share: float = 0.2

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def __call__(self, scores: Scores) -> Tensor:
        return highest(scores.loss, int(self.share * scores.size))


@dataclass(frozen=True)
class Mistakes(Scored):
    """The samples that are predicted wrongly."""

    def __call__(self, scores: Scores) -> Tensor:
        return ~scores.correct


@dataclass(frozen=True)
class Dbpd(Scored):
    """Difficulty-based progressive dropout: the samples whose truth has a probability below `tau`.

    Source:
        Progressive Data Dropout (Shriram et al., 2025); ERTS, Eq. (2).
    """

    tau: float = 0.7

    def __post_init__(self) -> None:
        check_share("tau", self.tau)

    def __call__(self, scores: Scores) -> Tensor:
        return scores.confidence < self.tau


@dataclass(frozen=True)
class Smrd(Scored):
    """Schedule-matched random dropout: as many as DBPD would keep, but any.

    Source:
        Progressive Data Dropout (Shriram et al., 2025).
    """

    tau: float = 0.7

    def __post_init__(self) -> None:
        check_share("tau", self.tau)

    def __call__(self, scores: Scores) -> Tensor:
        count = int((scores.confidence < self.tau).sum())
        return draw(everything(scores), count, scores.generator)


@dataclass(frozen=True)
class Srd(Selector):
    """Scalar random dropout: the share gamma^(epoch - 1), any samples. It needs no forward pass.

    Source:
        Progressive Data Dropout (Shriram et al., 2025).
    """

    gamma: float = 0.95

    def __post_init__(self) -> None:
        check_share("gamma", self.gamma)

    def __call__(self, scores: Scores) -> Tensor:
        count = int(self.gamma ** (scores.epoch - 1) * scores.size)
        return draw(everything(scores), count, scores.generator)


@dataclass(frozen=True)
class SelfPaced(Scored):
    """A curriculum that the network makes itself: the share with the lowest loss, larger in every epoch.

    The opposite of DBPD: easy samples first, hard ones when the network is ready for them.

    Source:
        Bengio et al., "Curriculum learning" (2009); Kumar et al., "Self-paced learning" (2010).
    """

    start: float = 0.3
    step: float = 0.1

    def __post_init__(self) -> None:
        check_share("start", self.start)
        check_share("step", self.step)

    def __call__(self, scores: Scores) -> Tensor:
        share = min(1.0, self.start + self.step * (scores.epoch - 1))
        return highest(-scores.loss, int(share * scores.size))


@dataclass(frozen=True)
class Uncertain(Scored):
    """Active learning's choice: the share whose two most probable classes are closest. No label is looked at.

    Source:
        Scheffer et al., "Active hidden Markov models for information extraction" (2001), margin sampling.
    """

    share: float = 0.2

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def __call__(self, scores: Scores) -> Tensor:
        return highest(-scores.certainty, int(self.share * scores.size))
