"""Scores by which a filter may judge a sample that the network does not know: which of them to trust?

ERTS judges by the focus of Grad-CAM. Here stand, beside it, the focus with other maps, other measures of a
map, and the scores that the literature uses to find bad records. A high score speaks for a sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from ecgkit.explain import (
    feature_cam,
    feature_cam_plus,
    gini,
    integrated_gradients,
    map_entropy,
    upsample,
)
from ecgkit.models.heads import Classifier, evaluating
from ecgkit.training.selection.reliability import History, error_length

__all__ = ["SAMPLE_SCORES", "Judged", "SampleScore", "focus_score", "scale", "self_influence"]

IG_STEPS = 4  # of Integrated Gradients; each costs a forward and a backward pass


# The focus score of ERTS --------------------------------------------------------------------------------


def scale(cam: Tensor) -> Tensor:
    """Divide each map, at least 0 everywhere, by its maximum; a map that is zero everywhere stays so.

    ERTS says that a map is "normalised to [0, 1]" and not how. Division by the maximum keeps 0 where there is
    no evidence; a flat map becomes 1 everywhere.

    Raises:
        ValueError: If `cam` is no tensor of real numbers, or has no position.

    >>> scale(torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])).tolist()
    [[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    _check_maps(cam)
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
        ValueError: If `cam` is not 2-D, has no position or values that are NaN or outside [0, 1], or `q` is
            not in (0, 1).

    Source:
        ERTS (Dangeti et al., 2026), Eqs. (3)-(4).

    >>> focus_score(torch.tensor([[0.0, 0.2, 1.0, 0.8]]), q=0.5).tolist()
    [0.8999999761581421]
    >>> focus_score(torch.tensor([[0.5, 0.5], [0.0, 0.0]])).tolist()
    [0.5, 0.0]
    """
    _check_maps(cam)
    if cam.ndim != 2:
        raise ValueError(f"cam has the shape {tuple(cam.shape)}; (B, T) is wanted")
    _check_quantile(q)
    if len(cam) == 0:
        return cam.new_zeros(0)
    if not bool(((cam >= 0) & (cam <= 1)).all()):
        if bool(cam.isnan().any()):
            raise ValueError("cam holds NaN: the network or the signals that it explains do")
        raise ValueError("cam has values outside [0, 1]; scale the maps first")
    salient = cam >= _quantile(cam, q)
    return (cam * salient).sum(dim=1) / salient.sum(dim=1)


def _check_maps(cam: Any) -> None:
    if not isinstance(cam, Tensor) or cam.is_complex() or cam.ndim == 0 or cam.shape[-1] == 0:
        what = tuple(cam.shape) if isinstance(cam, Tensor) else type(cam).__name__
        raise ValueError(
            f"cam is {what}; maps of one position or more, in a tensor of real numbers, are wanted"
        )


def _check_quantile(q: float) -> None:
    if not isinstance(q, Real) or not 0 < q < 1:
        raise ValueError(f"q is {q!r}; choose a quantile between 0 and 1")


def _quantile(cam: Tensor, q: float) -> Tensor:
    """As `torch.quantile`, with linear interpolation, but without sorting what lies below; shape (B, 1)."""
    position = q * (cam.shape[1] - 1)
    below = int(position)
    top = cam.topk(cam.shape[1] - below, dim=1).values  # the last is the value at `below`
    low, high = top[:, -1:], top[:, max(top.shape[1] - 2, 0), None]
    return torch.minimum(low + (position - below) * (high - low), high)


# All scores ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """What a score may look at, of n candidates.

    Attributes:
        model: The network as it stands.
        x: Their windows, shape (n, leads, T).
        labels: 0 and 1, shape (n, K).
        features: Output of the body, shape (n, C, T') or (n, C, H, T').
        probabilities: Shape (n, K).
        history: What was said of them so far, the present scores included.
    """

    model: Classifier
    x: Tensor
    labels: Tensor
    features: Tensor
    probabilities: Tensor
    history: History


def _maps(judged: Judged, cam: Callable[..., Tensor] = feature_cam) -> Tensor:
    return scale(upsample(cam(judged.model.head, judged.features), judged.x.shape[-1]))


def _integrated_gradients(judged: Judged) -> Tensor:
    half = judged.features.dtype == torch.bfloat16  # then the network works in bfloat16 here, too
    with torch.autocast(judged.x.device.type, torch.bfloat16, enabled=half):
        attribution = integrated_gradients(judged.model, judged.x, steps=IG_STEPS)
    return scale(attribution.abs().sum(dim=1).float())


def self_influence(head: nn.Module, features: Tensor, error: Tensor) -> Tensor:
    """How much a step on a sample lowers its own loss: the squared gradient of its loss in the last layer.

    For a linear layer with bias that is |error|^2 (|h|^2 + 1), with h its input.

    Args:
        head: Has at least one `nn.Linear`; the last is taken. It works in evaluation mode and is set back.
        features: What the head sees, n samples.
        error: Probabilities minus labels, shape (n, K).

    Returns:
        Shape (n,), at least 0. A mislabelled sample has a high one.

    Raises:
        ValueError: If the head has no linear layer.

    Source:
        Pruthi et al., "Estimating training data influence by tracing gradient descent" (2020), section 4.1,
        at the present weights and in the last layer alone.
    """
    linear = [module for module in head.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"{type(head).__name__} has no linear layer, whose gradient is wanted")
    inputs: list[Tensor] = []
    hook = linear[-1].register_forward_pre_hook(lambda _, given: inputs.append(given[0].detach()))
    try:
        with evaluating(head), torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            head(features.float())
    finally:
        hook.remove()
    return error.square().sum(dim=1) * (inputs[0].square().sum(dim=1) + 1)


def _influence(judged: Judged) -> Tensor:
    return self_influence(judged.model.head, judged.features, judged.probabilities - judged.labels)


SAMPLE_SCORES: dict[str, Callable[[Judged, float], Tensor]] = {
    # of the map of the predicted class
    "focus": lambda judged, q: focus_score(_maps(judged), q),
    "focus_grad_cam_plus": lambda judged, q: focus_score(_maps(judged, feature_cam_plus), q),
    "focus_integrated_gradients": lambda judged, q: focus_score(_integrated_gradients(judged), q),
    "map_gini": lambda judged, q: gini(_maps(judged)),
    "map_entropy": lambda judged, q: -map_entropy(_maps(judged)),
    # of the present output
    "el2n": lambda judged, q: -error_length(judged.probabilities, judged.labels),
    "self_influence": lambda judged, q: -_influence(judged),
    # of all outputs so far; a sample that was never right is worse than any that was forgotten
    "mean_confidence": lambda judged, q: judged.history.mean_confidence,
    "aum": lambda judged, q: judged.history.area_under_margin,
    "forgetting": lambda judged, q: -judged.history.forgetting_events(judged.history.seen + 1),
}
"""Name of a score to its function of what is judged and of the focus's quantile, to (n,).

Sources: focus, ERTS (2026); Grad-CAM++, Chattopadhay et al. (2018); Integrated Gradients, Sundararajan et
al. (2017); EL2N, Paul et al. (2021); mean confidence, the cartography of Swayamdipta et al. (2020); AUM,
Pleiss et al. (2020); forgetting, Toneva et al. (2019).
"""


@dataclass(frozen=True)
class SampleScore:
    """A score by name: called with what is known of n candidates it gives (n,), float32, high for the good.

    Attributes:
        by: A name in `SAMPLE_SCORES`.
        q: Quantile of the focus; other scores have none.

    Raises:
        ValueError: If there is no such score, or `q` is not in (0, 1).
    """

    by: str
    q: float = 0.9

    def __post_init__(self) -> None:
        if not isinstance(self.by, str) or self.by not in SAMPLE_SCORES:
            raise ValueError(
                f"no score {self.by!r} to trust a sample by; there are {', '.join(SAMPLE_SCORES)}"
            )
        _check_quantile(self.q)

    @property
    def draws_maps(self) -> bool:
        """Whether it looks at a map of the explanation."""
        return self.by.startswith(("focus", "map"))

    @property
    def passes(self) -> int:
        """Forward passes that a sample costs; a backward pass counts two, the head alone none."""
        return 3 * IG_STEPS if self.by == "focus_integrated_gradients" else 0

    def __call__(self, judged: Judged) -> Tensor:
        if not len(judged.x):
            return judged.x.new_zeros(0)
        return SAMPLE_SCORES[self.by](judged, self.q).float()
