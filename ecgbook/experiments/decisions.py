"""The method "decisions": scores judged by what they decide, with thresholds chosen before the test."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ecgbook.experiments.baselines import naive, wavelet_nn
from ecgbook.experiments.method import Progress, RunResult, Splits, drawn
from ecgbook.experiments.supervised import supervised
from ecgbook.runs.run import Run
from ecgkit.evaluation import apply_thresholds, bootstrap, f_beta_g_beta, optimal_thresholds
from ecgkit.transfer.tasks import concat

__all__ = ["decisions", "judge", "judged"]

Metric = Literal["f_beta", "g_beta"]
Scored = tuple[NDArray, NDArray]  # labels and scores of some records, both of shape (N, K)

_METRICS: tuple[Metric, ...] = ("f_beta", "g_beta")
_SCORERS: dict[str | None, Callable[..., RunResult]] = {
    "supervised": supervised,
    "naive": naive,
    "wavelet_nn": wavelet_nn,
}


def decisions(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Score as `supervised`, then turn the scores into decisions: yes or no for each class.

    Each class has a threshold, the one that is best on the training records, as in the paper, or on the
    validation records. The metrics ``f_beta_train``, ``g_beta_train``, ``f_beta_validation`` and
    ``g_beta_validation`` are F and G (beta 2) of the decisions on the test records; each has thresholds that
    were chosen for it. The table holds the thresholds; None is never: the class had no positive record to
    choose on.

    All scores are rounded to float16 first. Those of the training and validation records are stored beside
    those of the test records, so that an ensemble can be judged from them.

    With the model "none", the run's parameter `scorer` is "naive" or "wavelet_nn"; the others go to that one.

    Raises:
        ValueError: If there is neither a network nor one of these scorers.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section III-B and Table III. The authors' published code
        differs from their text: it chooses one threshold per class, for G alone and with equal weights of the
        records, and gives a record that reaches no threshold the class with its highest score.
    """
    params = dict(run.params)
    scorer = params.pop("scorer", None) if run.model == "none" else "supervised"
    if scorer not in _SCORERS or (scorer == "supervised" and run.model == "none"):
        raise ValueError(f"no network and the scorer {scorer!r}: name a network, or naive or wavelet_nn")
    whole = concat([parts.train, parts.validation, parts.test])  # one prediction for all, after the training
    inner = Splits(parts.train, parts.validation, whole)
    outcome = _SCORERS[scorer](replace(run, params=params), inner, device, checkpoint, progress)
    assert outcome.scores is not None
    scores = outcome.scores.astype(np.float16).astype(np.float32)
    train, validation, test = np.split(scores, np.cumsum([len(parts.train), len(parts.validation)]))
    learned = {"train": (parts.train.labels, train), "validation": (parts.validation.labels, validation)}
    (values, thresholds), how = drawn(
        lambda redraw: judged(learned, (parts.test.labels, test), redraw=redraw),
        "F and G: bootstrap over test records, thresholds held fixed, 1000 draws, 95 %",
    )
    table = [
        {
            "chosen_on": source,
            "metric": metric,
            "class": name,
            "threshold": float(threshold) if np.isfinite(threshold) else None,
        }
        for (metric, source), chosen in thresholds.items()
        for name, threshold in zip(parts.train.classes, chosen, strict=True)
    ]
    return replace(
        outcome,
        scores=test,
        learned_scores={name: found for name, (_, found) in learned.items()},
        values=values,
        intervals=how,
        table=table,
    )


def judged(
    learned: Mapping[str, Scored], test: Scored, n: int = 1000, redraw: bool = True
) -> tuple[dict[str, dict[str, float]], dict[tuple[str, str], NDArray[np.float64]]]:
    """F and G (beta 2) of decisions, with thresholds from each part that was learned from.

    Args:
        learned: Labels and scores, by the name of the part.
        test: Those of the records to judge on.
        n: Draws of the bootstrap.
        redraw: As `ecgkit.evaluation.bootstrap`.

    Returns:
        Point, low and high of ``f_beta_<part>`` and ``g_beta_<part>``, and the thresholds by metric and part.
    """
    values: dict[str, dict[str, float]] = {}
    thresholds: dict[tuple[str, str], NDArray[np.float64]] = {}
    for part, chosen_on in learned.items():
        for metric in _METRICS:
            values[f"{metric}_{part}"], thresholds[metric, part] = judge(metric, chosen_on, test, n, redraw)
    return values, thresholds


def judge(
    metric: Metric, chosen_on: Scored, judged_on: Scored, n: int = 1000, redraw: bool = True
) -> tuple[dict[str, float], NDArray[np.float64]]:
    """Choose the thresholds that are best for some records, and judge the decisions on others.

    Args:
        metric: What the thresholds are chosen for, and what judges the decisions; beta is 2.
        chosen_on: Labels and scores of the records that the thresholds come from.
        judged_on: Labels and scores of the records to judge on.
        n: Draws of the bootstrap over the latter. It does not draw the former: the thresholds stay.
        redraw: As `ecgkit.evaluation.bootstrap`.

    Returns:
        Point, low and high of the metric, and the thresholds, shape (K,).

    Raises:
        ValueError: As `ecgkit.evaluation.optimal_thresholds` and `ecgkit.evaluation.bootstrap`.

    >>> before = np.array([[1], [1], [0], [0]]), np.array([[0.9], [0.6], [0.4], [0.1]])
    >>> after = np.array([[1], [1], [0], [0]]), np.array([[0.8], [0.5], [0.7], [0.2]])
    >>> value, thresholds = judge("g_beta", before, after)
    >>> thresholds, value["point"]  # one found, one false alarm, one missed: 1 / (1 + 1 + 2)
    (array([0.6]), 0.25)
    """

    def of_decisions(labels: NDArray, decided: NDArray) -> float:
        return float(getattr(f_beta_g_beta(labels, decided), metric))

    thresholds = optimal_thresholds(*chosen_on, metric)
    labels, scores = judged_on
    decided = apply_thresholds(scores, thresholds)
    found = bootstrap(of_decisions, labels, decided, n=n, level=0.95, seed=0, redraw=redraw)
    return {"point": found.point, "low": found.low, "high": found.high}, thresholds
