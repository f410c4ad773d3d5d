"""The papers themselves: their tables as data, the audit of them, and the scoreboard of their claims.

>>> from ecgbook import papers
>>> len(papers.tables())
1143
"""

from ecgbook.papers import rules
from ecgbook.papers.auditing import audit, checks, passed, repeat
from ecgbook.papers.cells import WORKS, tables
from ecgbook.papers.scoreboard import scoreboard

__all__ = ["WORKS", "audit", "checks", "passed", "repeat", "rules", "scoreboard", "tables"]
