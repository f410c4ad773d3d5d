"""What a network says of its training records while it learns, epoch by epoch."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecgkit.explain import (
    feature_cam,
    feature_cam_plus,
    gini,
    integrated_gradients,
    map_entropy,
    upsample,
)
from ecgkit.models.heads import Classifier, evaluating
from ecgkit.training import Scaler
from ecgkit.training.data import DeviceData
from ecgkit.training.selection import Decision, focus_score, reliability, scale

__all__ = ["SUSPECT", "TrainingDynamics", "integrated_gradients_focus"]

_QUANTILES = (0.5, 0.8, 0.95, 0.99)
SUSPECT = {
    **reliability.SUSPECT,
    "focus": -1,
    **{f"focus, q = {q}": -1 for q in _QUANTILES},
    "focus, coarse map": -1,
    "focus, labelled class": -1,
    "focus, Grad-CAM++": -1,
    "focus, Integrated Gradients": -1,
    "map entropy": 1,
    "map Gini": -1,
    "chance": 1,
}
"""Scores: 1 where a high value makes a sample suspect, -1 where a low one does. "focus" is that of ERTS."""


@dataclass
class TrainingDynamics:
    """What a network says of each of N training records at the end of every epoch.

    Attributes:
        data: The training records, with the labels that are trained on.
        scaler: The one of the training.
        bf16: Whether the network works in bfloat16.
        logits: One array (N, K) per epoch.
        maps: For each score of an explanation map, one array (N,) per epoch.
        candidates: How often a filter had to judge each record, shape (N,).
        removed: How often it removed it, shape (N,).
        seconds: Wall-clock of all looks.
    """

    data: DeviceData
    scaler: Scaler
    bf16: bool = False
    logits: list[np.ndarray] = field(default_factory=list)
    maps: dict[str, list[np.ndarray]] = field(default_factory=dict)
    candidates: np.ndarray = field(init=False)
    removed: np.ndarray = field(init=False)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.candidates, self.removed = (np.zeros(len(self.data), np.int64) for _ in range(2))

    @torch.no_grad()
    def look(self, model: Classifier, batch_size: int = 128) -> None:
        """Record one epoch: whole records, in evaluation mode. The model is set back."""
        start = time.perf_counter()
        logits: list[Tensor] = []
        maps: dict[str, list[Tensor]] = {}
        with evaluating(model):
            for first in range(0, len(self.data), batch_size):
                x = self.scaler(self.data.signals[first : first + batch_size], self.data.mv_per_unit)
                labels = self.data.labels[first : first + batch_size].argmax(dim=1)
                with torch.autocast(self.data.device.type, torch.bfloat16, enabled=self.bf16):
                    features = model.body(x)
                    logits.append(model.head(features).float())
                for name, values in _map_scores(model, features, labels, x.shape[-1]).items():
                    maps.setdefault(name, []).append(values)
        self.logits.append(torch.cat(logits).cpu().numpy())
        for name, parts in maps.items():
            self.maps.setdefault(name, []).append(torch.cat(parts).float().cpu().numpy())
        self.seconds += time.perf_counter() - start

    def count(self, decision: Decision) -> None:
        """Count what a filter had to judge, and what it removed."""
        rows = decision.rows.cpu().numpy()
        proposed, stays = decision.candidates.cpu().numpy(), decision.kept.cpu().numpy()
        self.candidates[rows[proposed]] += 1
        self.removed[rows[proposed & ~stays]] += 1

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, for a checkpoint."""
        return {
            "logits": [torch.from_numpy(epoch) for epoch in self.logits],
            "maps": {name: [torch.from_numpy(e) for e in epochs] for name, epochs in self.maps.items()},
            "candidates": torch.from_numpy(self.candidates),
            "removed": torch.from_numpy(self.removed),
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Take over what `state_dict` returned."""
        self.logits = [epoch.cpu().numpy() for epoch in state_dict["logits"]]
        self.maps = {name: [e.cpu().numpy() for e in epochs] for name, epochs in state_dict["maps"].items()}
        self.candidates, self.removed = (state_dict[k].cpu().numpy() for k in ("candidates", "removed"))
        self.seconds = state_dict["seconds"]

    def scores(self) -> dict[str, np.ndarray]:
        """All scores by the names in `SUSPECT`, each (N,); those of maps are means over the epochs."""
        truth = self.data.labels.argmax(dim=1).cpu().numpy()
        found = reliability.dynamics(np.stack(self.logits), truth)
        found |= {name: np.stack(epochs).mean(axis=0) for name, epochs in self.maps.items()}
        return found | {"chance": np.random.default_rng(0).random(len(truth))}


def _map_scores(model: Classifier, features: Tensor, labels: Tensor, samples: int) -> dict[str, Tensor]:
    coarse = feature_cam(model.head, features)
    cam = scale(upsample(coarse, samples))
    labelled = scale(upsample(feature_cam(model.head, features, labels), samples))
    plus = scale(upsample(feature_cam_plus(model.head, features), samples))
    return {
        "focus": focus_score(cam),
        **{f"focus, q = {q}": focus_score(cam, q) for q in _QUANTILES},
        "focus, coarse map": focus_score(scale(coarse)),
        "focus, labelled class": focus_score(labelled),
        "focus, Grad-CAM++": focus_score(plus),
        "map entropy": map_entropy(cam),
        "map Gini": gini(cam),
    }


def integrated_gradients_focus(
    model: Classifier, data: DeviceData, scaler: Scaler, rows: np.ndarray, steps: int = 16
) -> np.ndarray:
    """Focus of Integrated Gradients for some records, shape (len(rows),).

    The predicted class is explained; a map is the sum over the leads of the absolute attributions.
    """
    found = [np.zeros(0, np.float32)]
    for part in torch.as_tensor(rows, device=data.device).split(64):
        x = scaler(data.signals[part], data.mv_per_unit)
        attribution = integrated_gradients(model, x, steps=steps)
        found.append(focus_score(scale(attribution.abs().sum(dim=1))).cpu().numpy())
    return np.concatenate(found)
