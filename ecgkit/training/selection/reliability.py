"""What a network says of its training samples: in one epoch, and over all that it has seen.

`sample_statistics` is of one forward pass, `History` adds such passes up while a training goes on, and the
functions below take the logits of E epochs at once, shape (E, N, K), with the number of each sample's class,
shape (N,). They say nothing of direction; `SUSPECT` does.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from ecgkit.evaluation.arrays import as_array, to_numpy

__all__ = [
    "SUSPECT",
    "Cartography",
    "History",
    "LabelKind",
    "SampleStatistics",
    "area_under_margin",
    "cartography",
    "dynamics",
    "el2n",
    "error_length",
    "forgetting_events",
    "sample_loss",
    "sample_statistics",
]

LabelKind = Literal["single", "multi"]

SUSPECT = {
    "loss": 1,
    "EL2N": 1,
    "forgetting events": 1,
    "AUM": -1,
    "mean confidence": -1,
    "variability": 1,
    "largest probability": -1,
}
"""Scores of `dynamics`: 1 where a high value makes a sample suspect, -1 where a low one does."""


# One forward pass ---------------------------------------------------------------------------------------


class SampleStatistics(NamedTuple):
    """One value per sample, each of shape (B,)."""

    confidence: Tensor  # probability of the truth
    loss: Tensor
    correct: Tensor  # bool
    margin: Tensor  # logit of the truth minus the largest other one: below 0 where the prediction is wrong
    certainty: Tensor  # largest probability minus the second largest; it needs no label


def sample_statistics(logits: Tensor, labels: Tensor, kind: LabelKind) -> SampleStatistics:
    """Confidence, loss and the like of each sample of a batch.

    "single": exactly one label per sample. The confidence is the softmax probability of the true class, the
    loss is cross-entropy, and a sample is correct when the true class has the highest logit.

    "multi": any number of labels. The confidence is the lowest, over the labels, of the probability given to
    the right answer (present or absent): a sample counts as learnt when every one of its labels is. The mean
    over labels would say little, since most labels are absent and easily known to be. The loss is
    binary cross-entropy, and a sample is correct when every label is on the right side of one half. The
    margin is the logit of the least known label, the certainty the least difference, over the labels, between
    the probabilities of presence and absence.

    Args:
        logits: Shape (B, K).
        labels: 0 and 1, float, shape (B, K).
        kind: "single" or "multi".

    Raises:
        ValueError: If `kind` is neither, the shapes differ, or one label is to be of a single class.

    >>> logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> round(float(sample_statistics(logits, labels, "single").confidence), 3)
    0.881
    >>> float(sample_statistics(logits, labels, "multi").confidence)
    0.5
    """
    if logits.shape != labels.shape:
        raise ValueError(f"logits have the shape {tuple(logits.shape)} and labels {tuple(labels.shape)}")
    if kind == "single":
        if logits.shape[1] < 2:
            raise ValueError("one label per sample needs at least two classes to choose from")
        log_p = F.log_softmax(logits, dim=1)
        loss = -(log_p * labels).sum(dim=1)
        correct = logits.argmax(dim=1) == labels.argmax(dim=1)
        others = logits.masked_fill(labels > 0.5, -torch.inf).amax(dim=1)
        margin = (logits * labels).sum(dim=1) - others
        first, second = log_p.exp().topk(2, dim=1).values.unbind(dim=1)
        return SampleStatistics(torch.exp(-loss), loss, correct, margin, first - second)
    if kind == "multi":
        loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
        right = torch.where(labels > 0.5, logits, -logits).amin(dim=1)  # logit of the least known label
        certainty = torch.tanh(logits.abs().amin(dim=1) / 2)  # |p - (1 - p)| of the least certain label
        return SampleStatistics(right.sigmoid(), loss, right > 0, right, certainty)
    raise ValueError(f"kind is {kind!r}; choose 'single' or 'multi'")


def error_length(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Length of the error vector, probabilities minus labels: (B, K) each to (B,). EL2N is its mean.

    Source:
        Paul et al., "Deep learning on a data diet" (2021), Definition 2.2.
    """
    return (probabilities - labels).norm(dim=1)


