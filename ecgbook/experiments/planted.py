"""Does a score find bad training records? Wrong labels and noise are planted, and the network is watched."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ecgbook.experiments.method import Progress, RunResult, Splits
from ecgbook.experiments.planting import KINDS, Planting, plant
from ecgbook.experiments.selected import SINGLE_LABEL_METRICS, one_label_each, selection_settings
from ecgbook.experiments.supervised import build_model, by_epoch, on_device
from ecgbook.experiments.training_dynamics import SUSPECT, TrainingDynamics, integrated_gradients_focus
from ecgbook.runs.run import Run
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.labels_ptbxl import aggregation_matrix, classes_of, likelihoods
from ecgkit.evaluation import macro_auc, resample_counts
from ecgkit.evaluation.resampled import evaluator
from ecgkit.models.heads import Classifier
from ecgkit.training import selection
from ecgkit.training.settings import check_settings

__all__ = [
    "FLAGS",
    "TrainingDynamics",
    "detection_table",
    "flags",
    "integrated_gradients_focus",
    "planted",
    "removal",
]

FLAGS = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")


def flags(dataset: ECGDataset) -> dict[str, np.ndarray]:
    """What the annotators of PTB-XL noted: one mask (N,) per kind of note, and "unsure statement".

    A statement is unsure where the annotator gave the most likely statement of the record's class a
    likelihood above 0 and below 100 % (0 means that none was given). Without PTB-XL's columns: nothing.

    Args:
        dataset: Records with one superclass each.
    """
    meta = dataset.meta
    found = {name: meta[name].notna().to_numpy() for name in FLAGS if name in meta.columns}
    if dataset.task == "superdiagnostic" and "scp_codes" in meta.columns:
        codes = classes_of("diagnostic")
        each = np.nan_to_num(likelihoods(meta, codes))  # (N, 44)
        belongs = aggregation_matrix(codes, "superdiagnostic")[:, dataset.labels.argmax(axis=1)].T  # (N, 44)
        likelihood = (each * belongs).max(axis=1)
        found["unsure statement"] = (likelihood > 0) & (likelihood < 1)
    return found


def _targets(planting: Planting, noted: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What to find: name to (which are bad, which are compared). Notes count among the untouched alone."""
    clean = planting.has("none")
    targets = {"anything planted": (~clean, np.ones_like(clean))}
    for kind in KINDS[1:]:
        bad = planting.kind == KINDS.index(kind)
        targets[kind] = (bad, bad | clean)
    return targets | {f"noted: {name}": (bad & clean, clean) for name, bad in noted.items()}


