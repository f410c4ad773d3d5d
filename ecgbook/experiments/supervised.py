"""Training a network on labels (or a number) and predicting the test records."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ecgbook.runs.outcome import Outcome, Parts, Progress
from ecgbook.runs.run import Run
from ecgbook.runs.settings import model_options, train_config
from ecgkit import models
from ecgkit.training import TrainConfig, fit_scaler, predict, to_device, train_classifier

__all__ = ["supervised", "train_and_predict"]


def supervised(
    run: Run, parts: Parts, device: torch.device, checkpoint: Path, progress: Progress | None
) -> Outcome:
    """Train a network with binary cross-entropy and predict with the weights of the last epoch."""
    return train_and_predict(run, parts, train_config(run), device, checkpoint, progress)


def train_and_predict(
    run: Run,
    parts: Parts,
    config: TrainConfig,
    device: torch.device,
    checkpoint: Path,
    progress: Progress | None,
) -> Outcome:
    """Train the network of the run on the labels of `parts`, as `config` says, and predict the test records.

    The scores are probabilities; with the loss "mse" they are the network's own output.
    """
    scaler = fit_scaler(parts.train)
    train, validation, test = (
        to_device(part, device) for part in (parts.train, parts.validation, parts.test)
    )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)  # the weights to begin with
        leads, classes = train.signals.shape[1], len(parts.train.classes)
        model = models.create(run.model, leads=leads, classes=classes, **model_options(run))
    model.to(device)

    def on_epoch(entry: Mapping[str, float]) -> None:
        if progress is not None:
            progress(int(entry["epoch"]), config.epochs)

    done = train_classifier(model, train, validation, scaler, config, run.seed, checkpoint, on_epoch)
    scores = predict(
        model,
        test,
        scaler,
        config.window_s,
        config.aggregate,
        config.bf16,
        activation="none" if config.loss == "mse" else "sigmoid",
    )
    size = sum(p.numel() for p in model.parameters())
    settings: dict[str, Any] = {**asdict(config), **asdict(scaler), "parameters": size}
    return Outcome(scores, settings, done.curve, done.samples_backprop, done.seconds)
