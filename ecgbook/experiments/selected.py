"""The methods of training on less data: Progressive Data Dropout, ERTS, and the baselines beside them."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from ecgbook.experiments.method import Progress, RunResult, Splits, check_known, model_options
from ecgbook.experiments.supervised import build_model, by_epoch, on_device, parameters
from ecgbook.runs.run import Run
from ecgkit.datasets.derived import single_label
from ecgkit.models.heads import Classifier
from ecgkit.training import selection

__all__ = ["SINGLE_LABEL_METRICS", "one_label_each", "selected", "selection_settings"]

SINGLE_LABEL_METRICS = ("single_label_f1", "single_label_accuracy", "macro_auc")


def selection_settings(run: Run) -> tuple[selection.SelectionConfig, selection.Selector, dict[str, Any]]:
    """Training settings, selection method and options of the network, out of the parameters of a run.

    Protocol "quick" means 3 epochs, unless the run names another number.

    Raises:
        ValueError: If a parameter belongs to none of the three, or has a wrong type.
    """
    known, options = {f.name for f in fields(selection.SelectionConfig)}, model_options(run)
    settings = {key: value for key, value in run.params.items() if key in known}
    rest = {key: value for key, value in run.params.items() if key not in known and key not in options}
    check_known(settings, selection.SelectionConfig)
    if run.protocol == "quick":
        settings = {"epochs": 3, **settings}
    return selection.SelectionConfig(**settings), selection.create(run.method, **rest), options


def one_label_each(parts: Splits) -> Splits:
    """The same records with their primary class alone."""
    return Splits(*(single_label(part) for part in (parts.train, parts.validation, parts.test)))


def selected(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Train on the samples that a selection method chooses; the method of the run is its name.

    With one label per record, the default, the primary class of each record is learned and predicted.

    Source:
        Progressive Data Dropout (Shriram et al., 2025); ERTS (Dangeti et al., 2026).
    """
    config, selector, options = selection_settings(run)
    single = config.labels == "single"
    if single:
        parts = one_label_each(parts)
    scaler, train, validation, test = on_device(parts, device)
    model = build_model(run.model, train, run.seed, **options)
    assert isinstance(model, Classifier)
    on_epoch = by_epoch(progress, config.epochs)
    done = selection.train_with_selection(
        model, train, validation, scaler, config, selector, run.seed, checkpoint, on_epoch
    )
    count = done.count
    result = RunResult(
        scores=config.predict(model, test, scaler),
        config={
            **asdict(config),
            **asdict(scaler),
            "selection": repr(selector),
            "parameters": parameters(model),
        },
        curve=done.curve,
        samples_backprop=count.backprop,
        seconds=done.seconds,
        parts=parts,
        accounting={
            **asdict(count),
            "compute_equivalent_epochs": selection.compute_equivalent_epochs(
                count.backprop, count.scored, len(train)
            ),
        },
    )
    return replace(result, metrics=SINGLE_LABEL_METRICS) if single else result
