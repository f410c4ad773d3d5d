"""The audit: all rules over all tables, what they found, and what each work passed."""

import ast
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd

from ecgbook.papers import rules
from ecgbook.papers.audit_erts import tables_checks
from ecgbook.papers.audit_erts_text import text_checks
from ecgbook.papers.audit_melep import melep_checks
from ecgbook.papers.audit_ptbxl import ptbxl_checks
from ecgbook.papers.audit_review import review_checks
from ecgbook.papers.audit_thesis import thesis_checks
from ecgbook.papers.cells import WORKS
from ecgbook.papers.ledger import Check, Ledger, Topic

__all__ = ["audit", "checks", "passed", "repeat"]

_PARTS: dict[str, tuple[Callable[[Ledger], None], ...]] = {
    "ptbxl_benchmark": (ptbxl_checks,),
    "light_resnet18": (thesis_checks,),
    "melep": (melep_checks,),
    "erts": (tables_checks, text_checks),
    "erts_review": (review_checks,),
}
_ORDER = ("conclusion", "number", "detail")
_COLUMNS = (
    *("work", "topic", "place", "rule", "printed", "implied", "severity", "reading"),
    *("says", "innocent", "failed", "applied", "cell"),
)


@cache
def _topics() -> dict[str, dict[str, Topic]]:
    said = tomllib.loads((Path(__file__).parent / "topics.toml").read_text(encoding="utf-8"))
    return {work: {key: Topic(**value) for key, value in topics.items()} for work, topics in said.items()}


@cache
def _checks() -> tuple[Check, ...]:
    found: list[Check] = []
    for work, parts in _PARTS.items():
        ledger = Ledger(work, _topics()[work])
        for part in parts:
            part(ledger)
        found += ledger.checks
    return tuple(found)


def checks() -> pd.DataFrame:
    """Every single check of the audit, passed or not.

    Returns:
        Columns ``work``, ``topic``, ``place``, ``rule``, ``ok``, ``printed``, ``implied`` and ``cell``, the
        call that repeats the check.

    >>> one = checks().query("work == 'erts' and topic == 'best_pdd'").iloc[0]
    >>> bool(one["ok"]), one["implied"]
    (False, '0.6548 (SMRD τ=0.7)')
    """
    rows = [
        (c.work, c.topic, c.place, c.rule, c.outcome.ok, c.outcome.printed, c.outcome.implied, c.cell)
        for c in _checks()
    ]
    names = ["work", "topic", "place", "rule", "ok", "printed", "implied", "cell"]
    return pd.DataFrame(rows, columns=names)


def audit(work: str | None = None) -> pd.DataFrame:
    """The findings: one row for each kind of check that fails somewhere, the gravest first.

    A finding states arithmetic. It says nothing about how a number came to be printed; `innocent` lists what
    else would fit.

    Args:
        work: Only this work, a key of `ecgbook.papers.WORKS`.

    Returns:
        Columns ``work``, ``topic``, ``place`` (the first, and how many more), ``rule``, ``printed``,
        ``implied`` (of the first place), ``severity`` ("conclusion": a statement would change; "number": a
        printed number would; "detail"), ``reading`` ("typo", "rounding", "ambiguity" or "contradiction"),
        ``says``, ``innocent``, ``failed`` and ``applied`` (counts of checks), ``cell`` (repeats the first).

    Raises:
        ValueError: If there is no such work.

    >>> findings = audit("melep")
    >>> findings["severity"].iloc[0], len(findings)
    ('conclusion', 7)
    """
    if work is not None and work not in WORKS:
        raise ValueError(f"no work {work!r}; there are {', '.join(WORKS)}")
    frame = checks()
    if work is not None:
        frame = frame[frame["work"] == work]
    rows = []
    for (name, topic), group in frame.groupby(["work", "topic"], sort=False):
        broken = group[~group["ok"].astype(bool)]
        if broken.empty:
            continue
        first, entry = broken.iloc[0], _topics()[str(name)][str(topic)]
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        rows.append(
            (
                name,
                topic,
                first["place"] + more,
                first["rule"],
                first["printed"],
                first["implied"],
                entry.severity,
                entry.reading,
                entry.says,
                entry.innocent,
                len(broken),
                len(group),
                first["cell"],
            )
        )
    findings = pd.DataFrame(rows, columns=_COLUMNS)
    rank = findings["severity"].map({severity: i for i, severity in enumerate(_ORDER)})
    return findings.iloc[rank.argsort(kind="stable")].reset_index(drop=True)


def passed() -> pd.DataFrame:
    """What each work passed: the checks that found nothing, counted by work and rule.

    Returns:
        Columns ``work``, ``rule``, ``passed``, ``applied`` and ``places`` (of those passed).

    >>> rows = passed()
    >>> rows.query("work == 'melep' and rule == 'correlation_p'")[["passed", "applied"]].values.tolist()
    [[10, 10]]
    """
    rows = []
    for (work, rule), group in checks().groupby(["work", "rule"], sort=False):
        good = group[group["ok"].astype(bool)]
        if len(good):
            places = "; ".join(good["place"])
            rows.append((work, rule, len(good), len(group), places))
    return pd.DataFrame(rows, columns=["work", "rule", "passed", "applied", "places"])


def repeat(cell: str) -> rules.Outcome:
    """Run the cell of a check again. The text is parsed, never evaluated: a rule's name and plain values.

    Args:
        cell: The text of a call, as the column ``cell`` of `checks` and `audit` has it.

    Raises:
        ValueError: If the text is anything but one call of a rule with plain values that the rule takes.

    >>> repeat("rules.difference('0.6488', '0.6586', '+0.0098')").ok
    True
    """
    wrong = ValueError(f"{cell!r:.200} is no call of a rule with plain values")
    try:
        call = ast.parse(cell.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            raise wrong
        package, rule = call.func.value, call.func.attr
        if (
            not isinstance(package, ast.Name)
            or package.id != "rules"
            or rule not in set(rules.__all__) - {"Outcome"}
        ):
            raise wrong
        args = [ast.literal_eval(node) for node in call.args]
        options = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
        outcome = getattr(rules, rule)(*args, **options)
    except (SyntaxError, TypeError, KeyError, ValueError, RecursionError, MemoryError) as error:
        raise wrong from error
    if not isinstance(outcome, rules.Outcome):
        raise wrong
    return outcome