# All forward passes so far ------------------------------------------------------------------------------


@dataclass
class History:
    """What the network has said of each of N samples, whenever it looked; each of shape (N,)."""

    seen: Tensor  # how often
    confidence_sum: Tensor  # of the probabilities of the truth
    margin_sum: Tensor  # of the margins of the truth
    forgotten: Tensor  # how often the sample went from right to wrong
    learnt: Tensor  # bool: whether it was right at least once
    correct: Tensor  # bool: whether it was right the last time

    @classmethod
    def empty(
        cls, size: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> "History":
        """Of samples that the network has not seen."""
        counts = (torch.zeros(size, dtype=dtype, device=device) for _ in range(4))
        never = (torch.zeros(size, dtype=torch.bool, device=device) for _ in range(2))
        return cls(*counts, *never)

    def add(self, rows: Tensor, said: SampleStatistics) -> None:
        """Enter what was said of some samples, no sample twice."""
        self.forgotten[rows] += (self.correct[rows] & ~said.correct).to(self.forgotten.dtype)
        self.learnt[rows] |= said.correct
        self.seen[rows] += 1
        self.confidence_sum[rows] += said.confidence.detach()
        self.margin_sum[rows] += said.margin.detach()
        self.correct[rows] = said.correct

    def __getitem__(self, rows: Tensor) -> "History":
        return History(*(values[rows] for values in vars(self).values()))

    @property
    def mean_confidence(self) -> Tensor:
        """Mean probability of the truth (Swayamdipta et al., 2020), shape (N,)."""
        return self.confidence_sum / self.seen

    @property
    def area_under_margin(self) -> Tensor:
        """Mean margin of the truth (Pleiss et al., 2020), shape (N,)."""
        return self.margin_sum / self.seen

    def forgetting_events(self, never_learnt: Tensor | float) -> Tensor:
        """How often each sample was forgotten (Toneva et al., 2019), (N,); those never right get a value."""
        never = torch.as_tensor(never_learnt).to(self.forgotten)
        return torch.where(self.learnt, self.forgotten, never)


# Recorded epochs ----------------------------------------------------------------------------------------


class Cartography(NamedTuple):
    """The coordinates of a sample on the map of its data set, each of shape (N,)."""

    confidence: NDArray[np.float64]  # mean probability of the sample's class over the epochs
    variability: NDArray[np.float64]  # standard deviation of it
    correctness: NDArray[np.float64]  # share of the epochs in which the sample is right


def _checked(logits: ArrayLike, truth: ArrayLike) -> tuple[Tensor, Tensor]:
    """Logits, float64, shape (E, N, K), and labels, shape (N, K)."""
    z, y = as_array(logits, "logits").astype(np.float64, copy=False), to_numpy(truth, "truth")
    if z.ndim != 3 or 0 in z.shape or y.shape != z.shape[1:2] or y.dtype.kind not in "iu":
        raise ValueError(
            f"logits have shape {z.shape} and truth {y.shape}, {y.dtype}; (epochs, samples, classes) and "
            "(samples,) whole numbers are wanted"
        )
    if not np.isfinite(z).all():
        raise ValueError("logits hold NaN or infinity: the training has diverged")
    if y.min() < 0 or y.max() >= z.shape[2]:
        raise ValueError(f"truth names classes {y.min()} to {y.max()}; there are 0 to {z.shape[2] - 1}")
    return torch.from_numpy(z), torch.from_numpy(np.eye(z.shape[2])[y])


def _told(z: Tensor, labels: Tensor) -> list[SampleStatistics]:
    """The statistics of every epoch."""
    if z.shape[2] < 2:
        raise ValueError("one label per sample needs at least two classes, and so does a margin")
    return [sample_statistics(epoch, labels, "single") for epoch in z]


def _history(z: Tensor, labels: Tensor) -> History:
    history, everything = History.empty(len(labels), dtype=torch.float64), torch.arange(len(labels))
    for said in _told(z, labels):
        history.add(everything, said)
    return history


def sample_loss(logits: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Cross-entropy of each sample in each epoch, shape (E, N).

    Args:
        logits: Shape (E, N, K), at least two classes.
        truth: Class of each sample, whole numbers, shape (N,).

    Raises:
        ValueError: If the shapes do not fit, a class does not exist, or there is one class only.

    >>> sample_loss([[[0.0, 0.0]]], [1]).round(3)  # log 2
    array([[0.693]])
    """
    return torch.stack([said.loss for said in _told(*_checked(logits, truth))]).numpy()


def el2n(logits: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Length of the error vector (probabilities minus the one-hot label), averaged over the epochs; (N,).

    Give it the first epochs alone: the score was made for the beginning of training.

    Args:
        logits: Shape (E, N, K).
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `sample_loss`.

    Source:
        Paul et al., "Deep learning on a data diet" (2021), Definition 2.2.

    >>> el2n([[[0.0, 0.0], [100.0, 0.0]]], [0, 1]).round(3)  # undecided; wholly wrong
    array([0.707, 1.414])
    """
    z, labels = _checked(logits, truth)
    return torch.stack([error_length(epoch.softmax(1), labels) for epoch in z]).mean(0).numpy()


def forgetting_events(logits: ArrayLike, truth: ArrayLike) -> NDArray[np.int64]:
    """How often a sample goes from right to wrong from one epoch to the next, shape (N,).

    A sample that was never right counts E, more than any other can reach.

    Args:
        logits: Shape (E, N, K), at least two classes.
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `sample_loss`.

    Source:
        Toneva et al., "An empirical study of example forgetting" (2019), section 3.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> forgetting_events([[right, wrong], [wrong, wrong], [right, wrong]], [0, 0])
    array([1, 3])
    """
    z, labels = _checked(logits, truth)
    return _history(z, labels).forgetting_events(never_learnt=len(z)).long().numpy()


def area_under_margin(logits: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Logit of the sample's class minus the largest other one, averaged over the epochs (AUM); shape (N,).

    Args:
        logits: Shape (E, N, K), at least two classes.
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `sample_loss`.

    Source:
        Pleiss et al., "Identifying mislabeled data using the area under the margin ranking" (2020).

    >>> area_under_margin([[[3.0, 1.0, 0.0]], [[2.0, 0.0, 4.0]]], [0])  # margins 2 and -2
    array([0.])
    """
    return _history(*_checked(logits, truth)).area_under_margin.numpy()


def cartography(logits: ArrayLike, truth: ArrayLike) -> Cartography:
    """Where each sample lies on the map of its data set: easy, hard, or ambiguous.

    Args:
        logits: Shape (E, N, K), at least two classes.
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `sample_loss`.

    Source:
        Swayamdipta et al., "Dataset cartography" (2020), section 2.1.

    >>> cartography([[[0.0, 0.0]], [[0.0, 100.0]]], [1])
    Cartography(confidence=array([0.75]), variability=array([0.25]), correctness=array([0.5]))
    """
    said = _told(*_checked(logits, truth))
    p = torch.stack([epoch.confidence for epoch in said])
    right = torch.stack([epoch.correct for epoch in said]).double()
    return Cartography(p.mean(0).numpy(), p.std(0, correction=0).numpy(), right.mean(0).numpy())


def dynamics(logits: ArrayLike, truth: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """All scores of recorded epochs by the names in `SUSPECT`, each of shape (N,).

    The loss is that of the last epoch, EL2N is of the first half of the epochs, the largest probability (the
    only one that does not look at the label) is the mean over the epochs.

    Args:
        logits: Shape (E, N, K), at least two classes.
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `sample_loss`.
    """
    z = as_array(logits, "logits").astype(np.float64, copy=False)
    place = cartography(z, truth)
    return {
        "loss": sample_loss(z[-1:], truth)[0],
        "EL2N": el2n(z[: max(1, len(z) // 2)], truth),
        "forgetting events": forgetting_events(z, truth).astype(np.float64),
        "AUM": area_under_margin(z, truth),
        "mean confidence": place.confidence,
        "variability": place.variability,
        "largest probability": torch.from_numpy(z).softmax(2).amax(2).mean(0).numpy(),
    }
