"""The blocks that networks are built of: convolutions, residual blocks, squeeze-and-excitation, an LSTM."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from ecgkit.models.heads import AveragePool

__all__ = [
    "LstmBody",
    "Ndim",
    "Residual",
    "SqueezeExcite",
    "StochasticDepth",
    "Sum",
    "conv",
    "conv_bn",
    "he_initial",
]

Ndim = Literal[1, 2]


def conv(
    channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1, ndim: Ndim = 1
) -> nn.Conv1d | nn.Conv2d:
    """A convolution without bias that keeps the length where `kernel` is odd and `stride` is 1.

    Args:
        channels: Channels of its input.
        width: Channels of its output.
        kernel: Length of the kernel, the same along every axis.
        stride: By how much it shortens the axes.
        groups: As many channels each as `channels / groups` are looked at together.
        ndim: 1 along time, 2 for leads by time.
    """
    kind = nn.Conv1d if ndim == 1 else nn.Conv2d
    return kind(channels, width, kernel, stride, padding=(kernel - 1) // 2, groups=groups, bias=False)


def conv_bn(
    channels: int,
    width: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    ndim: Ndim = 1,
    act: nn.Module | None = None,
    eps: float = 1e-5,
) -> list[nn.Module]:
    """`conv`, batch normalisation (whose epsilon is `eps`) and, where given, an activation."""
    norm = (nn.BatchNorm1d if ndim == 1 else nn.BatchNorm2d)(width, eps=eps)
    return [conv(channels, width, kernel, stride, groups, ndim), norm, *([] if act is None else [act])]


def he_initial(layers: Iterable[nn.Module], mode: Literal["fan_in", "fan_out"]) -> None:
    """He's normal initial weights for all convolutions, one after the other."""
    for module in nn.Sequential(*layers).modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode)


class Residual(nn.Module):
    """relu(main(x) + shortcut(x))."""

    def __init__(self, main: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.main = main
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.main(x) + self.shortcut(x))


class Sum(nn.Module):
    """shortcut(x) + branch(x), with no activation behind."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x)


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


class LstmBody(nn.Module):
    """LSTM layers along time: (B, leads, T) -> (B, hidden, T), or (B, 2 hidden, T) in both directions."""

    def __init__(self, leads: int, hidden: int, layers: int, bidirectional: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(leads, hidden, layers, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x.transpose(1, 2))  # (B, T, hidden)
        return states.transpose(1, 2)
