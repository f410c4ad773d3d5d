"""Tests of claims: each computes its verdict from recorded runs or from closed forms; none is typed.

A claim names a test of this module and its arguments; see ``claims.toml``. A test of runs names them by
fields of `ecgbook.runs.Run`. Where one of them has not been recorded the verdict is "open"; it changes
by itself when the run arrives. Where the runs are there and cannot tell it is "undecided".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ecgbook.papers.cells import cell
from ecgbook.papers.gaps import paired_gap
from ecgbook.papers.printed import number
from ecgbook.papers.rules.measures import known_answer
from ecgbook.papers.rules.sizes import resnet18_mib

__all__ = ["MARGIN", "TESTS", "Score", "Verdict", "Word", "best_score"]

Word = Literal["reproduced", "partly", "not", "undecided", "open", "not testable here"]
Selector = Mapping[str, Any]

MARGIN = 0.01
"""How much may be lost by what a work calls competitive or negligible: the works do not say. Ours: 0.01."""

_OVERHEAD_MIB = 0.03  # names and headers of a saved file


@dataclass(frozen=True)
class Score:
    """A metric of one configuration.

    Attributes:
        name: The model and the method that the claim names.
        point: The mean over seeds, or the result of the only seed.
        low: Lower end of the 95 % interval: over seeds, or of the bootstrap when there is one seed.
        high: Upper end.
        runs: The rows of `ecgbook.runs.results.load` behind it.
    """

    name: str
    point: float
    low: float
    high: float
    runs: pd.DataFrame

    def __str__(self) -> str:
        return f"{self.name} {self.point:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Verdict:
    """What a test says of a claim.

    Attributes:
        word: The verdict.
        ours: Our numbers, with their intervals, or what is missing.
        runs: The recorded runs behind it; empty for closed forms.
    """

    word: Word
    ours: str
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)


@lru_cache(maxsize=16)
def _loaded(experiment: str, results: Path, state: tuple[tuple[str, int], ...]) -> pd.DataFrame:
    """The runs of an experiment, read once for all claims; `state` names the files and when they changed."""
    from ecgbook.runs.results import load

    return load(experiment, results)


def best_score(
    results: Path,
    experiment: str,
    among: Sequence[Selector],
    metric: str,
    lowest: bool = False,
    ignore: Sequence[str] = (),
) -> Score | None:
    """The best of some configurations by a metric, or None while one of them has no run.

    Args:
        results: The results folder.
        experiment: Folder of the results.
        among: Fields and values of each configuration, for example ``[{"task": "form", "model": "lstm"}]``.
            An empty text asks for runs without that parameter. A configuration with several settings counts
            with the one that has most seeds. The field "experiment" names another folder.
        metric: Name of the metric, or of another column such as ``effective_epochs``.
        lowest: Whether the lowest value is the best.
        ignore: Parameters that do not change this metric: runs that differ in them alone are one setting.
    """
    from ecgbook.runs.results import aggregate, run_fields

    scores = []
    for selector in among:
        folder = selector.get("experiment", experiment)
        files = sorted((results / folder).glob("*.json"))
        part = _loaded(folder, results, tuple((f.name, f.stat().st_mtime_ns) for f in files))
        for name, value in selector.items():
            if value == "":
                part = part[part[name].isna()] if name in part.columns else part
            else:
                part = part[part[name] == value] if name in part.columns else part.iloc[:0]
        part = _with_metric(part, metric, results)
        if part.empty or part[metric].isna().all():
            return None
        part = part[part[metric].notna()].drop(columns=list(ignore), errors="ignore")
        if f"{metric}_low" not in part.columns:
            part = part.assign(**{f"{metric}_low": part[metric], f"{metric}_high": part[metric]})
        row = aggregate(part).sort_values("seeds", kind="stable").iloc[-1]
        same = part
        for name in run_fields(part):
            same = same[(same[name] == row[name]) | (same[name].isna() & pd.isna(row[name]))]
        named = [str(selector[name]) for name in ("model", "method") if name in selector]
        label = " ".join(n for n in named if n not in ("none", "supervised")) or str(row["model"])
        ends = (float(row[metric]), float(row[f"{metric}_low"]), float(row[f"{metric}_high"]))
        scores.append(Score(label, *ends, same))
    pick = min if lowest else max
    return pick(scores, key=lambda score: score.point)


def _with_metric(frame: pd.DataFrame, metric: str, results: Path) -> pd.DataFrame:
    """The runs with a column of the metric; micro AUC is computed from the stored predictions."""
    from ecgbook.runs.records import load_predictions
    from ecgkit.evaluation import bootstrap, micro_auc

    if metric in frame.columns or frame.empty:
        return frame
    if metric != "micro_auc":
        return frame.iloc[:0]
    rows = []
    for key in frame["hash"]:
        try:
            stored = load_predictions(key, results)
        except FileNotFoundError:
            rows.append((np.nan, np.nan, np.nan))
            continue
        point = micro_auc(stored.y_true, stored.y_score)
        ends = (point, point)
        if len(frame) == 1:  # several seeds have an interval of their own
            drawn = bootstrap(micro_auc, stored.y_true, stored.y_score)
            ends = (drawn.low, drawn.high)
        rows.append((point, *ends))
    columns = (metric, f"{metric}_low", f"{metric}_high")
    return frame.assign(**dict(zip(columns, np.array(rows).T, strict=True)))


def _two(results: Path, say: Mapping[str, Any]) -> tuple[Score, Score] | None:
    lowest = bool(say.get("lowest", False))
    a, b = (best_score(results, say["experiment"], say[k], say["metric"], lowest) for k in ("a", "b"))
    return None if a is None or b is None else (a, b)


def _open(say: Mapping[str, Any]) -> Verdict:
    return Verdict("open", f"not all runs of {say['experiment']!r} are recorded")


def _compared(word: Word, a: Score, b: Score, difference: str) -> Verdict:
    runs = pd.concat([a.runs, b.runs]).drop_duplicates("hash")
    return Verdict(word, f"{a} against {b}: {difference}", runs)


def _unpaired(a: Score, b: Score) -> Verdict:
    return _compared("open", a, b, "no seed or test records in common")


def better(results: Path, say: Mapping[str, Any]) -> Verdict:
    """The best of `a` beats the best of `b`, or by more than `by` where a claim speaks of a large margin.

    Judged by the paired difference a - b (b - a where the lowest is the best). Reproduced when its whole
    interval lies above `by`; partly when it lies above zero alone; not when it lies below zero; else
    undecided.
    """
    found = _two(results, say)
    if found is None:
        return _open(say)
    a, b = found
    gap = paired_gap(a.runs, b.runs, say["metric"], results)
    if gap is None:
        return _unpaired(a, b)
    low, high = (-gap.high, -gap.low) if say.get("lowest") else (gap.low, gap.high)
    by = float(say.get("by", 0.0))
    word: Word = "undecided"
    if low > 0:
        word = "reproduced" if low > by else "partly"
    elif high < 0:
        word = "not"
    return _compared(word, a, b, f"difference {gap}" + (f", to be above {by:g}" if by else ""))


def level(results: Path, say: Mapping[str, Any]) -> Verdict:
    """The best of `a` is competitive with the best of `b`: it loses no more than `MARGIN` against it.

    Judged by the paired difference a - b. Reproduced when its whole interval lies above -MARGIN; partly when
    a is behind for certain, but its point by no more than MARGIN; not when it is behind for certain and by
    more; else undecided, because the interval is too wide to tell.
    """
    found = _two(results, say)
    if found is None:
        return _open(say)
    a, b = found
    gap = paired_gap(a.runs, b.runs, say["metric"], results)
    if gap is None:
        return _unpaired(a, b)
    word: Word = "undecided"
    if gap.low >= -MARGIN:
        word = "reproduced"
    elif gap.high < 0:
        word = "partly" if gap.point >= -MARGIN else "not"
    return _compared(word, a, b, f"difference {gap}, to be above {-MARGIN:g}")


def near_print(results: Path, say: Mapping[str, Any]) -> Verdict:
    """Our value against a printed cell: reproduced when it is in our interval, partly when intervals meet."""
    ours = best_score(results, say["experiment"], say["a"], say["metric"])
    if ours is None:
        return _open(say)
    printed = cell(*say["printed"])
    p = number(printed)
    inside = ours.low - p.step / 2 <= p.value <= ours.high + p.step / 2
    meets = ours.low <= p.value + p.spread and p.value - p.spread <= ours.high
    word: Word = "reproduced" if inside else "partly" if meets else "not"
    return Verdict(word, f"{ours} against the printed {printed}", ours.runs)


def correlates(results: Path, say: Mapping[str, Any]) -> Verdict:
    """A negative correlation beyond the bound: reproduced, or partly when only its interval reaches it."""
    ours = best_score(results, say["experiment"], say["a"], say["metric"], lowest=True)
    if ours is None:
        return _open(say)
    bound = float(say["bound"])
    word: Word = "reproduced" if ours.point <= bound else "partly" if ours.low <= bound else "not"
    return Verdict(word, str(ours), ours.runs)


def above(results: Path, say: Mapping[str, Any]) -> Verdict:
    """A metric above a bound and, where one is named, above another metric of the same runs.

    Reproduced when its interval lies above the bound and its point above the other metric; partly when only
    its interval lies above the bound; not when it lies below; else undecided. The interval
    covers both the one over seeds and the mean of the seeds' own: all seeds share their test patients, and
    an interval over seeds alone does not know the luck of these patients.
    """
    ignore = say.get("ignore", ())
    ours = best_score(results, say["experiment"], say["a"], say["metric"], ignore=ignore)
    other = best_score(results, say["experiment"], say["a"], say.get("other", say["metric"]), ignore=ignore)
    if ours is None or other is None:
        return _open(say)
    own = ours.runs[[f"{say['metric']}_{end}" for end in ("low", "high")]].mean()
    low, high = min(ours.low, float(own.iloc[0])), max(ours.high, float(own.iloc[1]))
    ours = Score(ours.name, ours.point, low, high, ours.runs)
    bound = float(say["bound"])
    word: Word = "undecided"
    if ours.low > bound:
        word = "reproduced" if "other" not in say or ours.point > other.point else "partly"
    elif ours.high < bound:
        word = "not"
    beside = f", {say['other']} {other.point:.3f}" if "other" in say else ""
    return Verdict(word, f"{ours}; {bound:g} is no effect{beside}", ours.runs)


# Closed forms ------------------------------------------------------------------------------------------


def size_reduction(results: Path, say: Mapping[str, Any]) -> Verdict:
    """Size and saving of a network, counted layer by layer: reproduced when both fit the print."""
    from ecgbook.papers.audit_thesis import changes

    base, ours = (resnet18_mib(**c) + _OVERHEAD_MIB for c in ({}, changes()[say["model"]]))
    saved = 100 * (1 - ours / base)
    size, percent = number(say["mb"]), number(say["saved"])
    fits = [
        abs(ours - size.value) <= max(0.1, size.step),
        abs(saved - percent.value) <= 0.1 + percent.step / 2,
    ]
    return Verdict(_share(fits), f"{base:.2f} to {ours:.2f} MiB: {saved:.1f} % less, by counting parameters")


def measure_orders(results: Path, say: Mapping[str, Any]) -> Verdict:
    """A measure on cases with a known answer: reproduced when it orders all of them as it is described."""
    found = [known_answer(*case) for case in say["cases"]]
    shown = "; ".join(f"{o.printed}: {o.implied}" for o in found)
    return Verdict(_share([o.ok for o in found]), shown)


def any_label_set(results: Path, say: Mapping[str, Any]) -> Verdict:
    """MELEP takes any number of source and target labels: computed for some on random numbers."""
    from ecgkit.transfer import melep

    rng = np.random.default_rng(0)
    shapes = [(1, 4), (5, 9), (44, 2), (9, 20)]
    values = [melep(rng.random((50, z)), (rng.random((50, y)) < 0.4).astype(int)) for z, y in shapes]
    fine = [bool(np.isfinite(v) and v > 0) for v in values]
    said = ", ".join(f"{z} and {y} labels: {v:.2f}" for (z, y), v in zip(shapes, values, strict=True))
    return Verdict(_share(fine), f"source and target with {said}")


def _share(held: Sequence[bool]) -> Word:
    return "reproduced" if all(held) else "partly" if any(held) else "not"


def outside(results: Path, say: Mapping[str, Any]) -> Verdict:
    """No record of an ECG and no training run can decide it; `why` says so."""
    return Verdict("not testable here", str(say["why"]))


TESTS = {
    f.__name__: f
    for f in (
        better,
        level,
        near_print,
        correlates,
        above,
        size_reduction,
        measure_orders,
        any_label_set,
        outside,
    )
}
"""The tests by name. Each takes the results folder and the claim's arguments."""
