"""The focus score of ERTS."""

import torch
from torch import Tensor

__all__ = ["focus_score", "scale"]


def scale(cam: Tensor) -> Tensor:
    """Divide each map, at least 0 everywhere, by its maximum; a map that is zero everywhere stays so.

    ERTS says that a map is "normalised to [0, 1]" and not how. Division by the maximum keeps 0 where there is
    no evidence; a flat map becomes 1 everywhere.

    >>> scale(torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])).tolist()
    [[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    highest = cam.amax(dim=-1, keepdim=True)
    return cam / torch.where(highest > 0, highest, torch.ones_like(highest))


def focus_score(cam: Tensor, q: float = 0.9) -> Tensor:
    """Mean of the most salient part of each explanation map.

    The part is every position at or above the quantile. So a flat map scores its own height, 1 after
    `scale`, and a map with one high position among more than ten scores almost 0: its quantile is 0, and
    every position is at least that. Both follow from the equations as printed.

    Args:
        cam: Maps scaled to [0, 1], shape (B, T); see `scale`.
        q: Quantile above which a position counts as salient; between positions it is interpolated.

    Returns:
        Scores in [0, 1], shape (B,). A map that is zero everywhere scores 0.

    Raises:
        ValueError: If `cam` is not 2-D, has no position or values outside [0, 1], or `q` is not in (0, 1).

    Source:
        ERTS (Dangeti et al., 2026), Eqs. (3)-(4).

    >>> focus_score(torch.tensor([[0.0, 0.2, 1.0, 0.8]]), q=0.5).tolist()
    [0.8999999761581421]
    >>> focus_score(torch.tensor([[0.5, 0.5], [0.0, 0.0]])).tolist()
    [0.5, 0.0]
    """
    if cam.ndim != 2 or cam.shape[1] == 0:
        raise ValueError(f"cam has the shape {tuple(cam.shape)}; (B, T) is wanted")
    if not 0 < q < 1:
        raise ValueError(f"q is {q}; choose a quantile between 0 and 1")
    if len(cam) == 0:
        return cam.new_zeros(0)
    if not bool(((cam >= 0) & (cam <= 1)).all()):
        raise ValueError("cam has values outside [0, 1]; scale the maps first")
    salient = cam >= _quantile(cam, q)
    return (cam * salient).sum(dim=1) / salient.sum(dim=1)


def _quantile(cam: Tensor, q: float) -> Tensor:
    """As `torch.quantile`, with linear interpolation, but without sorting what lies below; shape (B, 1)."""
    position = q * (cam.shape[1] - 1)
    below = int(position)
    top = cam.topk(cam.shape[1] - below, dim=1).values  # the last is the value at `below`
    low, high = top[:, -1:], top[:, max(top.shape[1] - 2, 0), None]
    return torch.minimum(low + (position - below) * (high - low), high)
