"""The recurrent networks of the PTB-XL benchmark."""

from torch import Tensor, nn

from ecgkit.models.heads import Classifier, RecurrentPool, classification_head

__all__ = ["lstm", "lstm_bidir"]


class _LstmBody(nn.Module):
    """Two LSTM layers along time: (B, leads, T) -> (B, hidden or 2 hidden, T)."""

    def __init__(self, leads: int, hidden: int, bidirectional: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(leads, hidden, num_layers=2, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x.transpose(1, 2))  # (B, T, hidden)
        return states.transpose(1, 2)


def lstm(leads: int, classes: int, bidirectional: bool = False, hidden: int = 256) -> Classifier:
    """Two LSTM layers; mean, maximum and last state go to the head.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        bidirectional: Read the window forwards and backwards.
        hidden: Units per layer and direction.

    Returns:
        A network (B, leads, T) -> (B, classes).

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Appendix I.

    >>> sum(p.numel() for p in lstm(leads=12, classes=71).parameters())
    912199
    """
    features = hidden * (2 if bidirectional else 1)
    body = _LstmBody(leads, hidden, bidirectional)
    return Classifier(body, classification_head(RecurrentPool(bidirectional), 3 * features, classes))


def lstm_bidir(leads: int, classes: int) -> Classifier:
    """`lstm` in both directions.

    >>> sum(p.numel() for p in lstm_bidir(leads=12, classes=71).parameters())
    2339143
    """
    return lstm(leads, classes, bidirectional=True)
