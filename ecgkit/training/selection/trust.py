"""Scores by which a filter may judge a sample that the network does not know: which of them to trust?

ERTS judges by the focus of Grad-CAM. Here stand, beside it, the focus with other maps, other measures of a
map, and the scores that the literature uses to find bad records. A high score speaks for a sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

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
from ecgkit.models.heads import Classifier
from ecgkit.training.selection.focus import focus_score, scale

__all__ = ["TRUST", "History", "Judged", "Trust", "self_influence"]

IG_STEPS = 4  # of Integrated Gradients; each costs a forward and a backward pass


class History(NamedTuple):
    """What the network has said of each sample so far, whenever it was scored; each of shape (n,)."""

    seen: Tensor  # how often
    confidence: Tensor  # sum of the probabilities of the truth
    margin: Tensor  # sum of the margins of the truth
    forgotten: Tensor  # how often it went from right to wrong
    learnt: Tensor  # bool: whether it was right at least once


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
    was_training = head.training
    head.eval()
    try:
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            head(features.float())
    finally:
        hook.remove()
        head.train(was_training)
    return error.square().sum(dim=1) * (inputs[0].square().sum(dim=1) + 1)


def _error(judged: Judged) -> Tensor:
    return judged.probabilities - judged.labels


def _forgetting(judged: Judged) -> Tensor:
    never = judged.history.seen + 1  # more than any sample can be forgotten
    return -torch.where(judged.history.learnt, judged.history.forgotten, never)


TRUST: dict[str, Callable[[Judged, float], Tensor]] = {
    # of the map of the predicted class
    "focus": lambda judged, q: focus_score(_maps(judged), q),
    "focus_grad_cam_plus": lambda judged, q: focus_score(_maps(judged, feature_cam_plus), q),
    "focus_integrated_gradients": lambda judged, q: focus_score(_integrated_gradients(judged), q),
    "map_gini": lambda judged, q: gini(_maps(judged)),
    "map_entropy": lambda judged, q: -map_entropy(_maps(judged)),
    # of the present output
    "el2n": lambda judged, q: -_error(judged).norm(dim=1),
    "self_influence": lambda judged, q: -self_influence(judged.model.head, judged.features, _error(judged)),
    # of all outputs so far
    "mean_confidence": lambda judged, q: judged.history.confidence / judged.history.seen,
    "aum": lambda judged, q: judged.history.margin / judged.history.seen,
    "forgetting": lambda judged, q: _forgetting(judged),
}
"""Name of a score to its function of what is judged and of the focus's quantile, to (n,).

Sources: focus, ERTS (2026); Grad-CAM++, Chattopadhay et al. (2018); Integrated Gradients, Sundararajan et
al. (2017); EL2N, Paul et al. (2021); mean confidence, the cartography of Swayamdipta et al. (2020); AUM,
Pleiss et al. (2020); forgetting, Toneva et al. (2019).
"""


@dataclass(frozen=True)
class Trust:
    """A score by name: called with what is known of n candidates it gives (n,), float32, high for the good.

    Attributes:
        by: A name in `TRUST`.
        q: Quantile of the focus; other scores have none.

    Raises:
        ValueError: If there is no such score, or `q` is not in (0, 1).
    """

    by: str
    q: float = 0.9

    def __post_init__(self) -> None:
        if self.by not in TRUST:
            raise ValueError(f"no score {self.by!r} to trust a sample by; there are {', '.join(TRUST)}")
        if not 0 < self.q < 1:
            raise ValueError(f"q is {self.q}; choose a quantile between 0 and 1")

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
        return TRUST[self.by](judged, self.q).float()
