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
from ecgkit.training.selection.confidence import SampleScores, sample_scores
from ecgkit.training.selection.epoch import Decision
from ecgkit.training.selection.focus import focus_score, scale
from ecgkit.training.selection.loop import SelectedTraining, SelectionConfig, train_with_selection
from ecgkit.training.selection.registry import create, names
from ecgkit.training.selection.reliability import (
    Cartography,
    area_under_margin,
    cartography,
    dynamics,
    el2n,
    forgetting_events,
    sample_loss,
)
from ecgkit.training.selection.selector import Scores, Selector
from ecgkit.training.selection.trust import TRUST, Trust

__all__ = [
    "TRUST",
    "Accounting",
    "Cartography",
    "Decision",
    "SampleScores",
    "Scores",
    "SelectedTraining",
    "SelectionConfig",
    "Selector",
    "Trust",
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
    "sample_scores",
    "scale",
    "srd_effective_epochs",
    "train_with_selection",
]
