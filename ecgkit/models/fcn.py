"""The fully convolutional network of Wang et al. (2017) as the PTB-XL benchmark uses it."""

from torch import nn

from ecgkit.models.heads import Classifier, ConcatPool, classification_head

__all__ = ["fcn_wang"]


def fcn_wang(leads: int, classes: int, kernel_scale: int = 1) -> Classifier:
    """Three convolutions over the whole window, with no pooling between them.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        kernel_scale: Factor on the length of the kernels, odd: 5 for signals at 500 instead of 100 Hz.

    Returns:
        A network (B, leads, T) -> (B, classes); T of at least 2 samples (more with longer kernels).

    Source:
        Wang, Yan and Oates, "Time series classification from scratch with deep neural networks" (2017);
        head of the PTB-XL benchmark, Appendix I.

    >>> sum(p.numel() for p in fcn_wang(leads=12, classes=71).parameters())
    318279
    """
    layers: list[nn.Module] = []
    channels = leads
    for width, kernel in ((128, 8), (256, 5), (128, 3)):
        kernel *= kernel_scale
        layers += [
            nn.Conv1d(channels, width, kernel, padding=(kernel - 1) // 2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        ]
        channels = width
    return Classifier(nn.Sequential(*layers), classification_head(ConcatPool(), 2 * channels, classes))
