"""The audit of MELEP (Nguyen et al., 2024)."""

from ecgbook.papers import rules
from ecgbook.papers.cells import cell, tables
from ecgbook.papers.ledger import Ledger

__all__ = ["melep_checks"]

FOLDS = 100
"""Target folds behind each correlation, section 3.1."""

_MODELS = ("ResNet1d101", "Bi-LSTM")
_LABELS = {
    "CPSC2018": "NORM, AF, I-AVB, LBBB, RBBB, PAC, PVC, STD, STE",
    "Georgia": "NORM, AF, I-AVB, PAC, SB, LAD, STach, TAb, TInv, LQT",
    "CSN": "SB, NORM, STach, TAb, TInv, AF, STD, LAD, PAC, I-AVB, PVC, AFL, LVH, STC, SA, LQRSV, PR, NSTTA, "
    "CRBBB, QAb",
}


def _correlations(what: str) -> dict[str, dict[str, str]]:
    """Printed values of Table 2 by network, then by "source to target"."""
    frame = tables("melep", "Table 2")
    frame = frame[frame["column"] == what]
    return {
        str(m): dict(zip(p["row"], p["printed"], strict=True)) for m, p in frame.groupby("group", sort=False)
    }


def _table_2(ledger: Ledger) -> None:
    r, p = _correlations("r"), _correlations("p-value")
    for model in _MODELS:
        for row, value in r[model].items():
            place = f"Table 2: {model}, {row}"
            ledger.apply("p_values", place, rules.correlation_p, value, FOLDS, p[model][row])
    every = {f"{m}, {row}": v for m in _MODELS for row, v in r[m].items()}
    rows = {k: (v, "-0.6000") for k, v in every.items()}
    ledger.apply("most_06", "abstract: above 0.6 in most cases", rules.most_rows, "<", rows)
    csn = {k: v for k, v in every.items() if k.endswith("CSN")}
    below = {k: (v, "-0.6000") for k, v in csn.items()}
    ledger.apply("csn_06", "section 3.1: all below -0.6 on CSN", rules.each_row, "<", below)
    ledger.apply("above_06", "section 3.1: Table 2, CSN", rules.correlation_beyond, "0.6", csn, FOLDS)
    five = {k: v for k, v in every.items() if k.endswith("PTB-XL") and abs(float(v)) > 0.5}
    ledger.apply("above_06", "section 3.3: Table 2, PTB-XL", rules.correlation_beyond, "0.5", five, FOLDS)
    ptbxl = {k: (v, "-0.5000") for k, v in every.items() if k.endswith("PTB-XL")}
    ledger.apply("most_05", "section 3.3: most below -0.5 on PTB-XL", rules.most_rows, "<", ptbxl)
    weaker = {
        f"{m}, {s}": (r[m][f"{s} to PTB-XL"], r[m][f"{s} to CSN"])
        for m in _MODELS
        for s in ("CPSC2018", "Georgia")
    }
    ledger.apply("weaker", "section 3.3: weaker than on CSN", rules.each_row, ">", weaker)
    stronger = {row: (r["Bi-LSTM"][row], r["ResNet1d101"][row]) for row in r["Bi-LSTM"]}
    ledger.apply("stronger", "sections 3.2, 4: Bi-LSTM better than ResNet", rules.each_row, "<", stronger)
    ledger.apply(
        "label_sets", "section 3.3: 2 to 5 of 5 labels", rules.enough_label_sets, 5, [2, 3, 4, 5], FOLDS
    )
    ledger.apply(
        "label_sets_csn",
        "section 3.1: 2 to 10 of 20 labels",
        rules.enough_label_sets,
        20,
        list(range(2, 11)),
        FOLDS,
    )


def _data(ledger: Ledger) -> None:
    """Tables 1 and 3, and the counts in the text."""
    quoted = [
        ("CPSC2018", "Number of records", "6,877"),
        ("PTB-XL", "Number of records", "21,837"),
        ("Georgia", "Number of records", "10,344"),
        ("CSN", "Number of records", "45,152"),
        ("PTB-XL", "Number of labels", "44"),
        ("CPSC2018", "Number of labels", "9"),
        ("CSN", "Number of labels", "94"),
    ]
    for row, what, value in quoted:
        there = cell("melep", "Table 1", row, "", what)
        ledger.apply("quoted", f"section 2.2: {row}, {what.lower()}", rules.same_number, value, there)
    there = cell("melep", "Table 1", "Georgia", "", "Number of labels")
    ledger.apply("georgia_labels", "section 2.2: Georgia, 67 labels", rules.same_number, "67", there)
    there = cell("melep", "Table 1", "Georgia", "", "Number of records")
    ledger.apply(
        "georgia_records", "section 2.2: Georgia, 52 out of 10,334", rules.same_number, "10,334", there
    )
    for group, measured in (("first", "100"), ("second", "500")):
        there = cell("melep", "Table 1", "PTB-XL", group, "Sampling rate (Hz)")
        ledger.apply("ptbxl_rate", f"Table 1: PTB-XL, {group} rate", rules.same_number, there, measured)
    for name, stated in (("CPSC2018", "9"), ("Georgia", "10"), ("CSN", "20")):
        listed = str(len(_LABELS[name].split(", ")))
        ledger.apply("listed_labels", f"section 2.2: {name}", rules.same_number, stated, listed)
    ledger.apply("seven_to_three", "section 3.1: 700 and 300", rules.adds_up, ["700", "300"], "1000")
    ledger.apply("candidates", "section 3.4: eight checkpoints", rules.same_number, "8", str(2 * 4))
    f1 = {
        (m, s): cell("melep", "Table 3", s, m, "Average F1")
        for m in _MODELS
        for s in ("PTB-XL", "CPSC2018", "Georgia", "CSN")
    }
    rows = {s: (f1["ResNet1d101", s], f1["Bi-LSTM", s]) for s in ("PTB-XL", "CPSC2018", "Georgia", "CSN")}
    ledger.apply("resnet_better", "section 4: on all source tasks", rules.each_row, ">", rows)
    source = [
        s for s in ("PTB-XL", "CPSC2018", "Georgia", "CSN") if f"{s} to CSN" in _correlations("r")["Bi-LSTM"]
    ]
    ledger.apply("sources", "section 2.2: three sources for CSN", rules.same_number, "3", str(len(source)))


def _measure(ledger: Ledger) -> None:
    """MELEP and the average F1 on cases with a known answer."""
    knows, half, sure = (
        "MELEP of a source that knows the label",
        "MELEP of a source that says 0.5 for all",
        "MELEP of a source that says 0.01 for all",
    )
    ledger.apply("knows", "section 2.1: smaller is better", rules.known_answer, knows, "<", half)
    ledger.apply("half", "section 4: probabilities near 0.5 raise it", rules.known_answer, sure, "<", half)
    few, many = (f"MELEP of no knowledge, {n} of 100 positive" for n in (5, 50))
    ledger.apply("prevalence", "section 3.1: across target tasks", rules.known_answer, few, "=", many)


def melep_checks(ledger: Ledger) -> None:
    """Apply the rules to Tables 1-3, to the text and to the measure itself."""
    for part in (_table_2, _data, _measure):
        part(ledger)
