"""The book-keeping of an audit: which rule was applied where, and what was found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ecgbook.papers.rules.arithmetic import Outcome

__all__ = ["Check", "Ledger", "Reading", "Severity", "Topic"]

Reading = Literal["typo", "rounding", "ambiguity", "contradiction"]
Severity = Literal["conclusion", "number", "detail"]


@dataclass(frozen=True)
class Topic:
    """What failing checks of one kind have in common.

    Attributes:
        severity: "conclusion" when a sentence of the abstract or the conclusions rests on it, "number" when a
            printed number does, "detail" otherwise.
        reading: What we take it for.
        says: What the arithmetic shows, in a sentence.
        innocent: Explanations that would fit as well and that the text does not rule out.
    """

    severity: Severity
    reading: Reading
    says: str
    innocent: str


@dataclass(frozen=True)
class Check:
    """One application of one rule.

    Attributes:
        work: Short name of the work.
        topic: Key of the kind of check; see `Topic`.
        place: Table and row, or section.
        rule: Name of the rule in `ecgbook.papers.rules`.
        cell: The call that repeats it: ``rules.name(...)`` with the printed numbers.
        outcome: What came out.
    """

    work: str
    topic: str
    place: str
    rule: str
    cell: str
    outcome: Outcome


class Ledger:
    """Collects the checks of one work.

    Args:
        work: Short name of the work.
        topics: What to say of a topic when one of its checks fails. A topic without an entry must not fail.

    >>> from ecgbook.papers import rules
    >>> ledger = Ledger("a paper", {"sum": Topic("number", "typo", "The parts do not add up.", "None.")})
    >>> ledger.apply("sum", "Table 1", rules.adds_up, ["10", "20"], "40")
    >>> ledger.checks[0].cell
    "rules.adds_up(['10', '20'], '40')"
    """

    def __init__(self, work: str, topics: Mapping[str, Topic]) -> None:
        self.work = work
        self.topics = topics
        self.checks: list[Check] = []

    def apply(self, topic: str, place: str, rule: Callable[..., Outcome], *args: Any, **options: Any) -> None:
        """Apply a rule to printed numbers and note what comes out.

        Raises:
            KeyError: If the check fails and its topic has no entry.
        """
        outcome = rule(*args, **options)
        if not outcome.ok and topic not in self.topics:
            raise KeyError(f"{self.work}, {place}: {topic!r} failed ({outcome}) and has no entry")
        words = [repr(a) for a in args] + [f"{k}={v!r}" for k, v in options.items()]
        cell = f"rules.{rule.__name__}({', '.join(words)})"
        self.checks.append(Check(self.work, topic, place, rule.__name__, cell, outcome))
