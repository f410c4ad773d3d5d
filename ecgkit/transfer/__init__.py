"""Transferability: which pre-trained network will suit a new task, before any fine-tuning.

`SCORES` holds every score by its name, each with what it reads and which way is better::

    best = max(candidates, key=lambda source: SCORES["melep"].goodness(source, target_labels))

`sample_tasks` draws small target tasks from a large data set, `source_outputs` makes the one forward pass
that the scores need, `new_head` and `fine_tune` do what the scores foretell, and `regret` and `correlation`
judge how well they did.
"""

from ecgkit.transfer.choice import (
    Correlation,
    correlation,
    expected_regret,
    partial_correlation,
    rank_correlation,
    regret,
)
from ecgkit.transfer.finetune import (
    FineTuneConfig,
    FineTuning,
    all_scores,
    fine_tune,
    new_head,
    select,
    source_outputs,
    weighted_f1,
)
from ecgkit.transfer.melep import label_weights, melep
from ecgkit.transfer.networks import bilstm, resnet1d101
from ecgkit.transfer.rivals import h_score, leep, logme, nce, transrate
from ecgkit.transfer.scores import SCORES, TransferScore
from ecgkit.transfer.tasks import (
    TargetTask,
    concat,
    frequent_labels,
    sample_task,
    sample_tasks,
    statement_group,
)

__all__ = [
    "SCORES",
    "Correlation",
    "FineTuneConfig",
    "FineTuning",
    "TargetTask",
    "TransferScore",
    "all_scores",
    "bilstm",
    "concat",
    "correlation",
    "expected_regret",
    "fine_tune",
    "frequent_labels",
    "h_score",
    "label_weights",
    "leep",
    "logme",
    "melep",
    "nce",
    "new_head",
    "partial_correlation",
    "rank_correlation",
    "regret",
    "resnet1d101",
    "sample_task",
    "sample_tasks",
    "select",
    "source_outputs",
    "statement_group",
    "transrate",
    "weighted_f1",
]
