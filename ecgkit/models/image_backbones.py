"""Backbones known from images, for signals: ResNet-18, MobileNetV2 and EfficientNetV2-S, in 1-D and in 2-D.

With ``ndim=1`` every convolution runs along time and the leads are the input channels. With ``ndim=2`` the
record is an image, leads by time, that is copied into the three colour channels these networks were made for:
so their parameters are the published ones whatever the number of leads. Real images (B, 3, H, W) pass, too.
The ERTS paper does not say which of the two it means.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from ecgkit.models.heads import AveragePool, Classifier

__all__ = ["LeadImage", "efficientnet_v2_s", "mobilenet_v2", "resnet18"]

Ndim = Literal[1, 2]

_CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
_NORM: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


class LeadImage(nn.Module):
    """A record as an image with three equal channels: (B, leads, T) -> (B, 3, leads, T); images stay."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.ndim == 4 else x.unsqueeze(1).expand(-1, 3, -1, -1)


class StochasticDepth(nn.Module):
    """In training, set the branch of a random part of the records to 0 and scale the others up.

    Source:
        Huang et al., "Deep networks with stochastic depth" (2016).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(x.shape[:1], device=x.device) >= self.p
        return x * (kept.to(x.dtype) / (1 - self.p)).reshape(-1, *[1] * (x.ndim - 1))


class SqueezeExcite(nn.Module):
    """Weight each channel by a small network of all channels' averages.

    Source:
        Hu et al., "Squeeze-and-excitation networks" (2018), with SiLU inside as in EfficientNetV2.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            AveragePool(),
            nn.Linear(channels, squeezed),
            nn.SiLU(),
            nn.Linear(squeezed, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x).reshape(*x.shape[:2], *[1] * (x.ndim - 2))


class _Sum(nn.Module):
    """shortcut(x) + branch(x)."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x)


def _conv(
    ndim: Ndim,
    channels: int,
    width: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    act: nn.Module | None = None,
    eps: float = 1e-5,
) -> list[nn.Module]:
    """Convolution without bias, batch normalisation and, where given, an activation."""
    conv = _CONV[ndim](channels, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, _NORM[ndim](width, eps=eps), *([] if act is None else [act])]


def _assemble(
    ndim: Ndim, body: list[nn.Module], features: int, classes: int, dropout: float = 0.0
) -> Classifier:
    """Body and head with He's initial weights for the convolutions, as the published networks."""
    for module in nn.Sequential(*body).modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    image: list[nn.Module] = [LeadImage()] if ndim == 2 else []
    drop: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
    head = nn.Sequential(AveragePool(), *drop, nn.Linear(features, classes))
    return Classifier(nn.Sequential(*image, *body), head)


def _input_channels(leads: int, ndim: int) -> int:
    if ndim not in (1, 2):
        raise ValueError(f"ndim is {ndim}; choose 1 (along time) or 2 (leads by time)")
    return leads if ndim == 1 else 3


def resnet18(leads: int, classes: int, ndim: Ndim = 1, width: int = 64) -> Classifier:
    """Four stages of two basic blocks.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        ndim: 1 for convolutions along time, 2 for leads by time.
        width: Channels of the first stage; each further stage has twice as many. 16 is "quarter width".

    Returns:
        A network (B, leads, T) -> (B, classes).

    Raises:
        ValueError: If `ndim` is neither 1 nor 2.

    Source:
        He et al., "Deep residual learning for image recognition" (2016), Table 1.

    >>> sum(p.numel() for p in resnet18(leads=3, classes=1000, ndim=2).parameters())
    11689512
    """
    channels = width
    body = [*_conv(ndim, _input_channels(leads, ndim), channels, 7, stride=2, act=nn.ReLU())]
    body.append((nn.MaxPool1d if ndim == 1 else nn.MaxPool2d)(3, stride=2, padding=1))
    for stage in range(4):
        out = width * 2**stage
        for block in range(2):
            stride = 2 if stage and not block else 1
            main = [*_conv(ndim, channels, out, 3, stride, act=nn.ReLU()), *_conv(ndim, out, out, 3)]
            same = stride == 1 and channels == out
            shortcut = None if same else nn.Sequential(*_conv(ndim, channels, out, 1, stride))
            body += [_Sum(nn.Sequential(*main), shortcut), nn.ReLU()]
            channels = out
    return _assemble(ndim, body, channels, classes)