def detection_table(
    scores: dict[str, np.ndarray],
    planting: Planting,
    noted: dict[str, np.ndarray],
    uncertain: np.ndarray,
    draws: int = 200,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """How well each score tells bad records from others: AUROC with its 95 % bootstrap interval over records.

    Args:
        scores: Score by its name in `SUSPECT`; NaN where it was not computed.
        planting: What was planted.
        noted: What annotators noted; see `flags`.
        uncertain: The records that the network does not know, bool, (N,): those that ERTS would judge.
        draws: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        A row for each score, target and "all" or "uncertain" records: score, target, among, auc, low, high,
        bad and others (numbers of records). Targets with fewer than 5 bad or other records are left out.
        Notes are looked for among all records, and by the scores alone that are no variant of the focus.
    """
    rows = []
    for target, (bad, compared) in _targets(planting, noted).items():
        is_note = target.startswith("noted")
        for among, part in (("all", compared), ("uncertain", compared & uncertain)):
            drawn: dict[bytes, np.ndarray] = {}  # the draws of each set of records, made once
            for name, values in scores.items():
                if is_note and (among == "uncertain" or name.startswith("focus,")):
                    continue
                use = part & np.isfinite(values)
                truth, count = bad[use][:, None], int(bad[use].sum())
                if min(count, len(truth) - count) < 5:
                    continue
                if (key := use.tobytes()) not in drawn:
                    drawn[key] = np.concatenate([c for c, _ in resample_counts(truth, draws, seed)])
                suspicion = (SUSPECT[name] * values[use])[:, None]
                evaluate = evaluator(macro_auc, truth, suspicion)
                assert evaluate is not None
                low, high = np.quantile(evaluate(drawn[key]), [0.025, 0.975])
                rows.append(
                    {
                        "score": name,
                        "target": target,
                        "among": among,
                        "auc": macro_auc(truth, suspicion),
                        "low": float(low),
                        "high": float(high),
                        "bad": count,
                        "others": len(truth) - count,
                    }
                )
    return rows


def removal(
    candidates: np.ndarray, removed: np.ndarray, bad: np.ndarray, draws: int = 200, seed: int = 0
) -> dict[str, dict[str, float]]:
    """How bad the samples are that a filter removes, beside those that it had to judge.

    Args:
        candidates: How often each record was a candidate, shape (N,).
        removed: How often it was removed, shape (N,).
        bad: Which records are bad, bool, (N,).
        draws: Number of bootstrap draws over records.
        seed: Seed of the draws.

    Returns:
        Point, low and high of ``bad_candidates`` (share of bad ones among the candidates), ``bad_removed``
        (among the removed) and ``lift``, the second over the first: 1 for a filter that does not see them.
        Empty where nothing was removed or no candidate was bad.
    """
    if not removed.sum() or not (candidates * bad).sum():
        return {}
    counts = np.random.default_rng(seed).multinomial(len(bad), np.full(len(bad), 1 / len(bad)), size=draws)
    counts = np.concatenate([np.ones((1, len(bad)), np.int64), counts])
    sums = counts @ np.stack([candidates, candidates * bad, removed, removed * bad], axis=1)
    sums = sums[(sums[:, :3] > 0).all(axis=1)]
    among, gone = sums[:, 1] / sums[:, 0], sums[:, 3] / sums[:, 2]
    found = {}
    for name, values in (("bad_candidates", among), ("bad_removed", gone), ("lift", gone / among)):
        low, high = np.quantile(values[1:], [0.025, 0.975])
        found[name] = {"point": float(values[0]), "low": float(low), "high": float(high)}
    return found


@dataclass(frozen=True)
class _Settings:
    """Parameters of a run of this method, beside those of training, selection and network."""

    selector: str = "full_data"  # name for `selection.create`
    folds: int = 8  # training folds to use
    wrong_labels: float = 0.1
    noise: float = 0.1
    noise_size: float = 3.0
    ig_records: int = 0  # records to compute Integrated Gradients for

    def __post_init__(self) -> None:
        check_settings(self, at_least={"folds": 1, "wrong_labels": 0, "noise": 0, "ig_records": 0})


_NAMED = {"focus": "noise_auc", "mean confidence": "confidence_auc"}  # scores that are values of the run


def planted(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Train on records of which some have a planted wrong label or noise; which score finds these?

    The network is watched at the end of each epoch. The run's values are ``noise_auc``, the AUROC of ERTS's
    focus for whatever was planted, among the uncertain records (mean probability of the label below tau);
    ``confidence_auc``, that of this probability itself; and, with a filter, what it removed (see `removal`).
    Its table is `detection_table`. The test records have nothing planted, so the scores say what the filter
    is worth.

    Parameters of the run: those of the selection method, of the network and of `SelectionConfig`, and
    selector (default "full_data"), folds (of training, default 8), wrong_labels and noise (shares, default
    0.1), noise_size (default 3) and ig_records (records with Integrated Gradients, default none).
    """
    own = {f.name for f in fields(_Settings)}
    settings = _Settings(**{k: v for k, v in run.params.items() if k in own})
    rest = {k: v for k, v in run.params.items() if k not in own}
    config, selector, options = selection_settings(replace(run, method=settings.selector, params=rest))
    parts = one_label_each(parts)
    kept = np.isin(parts.train.meta["fold"], np.unique(parts.train.meta["fold"])[: settings.folds])
    planting = plant(
        parts.train.subset(kept), settings.wrong_labels, settings.noise, settings.noise_size, run.seed
    )
    scaler, train, validation, test = on_device(replace(parts, train=planting.dataset), device)
    model = build_model(run.model, train, run.seed, **options)
    assert isinstance(model, Classifier)
    watch = TrainingDynamics(train, scaler, config.bf16)
    on_epoch = by_epoch(progress, config.epochs)
    done = selection.train_with_selection(
        model, train, validation, scaler, config, selector, run.seed, checkpoint, on_epoch, watch.count, watch
    )
    scores = watch.scores()
    if settings.ig_records:
        rows = _some_of_each(planting.kind, settings.ig_records, run.seed)
        scores["focus, Integrated Gradients"] = np.full(len(train), np.nan)
        scores["focus, Integrated Gradients"][rows] = integrated_gradients_focus(model, train, scaler, rows)
    uncertain = scores["mean confidence"] < float(run.params.get("tau", 0.7))
    table = detection_table(scores, planting, flags(planting.dataset), uncertain)
    values = removal(watch.candidates, watch.removed, ~planting.has("none"))
    for row in table:
        if (row["target"], row["among"]) == ("anything planted", "uncertain") and row["score"] in _NAMED:
            values[_NAMED[row["score"]]] = {"point": row["auc"], "low": row["low"], "high": row["high"]}
    return RunResult(
        scores=config.predict(model, test, scaler),
        config={**asdict(config), **asdict(scaler), **asdict(settings), "selection": repr(selector)},
        curve=done.curve,
        samples_backprop=done.count.backprop,
        seconds={**done.seconds, "watch": watch.seconds},
        metrics=SINGLE_LABEL_METRICS,
        parts=parts,
        values=values,
        intervals="values and table: bootstrap over training records, 200 draws, 95 %",
        table=table,
    )


def _some_of_each(kind: np.ndarray, count: int, seed: int) -> np.ndarray:
    """About `count` rows, equally many of every kind as far as there are, in rising order."""
    order = np.random.default_rng(seed).permutation(len(kind))
    number = pd.Series(kind[order]).groupby(kind[order]).cumcount().to_numpy()
    return np.sort(order[number < max(1, count // len(np.unique(kind)))])
