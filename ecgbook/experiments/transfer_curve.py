"""The method "transfer": what is pre-training worth, when the target has few records and when it has many?

One network is pre-trained on source records with all statements of PTB-XL. Then, for each size of the
target's training set, two networks are compared on the same target records: one trained from scratch and one
fine-tuned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgbook.experiments.method import (
    Progress,
    RunResult,
    Splits,
    drawn,
    load_for,
    model_options,
    origin,
    total_seconds,
    train_config,
)
from ecgbook.experiments.supervised import build_model
from ecgbook.runs.run import Run
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.labels_ptbxl import aggregation_matrix, classes_of
from ecgkit.evaluation import bootstrap, fmax, macro_auc, paired_bootstrap
from ecgkit.evaluation.bootstrap import BootstrapResult, PairedBootstrapResult
from ecgkit.models.heads import Classifier
from ecgkit.training import fit_scaler, predict, to_device, train_classifier
from ecgkit.training.supervised import fine_tune_in_phases
from ecgkit.transfer.finetune import new_head
from ecgkit.transfer.tasks import concat

__all__ = ["sites_apart", "transfer"]

_LEVEL = "superdiagnostic"


def sites_apart(whole: ECGDataset, sites: Sequence[int]) -> tuple[ECGDataset, Splits]:
    """Source and target inside PTB-XL: records of other recording sites, and of the sites named.

    The source keeps all statements. The target has the five superclasses, and only records with one of them.
    Patients of the target are not in the source, and the published folds split the target.

    Args:
        whole: PTB-XL with the task "all".
        sites: Numbers of the target's recording sites.

    Returns:
        The source, and training, validation and test part of the target.

    Raises:
        ValueError: If the task is not "all", or one of the two has no record.
    """
    if whole.task != "all":
        raise ValueError(f"the source needs all statements: ask for the task 'all', not {whole.task!r}")
    here = whole.meta["site"].isin(list(sites)).to_numpy()
    known = whole.meta["patient"].isin(set(whole.meta["patient"][here])).to_numpy()
    matrix = aggregation_matrix(whole.classes, _LEVEL)
    labels = (whole.labels @ matrix > 0).astype(np.uint8)
    rows = np.flatnonzero(here & labels.any(axis=1))
    if not len(rows) or known.all():
        raise ValueError(f"recording sites {list(sites)} leave no record for the source or for the target")
    target = replace(
        whole.subset(rows),
        task=_LEVEL,
        labels=labels[rows],
        classes=tuple(classes_of(_LEVEL)),
        known=np.ones(len(rows), bool),
    )
    return whole.subset(~known), Splits(*target.split())


def transfer(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Train from scratch and fine-tune on target sets of growing size; the table has one row for each.

    Parameters of the run: `records`, the sizes; `sites`, the target's recording sites in PTB-XL (task "all"),
    or, for another target, `source`, the data set to pre-train on; `source_epochs` of pre-training (default
    10); and those of `TrainConfig`. Of its `epochs` fine-tuning spends half with the body frozen. Smaller
    training sets are parts of the larger ones. The metric ``gain_N`` is the macro AUC of the fine-tuned
    network minus that of the other, with N records.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Fig. 4, where the target is ICBEB2018.
    """
    own = {"records": [85], "sites": None, "source": None, "source_epochs": 10}
    settings: dict[str, Any] = {**own, **{k: v for k, v in run.params.items() if k in own}}
    rest = replace(run, params={k: v for k, v in run.params.items() if k not in own})
    config, options = train_config(rest), model_options(rest)
    sources = {}
    if settings["source"] is None:
        source, parts = sites_apart(
            concat([parts.train, parts.validation, parts.test]), settings["sites"] or ()
        )
        source_parts = source.split()
    else:
        other = load_for(run, settings["source"], "all", parts.root)
        sources = {settings["source"]: origin(other)}
        source_parts = other.labelled().split()
    steps = 1 + 2 * len(settings["records"])
    source_scaler = fit_scaler(source_parts[0])
    learning, held_out = (to_device(part, device) for part in source_parts[:2])
    pretrained = build_model(run.model, learning, run.seed, **options)
    assert isinstance(pretrained, Classifier)
    before = replace(config, epochs=settings["source_epochs"])
    saved = checkpoint.with_name
    done = train_classifier(
        pretrained, learning, held_out, source_scaler, before, run.seed, saved("source.pt")
    )
    curve, samples, seconds = list(done.curve), done.samples_backprop, [done.seconds]
    if progress is not None:
        progress(1, steps)

    validation, test = (to_device(part, device) for part in (parts.validation, parts.test))
    order = np.random.default_rng([run.seed, 1]).permutation(len(parts.train))
    scores: dict[int, dict[str, np.ndarray]] = {}  # of the test records, by size and start
    used: dict[int, int] = {}
    for number, size in enumerate(settings["records"]):
        part = parts.train.subset(np.sort(order[:size]))
        train, target_scaler = to_device(part, device), fit_scaler(part)
        scratch = build_model(run.model, train, run.seed, **options)
        done = train_classifier(
            scratch, train, validation, target_scaler, config, run.seed, saved(f"scratch-{size}.pt")
        )
        tuned = new_head(pretrained, len(parts.train.classes), run.seed)
        halves = replace(config, epochs=max(1, config.epochs // 2))
        both = fine_tune_in_phases(
            tuned, train, validation, source_scaler, halves, run.seed, saved(f"tuned-{size}")
        )
        samples += done.samples_backprop + both.samples_backprop
        seconds += [done.seconds, both.frozen.seconds, both.unfrozen.seconds]
        used[size] = len(train)
        scores[size] = {
            "scratch": predict(scratch, test, target_scaler, config.window_s, bf16=config.bf16),
            "fine-tuned": predict(tuned, test, source_scaler, config.window_s, bf16=config.bf16),
        }
        if progress is not None:
            progress(1 + 2 * (number + 1), steps)
    found, how = drawn(
        lambda redraw: {size: _intervals(parts.test.labels, both, redraw) for size, both in scores.items()},
        "gain: paired bootstrap over test records, 1000 draws, 95 %",
    )
    table: list[dict[str, Any]] = [
        {
            "records": size,
            "used": used[size],
            "start": start,
            "macro_auc": auc.point,
            "low": auc.low,
            "high": auc.high,
            "fmax": float(fmax(parts.test.labels, scores[size][start])),
        }
        for size, (_, aucs) in found.items()
        for start, auc in aucs.items()
    ]
    values = {
        f"gain_{size}": {"point": gap.difference, "low": gap.low, "high": gap.high}
        for size, (gap, _) in found.items()
    }
    return RunResult(
        scores=None,
        config={**asdict(config), **settings, "source_records": len(learning)},
        curve=curve,
        samples_backprop=samples,
        seconds=total_seconds(seconds),
        parts=parts,
        values=values,
        intervals=how,
        table=table,
        sources=sources,
    )


def _intervals(
    labels: np.ndarray, scores: Mapping[str, np.ndarray], redraw: bool
) -> tuple[PairedBootstrapResult, dict[str, BootstrapResult]]:
    """The gain in macro AUC, and the macro AUC of each start."""
    gap = paired_bootstrap(
        macro_auc, labels, scores["fine-tuned"], scores["scratch"], n=1000, seed=0, redraw=redraw
    )
    aucs = {
        start: bootstrap(macro_auc, labels, score, n=1000, seed=0, redraw=redraw)
        for start, score in scores.items()
    }
    return gap, aucs
