"""What all networks share: a body that finds features, a head that classifies them, and what they refuse."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral

import torch
from torch import Tensor, fx, nn

__all__ = [
    "AveragePool",
    "Classifier",
    "ConcatPool",
    "LeadImage",
    "RecurrentPool",
    "check_signals",
    "check_sizes",
    "classification_head",
    "evaluating",
]


def check_sizes(most: int = 2**16, /, **sizes: object) -> None:
    """Refuse what is no size of a network, before any memory is taken.

    Raises:
        ValueError: If one of them is not a whole number from 1 to `most`. True is none.

    >>> check_sizes(leads=12, classes=0)
    Traceback (most recent call last):
    ValueError: classes is 0; give a whole number from 1 to 65536
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, Integral) or not 1 <= int(size) <= most:
            raise ValueError(f"{name} is {size!r}; give a whole number from 1 to {most}")


def check_signals(network: nn.Module, x: Tensor) -> None:
    """Refuse signals that the first layer of a network cannot take, with the reason.

    Args:
        network: Its first layer says what is wanted if that is a convolution, an LSTM or a `LeadImage`.
        x: Signals (B, leads, T) or, for a network on images, (B, 3, H, W).

    Raises:
        ValueError: If `x` is no tensor of floating-point numbers, is on another device or of another
            precision than the network, or has the wrong number of axes, leads or samples.
    """
    if isinstance(x, fx.Proxy):  # a symbol while torch.fx looks at the network
        return
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"signals are a tensor of standardised floating-point numbers, and not {kind}")
    shape = tuple(x.shape)
    first = next((layer for layer in network.modules() if not any(layer.children())), None)
    if isinstance(first, nn.Conv1d | nn.LSTM):
        leads = first.in_channels if isinstance(first, nn.Conv1d) else first.input_size
        if x.ndim != 3 or shape[1] != leads:
            raise ValueError(f"signals have the shape {shape}; the network wants (B, {leads}, T)")
    elif isinstance(first, LeadImage) and (x.ndim not in (3, 4) or (x.ndim == 4 and shape[1] != 3)):
        raise ValueError(f"signals have the shape {shape}; (B, leads, T) or (B, 3, H, W) is wanted")
    least = 1
    if isinstance(first, nn.Conv1d) and not isinstance(first.padding, str):
        least = max(1, first.dilation[0] * (first.kernel_size[0] - 1) + 1 - 2 * first.padding[0])
    if x.ndim > 2 and (shape[-1] < least or 0 in shape[1:]):
        raise ValueError(f"signals have the shape {shape}; the network wants {least} samples or more")
    weight = next(network.parameters(), None)
    if weight is None:
        return
    if weight.device != x.device:
        raise ValueError(f"signals are on {x.device} and the network is on {weight.device}; move one of them")
    if weight.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(f"signals are {x.dtype} and the network is {weight.dtype}; convert one of them")


class LeadImage(nn.Module):
    """A record as an image with three equal channels: (B, leads, T) -> (B, 3, leads, T); images stay."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.ndim == 4 else x.unsqueeze(1).expand(-1, 3, -1, -1)


class AveragePool(nn.Module):
    """Global average over all positions: (B, C, T) or (B, C, H, W) -> (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(dim=-1)


class ConcatPool(nn.Module):
    """Global average and global maximum over time, side by side: (B, C, T) -> (B, 2 C)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(dim=-1), x.amax(dim=-1)], dim=1)


class RecurrentPool(nn.Module):
    """Mean, maximum and last state over time, side by side: (B, C, T) -> (B, 3 C).

    Args:
        bidirectional: The second half of the channels runs backwards in time, so its last state stands at
            the first time step.
    """

    def __init__(self, bidirectional: bool = False) -> None:
        super().__init__()
        self.bidirectional = bidirectional

    def forward(self, x: Tensor) -> Tensor:
        last = x[:, :, -1]
        if self.bidirectional:
            half = x.shape[1] // 2
            last = torch.cat([x[:, :half, -1], x[:, half:, 0]], dim=1)
        return torch.cat([x.mean(dim=-1), x.amax(dim=-1), last], dim=1)


def classification_head(pool: nn.Module, features: int, classes: int, hidden: int = 128) -> nn.Sequential:
    """Pooling, then two linear layers with batch normalisation and dropout: (B, C, T) -> (B, classes).

    Args:
        pool: Reduces time, (B, C, T) -> (B, features).
        features: Number of values that `pool` returns per record.
        classes: Number of logits.
        hidden: Width of the layer between.

    Raises:
        ValueError: If a size is not a whole number of 1 or more.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Appendix I.

    >>> head = classification_head(ConcatPool(), features=256, classes=71)
    >>> sum(p.numel() for p in head.parameters())
    42823
    """
    check_sizes(features=features, classes=classes, hidden=hidden)
    return nn.Sequential(
        pool,
        nn.BatchNorm1d(features),
        nn.Dropout(0.25),
        nn.Linear(features, hidden),
        nn.ReLU(),
        nn.BatchNorm1d(hidden),
        nn.Dropout(0.5),
        nn.Linear(hidden, classes),
    )


class Classifier(nn.Module):
    """A feature extractor `body` (B, leads, T) -> (B, C, T') followed by a `head` (B, C, T') -> (B, classes).

    Every network of the package has these two parts, so that explanations can look at the last feature map
    and fine-tuning can exchange the head. Signals that do not fit raise a ValueError that says why.
    """

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        return self.head(self.body(x))

    def _check(self, x: Tensor) -> None:
        if not torch.compiler.is_compiling() and not torch.jit.is_tracing():
            check_signals(self.body, x)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside. Then, also after an error, each part is in its own mode again.

    Parts are remembered one by one, for some may be frozen, in evaluation mode, within a training.

    >>> network = nn.Sequential(nn.BatchNorm1d(2).eval(), nn.Dropout())
    >>> with evaluating(network):
    ...     print([part.training for part in network])
    [False, False]
    >>> [part.training for part in network]
    [False, True]
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
