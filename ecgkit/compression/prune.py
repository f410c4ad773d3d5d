"""Fewer weights: the smallest ones set to zero."""

import gzip
from copy import deepcopy
from io import BytesIO

import torch
from torch import nn
from torch.nn.utils import prune

__all__ = ["gzipped_size_mib", "keep_zeros", "pruned", "sparsity"]


def pruned(model: nn.Module, share: float) -> nn.Module:
    """A copy in which the given share of all weights of convolutions, those nearest zero, is zero.

    Args:
        model: Any network with convolutions.
        share: In [0, 1).

    Raises:
        ValueError: If `share` is not in [0, 1).

    >>> sparsity(pruned(nn.Sequential(nn.Conv1d(4, 8, 5)), 0.75))
    0.75
    """
    if not 0 <= share < 1:
        raise ValueError(f"share is {share}; choose a number in [0, 1)")
    model = deepcopy(model)
    weights = [(m, "weight") for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=share)
    for module, name in weights:
        prune.remove(module, name)  # the zeros stay, the mask goes
    return model


def keep_zeros(model: nn.Module) -> None:
    """Let weights of convolutions that are zero now stay zero while the network is trained further.

    Their gradients are set to zero from now on. An optimiser that is new, and whose weight decay pulls
    towards zero, does not move them then.

    >>> lean = pruned(nn.Sequential(nn.Conv1d(4, 8, 5)), 0.75)
    >>> keep_zeros(lean)
    >>> optimiser = torch.optim.Adam(lean.parameters(), lr=0.1, weight_decay=1e-5)
    >>> lean(torch.ones(2, 4, 9)).square().sum().backward()
    >>> optimiser.step()
    >>> sparsity(lean)
    0.75
    """
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            kept = (module.weight != 0).to(module.weight.dtype)
            module.weight.register_hook(lambda gradient, kept=kept: gradient * kept)


def sparsity(model: nn.Module) -> float:
    """Share of the weights of convolutions that are exactly zero."""
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]
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
