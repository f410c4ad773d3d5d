"""The two networks of MELEP's experiments. One of them takes records of one length alone, so they stand apart
from `ecgkit.models`, whose networks take any length; `create` knows both kinds.
"""

from typing import Any

from torch import nn

from ecgkit import models
from ecgkit.models.blocks import LstmBody, Residual, conv_bn, he_initial
from ecgkit.models.heads import AveragePool, Classifier, check_sizes

__all__ = ["bilstm", "create", "resnet1d101"]


def _conv(channels: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    layers = conv_bn(channels, width, kernel, stride)
    he_initial(layers, "fan_out")
    return layers


def _bottleneck(channels: int, width: int, stride: int) -> Residual:
    """relu(1-wide, 3-wide, 1-wide convolutions + shortcut)."""
    out = 4 * width
    wide = _conv(channels, width, 1), _conv(width, width, 3, stride), _conv(width, out, 1)
    main = nn.Sequential(*wide[0], nn.ReLU(), *wide[1], nn.ReLU(), *wide[2])
    same = channels == out and stride == 1
    return Residual(main, None if same else nn.Sequential(*_conv(channels, out, 1, stride)))


def resnet1d101(leads: int, classes: int) -> Classifier:
    """ResNet-101 along time: stem kernel 7, 3 + 4 + 23 + 3 bottlenecks, a 512-unit layer before the logits.

    Args:
        leads: Number of input leads.
        classes: Number of logits.

    Returns:
        A network (B, leads, T) -> (B, classes).

    Source:
        MELEP (Nguyen et al., 2024), Fig. 1 and the authors' code (cuongvng/melep-ecg) for its sizes.
    """
    check_sizes(leads=leads, classes=classes)
    body: list[nn.Module] = [*_conv(leads, 64, 7, stride=2), nn.ReLU(), nn.MaxPool1d(3, 2, padding=1)]
    channels = 64
    for stage, count in enumerate((3, 4, 23, 3)):
        for block in range(count):
            body.append(_bottleneck(channels, 64 * 2**stage, stride=2 if stage and not block else 1))
            channels = 256 * 2**stage
    head = nn.Sequential(AveragePool(), nn.Linear(channels, 512), nn.ReLU(), nn.Linear(512, classes))
    return Classifier(nn.Sequential(*body), head)


def bilstm(leads: int, classes: int, samples: int = 1000) -> Classifier:
    """One bidirectional LSTM layer of 100 units; its whole sequence, flattened, goes into one linear layer.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        samples: Length of the records, the only one that the network takes.

    Returns:
        A network (B, leads, samples) -> (B, classes).

    Source:
        MELEP (Nguyen et al., 2024), Fig. 2 and the authors' code for its sizes.

    >>> sum(p.numel() for p in bilstm(leads=12, classes=5).head.parameters())
    1000005
    """
    check_sizes(leads=leads, classes=classes, samples=samples)
    hidden = 100
    head = nn.Sequential(nn.Flatten(), nn.Linear(2 * hidden * samples, classes))
    return Classifier(LstmBody(leads, hidden, 1, bidirectional=True), head)


def create(name: str, leads: int, classes: int, **options: Any) -> nn.Module:
    """ "resnet1d101", "bilstm", or whatever `ecgkit.models.create` knows.

    Raises:
        ValueError: As `ecgkit.models.create`.
    """
    own = {"resnet1d101": resnet1d101, "bilstm": bilstm}
    if name in tuple(own):
        return models.build(own, name, leads, classes, **options)
    return models.create(name, leads, classes, **options)
