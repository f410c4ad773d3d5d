"""Runs: what one is, grids of them, their records, and tables that say where their numbers come from.

>>> from ecgkit.experiments import Run
>>> Run("demo", "synthetic", "synthetic-1", "superdiagnostic", "lstm", "supervised", "quick", seed=0).hash
'3dab67c37087dc28'
"""

from ecgkit.experiments.grids import read_sweep
from ecgkit.experiments.run import Run
from ecgkit.experiments.tables import Table, paper_vs_ours, provenance

__all__ = ["Run", "Table", "paper_vs_ours", "provenance", "read_sweep"]
