"""Training on less data: Progressive Data Dropout, ERTS on top of it, and the baselines beside them.

>>> from ecgkit.training import selection
>>> selection.names()[4:]
('dbpd', 'smrd', 'srd', 'erts_dbpd', 'erts_smrd', 'erts_srd', 'control_dbpd', 'control_smrd', 'control_srd')
>>> round(selection.srd_effective_epochs(0.95), 1)
20.9
"""

from ecgkit.training.selection.accounting import (
    Accounting,
    compute_equivalent_epochs,
    effective_epochs,
    srd_effective_epochs,
)
from ecgkit.training.selection.confidence import SampleScores, sample_scores
from ecgkit.training.selection.epoch import Decision
from ecgkit.training.selection.focus import focus_score, scale
from ecgkit.training.selection.loop import SelectedTraining, SelectionConfig, train_with_selection
from ecgkit.training.selection.methods import Scores, Selector, create, names

__all__ = [
    "Accounting",
    "Decision",
    "SampleScores",
    "Scores",
    "SelectedTraining",
    "SelectionConfig",
    "Selector",
    "compute_equivalent_epochs",
    "create",
    "effective_epochs",
    "focus_score",
    "names",
    "sample_scores",
    "scale",
    "srd_effective_epochs",
    "train_with_selection",
]
