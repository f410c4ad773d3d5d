"""The audit of the PTB-XL benchmark (Strodthoff et al., 2021)."""

from ecgbook.papers import rules
from ecgbook.papers.cells import cell, column
from ecgbook.papers.ledger import Ledger
from ecgbook.papers.printed import number

__all__ = ["CONVOLUTIONAL", "RECURRENT", "ptbxl_checks"]

CONVOLUTIONAL = ("inception1d", "resnet1d wang", "fcn wang", "xresnet1d101")
RECURRENT = ("lstm", "lstm bidir")
_BEST = ("inception1d", "resnet1d wang", "xresnet1d101")
_SINGLE = (*CONVOLUTIONAL, *RECURRENT)
_WORK = "ptbxl_benchmark"
TASKS = ("all", "diag.", "sub-diag.", "super-diag.", "form", "rhythm")


def _column(table: str, group: str, name: str) -> dict[str, str]:
    return column(_WORK, table, group, name)


def _table_1(ledger: Ledger) -> None:
    """Label counts: rows add up to all records, and merging labels can only raise the count of one."""
    rows = {r: {c: cell(_WORK, "Table I", r, "", c) for c in ("0", "1", "2", "3", "≥4")} for r in TASKS}
    for name, counts in rows.items():
        ledger.apply("records", f"Table I: {name}", rules.adds_up, list(counts.values()), "21837")
    levels = [rows[r]["1"] for r in ("diag.", "sub-diag.", "super-diag.")]
    ledger.apply("merged_labels", "Table I: records with one label", rules.monotone, levels, rising=True)
    for fewest, columns in ((2, ("2", "3", "≥4")), (3, ("3", "≥4")), (4, ("≥4",))):
        levels = [str(sum(int(rows[r][c]) for c in columns)) for r in ("sub-diag.", "super-diag.")]
        place = f"Table I: records with {fewest} labels or more"
        ledger.apply("merged_labels", place, rules.monotone, levels, rising=False)
    ledger.apply(
        "statements",
        "section II-A: 44 + 12 + 19 less 4 shared",
        rules.adds_up,
        ["44", "12", "19", "-4"],
        "71",
    )
    for place, printed, row in (("44 diagnostic", "44", "diag."), ("24 sub-classes", "24", "sub-diag.")):
        there = cell(_WORK, "Table I", row, "", "# classes")
        ledger.apply("classes", f"section II-A: {place}", rules.same_number, printed, there)
    there = cell(_WORK, "Table I", "sub-diag.", "", "# classes")
    ledger.apply("subclasses", "section IV-A: 23 subclasses", rules.same_number, "23", there)
    ledger.apply(
        "training_sizes", "section III-B: 8 of 10 folds", rules.same_number, "5.5k", f"{0.8 * 6877:.0f}"
    )
    ledger.apply("times_larger", "section III-B: 64 times", rules.quotient, "8.000", "0.1250", "64")


def _statements(ledger: Ledger) -> None:
    """Sections III-A and III-B: what is said of Tables II and III."""
    for task in TASKS:
        auc, fmax = (_column("Table II", task, m) for m in ("AUC", "Fmax"))
        for name, there in (("AUC", auc), ("Fmax", fmax)):
            single = {m: there[m] for m in _SINGLE}
            best = max((there[m] for m in _BEST), key=lambda v: number(v).value)
            ledger.apply("resnet_best", f"section III-A: {task}, {name}", rules.best_of, best, single)
        baseline = auc["Wavelet+NN"]
        margin = {m: (_end(auc[m], -1), _end(baseline, 1)) for m in _SINGLE}
        ledger.apply("large_margin", f"section III-A: {task}", rules.each_row, ">", margin)
        below = {f"{r} and {c}": (auc[r], auc[c]) for r in RECURRENT for c in CONVOLUTIONAL}
        ledger.apply("recurrent", f"section III-A: {task}", rules.each_row, "<", below)
        top = max(_BEST, key=lambda m: number(auc[m]).value)
        both = {top: auc[top], "ensemble": auc["ensemble"]}
        ledger.apply("ensemble_ties", f"section III-A: {task}", rules.error_bars_meet, both)
    gains = {}
    for task in TASKS:
        auc = _column("Table II", task, "AUC")
        highest = max(number(auc[m]).value for m in _SINGLE)
        gains[task] = f"{number(auc['ensemble']).value - highest:.3f}"
    others = {t: (gains["rhythm"], g) for t, g in gains.items() if t != "rhythm"}
    ledger.apply("largest_gain", "section III-A: largest gain in rhythm", rules.each_row, ">=", others)
    ledger.apply("form_089", "section III-A: 0.89 in form", rules.same_number, "0.89", _best_auc("form"))
    ledger.apply(
        "rhythm_096", "section III-A: 0.96 in rhythm", rules.same_number, "0.96", _best_auc("rhythm")
    )
    auc, fmax = (_column("Table III", "", m) for m in ("AUC", "Fmax"))
    bars = {m: auc[m] for m in CONVOLUTIONAL}
    ledger.apply("icbeb_bars", "section III-B, Table III: AUC", rules.error_bars_meet, bars)
    ledger.apply(
        "icbeb_bars",
        "section III-B, Table III: Fmax",
        rules.error_bars_meet,
        {m: fmax[m] for m in CONVOLUTIONAL},
    )
    for name, there in (("AUC", auc), ("Fmax", fmax)):
        below = {f"{r} and {c}": (there[r], there[c]) for r in RECURRENT for c in CONVOLUTIONAL}
        ledger.apply("icbeb_recurrent", f"section III-B, Table III: {name}", rules.each_row, "<", below)
    gap = {m: (_end(auc[m], -1), _end(auc["Wavelet+NN"], 1)) for m in _SINGLE}
    ledger.apply("icbeb_gap", "section III-B, Table III", rules.each_row, ">", gap)
    lower = {
        m: (cell(_WORK, "Table III", m, "", "Gβ=2"), cell(_WORK, "Table III", m, "", "Fβ=2")) for m in auc
    }
    ledger.apply("g_below_f", "Table III: G = TP/(TP+FP+2 FN) is below F", rules.each_row, "<", lower)