def mobilenet_v2(leads: int, classes: int, ndim: Ndim = 1) -> Classifier:
    """Inverted residuals with depth-wise convolutions: narrow at the ends, six times as wide inside.

    Arguments, result and errors as for `resnet18`.

    Source:
        Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks" (2018), Table 2.

    >>> sum(p.numel() for p in mobilenet_v2(leads=3, classes=1000, ndim=2).parameters())
    3504872
    """
    channels = 32
    body = [*_conv(ndim, _input_channels(leads, ndim), channels, 3, stride=2, act=nn.ReLU6())]
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2))
    for expansion, out, count, first_stride in (*stages, (6, 320, 1, 1)):
        for block in range(count):
            stride = 1 if block else first_stride
            inner = channels * expansion
            wide = [] if expansion == 1 else _conv(ndim, channels, inner, 1, act=nn.ReLU6())
            depthwise = _conv(ndim, inner, inner, 3, stride, groups=inner, act=nn.ReLU6())
            branch = nn.Sequential(*wide, *depthwise, *_conv(ndim, inner, out, 1))
            body.append(_Sum(branch) if stride == 1 and channels == out else branch)
            channels = out
    body += _conv(ndim, channels, 1280, 1, act=nn.ReLU6())
    return _assemble(ndim, body, 1280, classes, dropout=0.2)


def efficientnet_v2_s(leads: int, classes: int, ndim: Ndim = 1) -> Classifier:
    """Fused inverted residuals in three early stages, squeeze-and-excitation in three late ones.

    Arguments, result and errors as for `resnet18`. The branches are dropped at random in training, the last
    with probability 0.2 and the others in proportion to their depth.

    Source:
        Tan and Le, "EfficientNetV2: smaller models and faster training" (2021), Table 4.

    >>> sum(p.numel() for p in efficientnet_v2_s(leads=3, classes=1000, ndim=2).parameters())
    21458488
    """
    eps = 1e-3
    channels, depth = 24, 0
    body = [*_conv(ndim, _input_channels(leads, ndim), channels, 3, stride=2, act=nn.SiLU(), eps=eps)]
    early = ((1, 24, 2, 1), (4, 48, 4, 2), (4, 64, 4, 2))
    late = ((4, 128, 6, 2), (6, 160, 9, 1), (6, 256, 15, 2))
    blocks = sum(count for _, _, count, _ in early + late)
    for expansion, out, count, first_stride in early + late:
        for block in range(count):
            stride = 1 if block else first_stride
            inner = channels * expansion
            if expansion == 1:
                parts = _conv(ndim, channels, out, 3, stride, act=nn.SiLU(), eps=eps)
            elif out <= 64:
                parts = _conv(ndim, channels, inner, 3, stride, act=nn.SiLU(), eps=eps)
                parts += _conv(ndim, inner, out, 1, eps=eps)
            else:
                parts = _conv(ndim, channels, inner, 1, act=nn.SiLU(), eps=eps)
                parts += _conv(ndim, inner, inner, 3, stride, groups=inner, act=nn.SiLU(), eps=eps)
                parts.append(SqueezeExcite(inner, channels // 4))
                parts += _conv(ndim, inner, out, 1, eps=eps)
            if stride == 1 and channels == out:
                body.append(_Sum(nn.Sequential(*parts, StochasticDepth(0.2 * depth / blocks))))
            else:
                body.append(nn.Sequential(*parts))
            channels, depth = out, depth + 1
    body += _conv(ndim, channels, 1280, 1, act=nn.SiLU(), eps=eps)
    return _assemble(ndim, body, 1280, classes, dropout=0.2)
