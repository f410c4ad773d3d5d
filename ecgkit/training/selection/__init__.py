"""Training on less data: Progressive Data Dropout, ERTS on top of it, and the baselines beside them.

>>> from ecgkit.training import selection
>>> selection.names()[6:12]
('dbpd', 'smrd', 'srd', 'erts_dbpd', 'erts_smrd', 'erts_srd')
>>> round(selection.srd_effective_epochs(0.95), 1)
20.9
"""

from ecgkit.training.selection.accounting import (
    Accounting,
    compute_equivalent_epochs,
    effective_epochs,
    srd_effective_epochs,
)
from ecgkit.training.selection.methods import Scores, Selector, create, names
from ecgkit.training.selection.reliability import (
    Cartography,
    SampleStatistics,
    area_under_margin,
    cartography,
    dynamics,
    el2n,
    forgetting_events,
    sample_loss,
    sample_statistics,
)
from ecgkit.training.selection.sample_scores import SAMPLE_SCORES, SampleScore, focus_score, scale
from ecgkit.training.selection.steps import Decision, SelectionConfig
from ecgkit.training.selection.train import SelectedTraining, train_with_selection

__all__ = [
    "SAMPLE_SCORES",
    "Accounting",
    "Cartography",
    "Decision",
    "SampleScore",
    "SampleStatistics",
    "Scores",
    "SelectedTraining",
    "SelectionConfig",
    "Selector",
    "area_under_margin",
    "cartography",
    "compute_equivalent_epochs",
    "create",
    "dynamics",
    "effective_epochs",
    "el2n",
    "focus_score",
    "forgetting_events",
    "names",
    "sample_loss",
    "sample_statistics",
    "scale",
    "srd_effective_epochs",
    "train_with_selection",
]
