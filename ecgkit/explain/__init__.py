"""Explanations: what in a record made a network decide."""

from ecgkit.explain.attribution import fold_batch_norm, integrated_gradients, lrp
from ecgkit.explain.cam import feature_cam, feature_cam_plus, grad_cam, upsample
from ecgkit.explain.concentration import gini, map_entropy, peak_inside, share_inside

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
