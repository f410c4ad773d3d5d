"""What training on less data costs: samples, effective epochs, and epochs of equal computation."""

from dataclasses import dataclass
from numbers import Integral, Real

__all__ = ["Accounting", "compute_equivalent_epochs", "effective_epochs", "srd_effective_epochs"]


@dataclass
class Accounting:
    """Samples by what happened to them. Each sample counts once per epoch in which it did.

    ``offered == dropped + filtered + skipped + backprop`` holds at the end of every epoch.
    """

    offered: int = 0  # came up for selection, or for the revision
    dropped: int = 0  # not chosen by the base method
    filtered: int = 0  # chosen by the base method, removed by the filter on top
    skipped: int = 0  # chosen, but alone: batch normalisation needs two
    backprop: int = 0  # trained on
    scored: int = 0  # forward passes for selection alone; a backward pass for it counts two
    maps: int = 0  # maps of explanations
    updates: int = 0  # steps of the optimiser


def effective_epochs(backprop: int, records: int) -> float:
    """Samples used for back-propagation, in passes over the training set.

    Raises:
        ValueError: If there are no records.

    Source:
        ERTS (Dangeti et al., 2026), Eq. (6).

    >>> effective_epochs(backprop=380, records=100)
    3.8
    """
    if records < 1:
        raise ValueError(f"there are {records} records; at least one is wanted")
    return backprop / records


def compute_equivalent_epochs(backprop: int, scored: int, records: int) -> float:
    """Plain epochs of the same computation, where a backward pass costs two forward passes.

    A plain epoch is a forward (1/3) and a backward pass (2/3) over the training set. A forward pass that only
    selects costs 1/3 as well, which effective epochs leave out. Grad-CAM is not counted: its gradient passes
    through the head alone, so it is cheap, but not free. Its measured time is recorded apart.

    Raises:
        ValueError: If there are no records.

    >>> compute_equivalent_epochs(backprop=100, scored=0, records=100)  # a plain epoch
    1.0
    >>> compute_equivalent_epochs(backprop=20, scored=100, records=100) == (1 + 3 * 0.2) / 3  # DBPD at 20 %
    True
    """
    if records < 1:
        raise ValueError(f"there are {records} records; at least one is wanted")
    return (scored + 3 * backprop) / (3 * records)


def srd_effective_epochs(gamma: float, epochs: int = 100) -> float:
    """Effective epochs of SRD with one epoch of revision, in closed form.

    Epoch e = 0, 1, ... keeps the share gamma^e, the last keeps all.

    Args:
        gamma: Factor between the shares of two epochs, in (0, 1].
        epochs: Number of epochs, the revision included.

    Raises:
        ValueError: If `gamma` or `epochs` is out of range.

    Source:
        Progressive Data Dropout (Shriram et al., 2025), scalar random dropout.

    >>> [round(srd_effective_epochs(gamma), 1) for gamma in (0.95, 0.98, 0.99)]
    [20.9, 44.2, 64.0]
    """
    if not isinstance(gamma, Real) or not 0 < gamma <= 1 or not isinstance(epochs, Integral) or epochs < 1:
        raise ValueError(
            f"gamma is {gamma!r} and epochs {epochs!r}; choose gamma in (0, 1] and a whole number of epochs, "
            "at least 1 epoch"
        )
    if gamma == 1:
        return float(epochs)
    return (1 - gamma ** (epochs - 1)) / (1 - gamma) + 1
