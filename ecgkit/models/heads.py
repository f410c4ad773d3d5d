"""The part after the feature extractor: pooling over time and a small fully connected classifier."""

import torch
from torch import Tensor, nn

__all__ = ["AveragePool", "Classifier", "ConcatPool", "RecurrentPool", "classification_head"]


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

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Appendix I.

    >>> head = classification_head(ConcatPool(), features=256, classes=71)
    >>> sum(p.numel() for p in head.parameters())
    42823
    """
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
    and fine-tuning can exchange the head.
    """

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))
