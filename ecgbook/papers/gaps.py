"""The difference of two configurations, paired by what their recorded runs share: seeds, or test records."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

__all__ = ["DRAWS", "Gap", "paired_gap"]

DRAWS = 5000
"""Resamples of the test records: so many that no verdict hangs on the luck of the draws."""


@dataclass(frozen=True)
class Gap:
    """The metric of A minus that of B.

    Attributes:
        point: On the runs that are paired.
        low: Lower end of the 95 % interval.
        high: Upper end.
        how: What was paired, in words.
    """

    point: float
    low: float
    high: float
    how: str

    def __str__(self) -> str:
        return f"{self.point:+.3f} ({self.low:+.3f} to {self.high:+.3f}, {self.how})"


def paired_gap(a: pd.DataFrame, b: pd.DataFrame, metric: str, results: Path) -> Gap | None:
    """Over the seeds that both have, where there are at least two; else over the test records of one seed.

    Args:
        a: Runs of one configuration, rows of `ecgbook.runs.results.load` with a column of the metric.
        b: Runs of another one.
        metric: Name of the metric: for one seed, of a function of `ecgkit.evaluation`.
        results: The results folder, for stored predictions.

    Returns:
        None where the two share no seed, or only one and the metric cannot be had from stored predictions of
        the same test records.
    """
    from ecgbook.experiments.method import drawn
    from ecgbook.runs.records import load_predictions
    from ecgkit import evaluation

    first, second = (runs.drop_duplicates("seed").set_index("seed") for runs in (a, b))
    seeds = sorted(set(first.index) & set(second.index))
    if len(seeds) >= 2:
        over = evaluation.compare_seeds(first.loc[seeds, metric], second.loc[seeds, metric])
        return Gap(over.difference, over.low, over.high, f"paired over {len(seeds)} seeds")
    if not seeds or not hasattr(evaluation, metric):
        return None
    try:
        ours, theirs = (load_predictions(runs.loc[seeds[0], "hash"], results) for runs in (first, second))
    except FileNotFoundError:
        return None
    if ours.y_true.shape != theirs.y_true.shape or (ours.record_ids != theirs.record_ids).any():
        return None
    function = partial(evaluation.paired_bootstrap, getattr(evaluation, metric), n=DRAWS, seed=0)
    found, how = drawn(
        lambda redraw: function(ours.y_true, ours.y_score, theirs.y_score, redraw=redraw),
        "one seed, paired over test records",
    )
    return Gap(found.difference, found.low, found.high, how)