def _end(printed: str, side: int) -> str:
    """One end of a printed interval, as a number with the same digits."""
    n = number(printed)
    return f"{n.value + side * n.spread:.3f}"


def _best_auc(task: str) -> str:
    auc = _column("Table II", task, "AUC")
    return max((auc[m] for m in _BEST), key=lambda v: number(v).value)


def _age_and_sex(ledger: Ledger) -> None:
    """Tables IV and V: means over all records mix those over healthy and other records by one share."""
    groups = ("all", "healthy", "non-healthy")
    for table, name in (("Table IV", "MAE"), ("Table V", "ACC")):
        there = [_column(table, g, name) for g in groups]
        for model in there[0]:
            whole, *parts = (c[model] for c in there)
            ledger.apply("between", f"{table}: {name}, {model}", rules.between, whole, parts)
        mixed = [tuple(c[m] for c in there) for m in there[0]]
        ledger.apply(f"mixture_{name.lower()}", f"{table}: {name}", rules.common_share, mixed)
    for table, name, relation in (
        ("Table IV", "MAE", "<"),
        ("Table IV", "R2", ">"),
        ("Table V", "ACC", ">"),
        ("Table V", "AUC", ">"),
    ):
        healthy = _column(table, "healthy", name)
        for group in ("all", "non-healthy"):
            other = _column(table, group, name)
            rows = {m: (healthy[m], other[m]) for m in healthy}
            topic = "healthy_r2" if name == "R2" and group == "all" else "healthy"
            place = f"section III-C: healthy better than {group}, {name}"
            ledger.apply(topic, place, rules.each_row, relation, rows)
    quoted = {"all": "7.16", "healthy": "6.86", "non-healthy": "7.38"}
    for model in ("inception1d", "resnet1d wang"):
        for group, value in quoted.items():
            error = cell(_WORK, "Table IV", model, group, "MAE")
            topic = "mixed_models" if model == "inception1d" else "mixed_models_other"
            if model == "inception1d" or group == "healthy":
                ledger.apply(topic, f"section III-C: MAE, {group}, {model}", rules.same_number, value, error)
    for group, name, value in (("all", "ACC", "0.849"), ("healthy", "ACC", "0.898")):
        score = cell(_WORK, "Table V", "xresnet1d101", group, name)
        ledger.apply("gender_quoted", f"section III-C: {group}, {name}", rules.same_number, value, score)


def _splits(ledger: Ledger) -> None:
    """Appendix II: Table VI repeats a column of Table II; random splits and 500 Hz are held against it."""
    for name in ("AUC", "Fmax"):
        base, high, random = (
            _column("Table VI", g, name) for g in ("strat. 100Hz", "strat. 500Hz", "rnd. 100Hz")
        )
        repeated = _column("Table II", "super-diag.", name)
        for model in base:
            place = f"Table VI and Table II: {model}, {name}"
            ledger.apply("repeated", place, rules.same_number, base[model], repeated[model])
        gains = {m: (_end(high[m], -1), _end(base[m], 1)) for m in base}
        ledger.apply("no_gain_500", f"appendix II: no significant gain, {name}", rules.each_row, "<=", gains)
        wavelet = {name: (high["Wavelet+NN"], base["Wavelet+NN"])}
        ledger.apply(
            "wavelet_500", f"appendix II: Wavelet+NN at 500 Hz, {name}", rules.each_row, ">", wavelet
        )
        trained = [m for m in base if m != "naive"]
        rows = {m: (random[m], base[m]) for m in trained}
        ledger.apply("random_split", f"appendix II: all models, {name}", rules.each_row, ">", rows)
        both = {"ensemble": (random["ensemble"], base["ensemble"])}
        ledger.apply("ensemble_both", f"appendix II: ensemble, {name}", rules.each_row, ">", both)
        apart = {m: (_end(random[m], -1), _end(base[m], 1)) for m in trained}
        ledger.apply(
            "random_within", f"appendix II: beyond error bars, {name}", rules.most_rows, ">", apart, 0.0
        )
    spreads = [cell(_WORK, "Table VI", "naive", g, "Fmax") for g in ("strat. 100Hz", "strat. 500Hz")]
    first, second = (f"{number(s).spread:.3f}" for s in spreads)
    ledger.apply("naive_interval", "Table VI: naive, Fmax, 100 and 500 Hz", rules.same_number, first, second)
    ledger.apply("window", "appendices I and II: 2.5 s at 100 Hz", rules.quotient, "500.0", "100.0", "2.5")
    ledger.apply("window_500", "appendix II: 2500 steps at 500 Hz", rules.quotient, "2500.0", "500.0", "5.0")


def ptbxl_checks(ledger: Ledger) -> None:
    """Apply the rules to Tables I-VI and to what the text says of them."""
    for part in (_table_1, _statements, _age_and_sex, _splits):
        part(ledger)
