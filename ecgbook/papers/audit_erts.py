"""The audit of ERTS (Dangeti et al., 2026): the arithmetic of its four tables."""

from collections.abc import Iterator

from ecgbook.papers import rules
from ecgbook.papers.cells import cell, column, tables
from ecgbook.papers.ledger import Ledger
from ecgbook.papers.printed import number

__all__ = ["BACKBONES", "SETS", "pairs", "tables_checks"]

BACKBONES = ("EfficientNetV2-S", "ResNet-18", "MobileNetV2")
SETS = {"Table 2": "PTB-XL", "Table 3": "CPSC 2018", "Table 4": "Georgia 2020"}
TEST_RECORDS = {"Table 2": 2198, "Table 3": 1377, "Table 4": 2069}
"""Test records: fold 10 of PTB-XL; a fifth of CPSC 2018 and of Georgia, as samples / EE imply. Fewer make the
checks only stricter."""

_BASE = {"ERTS-DBPD": "DBPD", "ERTS-SMRD": "SMRD", "ERTS-SRD": "SRD"}


def _rows(table: str) -> list[str]:
    return list(dict.fromkeys(tables("erts", table)["row"]))


def pairs(table: str, backbone: str) -> Iterator[tuple[str, str]]:
    """(plain row, ERTS row) of every ERTS row that has its plain row in the same table.

    >>> list(pairs("Table 2", "ResNet-18"))[-1]
    ('SRD γ=0.99', 'ERTS-SRD')
    """
    there = column("erts", table, backbone, "F1")
    for row in there:
        name, *settings = row.split()
        if name not in _BASE:
            continue
        plain = " ".join([_BASE[name], *settings[:1]])
        if not settings:  # the only row of its family
            plain = next(r for r in there if r.startswith(_BASE[name]))
        if plain in there:
            yield plain, row


def _summary(ledger: Ledger) -> None:
    """Table 1: its differences, its percentages, and whether its "best" are the best of Tables 2-4."""
    for table, name in SETS.items():
        for backbone in BACKBONES:
            row = f"{name}, {backbone}"
            place = f"Table 1: {row}"
            f1 = [cell("erts", "Table 1", row, g, "F1") for g in ("Best PDD", "Best ERTS")]
            ee = [cell("erts", "Table 1", row, g, "EE") for g in ("Best PDD", "Best ERTS")]
            ledger.apply("delta", place, rules.difference, *f1, cell("erts", "Table 1", row, "", "ΔF1"))
            there = column("erts", table, backbone, "F1")
            effective = column("erts", table, backbone, "EE")
            plain = {r: v for r, v in there.items() if not r.startswith(("ERTS", "Baseline"))}
            ours = {r: v for r, v in there.items() if r.startswith("ERTS")}
            ledger.apply("best_pdd", place, rules.best_of, f1[0], plain)
            ledger.apply("best_erts", place, rules.best_of, f1[1], ours)
            chosen = [next(r for r, v in there.items() if v == f) for f in f1]
            saved = cell("erts", "Table 1", row, "", "EE saved")
            ledger.apply("saved_from_table_1", place, rules.relative_change, *ee, saved)
            for value, source in zip(ee, chosen, strict=True):
                ledger.apply("same_ee", place, rules.same_number, value, effective[source])


def _effective_epochs(ledger: Ledger) -> None:
    """Samples / EE must give one number of training records per data set."""
    for table, wholes in {"Table 2": "17.4K", "Table 3": "5.50K", "Table 4": "8.28K"}.items():
        first = []
        for backbone in BACKBONES:
            samples, ee = (column("erts", table, backbone, c) for c in ("Samples", "EE"))
            first.append((samples["Baseline"], ee["Baseline"]))
            for row in samples:
                if row == "Baseline":
                    continue
                place = f"{table}: {row}, {backbone}"
                off = number(samples[row]).value / number(wholes).value / number(ee[row]).value
                cut = abs(off - 1) < 0.02  # thousands that were cut instead of rounded are no finding
                if rules.quotient(samples[row], wholes, ee[row]).ok or not cut:
                    ledger.apply(f"ee_far_{table[-1]}", place, rules.quotient, samples[row], wholes, ee[row])
        ledger.apply(
            "baseline_n",
            f"{table}: Baseline",
            rules.common_divisor,
            [s for s, _ in first],
            [e for _, e in first],
        )


