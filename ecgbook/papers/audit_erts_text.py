"""The audit of ERTS (Dangeti et al., 2026): its sentences, held against its tables row by row."""

from collections.abc import Mapping

from ecgbook.papers import rules
from ecgbook.papers.audit_erts import BACKBONES, SETS, pairs
from ecgbook.papers.cells import cell, column
from ecgbook.papers.ledger import Ledger
from ecgbook.papers.printed import number

__all__ = ["text_checks"]

_QUOTED = [
    ("section 4.2", "0.6384", "Table 2", "Baseline", "EfficientNetV2-S", "F1"),
    ("section 4.2", "0.6488", "Table 2", "DBPD τ=0.7", "EfficientNetV2-S", "F1"),
    ("section 4.2", "21.8", "Table 2", "DBPD τ=0.7", "EfficientNetV2-S", "EE"),
    ("section 4.2", "18.9", "Table 2", "ERTS-DBPD τ=0.7 φ=0.9", "EfficientNetV2-S", "EE"),
    ("section 4.2", "0.6624", "Table 2", "ERTS-DBPD τ=0.7 φ=0.9", "ResNet-18", "F1"),
    ("section 4.2", "19.3", "Table 2", "ERTS-DBPD τ=0.7 φ=0.9", "ResNet-18", "EE"),
    ("section 4.2", "18.7", "Table 2", "ERTS-DBPD τ=0.7 φ=0.9", "MobileNetV2", "EE"),
    ("section 4.2", "17.8", "Table 2", "ERTS-DBPD τ=0.7 φ=0.5", "EfficientNetV2-S", "EE"),
    ("section 4.2", "0.5915", "Table 2", "ERTS-DBPD τ=0.7 φ=0.5", "EfficientNetV2-S", "F1"),
    ("section 4.2", "0.6028", "Table 2", "ERTS-DBPD τ=0.7 φ=0.5", "ResNet-18", "F1"),
    ("section 4.2", "0.5843", "Table 2", "ERTS-DBPD τ=0.7 φ=0.5", "MobileNetV2", "F1"),
    ("section 4.3", "23.76", "Table 3", "SMRD τ=0.3", "EfficientNetV2-S", "EE"),
    ("section 4.3", "19.43", "Table 3", "ERTS-SMRD τ=0.3 φ=0.7", "EfficientNetV2-S", "EE"),
    ("section 4.3", "19.39", "Table 3", "ERTS-SMRD τ=0.3 φ=0.7", "ResNet-18", "EE"),
    ("section 4.3", "18.82", "Table 3", "ERTS-SMRD τ=0.3 φ=0.7", "MobileNetV2", "EE"),
    ("section 4.3", "0.6861", "Table 3", "ERTS-DBPD τ=0.7 φ=0.9", "EfficientNetV2-S", "F1"),
    ("section 4.3", "0.6554", "Table 3", "ERTS-DBPD τ=0.7 φ=0.9", "MobileNetV2", "F1"),
    ("section 4.4", "38.24", "Table 4", "ERTS-DBPD τ=0.7 φ=0.9", "EfficientNetV2-S", "EE"),
    ("section 4.4", "33.99", "Table 4", "ERTS-DBPD τ=0.7 φ=0.7", "ResNet-18", "EE"),
    ("section 4.4", "32.98", "Table 4", "ERTS-DBPD τ=0.7 φ=0.7", "MobileNetV2", "EE"),
    ("section 4.4", "32.23", "Table 4", "ERTS-SMRD τ=0.7 φ=0.7", "EfficientNetV2-S", "EE"),
    ("section 4.4", "31.27", "Table 4", "ERTS-SMRD τ=0.7 φ=0.7", "MobileNetV2", "EE"),
    ("section 4.4", "0.6286", "Table 4", "ERTS-SMRD τ=0.7 φ=0.7", "MobileNetV2", "F1"),
    ("section 4.5", "0.6752", "Table 3", "ERTS-DBPD τ=0.7 φ=0.5", "EfficientNetV2-S", "F1"),
]


def _versus(tables: tuple[str, ...], what: str, family: str = "") -> dict[str, tuple[str, str]]:
    """(ERTS, plain) of a column, for all pairs of rows in the tables."""
    found = {}
    for table in tables:
        for backbone in BACKBONES:
            there = column("erts", table, backbone, what)
            for plain, row in pairs(table, backbone):
                if row.startswith(f"ERTS-{family}"):
                    found[f"{SETS[table]} {backbone} {row}"] = (there[row], there[plain])
    return found


def _best_of_family(family: str) -> dict[str, str]:
    """Effective epochs of the configuration with the highest F1 of a family, for each table and backbone."""
    found = {}
    for table, name in SETS.items():
        for backbone in BACKBONES:
            f1 = {r: v for r, v in column("erts", table, backbone, "F1").items() if r.startswith(family)}
            row = max(f1, key=lambda r: number(f1[r]).value)
            found[f"{name} {backbone} {row}"] = cell("erts", table, row, backbone, "EE")
    return found


def _row(table: str, row: str, backbone: str, what: str) -> str:
    return cell("erts", table, row, backbone, what)


