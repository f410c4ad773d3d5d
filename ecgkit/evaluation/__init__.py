"""Metrics of multi-label classifiers, their error bars, and tests between them."""

from ecgkit.evaluation.ranking import (
    FmaxResult,
    class_aucs,
    fmax,
    fmax_with_threshold,
    macro_auc,
    micro_auc,
)

__all__ = ["FmaxResult", "class_aucs", "fmax", "fmax_with_threshold", "macro_auc", "micro_auc"]
