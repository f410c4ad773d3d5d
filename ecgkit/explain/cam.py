"""Class activation maps: Grad-CAM at the price of a forward pass, and Grad-CAM++."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgkit.models.heads import (
    AveragePool,
    ConcatPool,
    RecurrentPool,
    check_signals,
    check_sizes,
    evaluating,
)

__all__ = [
    "body_and_head",
    "differentiable",
    "explainable",
    "feature_cam",
    "feature_cam_plus",
    "grad_cam",
    "targets",
    "upsample",
]


def grad_cam(model: nn.Module, x: Tensor, target: int | Tensor | None = None) -> Tensor:
    """Which moments of a record speak for a class.

    The channels of the last feature map are summed with the mean gradient of the class's logit as weights,
    and negative sums are set to 0. The gradient with respect to that map passes through the head alone, so
    there is no backward pass through the body. The model works in evaluation mode and is then set back.

    Args:
        model: A `Classifier` with a convolutional ``body`` and a ``head``, of any precision.
        x: Standardised signals, shape (B, leads, T), on the device of the model; they are brought to its
            precision.
        target: Class to explain: a number, one number per record, shape (B,), or None for the predicted one.

    Returns:
        Maps before scaling, at least 0, float32, shape (B, T): linear between the positions of the feature
        map (their centres, not the corners, coincide). Of a network on images, leads by time, the mean over
        the leads.

    Raises:
        ValueError: If the model has no body and head, `x` does not fit it or is not finite, or `target` does
            not fit.

    Source:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks" (2017), Eqs. (1)-(2).

    >>> from ecgkit import models
    >>> network = models.create("resnet18", leads=12, classes=5, width=16)
    >>> grad_cam(network, torch.randn(3, 12, 1000)).shape
    torch.Size([3, 1000])
    """
    body, head = body_and_head(model)
    x = explainable(body, x)
    with differentiable(body, x) as (body, x), torch.no_grad():
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
        Maps, at least 0, float32, shape (B, T'); NaN where features are.

    Raises:
        ValueError: If `features` are of another shape or `target` does not fit.
    """
    with differentiable(head, features) as (head, features):
        weights = _mean_gradient(head, features, target)  # (B, C)
    flat = features.flatten(2)  # (B, C, positions)
    cam = (weights.to(flat.dtype).unsqueeze(1) @ flat).float().relu()  # (B, 1, positions)
    return _over_leads(cam.reshape(-1, *features.shape[2:]))


def feature_cam_plus(head: nn.Module, features: Tensor, target: int | Tensor | None = None) -> Tensor:
    """Grad-CAM++ from a feature map that is already there, at its own resolution.

    Where Grad-CAM weights a channel by its mean gradient, this sums the positive gradients of its positions,
    each weighted so that a channel counts the same whether its pattern shows once or many times.

    Args:
        head: From features to logits, piecewise linear. It works in evaluation mode and is then set back.
        features: Shape (B, C, T') or (B, C, H, T').
        target: As for `grad_cam`.

    Returns:
        Maps as those of `feature_cam`.

    Raises:
        ValueError: As `feature_cam`.

    Source:
        Chattopadhay et al., "Grad-CAM++" (2018), section 3, with exp(logit) as the score. Its factor
        exp(logit) is common to a whole map and left out.
    """
    with differentiable(head, features) as (head, features):
        inputs = features.to(_precision(head)).requires_grad_()
        logits = head(inputs)
        score = logits.gather(1, targets(target, logits)).sum()
        (gradient,) = torch.autograd.grad(score, inputs)
    g, a = gradient.flatten(2), inputs.detach().flatten(2)  # (B, C, positions)
    below = 2 * g**2 + a.sum(dim=2, keepdim=True) * g**3
    alpha = torch.where(below != 0, g**2 / torch.where(below != 0, below, torch.ones_like(below)), 0.0)
    weights = (alpha * g.relu()).sum(dim=2)  # (B, C)
    return _over_leads((weights.unsqueeze(1) @ a).relu().float().reshape(-1, *features.shape[2:]))


def _mean_gradient(head: nn.Module, features: Tensor, target: int | Tensor | None) -> Tensor:
    """Gradient of the logit with respect to the features, averaged over positions, shape (B, C).

    Average, maximum and "last state" share their gradient out over positions so that it sums to that of the
    pooled value. Behind such a pooling the mean follows from the pooled values alone, without another pass
    over the feature map.
    """
    inputs, rest, pools = features, head, False
    if isinstance(head, nn.Sequential) and isinstance(
        next(iter(head), None), ConcatPool | RecurrentPool | AveragePool
    ):
        inputs, rest, pools = head[0](features), head[1:], True
    inputs = inputs.detach().to(_precision(head)).requires_grad_()
    logits = rest(inputs)  # (B, K)
    score = logits.gather(1, targets(target, logits)).sum()
    (gradient,) = torch.autograd.grad(score, inputs)
    batch, channels = features.shape[:2]
    if pools:
        kinds = gradient.shape[1] // channels  # of pooling, side by side
        return gradient.reshape(batch, kinds, channels).sum(dim=1) / features.shape[2:].numel()
    return gradient.flatten(2).mean(dim=2)


