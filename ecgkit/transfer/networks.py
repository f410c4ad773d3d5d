"""The two networks of MELEP's experiments. One of them takes records of one length alone, so they stand apart
from `ecgkit.models`, whose networks take any length; `create` knows both kinds.
"""

from typing import Any

from torch import Tensor, nn

from ecgkit import models
from ecgkit.models.heads import AveragePool, Classifier

__all__ = ["bilstm", "create", "resnet1d101"]


class _Bottleneck(nn.Module):
    """relu(1-wide, 3-wide, 1-wide convolutions + shortcut)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.main = nn.Sequential(
            *_conv(channels, width, 1),
            nn.ReLU(),
            *_conv(width, width, 3, stride),
            nn.ReLU(),
            *_conv(width, out, 1),
        )
        same = channels == out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(channels, out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.shortcut(x)).relu()


def _conv(channels: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv1d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm1d(width)]


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
    body: list[nn.Module] = [*_conv(leads, 64, 7, stride=2), nn.ReLU(), nn.MaxPool1d(3, 2, padding=1)]
    channels = 64
    for stage, count in enumerate((3, 4, 23, 3)):
        for block in range(count):
            body.append(_Bottleneck(channels, 64 * 2**stage, stride=2 if stage and not block else 1))
            channels = 256 * 2**stage
    head = nn.Sequential(AveragePool(), nn.Linear(channels, 512), nn.ReLU(), nn.Linear(512, classes))
    return Classifier(nn.Sequential(*body), head)


class _LstmBody(nn.Module):
    """One LSTM layer in both directions: (B, leads, T) -> (B, 2 hidden, T)."""

    def __init__(self, leads: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(leads, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x.transpose(1, 2))[0].transpose(1, 2)


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
    hidden = 100
    head = nn.Sequential(nn.Flatten(), nn.Linear(2 * hidden * samples, classes))
    return Classifier(_LstmBody(leads, hidden), head)


def create(name: str, leads: int, classes: int, **options: Any) -> nn.Module:
    """ "resnet1d101", "bilstm", or whatever `ecgkit.models.create` knows.

    Raises:
        ValueError: As `ecgkit.models.create`.
    """
    own = {"resnet1d101": resnet1d101, "bilstm": bilstm}
    if name in own:
        return own[name](leads, classes, **options)
    return models.create(name, leads, classes, **options)
