"""Grad-CAM++ from the last feature map."""

import torch
from torch import Tensor, nn

from ecgkit.explain.grad_cam import evaluating, targets

__all__ = ["feature_cam_plus"]


def feature_cam_plus(head: nn.Module, features: Tensor, target: int | Tensor | None = None) -> Tensor:
    """Grad-CAM++ from a feature map that is already there, at its own resolution.

    Where Grad-CAM weights a channel by its mean gradient, this sums the positive gradients of its positions,
    each weighted so that a channel counts the same whether its pattern shows once or many times.

    Args:
        head: From features to logits, piecewise linear. It works in evaluation mode and is then set back.
        features: Shape (B, C, T') or (B, C, H, T').
        target: A class number, one per record, or None for the predicted class.

    Returns:
        Maps, at least 0, shape (B, T'). Of a network on images, the mean over the leads.

    Raises:
        ValueError: If `target` does not fit.

    Source:
        Chattopadhay et al., "Grad-CAM++" (2018), section 3, with exp(logit) as the score. Its factor
        exp(logit) is common to a whole map and left out.
    """
    inputs = features.detach().float().requires_grad_()
    with evaluating(head), torch.enable_grad(), torch.autocast(features.device.type, enabled=False):
        logits = head(inputs)
        score = logits.gather(1, targets(target, logits)).sum()
        (gradient,) = torch.autograd.grad(score, inputs)
    g, a = gradient.flatten(2), inputs.detach().flatten(2)  # (B, C, positions)
    below = 2 * g**2 + a.sum(dim=2, keepdim=True) * g**3
    alpha = torch.where(below != 0, g**2 / torch.where(below != 0, below, torch.ones_like(below)), 0.0)
    weights = (alpha * g.relu()).sum(dim=2)  # (B, C)
    cam = (weights.unsqueeze(1) @ a).relu().reshape(-1, *features.shape[2:])
    return cam if cam.ndim == 2 else cam.flatten(1, -2).mean(dim=1)
