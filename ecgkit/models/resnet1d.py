"""One-dimensional residual networks of the PTB-XL benchmark: resnet1d_wang and the xresnet1d family."""

from collections.abc import Sequence

from torch import Tensor, nn

from ecgkit.models.heads import Classifier, ConcatPool, classification_head

__all__ = ["resnet1d_wang", "xresnet1d", "xresnet1d50", "xresnet1d101"]


def _conv_bn(channels: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv1d(channels, width, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False)
    return [conv, nn.BatchNorm1d(width)]


class _Residual(nn.Module):
    """relu(main(x) + shortcut(x))."""

    def __init__(self, main: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.main = main
        self.shortcut = shortcut
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.main(x) + self.shortcut(x))


def _basic_block(channels: int, width: int, kernels: tuple[int, int], stride: int) -> _Residual:
    main = nn.Sequential(
        *_conv_bn(channels, width, kernels[0], stride), nn.ReLU(), *_conv_bn(width, width, kernels[1])
    )
    same = stride == 1 and channels == width
    return _Residual(main, nn.Identity() if same else nn.Sequential(*_conv_bn(channels, width, 1, stride)))


def resnet1d_wang(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """Three residual blocks of 128 channels; the time axis is halved at the second and third.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        kernel_scale: Factor on the length of the kernels, odd: 5 for signals at 500 instead of 100 Hz.

    Returns:
        A network (B, leads, T) -> (B, classes).

    Source:
        Wang, Yan and Oates (2017), as changed by the PTB-XL benchmark: kernels 5 and 3, stem kernel 7 with
        stride 1 and no pooling.

    >>> sum(p.numel() for p in resnet1d_wang(leads=12, classes=71).parameters())
    481863
    """
    kernels = (5 * kernel_scale, 3 * kernel_scale)
    body = nn.Sequential(
        *_conv_bn(leads, 128, 7 * kernel_scale),
        nn.ReLU(),
        *(_basic_block(128, 128, kernels, stride) for stride in (1, 2, 2)),
    )
    return Classifier(body, classification_head(ConcatPool(), 256, classes))


def _bottleneck(channels: int, width: int, kernel: int, stride: int) -> _Residual:
    """1-wide, kernel-wide, 1-wide convolutions; the last normalisation starts at zero (identity block)."""
    last = _conv_bn(width, 4 * width, 1)
    nn.init.zeros_(last[1].weight)  # type: ignore[arg-type]
    main = nn.Sequential(
        *_conv_bn(channels, width, 1),
        nn.ReLU(),
        *_conv_bn(width, width, kernel, stride),
        nn.ReLU(),
        *last,
    )
    shortcut: list[nn.Module] = []
    if stride != 1:
        shortcut.append(nn.AvgPool1d(2, ceil_mode=True))
    if channels != 4 * width:
        shortcut += _conv_bn(channels, 4 * width, 1)
    return _Residual(main, nn.Sequential(*shortcut))


def xresnet1d(
    leads: int, classes: int, blocks: Sequence[int], width: int = 64, kernel: int = 5
) -> Classifier:
    """Residual network with a three-convolution stem, bottleneck blocks, and average pooling in the shortcut.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        blocks: Number of bottleneck blocks per stage; each stage after the first halves the time axis.
        width: Inner channels of every block; its output has four times as many.
        kernel: Kernel of the stem and of the middle convolution.

    Returns:
        A network (B, leads, T) -> (B, classes).

    Source:
        He et al., "Bag of tricks for image classification" (2019), one-dimensional as in the PTB-XL
        benchmark: every stage has the same width.
    """
    body: list[nn.Module] = []
    channels = leads
    for out, stride in ((32, 2), (32, 1), (64, 1)):
        body += [*_conv_bn(channels, out, kernel, stride), nn.ReLU()]
        channels = out
    body.append(nn.MaxPool1d(3, stride=2, padding=1))
    for stage, count in enumerate(blocks):
        for block in range(count):
            body.append(_bottleneck(channels, width, kernel, stride=2 if stage and not block else 1))
            channels = 4 * width
    for module in nn.Sequential(*body).modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight)
    return Classifier(nn.Sequential(*body), classification_head(ConcatPool(), 2 * channels, classes))


def xresnet1d50(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """`xresnet1d` with 3, 4, 6 and 3 blocks; `kernel_scale` (odd) lengthens its kernels.

    >>> sum(p.numel() for p in xresnet1d50(leads=12, classes=71).parameters())
    962503
    """
    return xresnet1d(leads, classes, (3, 4, 6, 3), kernel=5 * kernel_scale)


def xresnet1d101(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """`xresnet1d` with 3, 4, 23 and 3 blocks; `kernel_scale` (odd) lengthens its kernels.

    >>> sum(p.numel() for p in xresnet1d101(leads=12, classes=71).parameters())
    1880775
    """
    return xresnet1d(leads, classes, (3, 4, 23, 3), kernel=5 * kernel_scale)
