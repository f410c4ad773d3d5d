"""Metrics of multi-label classifiers, their error bars, and tests between them."""

from ecgkit.evaluation.bootstrap import (
    BootstrapResult,
    PairedBootstrapResult,
    bootstrap,
    paired_bootstrap,
    paper_notation,
)
from ecgkit.evaluation.ranking import (
    FmaxResult,
    class_aucs,
    fmax,
    fmax_with_threshold,
    macro_auc,
    micro_auc,
)

__all__ = [
    "BootstrapResult",
    "FmaxResult",
    "PairedBootstrapResult",
    "bootstrap",
    "class_aucs",
    "fmax",
    "fmax_with_threshold",
    "macro_auc",
    "micro_auc",
    "paired_bootstrap",
    "paper_notation",
]
