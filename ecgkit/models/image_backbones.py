"""Backbones known from images, for signals: ResNet-18, MobileNetV2 and EfficientNetV2-S, in 1-D and in 2-D.

With ``ndim=1`` every convolution runs along time and the leads are the input channels. With ``ndim=2`` the
record is an image, leads by time, that is copied into the three colour channels these networks were made for:
so their parameters are the published ones whatever the number of leads. Real images (B, 3, H, W) pass, too.
The ERTS paper does not say which of the two it means.
"""

from functools import partial

from torch import nn

from ecgkit.models.blocks import Ndim, SqueezeExcite, StochasticDepth, Sum, conv_bn, he_initial
from ecgkit.models.heads import AveragePool, Classifier, LeadImage, check_sizes

__all__ = ["efficientnet_v2_s", "mobilenet_v2", "resnet18"]


def _input_channels(leads: int, classes: int, ndim: Ndim) -> int:
    check_sizes(leads=leads, classes=classes)
    if isinstance(ndim, bool) or not isinstance(ndim, int) or ndim not in (1, 2):
        raise ValueError(f"ndim is {ndim!r}; choose 1 (along time) or 2 (leads by time)")
    return leads if ndim == 1 else 3


def _assemble(
    ndim: Ndim, body: list[nn.Module], features: int, classes: int, dropout: float = 0.0
) -> Classifier:
    """Body and head with He's initial weights for the convolutions, as the published networks."""
    he_initial(body, "fan_out")
    image: list[nn.Module] = [LeadImage()] if ndim == 2 else []
    drop: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
    head = nn.Sequential(AveragePool(), *drop, nn.Linear(features, classes))
    return Classifier(nn.Sequential(*image, *body), head)


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
        ValueError: If a size is not a whole number of 1 or more, or `ndim` is neither 1 nor 2.

    Source:
        He et al., "Deep residual learning for image recognition" (2016), Table 1.

    >>> sum(p.numel() for p in resnet18(leads=3, classes=1000, ndim=2).parameters())
    11689512
    """
    channels = _input_channels(leads, classes, ndim)
    check_sizes(1024, width=width)
    body = conv_bn(channels, width, 7, stride=2, ndim=ndim, act=nn.ReLU())
    body.append((nn.MaxPool1d if ndim == 1 else nn.MaxPool2d)(3, stride=2, padding=1))
    channels = width
    for stage in range(4):
        out = width * 2**stage
        for block in range(2):
            stride = 2 if stage and not block else 1
            first = conv_bn(channels, out, 3, stride, ndim=ndim, act=nn.ReLU())
            branch = nn.Sequential(*first, *conv_bn(out, out, 3, ndim=ndim))
            same = stride == 1 and channels == out
            shortcut = None if same else nn.Sequential(*conv_bn(channels, out, 1, stride, ndim=ndim))
            body += [Sum(branch, shortcut), nn.ReLU()]
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
    body = conv_bn(_input_channels(leads, classes, ndim), 32, 3, stride=2, ndim=ndim, act=nn.ReLU6())
    channels = 32
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2))
    for expansion, out, count, first_stride in (*stages, (6, 320, 1, 1)):
        for block in range(count):
            stride = 1 if block else first_stride
            inner = channels * expansion
            wide = [] if expansion == 1 else conv_bn(channels, inner, 1, ndim=ndim, act=nn.ReLU6())
            depthwise = conv_bn(inner, inner, 3, stride, groups=inner, ndim=ndim, act=nn.ReLU6())
            branch = nn.Sequential(*wide, *depthwise, *conv_bn(inner, out, 1, ndim=ndim))
            body.append(Sum(branch) if stride == 1 and channels == out else branch)
            channels = out
    body += conv_bn(channels, 1280, 1, ndim=ndim, act=nn.ReLU6())
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
    layer = partial(conv_bn, ndim=ndim, eps=1e-3)
    body = layer(_input_channels(leads, classes, ndim), 24, 3, stride=2, act=nn.SiLU())
    channels, depth = 24, 0
    early = ((1, 24, 2, 1), (4, 48, 4, 2), (4, 64, 4, 2))
    late = ((4, 128, 6, 2), (6, 160, 9, 1), (6, 256, 15, 2))
    blocks = sum(count for _, _, count, _ in early + late)
    for expansion, out, count, first_stride in early + late:
        for block in range(count):
            stride = 1 if block else first_stride
            inner = channels * expansion
            if expansion == 1:
                parts = layer(channels, out, 3, stride, act=nn.SiLU())
            elif out <= 64:
                parts = [*layer(channels, inner, 3, stride, act=nn.SiLU()), *layer(inner, out, 1)]
            else:
                parts = layer(channels, inner, 1, act=nn.SiLU())
                parts += layer(inner, inner, 3, stride, groups=inner, act=nn.SiLU())
                parts.append(SqueezeExcite(inner, channels // 4))
                parts += layer(inner, out, 1)
            if stride == 1 and channels == out:
                body.append(Sum(nn.Sequential(*parts, StochasticDepth(0.2 * depth / blocks))))
            else:
                body.append(nn.Sequential(*parts))
            channels, depth = out, depth + 1
    body += layer(channels, 1280, 1, act=nn.SiLU())
    return _assemble(ndim, body, 1280, classes, dropout=0.2)