def _summaries(ledger: Ledger) -> None:
    every = tuple(SETS)
    gains = _versus(every, "F1")
    ledger.apply("consistent", "abstract, section 7: macro F1", rules.each_row, ">", gains)
    ledger.apply("cheaper", "abstract, section 7: EE", rules.each_row, "<", _versus(every, "EE"))
    for table, name in SETS.items():
        accuracy = _versus((table,), "Acc.")
        topic = "accuracy_ptbxl" if table == "Table 2" else "accuracy_others"
        ledger.apply(topic, f"section 4.1, Fig. 3: {name}", rules.each_row, ">", accuracy)
    best = {}
    for table, name in SETS.items():
        for backbone in BACKBONES:
            old, new = (
                cell("erts", "Table 1", f"{name}, {backbone}", g, "F1") for g in ("Best PDD", "Best ERTS")
            )
            best[f"{name} {backbone}"] = (new, old)
            f1 = column("erts", table, backbone, "F1")
            strongest = max((r for r in f1 if not r.startswith("ERTS")), key=lambda r: number(f1[r]).value)
            place = f"Table 1: {name}, {backbone}"
            delta = cell("erts", "Table 1", f"{name}, {backbone}", "", "ΔF1")
            ledger.apply("delta_strongest", place, rules.difference, f1[strongest], new, delta)
            ledger.apply("beats_strongest", place, rules.each_row, ">", {"F1": (new, f1[strongest])})
    ledger.apply("beats_best_pdd", "section 4.1: all nine", rules.each_row, ">", best)
    for family in ("ERTS-DBPD", "ERTS-SMRD"):
        saved: Mapping[str, tuple[str, str]] = {k: (v, "35.000") for k, v in _best_of_family(family).items()}
        ledger.apply("saves_65", f"section 4.1: {family}, more than 65 %", rules.each_row, "<", saved)
    for place, printed, *where in _QUOTED:
        ledger.apply("quoted", f"{place}: {where[0]}", rules.same_number, printed, cell("erts", *where))


def _sections(ledger: Ledger) -> None:
    ptbxl, cpsc, georgia = SETS
    smrd = _versus((ptbxl,), "F1", "SMRD")
    ledger.apply("smrd_gain", "section 4.2: the gain of ERTS-SMRD is smaller", rules.each_row, ">", smrd)
    srd = _versus((cpsc, georgia), "F1", "SRD")
    ledger.apply("srd_gain", "section 4.3: ERTS-SRD generally improves", rules.most_rows, ">", srd)
    for backbone in BACKBONES:
        f1 = column("erts", cpsc, backbone, "F1")
        rows = [f"ERTS-DBPD τ=0.7 φ={phi}" for phi in ("0.5", "0.7", "0.9")]
        place = f"section 4.5: CPSC 2018, {backbone}"
        ledger.apply("phi_improves", place, rules.monotone, [f1[r] for r in rows], rising=True)
        ee = [_row(cpsc, r, backbone, "EE") for r in ("SMRD τ=0.3", "ERTS-SMRD τ=0.3 φ=0.7")]
        ledger.apply("about_18", place, rules.relative_change, *ee, "18%")
        there = [r.rpartition("φ=")[2] for r in column("erts", georgia, backbone, "F1") if r in rows]
        place = f"sections 4.4, 4.5, 5: Georgia 2020, {backbone}"
        ledger.apply("missing_phi", place, rules.all_measured, ["0.5", "0.7", "0.9"], there)
    for gamma, holds in (("0.95", True), ("0.99", True), ("0.98", False)):
        ours, plain = f"ERTS-SRD γ={gamma} φ=0.7", f"SRD γ={gamma}"
        there_f1 = {
            b: (_row(georgia, ours, b, "F1"), _row(georgia, plain, b, "F1"))
            for b in (BACKBONES if holds else BACKBONES[1:])
        }
        place = f"section 4.4: ERTS-SRD γ={gamma}"
        ledger.apply("georgia_srd", place, rules.each_row, ">" if holds else "<", there_f1)
    default = {
        f"{name} {b}": (_row(t, "ERTS-DBPD τ=0.7 φ=0.7", b, "F1"), _row(t, "DBPD τ=0.7", b, "F1"))
        for t, name in SETS.items()
        for b in BACKBONES
    }
    ledger.apply("default_phi", "section 5: φ = 0.7 is a reliable default", rules.each_row, ">", default)


def _figures(ledger: Ledger) -> None:
    place = "section 4.8, Fig. 6"
    ledger.apply("norm_share", place, rules.quotient, "3,490", "6,446", "0.541")
    needed = ["NORM among the filtered", "NORM among the candidates"]
    ledger.apply("norm_base", place, rules.all_measured, needed, needed[:1])
    where = ("Table 2", "ERTS-DBPD τ=0.3 φ=0.7", "EfficientNetV2-S")
    ledger.apply("fig6_total", place, rules.same_number, "6,446", cell("erts", *where, "CAM"))
    whole, kept = (_row("Table 2", r, "EfficientNetV2-S", "Samples") for r in ("Baseline", "DBPD τ=0.3"))
    candidates = sum(number(cell("erts", *where, c)).value for c in ("Samples", "CAM"))
    few = {"removed by confidence, of all": (f"{100 * (1 - candidates / number(whole).value):.1f}", "50.0")}
    ledger.apply("few_removed", place, rules.each_row, "<", few)
    at_most = f"{(number(whole).value - number(kept).value) / 1000:.0f}K"
    ledger.apply(
        "norm_and_mi", "section 4.8, Fig. 7", rules.each_row, "<=", {"NORM and MI": ("925K", at_most)}
    )
    spike, narrow, wide = (
        f"focus of {what}"
        for what in (
            "one spike in 100 positions",
            "attention on 10 of 100 positions",
            "attention on 90 of 100 positions",
        )
    )
    place = "section 3.3, Eqs. (3)-(4)"
    ledger.apply("focus_spike", place, rules.known_answer, spike, ">", wide)
    ledger.apply("focus_width", place, rules.known_answer, narrow, ">", wide)


def text_checks(ledger: Ledger) -> None:
    """Hold the sentences of the text against the tables."""
    for part in (_summaries, _sections, _figures):
        part(ledger)
