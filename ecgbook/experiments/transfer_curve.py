"""The method "transfer": what is pre-training worth, when the target has few records and when it has many?

One network is pre-trained on source records with all statements of PTB-XL. Then, for each size of the
target's training set, two networks are compared on the same target records: one trained from scratch and one
fine-tuned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ecgbook.runs.data import load_for, origin
from ecgbook.runs.outcome import Outcome, Parts, Progress, drawn, total_seconds
from ecgbook.runs.run import Run
from ecgbook.runs.settings import train_config
from ecgkit import models
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.labels_ptbxl import aggregation_matrix, classes_of
from ecgkit.evaluation import bootstrap, fmax, macro_auc, paired_bootstrap
from ecgkit.evaluation.bootstrap import BootstrapResult
from ecgkit.evaluation.paired import PairedBootstrapResult
from ecgkit.models.heads import Classifier
from ecgkit.training import fit_scaler, predict, to_device, train_classifier
from ecgkit.training.finetune import fine_tune
from ecgkit.transfer.finetune import new_head
from ecgkit.transfer.tasks import join

__all__ = ["sites_apart", "transfer"]

_LEVEL = "superdiagnostic"


def sites_apart(whole: ECGDataset, sites: Sequence[int]) -> tuple[ECGDataset, Parts]:
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
    return whole.subset(~known), Parts(*target.split())


def transfer(
    run: Run, parts: Parts, device: torch.device, checkpoint: Path, progress: Progress | None
) -> Outcome:
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
    config = train_config(replace(run, params={k: v for k, v in run.params.items() if k not in own}))
    sources = {}
    if settings["source"] is None:
        source, parts = sites_apart(
            join([parts.train, parts.validation, parts.test]), settings["sites"] or ()
        )
        source_parts = source.split()
    else:
        other = load_for(run, settings["source"], "all", parts.root)
        sources = {settings["source"]: origin(other)}
        source_parts = other.labelled().split()
    steps = 1 + 2 * len(settings["records"])

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)
        fresh = models.create(run.model, len(source_parts[0].leads), len(source_parts[0].classes))
    assert isinstance(fresh, Classifier)
    source_scaler = fit_scaler(source_parts[0])
    pretrained = fresh.to(device)
    learning, held_out = (to_device(part, device) for part in source_parts[:2])
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
    table: list[dict[str, Any]] = []
    values: dict[str, dict[str, float]] = {}
    for number, size in enumerate(settings["records"]):
        part = parts.train.subset(np.sort(order[:size]))
        train, target_scaler = to_device(part, device), fit_scaler(part)
        scratch = _fresh(run, parts, device)
        done = train_classifier(
            scratch, train, validation, target_scaler, config, run.seed, saved(f"scratch-{size}.pt")
        )
        tuned = new_head(pretrained, len(parts.train.classes), run.seed)
        halves = replace(config, epochs=max(1, config.epochs // 2))
        both = fine_tune(tuned, train, validation, source_scaler, halves, run.seed, saved(f"tuned-{size}"))
        samples += done.samples_backprop + both.samples_backprop
        seconds += [done.seconds, both.frozen.seconds, both.unfrozen.seconds]
        scores = {
            "scratch": predict(scratch, test, target_scaler, config.window_s, bf16=config.bf16),
            "fine-tuned": predict(tuned, test, source_scaler, config.window_s, bf16=config.bf16),
        }
        (gap, aucs), how = drawn(
            partial(_intervals, parts.test.labels, scores),
            "gain: paired bootstrap over test records, 1000 draws, 95 %",
        )
        table += [
            {
                "records": size,
                "used": len(train),
                "start": start,
                "macro_auc": auc.point,
                "low": auc.low,
                "high": auc.high,
                "fmax": float(fmax(parts.test.labels, scores[start])),
            }
            for start, auc in aucs.items()
        ]
        values[f"gain_{size}"] = {"point": gap.difference, "low": gap.low, "high": gap.high}
        if progress is not None:
            progress(1 + 2 * (number + 1), steps)
    return Outcome(
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


def _fresh(run: Run, parts: Parts, device: torch.device) -> nn.Module:
    """A network with random weights for the target."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)
        return models.create(run.model, len(parts.train.leads), len(parts.train.classes)).to(device)


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
