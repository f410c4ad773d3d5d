"""Integrated Gradients: which values of a signal speak for a class, at the signal's own resolution."""

import torch
from torch import Tensor, nn

from ecgkit.explain.grad_cam import evaluating, targets

__all__ = ["integrated_gradients"]


def integrated_gradients(
    model: nn.Module, x: Tensor, target: int | Tensor | None = None, steps: int = 16
) -> Tensor:
    """Attribution of a class's logit to every value of a signal.

    The gradient is averaged along the straight line from a signal of zeros to `x`, at the middles of equal
    steps, and multiplied by `x`. Over all values the attributions sum to about what the logit changes on the
    way. It costs `steps` forward and backward passes. The model works in evaluation mode.

    Args:
        model: From signals to logits.
        x: Standardised signals, shape (B, leads, T), so that zero is the mean of the training data.
        target: A class number, one per record, or None for the predicted class.
        steps: Number of steps.

    Returns:
        Attributions with their sign, shape (B, leads, T).

    Raises:
        ValueError: If `target` does not fit or `steps` is below 1.

    Source:
        Sundararajan et al., "Axiomatic attribution for deep networks" (2017), Eqs. (1) and (3).

    >>> linear = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
    >>> _ = nn.init.constant_(linear[1].weight, 3.0)
    >>> integrated_gradients(linear, torch.tensor([[[1.0, -2.0]]]), steps=1).tolist()
    [[[3.0, -6.0]]]
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; at least 1 is wanted")
    with evaluating(model):
        with torch.no_grad():
            wanted = targets(target, model(x))
        total = torch.zeros_like(x)
        for step in range(steps):
            point = ((step + 0.5) / steps * x).detach().requires_grad_()
            with torch.enable_grad():
                score = model(point).gather(1, wanted).sum()
                total += torch.autograd.grad(score, point)[0]
    return total / steps * x
