"""Transferability: which pre-trained network will suit a new task, before any fine-tuning.

`SCORES` holds every score by its name, each a `Score` that says what it reads and which way is better::

    best = max(candidates, key=lambda source: SCORES["melep"].goodness(source, target_labels))
"""

from ecgkit.transfer.features import coding_rate, h_score, logme, transrate
from ecgkit.transfer.leep import leep, nce
from ecgkit.transfer.melep import label_weights, melep
from ecgkit.transfer.scores import SCORES, Score

__all__ = [
    "SCORES",
    "Score",
    "coding_rate",
    "h_score",
    "label_weights",
    "leep",
    "logme",
    "melep",
    "nce",
    "transrate",
]
