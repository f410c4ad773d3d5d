"""The networks of the PTB-XL benchmark: fcn_wang, resnet1d_wang, xresnet1d, inception1d, and LSTMs.

All end in the benchmark's head, `ecgkit.models.heads.classification_head`.

Source:
    Strodthoff et al., "Deep learning for ECG analysis: benchmarks and insights from PTB-XL" (2021), section
    II-B and Appendix I.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgkit.models.blocks import LstmBody, Residual, conv, conv_bn, he_initial
from ecgkit.models.heads import Classifier, ConcatPool, RecurrentPool, check_sizes, classification_head

__all__ = [
    "fcn_wang",
    "inception1d",
    "lstm",
    "lstm_bidir",
    "resnet1d_wang",
    "xresnet1d",
    "xresnet1d50",
    "xresnet1d101",
]


def _check(leads: int, kernel_scale: int) -> None:
    check_sizes(leads=leads)
    check_sizes(999, kernel_scale=kernel_scale)
    if kernel_scale % 2 == 0:
        raise ValueError(f"kernel_scale must be odd, so that kernels have a middle, and not {kernel_scale}")


def fcn_wang(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """Three convolutions over the whole window, with no pooling between them.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        kernel_scale: Factor on the length of the kernels, odd: 5 for signals at 500 instead of 100 Hz.

    Returns:
        A network (B, leads, T) -> (B, classes); T of at least 2 samples.

    Raises:
        ValueError: If a size is not a whole number of 1 or more, or `kernel_scale` is not odd.

    Source:
        Wang, Yan and Oates, "Time series classification from scratch with deep neural networks" (2017).

    >>> sum(p.numel() for p in fcn_wang(leads=12, classes=71).parameters())
    318279
    """
    _check(leads, kernel_scale)
    layers: list[nn.Module] = []
    channels = leads
    for width, kernel in ((128, 8), (256, 5), (128, 3)):
        layers += conv_bn(channels, width, kernel * kernel_scale, act=nn.ReLU())
        channels = width
    return Classifier(nn.Sequential(*layers), classification_head(ConcatPool(), 2 * channels, classes))


def resnet1d_wang(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """Three residual blocks of 128 channels; the time axis is halved at the second and third.

    Arguments, result and errors as for `fcn_wang`; any T.

    Source:
        Wang, Yan and Oates (2017), as changed by the PTB-XL benchmark: kernels 5 and 3, stem kernel 7 with
        stride 1 and no pooling.

    >>> sum(p.numel() for p in resnet1d_wang(leads=12, classes=71).parameters())
    481863
    """
    _check(leads, kernel_scale)
    body = conv_bn(leads, 128, 7 * kernel_scale, act=nn.ReLU())
    for stride in (1, 2, 2):
        first = conv_bn(128, 128, 5 * kernel_scale, stride, act=nn.ReLU())
        main = nn.Sequential(*first, *conv_bn(128, 128, 3 * kernel_scale))
        body.append(Residual(main, nn.Sequential(*conv_bn(128, 128, 1, stride)) if stride > 1 else None))
    return Classifier(nn.Sequential(*body), classification_head(ConcatPool(), 256, classes))


def _bottleneck(channels: int, width: int, kernel: int, stride: int) -> Residual:
    """1-wide, kernel-wide, 1-wide convolutions; the last normalisation starts at zero (identity block)."""
    last = conv_bn(width, 4 * width, 1)
    nn.init.zeros_(last[1].weight)  # type: ignore[arg-type]
    first = conv_bn(channels, width, 1, act=nn.ReLU())
    main = nn.Sequential(*first, *conv_bn(width, width, kernel, stride, act=nn.ReLU()), *last)
    shortcut: list[nn.Module] = []
    if stride != 1:
        shortcut.append(nn.AvgPool1d(2, ceil_mode=True))
    if channels != 4 * width:
        shortcut += conv_bn(channels, 4 * width, 1)
    return Residual(main, nn.Sequential(*shortcut))


def xresnet1d(
    leads: int, classes: int, blocks: Sequence[int], width: int = 64, kernel_scale: int = 1
) -> Classifier:
    """Residual network with a three-convolution stem, bottleneck blocks, and average pooling in the shortcut.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        blocks: Number of bottleneck blocks per stage; each stage after the first halves the time axis.
        width: Inner channels of every block; its output has four times as many.
        kernel_scale: Factor on the kernels of 5 samples in the stem and the blocks, odd.

    Returns:
        A network (B, leads, T) -> (B, classes).

    Raises:
        ValueError: If a size is not a whole number of 1 or more, or `kernel_scale` is not odd.

    Source:
        He et al., "Bag of tricks for image classification" (2019), one-dimensional as in the PTB-XL
        benchmark: every stage has the same width.
    """
    _check(leads, kernel_scale)
    check_sizes(1024, width=width, stages=len(blocks), **{f"blocks[{i}]": n for i, n in enumerate(blocks)})
    kernel = 5 * kernel_scale
    body: list[nn.Module] = []
    channels = leads
    for out, stride in ((32, 2), (32, 1), (64, 1)):
        body += conv_bn(channels, out, kernel, stride, act=nn.ReLU())
        channels = out
    body.append(nn.MaxPool1d(3, stride=2, padding=1))
    for stage, count in enumerate(blocks):
        for block in range(count):
            body.append(_bottleneck(channels, width, kernel, stride=2 if stage and not block else 1))
            channels = 4 * width
    he_initial(body, "fan_in")
    return Classifier(nn.Sequential(*body), classification_head(ConcatPool(), 2 * channels, classes))


def xresnet1d50(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """`xresnet1d` with 3, 4, 6 and 3 blocks; `kernel_scale` (odd) lengthens its kernels.

    >>> sum(p.numel() for p in xresnet1d50(leads=12, classes=71).parameters())
    962503
    """
    return xresnet1d(leads, classes, (3, 4, 6, 3), kernel_scale=kernel_scale)


def xresnet1d101(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """`xresnet1d` with 3, 4, 23 and 3 blocks; `kernel_scale` (odd) lengthens its kernels.

    >>> sum(p.numel() for p in xresnet1d101(leads=12, classes=71).parameters())
    1880775
    """
    return xresnet1d(leads, classes, (3, 4, 23, 3), kernel_scale=kernel_scale)


class InceptionBlock(nn.Module):
    """Convolutions of three lengths and a pooled path side by side: (B, C, T) -> (B, 4 filters, T)."""

    def __init__(self, channels: int, filters: int, kernel_scale: int) -> None:
        super().__init__()
        self.bottleneck = conv(channels, filters, 1)
        self.branches = nn.ModuleList(conv(filters, filters, kernel * kernel_scale) for kernel in (39, 19, 9))
        self.pooled = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), conv(channels, filters, 1))
        self.norm = nn.Sequential(nn.BatchNorm1d(4 * filters), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bottleneck(x)
        return self.norm(torch.cat([*(branch(narrow) for branch in self.branches), self.pooled(x)], dim=1))


class InceptionBody(nn.Module):
    """Six inception blocks; a shortcut joins before and after every third."""

    def __init__(self, leads: int, kernel_scale: int, filters: int = 32) -> None:
        super().__init__()
        width = 4 * filters
        inputs = [leads, *[width] * 5]
        self.blocks = nn.ModuleList(InceptionBlock(channels, filters, kernel_scale) for channels in inputs)
        self.shortcuts = nn.ModuleList(nn.Sequential(*conv_bn(channels, width, 1)) for channels in inputs[:2])

    def forward(self, x: Tensor) -> Tensor:
        start = x
        for depth, block in enumerate(self.blocks):
            x = block(x)
            if depth % 3 == 2:
                x = torch.relu(x + self.shortcuts[depth // 3](start))
                start = x
        return x


def inception1d(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """InceptionTime: kernels of 39, 19 and 9 samples in parallel, six blocks deep.

    Arguments, result and errors as for `fcn_wang`; any T.

    Source:
        Fawaz et al., "InceptionTime" (2020); one network instead of an ensemble.

    >>> sum(p.numel() for p in inception1d(leads=12, classes=71).parameters())
    516167
    """
    _check(leads, kernel_scale)
    return Classifier(InceptionBody(leads, kernel_scale), classification_head(ConcatPool(), 256, classes))


def lstm(leads: int, classes: int, bidirectional: bool = False, hidden: int = 256) -> Classifier:
    """Two LSTM layers; mean, maximum and last state go to the head.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        bidirectional: Read the window forwards and backwards.
        hidden: Units per layer and direction.

    Returns:
        A network (B, leads, T) -> (B, classes).

    Raises:
        ValueError: If a size is not a whole number of 1 or more, or `bidirectional` is not True or False.

    >>> sum(p.numel() for p in lstm(leads=12, classes=71).parameters())
    912199
    """
    check_sizes(leads=leads, classes=classes)
    check_sizes(8192, hidden=hidden)
    if not isinstance(bidirectional, bool):
        raise ValueError(f"bidirectional is {bidirectional!r}; choose True or False")
    features = hidden * (2 if bidirectional else 1)
    body = LstmBody(leads, hidden, 2, bidirectional)
    return Classifier(body, classification_head(RecurrentPool(bidirectional), 3 * features, classes))


def lstm_bidir(leads: int, classes: int) -> Classifier:
    """`lstm` in both directions.

    >>> sum(p.numel() for p in lstm_bidir(leads=12, classes=71).parameters())
    2339143
    """
    return lstm(leads, classes, bidirectional=True)
