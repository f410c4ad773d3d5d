"""The audit of the lightweight ResNet-18 (Ahmed, 2025)."""

from dataclasses import asdict
from functools import cache
from typing import Any

from ecgbook.papers import rules
from ecgbook.papers.cells import tables
from ecgbook.papers.ledger import Ledger

__all__ = ["changes", "thesis_checks"]

_QUARTER = (16, 32, 64, 128)


@cache
def changes() -> dict[str, dict[str, Any]]:
    """What each experiment but E1 changes in the network, for `rules.size_change`.

    >>> changes()["E6"]
    {'bn2': False, 'conv2': False}
    """
    from ecgkit.models.light_resnet18 import DESIGNS

    base = asdict(DESIGNS["E1"])
    return {
        name: {key: value for key, value in asdict(design).items() if value != base[key]}
        for name, design in DESIGNS.items()
        if name != "E1"
    }


_SIZE, _REDUCTION = "Model Size (MB)", "Size Reduction (%)"
_MEASURES = ("Micro AUROC", "Macro AUROC", "Micro Precision", "Macro Precision")


def _columns() -> dict[str, dict[str, str]]:
    frame = tables("light_resnet18", "Table 4.1")
    names = frame["column"].unique()
    return {
        name: dict(zip(part["row"], part["printed"], strict=True))
        for name in names
        if len(part := frame[frame["column"] == name])
    }


def _sizes(ledger: Ledger, columns: dict[str, dict[str, str]]) -> None:
    size, reduction = columns[_SIZE], columns[_REDUCTION]
    for name in size:
        percent = reduction[name] + "%"
        ledger.apply(
            "reduction", f"Table 4.1: {name}", rules.relative_change, size["E1"], size[name], percent
        )
    ledger.apply("baseline_size", "Table 4.1: E1", rules.saved_size, size["E1"])
    for name, changed in changes().items():
        topic = "metadata_size" if name == "E14" else "size_change"
        ledger.apply(topic, f"Table 4.1: {name}", rules.size_change, size["E1"], size[name], **changed)
    for name in _MEASURES:
        ledger.apply("measure_digits", f"Table 4.1: {name}", rules.last_digits, list(columns[name].values()))
    kept = (48, 96, 192, 384)  # "reduce by 1/4" read as it stands: three quarters are left
    ledger.apply("by_a_quarter", "Table 4.1: E17, by 1/4", rules.saved_size, size["E17"], widths=kept)
    ledger.apply("to_a_quarter", "section 4.3.4: E17, to 1/4", rules.saved_size, size["E17"], widths=_QUARTER)
    ledger.apply(
        "under_1", "section 4.3.6: E18", rules.each_row, "<", {"E18 of E1, %": (_ratio(size), "1.00")}
    )
    times = f"{float(size['E1']) / float(size['E18']):.1f}"
    ledger.apply(
        "times_142",
        "sections 5.1, 5.4: more extreme than 142",
        rules.each_row,
        ">",
        {"E1 / E18": (times, "142.0")},
    )
    ledger.apply("kernel_3x3", "sections 3.6.3, 4.3.3: 3x3 with a kernel of 7", rules.same_number, "3", "7")
    small = {n: (reduction[n], "0.3") for n in ("E3", "E4")}
    ledger.apply("bn_small", "section 4.2: less than 0.3 %", rules.each_row, "<", small)


def _ratio(size: dict[str, str]) -> str:
    return f"{100 * float(size['E18']) / float(size['E1']):.2f}"


def _claims(ledger: Ledger, columns: dict[str, dict[str, str]]) -> None:
    """Sentences about the measures."""
    auroc, precision = columns["Micro AUROC"], columns["Micro Precision"]
    macro = columns["Macro AUROC"]
    smaller = [n for n in auroc if n not in ("E1", "E10")]
    for topic, there in (("most_auroc", auroc), ("most_precision", precision)):
        rows = {n: (there[n], there["E1"]) for n in smaller}
        place = f"abstract: most of the smaller models, micro {topic[5:]}"
        ledger.apply(topic, place, rules.most_rows, ">", rows)
    for name in ("E12", "E17"):
        both = {"AUROC": (auroc[name], auroc["E1"]), "precision": (precision[name], precision["E1"])}
        ledger.apply("outperform", f"section 5.2: {name}", rules.each_row, ">", both)
        rows = {name: (macro[name], macro["E1"])}
        ledger.apply(
            "macro_behaviour", f"section 4.1: {name}, improved macro AUROC", rules.each_row, ">", rows
        )
    kept = {n: (auroc[n], auroc["E1"]) for n in ("E12", "E16", "E17")}
    ledger.apply("maintained", "section 4.1: micro AUROC", rules.each_row, ">=", kept)
    better = {n: (precision[n], precision["E1"]) for n in ("E12", "E15", "E16", "E17")}
    ledger.apply("better_precision", "section 4.1", rules.each_row, ">", better)
    rows = {m: (columns[m]["E8"], columns[m]["E1"]) for m in _MEASURES}
    ledger.apply("e8_improves", "section 4.3.1: E8", rules.each_row, ">=", rows)
    rows = {m: (columns[m]["E9"], columns[m]["E1"]) for m in _MEASURES}
    ledger.apply("e9_as_good", "section 4.3.1: E9, as effective or preferable", rules.each_row, ">=", rows)
    for name in ("Micro Precision", "Macro Precision"):
        topic = "e11_micro" if name.startswith("Micro") else "e11_macro"
        there = columns[name]
        place = f"section 4.3.2: E11, {name} unchanged"
        ledger.apply(topic, place, rules.same_number, there["E11"], there["E1"])
    change = f"{float(precision['E18']) / float(precision['E1']):.3f}"
    within = {"micro precision kept": (change, "0.900")}
    ledger.apply(
        "e18_precision", "abstract: E18, read as less than a tenth lost", rules.each_row, ">", within
    )
    order = [precision[n] for n in ("E5", "E6", "E7")]
    ledger.apply("e5_to_e7", "section 4.2: E5, E6, E7", rules.monotone, order, rising=True)
    ledger.apply("e13_e17", "section 4.3.4", rules.each_row, ">", {"E17": (auroc["E17"], auroc["E13"])})


def thesis_checks(ledger: Ledger) -> None:
    """Apply the rules to Table 4.1 and to what the text says of it."""
    columns = _columns()
    _sizes(ledger, columns)
    _claims(ledger, columns)
    ledger.apply(
        "experiments", "chapter 4: 18 configurations", rules.same_number, "18", str(len(columns[_SIZE]))
    )
    epochs = tables("light_resnet18", "Table 3.1").set_index("row")["printed"]
    ledger.apply("epochs", "section 3.5: 30 epochs", rules.same_number, "30", epochs["Epochs"])
