"""How well a network knows a sample: its confidence in the truth, its loss, its margin, and so on."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["LabelKind", "SampleScores", "sample_scores"]

LabelKind = Literal["single", "multi"]


class SampleScores(NamedTuple):
    """One value per sample, each of shape (B,)."""

    confidence: Tensor  # probability of the truth
    loss: Tensor
    correct: Tensor  # bool
    margin: Tensor  # logit of the truth minus the largest other one: below 0 where the prediction is wrong
    certainty: Tensor  # largest probability minus the second largest; it needs no label


def sample_scores(logits: Tensor, labels: Tensor, kind: LabelKind) -> SampleScores:
    """Scores of each sample of a batch.

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
        ValueError: If `kind` is neither, or there is a single class to choose one label of.

    >>> logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> round(float(sample_scores(logits, labels, "single").confidence), 3)
    0.881
    >>> float(sample_scores(logits, labels, "multi").confidence)
    0.5
    """
    if kind == "single":
        if logits.shape[1] < 2:
            raise ValueError("one label per sample needs at least two classes to choose from")
        log_p = F.log_softmax(logits, dim=1)
        loss = -(log_p * labels).sum(dim=1)
        correct = logits.argmax(dim=1) == labels.argmax(dim=1)
        others = logits.masked_fill(labels > 0.5, -torch.inf).amax(dim=1)
        margin = (logits * labels).sum(dim=1) - others
        first, second = log_p.exp().topk(2, dim=1).values.unbind(dim=1)
        return SampleScores(torch.exp(-loss), loss, correct, margin, first - second)
    if kind == "multi":
        loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
        right = torch.where(labels > 0.5, logits, -logits).amin(dim=1)  # logit of the least known label
        certainty = torch.tanh(logits.abs().amin(dim=1) / 2)  # |p - (1 - p)| of the least certain label
        return SampleScores(right.sigmoid(), loss, right > 0, right, certainty)
    raise ValueError(f"kind is {kind!r}; choose 'single' or 'multi'")
