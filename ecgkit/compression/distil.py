"""Learning from a larger network: its probabilities as labels."""

from torch import Tensor

__all__ = ["soft_labels"]


def soft_labels(labels: Tensor, teacher: Tensor, weight: float = 0.5) -> Tensor:
    """Labels that a student learns from: part truth, part what the teacher thinks.

    Binary cross-entropy is linear in the label. So training on these labels is the same as training on the
    weighted sum of two losses, one against the truth and one against the teacher.

    Args:
        labels: 0 and 1, shape (N, K).
        teacher: The teacher's probabilities for the same records, shape (N, K).
        weight: Weight of the teacher, in [0, 1].

    Returns:
        Shape (N, K), in [0, 1].

    Raises:
        ValueError: If the shapes differ or `weight` is not in [0, 1].

    Source:
        Hinton et al., Distilling the knowledge in a neural network (2015), with temperature 1 and one
        sigmoid per class.

    >>> import torch
    >>> soft_labels(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.25]]), weight=0.5).tolist()
    [[0.75, 0.125]]
    """
    if labels.shape != teacher.shape:
        raise ValueError(f"labels {tuple(labels.shape)} and teacher {tuple(teacher.shape)} differ in shape")
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight}; choose a number in [0, 1]")
    return (1 - weight) * labels + weight * teacher
