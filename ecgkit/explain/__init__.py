"""Explanations: what in a record made a network decide."""

from ecgkit.explain.concentration import gini, map_entropy, peak_inside, share_inside
from ecgkit.explain.grad_cam import feature_cam, grad_cam, upsample
from ecgkit.explain.grad_cam_plus import feature_cam_plus
from ecgkit.explain.integrated_gradients import integrated_gradients
from ecgkit.explain.lrp import fold_batch_norm, lrp

__all__ = [
    "feature_cam",
    "feature_cam_plus",
    "fold_batch_norm",
    "gini",
    "grad_cam",
    "integrated_gradients",
    "lrp",
    "map_entropy",
    "peak_inside",
    "share_inside",
    "upsample",
]
