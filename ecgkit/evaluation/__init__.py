"""Metrics of classifiers, their error bars, and tests between them."""

from ecgkit.evaluation.bootstrap import (
    BootstrapResult,
    bootstrap,
    paper_notation,
    resample_counts,
)
from ecgkit.evaluation.hierarchy import HiddenGroup, hidden_groups, propagate
from ecgkit.evaluation.metrics import (
    BetaScores,
    accuracy,
    apply_thresholds,
    f1,
    f_beta_g_beta,
    optimal_thresholds,
    precision,
    recall,
)
from ecgkit.evaluation.paired import PairedBootstrapResult, paired_bootstrap, paired_bootstraps
from ecgkit.evaluation.ranking import (
    FmaxResult,
    class_aucs,
    fmax,
    fmax_with_threshold,
    macro_auc,
    micro_auc,
)
from ecgkit.evaluation.regression import mae, r2
from ecgkit.evaluation.significance import (
    MeanInterval,
    SeedComparison,
    compare_seeds,
    detectable_difference,
    holm,
    mean_interval,
)
from ecgkit.evaluation.single_label import single_label_accuracy, single_label_f1
from ecgkit.evaluation.thresholded import accuracy_at_half, macro_precision, micro_precision

__all__ = [
    "BetaScores",
    "BootstrapResult",
    "FmaxResult",
    "HiddenGroup",
    "MeanInterval",
    "PairedBootstrapResult",
    "SeedComparison",
    "accuracy",
    "accuracy_at_half",
    "apply_thresholds",
    "bootstrap",
    "class_aucs",
    "compare_seeds",
    "detectable_difference",
    "f1",
    "f_beta_g_beta",
    "fmax",
    "fmax_with_threshold",
    "hidden_groups",
    "holm",
    "macro_auc",
    "macro_precision",
    "mae",
    "mean_interval",
    "micro_auc",
    "micro_precision",
    "optimal_thresholds",
    "paired_bootstrap",
    "paired_bootstraps",
    "paper_notation",
    "precision",
    "propagate",
    "r2",
    "recall",
    "resample_counts",
    "single_label_accuracy",
    "single_label_f1",
]
