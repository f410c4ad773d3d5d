"""Grad-CAM at the price of a forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgkit.models.heads import AveragePool, ConcatPool, RecurrentPool

__all__ = ["evaluating", "feature_cam", "grad_cam", "targets", "upsample"]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside. Then each part is in its own mode again: some may be frozen in a training."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def grad_cam(model: nn.Module, x: Tensor, target: int | Tensor | None = None) -> Tensor:
    """Which moments of a record speak for a class.

    The channels of the last feature map are summed with the mean gradient of the class's logit as weights,
    and negative sums are set to 0. The gradient with respect to that map passes through the head alone, so
    there is no backward pass through the body. The model works in evaluation mode and is then set back.

    Args:
        model: A `Classifier` with a convolutional ``body`` and a ``head``.
        x: Standardised signals, shape (B, leads, T).
        target: Class to explain: a number, one number per record, shape (B,), or None for the predicted one.

    Returns:
        Maps before scaling, at least 0, shape (B, T): linear between the positions of the feature map (their
        centres, not the corners, coincide). Of a network on images, leads by time, the mean over the leads.

    Raises:
        ValueError: If the model has no body and head, or `target` does not fit.

    Source:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks" (2017), Eqs. (1)-(2).

    >>> from ecgkit import models
    >>> network = models.create("resnet18", leads=12, classes=5, width=16)
    >>> grad_cam(network, torch.randn(3, 12, 1000)).shape
    torch.Size([3, 1000])
    """
    body, head = getattr(model, "body", None), getattr(model, "head", None)
    if not isinstance(body, nn.Module) or not isinstance(head, nn.Module):
        raise ValueError(f"{type(model).__name__} has no body and head; see ecgkit.models.heads.Classifier")
    with evaluating(body), torch.no_grad():
        features = body(x)
    return upsample(feature_cam(head, features, target), x.shape[-1])


def feature_cam(head: nn.Module, features: Tensor, target: int | Tensor | None = None) -> Tensor:
    """Grad-CAM from a feature map that is already there, at its own resolution.

    Args:
        head: From features to logits. It works in evaluation mode, so that no record's map depends on the
            others, and is then set back.
        features: Shape (B, C, T') or (B, C, H, T').
        target: As for `grad_cam`.

    Returns:
        Maps, at least 0, shape (B, T').

    Raises:
        ValueError: If `target` does not fit.
    """
    with evaluating(head):
        weights = _mean_gradient(head, features.detach(), target)  # (B, C)
    shape = features.shape[2:]
    flat = features.detach().flatten(2)  # (B, C, positions)
    cam = (weights.to(flat.dtype).unsqueeze(1) @ flat).float().relu()  # (B, 1, positions)
    cam = cam.reshape(-1, *shape)
    return cam if cam.ndim == 2 else cam.flatten(1, -2).mean(dim=1)


def _mean_gradient(head: nn.Module, features: Tensor, target: int | Tensor | None) -> Tensor:
    """Gradient of the logit with respect to the features, averaged over positions, shape (B, C).

    Average, maximum and "last state" share their gradient out over positions so that it sums to that of the
    pooled value. Behind such a pooling the mean follows from the pooled values alone, without another pass
    over the feature map.
    """
    inputs, rest, pools = features, head, False
    if isinstance(head, nn.Sequential) and isinstance(head[0], ConcatPool | RecurrentPool | AveragePool):
        inputs, rest, pools = head[0](features), head[1:], True
    inputs = inputs.float().requires_grad_()
    with torch.enable_grad(), torch.autocast(features.device.type, enabled=False):
        logits = rest(inputs)  # (B, K)
        score = logits.gather(1, targets(target, logits)).sum()
        (gradient,) = torch.autograd.grad(score, inputs)
    batch, channels = features.shape[:2]
    if pools:
        kinds = gradient.shape[1] // channels  # of pooling, side by side
        return gradient.reshape(batch, kinds, channels).sum(dim=1) / features.shape[2:].numel()
    return gradient.flatten(2).mean(dim=2)


def upsample(cam: Tensor, samples: int) -> Tensor:
    """Linear interpolation of maps (B, T') to (B, samples)."""
    if cam.shape[-1] == samples:
        return cam
    return F.interpolate(cam.unsqueeze(1), size=samples, mode="linear", align_corners=False).squeeze(1)


def targets(target: int | Tensor | None, logits: Tensor) -> Tensor:
    """One class number per record, shape (B, 1)."""
    batch, classes = logits.shape
    if target is None:
        return logits.argmax(dim=1, keepdim=True)
    numbers = torch.as_tensor(target, device=logits.device)
    if numbers.is_floating_point() or numbers.shape not in ((), (batch,)):
        raise ValueError(f"target is {target!r}; give one class number, or one for each of {batch} records")
    if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < classes:
        raise ValueError(f"target is {target!r}; the model has the classes 0 to {classes - 1}")
    return numbers.long().expand(batch).reshape(batch, 1)
