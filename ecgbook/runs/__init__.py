"""Runs: what one is, grids of them, doing them, their records.

>>> from ecgbook.runs import Run
>>> Run("demo", "synthetic", "synthetic-1", "superdiagnostic", "lstm", "supervised", "quick", seed=0).hash
'3dab67c37087dc28'
"""

from ecgbook.runs.grids import read_sweep
from ecgbook.runs.run import Run

__all__ = ["Run", "read_sweep"]