def _over_leads(cam: Tensor) -> Tensor:
    return cam if cam.ndim == 2 else cam.flatten(1, -2).mean(dim=1)


def upsample(cam: Tensor, samples: int) -> Tensor:
    """Linear interpolation of maps (B, T') to (B, samples).

    Raises:
        ValueError: If `cam` is no such maps or `samples` is not a whole number of 1 or more.

    >>> upsample(torch.tensor([[0.0, 4.0]]), 4).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    if cam.ndim != 2 or cam.shape[1] == 0 or not cam.is_floating_point():
        raise ValueError(
            f"cam is {cam.dtype} of the shape {tuple(cam.shape)}; floating-point maps (B, T') are wanted"
        )
    check_sizes(2**31, samples=samples)
    if cam.shape[1] == samples or cam.shape[0] == 0:
        return cam if cam.shape[1] == samples else cam.new_zeros(0, samples)
    return F.interpolate(cam.unsqueeze(1), size=samples, mode="linear", align_corners=False).squeeze(1)


# What all explanations share ----------------------------------------------------------------------------


def body_and_head(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The two parts of a `Classifier`.

    Raises:
        ValueError: If the model has no such parts.
    """
    body, head = getattr(model, "body", None), getattr(model, "head", None)
    if not isinstance(body, nn.Module) or not isinstance(head, nn.Module):
        raise ValueError(f"{type(model).__name__} has no body and head; see ecgkit.models.heads.Classifier")
    return body, head


def explainable(network: nn.Module, x: Tensor) -> Tensor:
    """Signals in the precision of a network.

    Raises:
        ValueError: If they are not finite or not (B, leads, T), or do not fit the network.
    """
    if isinstance(x, Tensor) and x.is_floating_point():
        x = x.detach().to(_precision(network))
    check_signals(network, x)
    if x.ndim not in (3, 4):
        raise ValueError(f"signals have the shape {tuple(x.shape)}; (B, leads, T) is wanted")
    if not bool(x.isfinite().all()):
        raise ValueError("signals are not finite: NaN or infinite values cannot be explained")
    return x


def _precision(network: nn.Module) -> torch.dtype:
    return next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)


@contextmanager
def _reasons(network: nn.Module, x: Tensor) -> Iterator[None]:
    """Say what did not fit where torch names two matrices and no more."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        what = f"{x.dtype} of the shape {tuple(x.shape)} on {x.device}"
        raise ValueError(f"{type(network).__name__} does not take {what}: {error}") from error


@contextmanager
def differentiable(network: nn.Module, x: Tensor) -> Iterator[tuple[nn.Module, Tensor]]:
    """A network in evaluation mode, and what goes into it, so that gradients can be taken in any context.

    What was made under ``torch.inference_mode`` takes part in no gradient; a copy of it does. A network in
    half or brain floating point is followed in float32, and autocast lowers no precision. Each part of the
    network is then in its own mode again.

    Raises:
        ValueError: If the network does not take `x`.
    """
    if not isinstance(x, Tensor) or x.ndim not in (3, 4):
        shape = tuple(getattr(x, "shape", ()))
        raise ValueError(f"features have the shape {shape}; (B, C, T') or (B, C, H, T') is wanted")
    with (
        _reasons(network, x),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(x.device.type, enabled=False),
    ):
        if any(value.is_inference() for value in (*network.parameters(), *network.buffers())):
            network = deepcopy(network)
        if _precision(network) in (torch.float16, torch.bfloat16):
            network, x = deepcopy(network).float(), x.float()
        with evaluating(network):
            yield network, (x.clone() if x.is_inference() else x).detach()


def targets(target: int | Tensor | None, logits: Tensor) -> Tensor:
    """One class number per record, shape (B, 1).

    Raises:
        ValueError: If `logits` are not (B, K), or `target` is no class number, or not one for each record.
    """
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"the network gives the shape {tuple(logits.shape)}; logits (B, classes) are wanted")
    batch, classes = logits.shape
    if target is None:
        return logits.argmax(dim=1, keepdim=True)
    wrong = ValueError(f"target is {target!r}; give one class number, or one for each of {batch} records")
    try:
        numbers = torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise wrong from error
    whole = numbers.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    if not whole or numbers.shape not in ((), (batch,)):
        raise wrong
    if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < classes:
        raise ValueError(f"target is {target!r}; the model has the classes 0 to {classes - 1}")
    return numbers.to(logits.device).long().expand(batch).reshape(batch, 1)
