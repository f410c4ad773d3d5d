"""Training a network on labels (or a number) and predicting the test records; what all runs begin with."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ecgbook.experiments.method import Progress, RunResult, Splits, model_options, train_config
from ecgbook.runs.run import Run
from ecgkit import models
from ecgkit.training import (
    DeviceData,
    Scaler,
    TrainConfig,
    fit_scaler,
    predict,
    to_device,
    train_classifier,
)

__all__ = ["build_model", "by_epoch", "on_device", "parameters", "supervised", "train_and_predict"]


def build_model(
    name: str,
    like: DeviceData,
    seed: int,
    *,
    create: Callable[..., nn.Module] | None = None,
    **options: Any,
) -> nn.Module:
    """A network for the leads and labels of `like`, on its device; its first weights follow from the seed.

    Args:
        name: Name for `create`.
        like: Records that the network is for.
        seed: Of the weights. The caller's global random state is left as it was.
        create: Another function than `ecgkit.models.create`, of the same kind.
        options: Of the network.
    """
    with torch.random.fork_rng(devices=[like.device] if like.device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = (create or models.create)(
            name, leads=like.signals.shape[1], classes=like.labels.shape[1], **options
        )
    return model.to(like.device)


def parameters(model: nn.Module) -> int:
    """The number of weights."""
    return sum(p.numel() for p in model.parameters())


def on_device(
    parts: Splits, device: torch.device, metadata: bool = False
) -> tuple[Scaler, DeviceData, DeviceData, DeviceData]:
    """The scaler of the training records, and the three parts on a device."""
    train, validation, test = (
        to_device(part, device, metadata) for part in (parts.train, parts.validation, parts.test)
    )
    return fit_scaler(parts.train), train, validation, test


def by_epoch(
    progress: Progress | None, epochs: int, begin: int = 0
) -> Callable[[dict[str, float]], None] | None:
    """Tell `progress` of every epoch of a training.

    Args:
        progress: Of the run.
        epochs: Epochs of the run.
        begin: Epochs of the run before this training.
    """
    if progress is None:
        return None
    return lambda entry: progress(begin + int(entry["epoch"]), epochs)


def supervised(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Train a network with binary cross-entropy and predict with the weights of the last epoch."""
    return train_and_predict(run, parts, train_config(run), device, checkpoint, progress)


def train_and_predict(
    run: Run,
    parts: Splits,
    config: TrainConfig,
    device: torch.device,
    checkpoint: Path,
    progress: Progress | None,
) -> RunResult:
    """Train the network of the run on the labels of `parts`, as `config` says, and predict the test records.

    The scores are probabilities; with the loss "mse" they are the network's own output.
    """
    scaler, train, validation, test = on_device(parts, device)
    model = build_model(run.model, train, run.seed, **model_options(run))
    on_epoch = by_epoch(progress, config.epochs)
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
    settings = {**asdict(config), **asdict(scaler), "parameters": parameters(model)}
    return RunResult(scores, settings, done.curve, done.samples_backprop, done.seconds)
