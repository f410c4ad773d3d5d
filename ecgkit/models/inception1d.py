"""InceptionTime with the PTB-XL benchmark's head."""

import torch
from torch import Tensor, nn

from ecgkit.models.heads import Classifier, ConcatPool, classification_head

__all__ = ["inception1d"]

_KERNELS = (39, 19, 9)


def _conv(channels: int, width: int, kernel: int) -> nn.Conv1d:
    return nn.Conv1d(channels, width, kernel, padding=(kernel - 1) // 2, bias=False)


class _InceptionBlock(nn.Module):
    """Convolutions of three lengths and a pooled path side by side: (B, C, T) -> (B, 4 filters, T)."""

    def __init__(self, channels: int, filters: int, bottleneck: int, kernel_scale: int) -> None:
        super().__init__()
        self.bottleneck = _conv(channels, bottleneck, 1)
        self.branches = nn.ModuleList(
            _conv(bottleneck, filters, kernel * kernel_scale) for kernel in _KERNELS
        )
        self.pooled = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), _conv(channels, filters, 1))
        self.norm = nn.Sequential(nn.BatchNorm1d(4 * filters), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bottleneck(x)
        return self.norm(torch.cat([*(branch(narrow) for branch in self.branches), self.pooled(x)], dim=1))


class _InceptionBody(nn.Module):
    """Six inception blocks; a shortcut joins before and after every third."""

    def __init__(
        self, leads: int, kernel_scale: int, filters: int = 32, bottleneck: int = 32, depth: int = 6
    ) -> None:
        super().__init__()
        width = 4 * filters
        self.blocks = nn.ModuleList(
            _InceptionBlock(width if d else leads, filters, bottleneck, kernel_scale) for d in range(depth)
        )
        self.shortcuts = nn.ModuleList(
            nn.Sequential(_conv(width if d else leads, width, 1), nn.BatchNorm1d(width))
            for d in range(depth // 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        start = x
        for d, block in enumerate(self.blocks):
            x = block(x)
            if d % 3 == 2:
                x = torch.relu(x + self.shortcuts[d // 3](start))
                start = x
        return x


def inception1d(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """InceptionTime: kernels of 39, 19 and 9 samples in parallel, six blocks deep.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        kernel_scale: Factor on the length of the kernels, odd: 5 for signals at 500 instead of 100 Hz.

    Returns:
        A network (B, leads, T) -> (B, classes).

    Source:
        Fawaz et al., "InceptionTime" (2020); one network instead of an ensemble, head of the PTB-XL
        benchmark, Appendix I.

    >>> sum(p.numel() for p in inception1d(leads=12, classes=71).parameters())
    516167
    """
    return Classifier(_InceptionBody(leads, kernel_scale), classification_head(ConcatPool(), 256, classes))
