"""Runs: what one is, grids of them, their records, and tables that say where their numbers come from.

>>> from ecgbook.runs import Run
>>> Run("demo", "synthetic", "synthetic-1", "superdiagnostic", "lstm", "supervised", "quick", seed=0).hash
'3dab67c37087dc28'
"""

from ecgbook.page.tables import Table, paper_vs_ours, provenance
from ecgbook.runs.grids import read_sweep
from ecgbook.runs.run import Run

__all__ = ["Run", "Table", "paper_vs_ours", "provenance", "read_sweep"]
