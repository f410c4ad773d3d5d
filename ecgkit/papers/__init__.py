"""The papers themselves: their tables as data, the audit of them, and the scoreboard of their claims.

>>> from ecgkit import papers
>>> len(papers.tables())
1143
"""

from ecgkit.papers import rules
from ecgkit.papers.auditing import audit, checks, passed, repeat
from ecgkit.papers.cells import WORKS, tables
from ecgkit.papers.scoreboard import scoreboard

__all__ = ["WORKS", "audit", "checks", "passed", "repeat", "rules", "scoreboard", "tables"]
