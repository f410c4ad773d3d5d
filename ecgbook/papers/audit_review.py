"""The audit of the published review of ERTS: its figures, and its reading of the tables."""

from ecgbook.papers import rules
from ecgbook.papers.audit_erts import BACKBONES, SETS
from ecgbook.papers.cells import cell, column
from ecgbook.papers.ledger import Ledger

__all__ = ["review_checks"]


def review_checks(ledger: Ledger) -> None:
    """Apply the rules to the review's own figures and to what it says of the tables."""
    ledger.apply("matches", "head: 7 wins, 16 losses", rules.adds_up, ["7", "16"], "23")
    ledger.apply("win_rate", "head: 30 %", rules.quotient, "7", "23", "0.30")
    ledger.apply("rating", "section 6: 4.5 of 10", rules.between, "4.5", ["4.5", "4", "5", "6"])
    ledger.apply("pairs", "section 2: 9 pairs", rules.same_number, "9", str(len(BACKBONES) * len(SETS)))
    ledger.apply("example", "section 2: 0.7166 to 0.7188", rules.difference, "0.7166", "0.7188", "+0.0022")
    for printed, group in (("0.7166", "Best PDD"), ("0.7188", "Best ERTS")):
        there = cell("erts", "Table 1", "CPSC 2018, EfficientNetV2-S", group, "F1")
        ledger.apply("quoted", f"section 2: {group}", rules.same_number, printed, there)
    for name in SETS.values():
        for backbone in BACKBONES:
            delta = cell("erts", "Table 1", f"{name}, {backbone}", "", "ΔF1")
            place = f"section 2: typically 0.002-0.01, {name}, {backbone}"
            ledger.apply("typical_gain", place, rules.between, delta, ["0.002", "0.01"])
    for table, name in SETS.items():
        kept = column("erts", table, "EfficientNetV2-S", "Samples")
        rows = [kept[r] for r in kept if r.startswith("ERTS-DBPD τ=0.7")]
        place = f"section 2: φ = 0.5 is too aggressive, {name}"
        ledger.apply("aggressive", place, rules.monotone, rows, rising=False)
    ledger.apply(
        "top_tenth",
        "section 2: the mean of the top 10 %",
        rules.known_answer,
        "share of positions averaged, attention on 90 of 100",
        "=",
        "a tenth of the positions",
    )
    needed = ["NORM among the filtered", "NORM among the candidates"]
    ledger.apply("norm", "section 6: preferentially removes NORM", rules.all_measured, needed, needed[:1])
