"""Ways to a smaller network: the smallest weights set to zero, and learning from a larger network."""

import gzip
from copy import deepcopy
from io import BytesIO
from numbers import Real

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

__all__ = ["gzipped_size_mib", "keep_zeros", "pruned", "soft_labels", "sparsity"]


def _convolutions(model: nn.Module) -> list[nn.Conv1d | nn.Conv2d]:
    if layers := [module for module in model.modules() if isinstance(module, nn.Conv1d | nn.Conv2d)]:
        return layers
    raise ValueError(f"{type(model).__name__} has no convolution, and only their weights are pruned here")


def pruned(model: nn.Module, share: float) -> nn.Module:
    """A copy in which the given share of all weights of convolutions, those nearest zero, is zero.

    Args:
        model: Any network with convolutions.
        share: In [0, 1).

    Raises:
        ValueError: If `share` is not in [0, 1), or there is no convolution.

    >>> sparsity(pruned(nn.Sequential(nn.Conv1d(4, 8, 5)), 0.75))
    0.75
    """
    if not isinstance(share, Real) or not 0 <= share < 1:
        raise ValueError(f"share is {share!r}; choose a number in [0, 1)")
    model = deepcopy(model)
    weights = [(layer, "weight") for layer in _convolutions(model)]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=float(share))
    for module, name in weights:
        prune.remove(module, name)  # the zeros stay, the mask goes
    return model


def keep_zeros(model: nn.Module) -> None:
    """Let weights of convolutions that are zero now stay zero while the network is trained further.

    Their gradients are set to zero from now on. An optimiser that is new, and whose weight decay pulls
    towards zero, does not move them then.

    Raises:
        ValueError: If there is no convolution.

    >>> lean = pruned(nn.Sequential(nn.Conv1d(4, 8, 5)), 0.75)
    >>> keep_zeros(lean)
    >>> optimiser = torch.optim.Adam(lean.parameters(), lr=0.1, weight_decay=1e-5)
    >>> lean(torch.ones(2, 4, 9)).square().sum().backward()
    >>> optimiser.step()
    >>> sparsity(lean)
    0.75
    """
    for layer in _convolutions(model):
        kept = (layer.weight != 0).to(layer.weight.dtype)
        layer.weight.register_hook(lambda gradient, kept=kept: gradient * kept)


def sparsity(model: nn.Module) -> float:
    """Share of the weights of convolutions that are exactly zero.

    Raises:
        ValueError: If there is no convolution.
    """
    weights = [layer.weight for layer in _convolutions(model)]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


def gzipped_size_mib(model: nn.Module) -> float:
    """MiB of the saved state dict after gzip: zeros save nothing before it is packed.

    >>> dense = nn.Conv1d(16, 16, 9)
    >>> gzipped_size_mib(pruned(nn.Sequential(dense), 0.9)) < gzipped_size_mib(nn.Sequential(dense))
    True
    """
    file = BytesIO()
    torch.save(model.state_dict(), file)
    return len(gzip.compress(file.getvalue(), mtime=0)) / 2**20


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
        ValueError: If the shapes or devices differ, or a value or `weight` is not in [0, 1].

    Source:
        Hinton et al., Distilling the knowledge in a neural network (2015), with temperature 1 and one
        sigmoid per class.

    >>> soft_labels(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.25]]), weight=0.5).tolist()
    [[0.75, 0.125]]
    """
    labels, teacher = torch.as_tensor(labels), torch.as_tensor(teacher)
    if labels.shape != teacher.shape:
        raise ValueError(f"labels {tuple(labels.shape)} and teacher {tuple(teacher.shape)} differ in shape")
    if labels.device != teacher.device:
        raise ValueError(f"labels are on {labels.device} and the teacher's on {teacher.device}; move one")
    if not isinstance(weight, Real) or not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight!r}; choose a number in [0, 1]")
    for name, values in (("labels", labels), ("teacher", teacher)):
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise ValueError(f"{name} has values outside [0, 1]; probabilities are wanted, and not logits")
    return (1 - weight) * labels + weight * teacher