def _counts(ledger: Ledger) -> None:
    """Samples, filtered samples, thresholds and random schedules."""
    for table in SETS:
        for backbone in BACKBONES:
            samples, ee = (column("erts", table, backbone, c) for c in ("Samples", "EE"))
            removed = column("erts", table, backbone, "CAM")
            for plain, row in pairs(table, backbone):
                place = f"{table}: {row}, {backbone}"
                scheduled = table == "Table 2" and row.startswith("ERTS-SRD")
                topic = "adds_up_srd" if scheduled else f"adds_up_{table[-1]}"
                ledger.apply(topic, place, rules.adds_up, [samples[row], removed[row]], samples[plain])
            by_phi = [r for r in samples if r.startswith("ERTS-DBPD τ=0.7")]
            place = f"{table}: ERTS-DBPD τ=0.7, {backbone}"
            for what, counts, rising in (("kept", samples, False), ("removed", removed, True)):
                values = [counts[r] for r in by_phi]
                ledger.apply("phi_direction", f"{place}, {what}", rules.monotone, values, rising=rising)
            values = [ee[r] for r in by_phi]
            topic = f"phi_order_{table[-1]}"
            ledger.apply(topic, f"{place}, EE", rules.monotone, values, rising=True)
            if table != "Table 4" or backbone == "EfficientNetV2-S":
                filtered = [removed[r] for r in by_phi]
                ledger.apply(topic, f"{place}, removed", rules.monotone, filtered, rising=False)
            for family in ("DBPD", "SMRD"):
                values = [samples[f"{family} τ=0.3"], samples[f"{family} τ=0.7"]]
                ledger.apply(
                    "tau_direction", f"{table}: {family}, {backbone}", rules.monotone, values, rising=True
                )
            for row in (r for r in samples if r.startswith("SRD")):
                gamma = row.partition("=")[2]
                ledger.apply(
                    f"schedule_{gamma}",
                    f"{table}: {row}, {backbone}",
                    rules.random_schedule,
                    gamma,
                    100,
                    1,
                    ee[row],
                )


def _networks(ledger: Ledger) -> None:
    """Columns of different networks: tied by a factor, or equal where the networks decide."""
    for table in SETS:
        values = {
            (b, c): column("erts", table, b, c) for b in BACKBONES for c in ("F1", "Acc.", "Samples", "EE")
        }
        for what in ("F1", "Acc.", "EE"):
            for a, b in (("ResNet-18", "MobileNetV2"), ("EfficientNetV2-S", "ResNet-18")):
                rows = [r for r in values[a, what] if r in values[b, what] and r != "Baseline"]
                if a == "EfficientNetV2-S" and what == "EE":
                    continue  # many are equal: the next check
                first, second = ([values[x, what][r] for r in rows] for x in (a, b))
                topic = f"tied_{what.strip('.').lower()}"
                ledger.apply(topic, f"{table}: {what} of {a} and {b}", rules.tied_columns, first, second)
        decided = [r for r in values["ResNet-18", "EE"] if r.startswith(("DBPD", "SMRD"))]
        both = {r: (values["EfficientNetV2-S", "EE"][r], values["ResNet-18", "EE"][r]) for r in decided}
        ledger.apply("equal_counts", f"{table}: EE of EfficientNetV2-S and ResNet-18", rules.unlike, both)
        ledger.apply("exact_sums", f"{table}: samples + CAM and the plain row", rules.unlike, _sums(table))
        for row in values["ResNet-18", "EE"]:
            ees = {b: values[b, "EE"].get(row, "") for b in BACKBONES}
            if row.startswith("SRD") and all(ees.values()):
                for b in BACKBONES[1:]:
                    first_ee = ees["EfficientNetV2-S"]
                    ledger.apply("srd_depends", f"{table}: {row}, {b}", rules.same_number, first_ee, ees[b])


def _sums(table: str) -> dict[str, tuple[str, str]]:
    """Samples + filtered of each ERTS row, and the samples of its plain row, without the random schedule."""
    sums = {}
    for backbone in BACKBONES:
        samples, removed = (column("erts", table, backbone, c) for c in ("Samples", "CAM"))
        for plain, row in pairs(table, backbone):
            if not row.startswith("ERTS-SRD"):
                total = round((number(samples[row]).value + number(removed[row]).value) / 1000)
                sums[f"{row}, {backbone}"] = (f"{total}K", samples[plain])
    return sums


def _accuracies(ledger: Ledger) -> None:
    """What the test sets can tell: whole records, and differences of few records."""
    for table, n in TEST_RECORDS.items():
        values = {b: column("erts", table, b, "Acc.") for b in BACKBONES}
        printed = [v for there in values.values() for v in there.values()]
        ledger.apply("grim", f"{table}: Acc., all backbones", rules.on_some_grid, printed, n // 2, 2 * n)
        gains = {}
        for backbone, there in values.items():
            f1 = column("erts", table, backbone, "F1")
            row = f"{SETS[table]}, {backbone}"
            old, new = (cell("erts", "Table 1", row, g, "F1") for g in ("Best PDD", "Best ERTS"))
            plain, ours = (next(r for r, v in f1.items() if v == f) for f in (old, new))
            ledger.apply("few_records", f"Table 1: {row}", rules.net_records, there[plain], there[ours], n)
            gains[backbone] = (old, new)
        ledger.apply("sampling", f"Table 1: {SETS[table]}", rules.beyond_sampling_error, gains, n)


def tables_checks(ledger: Ledger) -> None:
    """Apply the rules of arithmetic to Tables 1-4."""
    for part in (_summary, _effective_epochs, _counts, _networks, _accuracies):
        part(ledger)
