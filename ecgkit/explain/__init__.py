"""Explanations: what in a record made a network decide."""

from ecgkit.explain.grad_cam import feature_cam, grad_cam, upsample

__all__ = ["feature_cam", "grad_cam", "upsample"]
