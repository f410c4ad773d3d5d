"""How concentrated an explanation map is, and whether it falls where it should."""

import math

import torch
from torch import Tensor

__all__ = ["gini", "map_entropy", "peak_inside", "share_inside"]


def _checked(cam: Tensor, inside: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Maps and mask in float64, which Apple's GPU lacks: what is there is taken to the processor."""
    for name, values in (("cam", cam), ("the mask", inside)):
        if not isinstance(values, Tensor | None):
            raise ValueError(
                f"{name} is {type(values).__name__}; a tensor is wanted: torch.as_tensor({name})"
            )
    if cam.ndim != 2 or cam.shape[1] < 2 or cam.is_complex():
        raise ValueError(f"cam has the shape {tuple(cam.shape)}; maps (B, T), T > 1, of 0 or more are wanted")
    if not bool(((cam >= 0) & (cam < float("inf"))).all()):
        raise ValueError("cam has negative, infinite or missing (NaN) values; maps of 0 or more are wanted")
    mask = torch.zeros_like(cam, dtype=torch.bool) if inside is None else inside
    if mask.shape != cam.shape or mask.dtype != torch.bool:
        is_ = f"{mask.dtype} of the shape {tuple(mask.shape)}"
        raise ValueError(
            f"the mask is {is_}; True or False for each of {tuple(cam.shape)} positions is wanted"
        )
    if cam.device.type == "mps":
        cam, mask = cam.cpu(), mask.cpu()
    return cam.double(), mask.to(cam.device).double()


def map_entropy(cam: Tensor) -> Tensor:
    """Entropy of each map as a distribution over positions, over that of a flat one.

    Args:
        cam: Maps of 0 or more, shape (B, T); their scale does not matter.

    Returns:
        Shape (B,): 0 for a single position, 1 for a flat map and for one that is zero everywhere.

    Raises:
        ValueError: If `cam` is not 2-D, has fewer than two positions, or a value is negative or not finite.

    >>> map_entropy(torch.tensor([[0.0, 3.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])).tolist()
    [0.0, 0.5]
    """
    values, _ = _checked(cam)
    total = values.sum(dim=1, keepdim=True)
    p = torch.where(total > 0, values / total.clamp_min(1e-300), 1 / values.shape[1])
    # -0.0 + 0.0 is 0.0
    entropy = -torch.xlogy(p, p).sum(dim=1) / math.log(values.shape[1]) + 0.0
    return entropy.float().to(cam.device)


def gini(cam: Tensor) -> Tensor:
    """Gini coefficient of each map: mean absolute difference between positions over twice their mean.

    Args:
        cam: Maps of 0 or more, shape (B, T); their scale does not matter.

    Returns:
        Shape (B,): 0 for a flat map and for one that is zero everywhere, 1 - 1/T for a single position.

    Raises:
        ValueError: As `map_entropy`.

    >>> gini(torch.tensor([[0.0, 3.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])).tolist()
    [0.75, 0.0]
    """
    values = _checked(cam)[0].sort(dim=1).values
    size = values.shape[1]
    rank = torch.arange(1, size + 1, dtype=values.dtype, device=values.device)
    total = values.sum(dim=1)
    weighted = ((2 * rank - size - 1) * values).sum(dim=1)
    return torch.where(total > 0, weighted / (size * total.clamp_min(1e-300)), 0.0).float().to(cam.device)


def share_inside(cam: Tensor, inside: Tensor) -> Tensor:
    """Share of each map's mass that lies inside a mask, shape (B,).

    A map that knows nothing has the share of the positions that lie inside: compare with
    ``inside.float().mean(dim=1)``. A map that is zero everywhere gets just that.

    Args:
        cam: Maps of 0 or more, shape (B, T).
        inside: bool, shape (B, T).

    Raises:
        ValueError: As `map_entropy`, and if `inside` is not bool or of another shape.

    >>> share_inside(torch.tensor([[1.0, 3.0, 0.0, 0.0]]), torch.tensor([[False, True, True, True]])).tolist()
    [0.75]
    """
    values, mask = _checked(cam, inside)
    total = values.sum(dim=1)
    share = (values * mask).sum(dim=1) / total.clamp_min(1e-300)
    return torch.where(total > 0, share, mask.mean(dim=1)).float().to(cam.device)


def peak_inside(cam: Tensor, inside: Tensor) -> Tensor:
    """The pointing game: whether the highest position of each map lies inside a mask, shape (B,).

    Of equal heights each counts by its share, so that a flat map scores what chance would.

    Raises:
        ValueError: As `share_inside`.

    Source:
        Zhang et al., "Top-down neural attention by excitation backprop" (2018), section 4.2.

    >>> peak_inside(torch.tensor([[0.0, 2.0, 2.0, 1.0]]), torch.tensor([[True, True, False, False]])).tolist()
    [0.5]
    """
    values, mask = _checked(cam, inside)
    peak = (values == values.amax(dim=1, keepdim=True)).double()
    return ((peak * mask).sum(dim=1) / peak.sum(dim=1)).float().to(cam.device)
