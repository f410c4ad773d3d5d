"""The method "thesis": one of the eighteen lightweight networks, trained and tested as their thesis says."""

from dataclasses import asdict
from pathlib import Path

import torch

from ecgbook.runs.data import load_for, origin
from ecgbook.runs.outcome import Outcome, Parts, Progress
from ecgbook.runs.run import Run
from ecgbook.runs.settings import check_known
from ecgkit import datasets, models
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.sources import pooled, scored_2021
from ecgkit.datasets.splits import leave_one_source_out
from ecgkit.models.light_resnet18 import LightResNet18
from ecgkit.training import fit_scaler
from ecgkit.training.light import LightConfig, LightData, light_scores, prepare_light, train_light

__all__ = ["light_config", "source_parts", "thesis"]

METRICS = ("micro_auc", "macro_auc", "micro_precision", "macro_precision")  # the columns of Table 4.1


def light_config(run: Run) -> LightConfig:
    """The settings of a run; protocol "quick" means 3 epochs, unless the run names another number.

    Raises:
        ValueError: If `params` has a name that is no setting.
    """
    check_known(run.params, LightConfig)
    settings = {"epochs": 3, **run.params} if run.protocol == "quick" else dict(run.params)
    return LightConfig(**{**settings, "sources": tuple(settings.get("sources", ()))})


def source_parts(
    run: Run, config: LightConfig, root: Path | None = None
) -> tuple[Parts, dict[str, dict[str, str]]]:
    """Training on some sources, testing on others: the run's data set and those of its group are left out.

    All records of the sources left out are for testing; of the others, fold 9 is for validation and the rest
    for training. Labels are the 26 classes that the Challenge of 2021 scored.

    Args:
        run: The run; its data set is one of the sources left out.
        config: Its settings, with the other sources.
        root: Folder of the data sets; see `ecgkit.datasets.load`.

    Returns:
        The parts, and version and fingerprint of every source.

    Raises:
        DataNotFoundError: If one of the sources is not there.
        ValueError: If nothing is left to train on.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), section 3.3.
    """
    names = (run.dataset, *config.sources)
    split = next(s for s in leave_one_source_out(names) if run.dataset in s.test)
    origins = {}

    def load(names: tuple[str, ...]) -> ECGDataset:
        found = []
        for name in names:
            task = "scored2021" if "scored2021" in datasets.SOURCES[name].tasks else None
            dataset = load_for(run, name, task, root)
            origins[name] = origin(dataset)
            found.append(prepare_light(scored_2021(dataset).labelled(), config))
        return pooled(found)

    rest = load(split.train)
    fold = rest.meta["fold"].to_numpy()
    return Parts(rest.subset(fold != 9), rest.subset(fold == 9), load(split.test)), origins


def thesis(
    run: Run, parts: Parts, device: torch.device, checkpoint: Path, progress: Progress | None
) -> Outcome:
    """Train one of the eighteen networks as the thesis does and test the weights of the last epoch.

    With `sources` among the parameters, the run's data set and its relatives are left out of training; see
    `source_parts`.

    Raises:
        ValueError: If the model is none of the eighteen.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), chapter 3.
    """
    config = light_config(run)
    origins: dict[str, dict[str, str]] = {}
    if config.sources:
        parts, origins = source_parts(run, config, parts.root)
    else:
        kept = parts.train.subset(parts.train.meta["fold"].to_numpy() <= config.train_folds)
        parts = Parts(*(prepare_light(part, config) for part in (kept, parts.validation, parts.test)))
    scaler = fit_scaler(parts.train)
    train, validation, test = (
        LightData.of(part, device, config.metadata) for part in (parts.train, parts.validation, parts.test)
    )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)  # the weights to begin with
        model = models.create(run.model, leads=train.signals.shape[1], classes=train.labels.shape[1])
    if not isinstance(model, LightResNet18):
        raise ValueError(f"method thesis trains light_resnet18/E1 to E18, not {run.model!r}")
    model.to(device)

    def on_epoch(entry: dict[str, float]) -> None:
        if progress is not None:
            progress(int(entry["epoch"]), config.epochs)

    done = train_light(model, train, validation, scaler, config, run.seed, checkpoint, on_epoch)
    return Outcome(
        scores=light_scores(model, test, scaler, config.bf16),
        config={
            **asdict(config),
            **asdict(scaler),
            "sources": list(config.sources),
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        curve=done.curve,
        samples_backprop=done.samples_backprop,
        seconds=done.seconds,
        metrics=METRICS,
        parts=parts,
        sources=origins,
    )
