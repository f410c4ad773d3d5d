"""How a run gets from training records to scores for the test records: one function per method.

To add a method, write such a function, here or in a module of its own, and enter it in `METHODS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from ecgbook.experiments.age_sex_quality import age, quality, sex
from ecgbook.experiments.baselines import naive, wavelet_nn
from ecgbook.experiments.compressed import compressed
from ecgbook.experiments.decisions import decisions
from ecgbook.experiments.leakage import leakage
from ecgbook.experiments.light import thesis
from ecgbook.experiments.melep_folds import melep_folds
from ecgbook.experiments.melep_selection import melep_selection
from ecgbook.experiments.planted import planted
from ecgbook.experiments.relevance import relevance
from ecgbook.experiments.supervised import supervised
from ecgbook.experiments.transfer_curve import transfer
from ecgbook.experiments.uncertainty import ensemble
from ecgbook.runs.outcome import Outcome, Parts, Progress
from ecgbook.runs.run import Run
from ecgbook.runs.settings import check_known, train_config
from ecgkit import models
from ecgkit.datasets.primary import single_label
from ecgkit.models.heads import Classifier
from ecgkit.training import fit_scaler, selection, to_device

__all__ = ["METHODS", "selection_settings", "train_config"]

_MODEL_OPTIONS = ("ndim", "width")
_SINGLE_LABEL_METRICS = ("single_label_f1", "single_label_accuracy", "macro_auc")


def selection_settings(run: Run) -> tuple[selection.SelectionConfig, selection.Selector, dict[str, Any]]:
    """Training settings, selection method and options of the network, out of the parameters of a run.

    Protocol "quick" means 3 epochs, unless the run names another number.

    Raises:
        ValueError: If a parameter belongs to none of the three, or has a wrong type.
    """
    known = {f.name for f in fields(selection.SelectionConfig)}
    settings = {key: value for key, value in run.params.items() if key in known}
    options = {key: value for key, value in run.params.items() if key in _MODEL_OPTIONS}
    rest = {key: value for key, value in run.params.items() if key not in known and key not in options}
    check_known(settings, selection.SelectionConfig)
    if run.protocol == "quick":
        settings = {"epochs": 3, **settings}
    return selection.SelectionConfig(**settings), selection.create(run.method, **rest), options


def selected(
    run: Run, parts: Parts, device: torch.device, checkpoint: Path, progress: Progress | None
) -> Outcome:
    """Train on the samples that a selection method chooses; the method of the run is its name.

    With one label per record, the default, the primary class of each record is learned and predicted.

    Source:
        Progressive Data Dropout (Shriram et al., 2025); ERTS (Dangeti et al., 2026).
    """
    config, selector, options = selection_settings(run)
    single = config.labels == "single"
    if single:
        parts = Parts(*(single_label(part) for part in (parts.train, parts.validation, parts.test)))
    scaler = fit_scaler(parts.train)
    train, validation, test = (
        to_device(part, device) for part in (parts.train, parts.validation, parts.test)
    )
    leads, classes = train.signals.shape[1], len(parts.train.classes)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)  # the weights to begin with
        model = models.create(run.model, leads=leads, classes=classes, **options)
    assert isinstance(model, Classifier)
    model.to(device)

    def on_epoch(entry: Mapping[str, float]) -> None:
        if progress is not None:
            progress(int(entry["epoch"]), config.epochs)

    done = selection.train_with_selection(
        model, train, validation, scaler, config, selector, run.seed, checkpoint, on_epoch
    )
    count = done.count
    return Outcome(
        scores=config.predict(model, test, scaler),
        config={
            **asdict(config),
            **asdict(scaler),
            "selection": repr(selector),
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        curve=done.curve,
        samples_backprop=count.backprop,
        seconds=done.seconds,
        metrics=_SINGLE_LABEL_METRICS if single else Outcome.metrics,
        parts=parts,
        accounting={
            **asdict(count),
            "compute_equivalent_epochs": selection.compute_equivalent_epochs(
                count.backprop, count.scored, len(parts.train)
            ),
        },
    )


METHODS: dict[str, Callable[..., Outcome]] = {
    "age": age,
    "compressed": compressed,
    "decisions": decisions,
    "ensemble": ensemble,
    "leakage": leakage,
    "naive": naive,
    "planted": planted,
    "quality": quality,
    "relevance": relevance,
    "sex": sex,
    "supervised": supervised,
    "wavelet_nn": wavelet_nn,
    "melep_folds": melep_folds,
    "melep_selection": melep_selection,
    "thesis": thesis,
    "transfer": transfer,
    **dict.fromkeys(selection.names(), selected),
}
