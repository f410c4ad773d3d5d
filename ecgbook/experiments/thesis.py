"""The method "thesis": one of the eighteen lightweight networks, trained and tested as their thesis says."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from ecgbook.experiments.method import Progress, RunResult, Splits, check_known, load_for, origin
from ecgbook.experiments.supervised import build_model, by_epoch, on_device, parameters
from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.derived import pooled, scored_2021
from ecgkit.datasets.splits import leave_one_source_out
from ecgkit.models.light_resnet18 import LightResNet18
from ecgkit.training import (
    DeviceData,
    LightweightConfig,
    lightweight_scores,
    prepare_lightweight,
    train_lightweight,
)

__all__ = ["METRICS", "ThesisSettings", "lightweight_network", "own_folds", "source_parts", "thesis"]

METRICS = ("micro_auc", "macro_auc", "micro_precision", "macro_precision")  # the columns of Table 4.1


@dataclass(frozen=True)
class ThesisSettings(LightweightConfig):
    """The parameters of a run: how to prepare signals and train, and on what."""

    train_folds: int = 8  # train on folds 1 to this
    sources: tuple[str, ...] = ()  # data sets besides the run's own; its group of sources is left out

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train_folds < 1:
            raise ValueError(f"train_folds is {self.train_folds}; it must be at least 1")

    @classmethod
    def of(cls, run: Run) -> "ThesisSettings":
        """The settings of a run; protocol "quick" means 3 epochs, unless the run names another number.

        Raises:
            ValueError: If `params` has a name that is no setting.
        """
        check_known(run.params, cls)
        settings = {"epochs": 3, **run.params} if run.protocol == "quick" else dict(run.params)
        return cls(**{**settings, "sources": tuple(settings.get("sources", ()))})


def own_folds(parts: Splits, settings: ThesisSettings) -> Splits:
    """The parts of the run's own data set, prepared; for training, the folds that the settings name."""
    kept = parts.train.subset(parts.train.meta["fold"].to_numpy() <= settings.train_folds)
    return Splits(*(prepare_lightweight(part, settings) for part in (kept, parts.validation, parts.test)))


def source_parts(
    run: Run, settings: ThesisSettings, root: Path | None = None
) -> tuple[Splits, dict[str, dict[str, str]]]:
    """Training on some sources, testing on others: the run's data set and those of its group are left out.

    All records of the sources left out are for testing; of the others, fold 9 is for validation and the rest
    for training. Labels are the 26 classes that the Challenge of 2021 scored.

    Args:
        run: The run; its data set is one of the sources left out.
        settings: Its settings, with the other sources.
        root: Folder of the data sets; see `ecgkit.datasets.load`.

    Returns:
        The parts, and version and fingerprint of every source.

    Raises:
        DataNotFoundError: If one of the sources is not there.
        ValueError: If nothing is left to train on.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), section 3.3.
    """
    names = (run.dataset, *settings.sources)
    split = next(s for s in leave_one_source_out(names) if run.dataset in s.test)
    origins = {}

    def load(names: tuple[str, ...]) -> ECGDataset:
        found = []
        for name in names:
            task = "scored2021" if "scored2021" in datasets.SOURCES[name].tasks else None
            dataset = load_for(run, name, task, root)
            origins[name] = origin(dataset)
            found.append(prepare_lightweight(scored_2021(dataset).labelled(), settings))
        return pooled(found)

    rest = load(split.train)
    fold = rest.meta["fold"].to_numpy()
    return Splits(rest.subset(fold != 9), rest.subset(fold == 9), load(split.test)), origins


def lightweight_network(name: str, like: DeviceData, seed: int) -> nn.Module:
    """One of the eighteen networks, with the weights to begin with.

    Raises:
        ValueError: If the model is none of the eighteen.
    """
    model = build_model(name, like, seed)
    if not isinstance(model, LightResNet18):
        raise ValueError(f"the methods thesis and compressed take light_resnet18/E1 to E18, not {name!r}")
    return model


def thesis(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Train one of the eighteen networks as the thesis does and test the weights of the last epoch.

    With `sources` among the parameters, the run's data set and its relatives are left out of training; see
    `source_parts`.

    Raises:
        ValueError: If the model is none of the eighteen.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), chapter 3.
    """
    settings = ThesisSettings.of(run)
    origins: dict[str, dict[str, str]] = {}
    if settings.sources:
        parts, origins = source_parts(run, settings, parts.root)
    else:
        parts = own_folds(parts, settings)
    scaler, train, validation, test = on_device(parts, device, settings.metadata)
    model = lightweight_network(run.model, train, run.seed)
    on_epoch = by_epoch(progress, settings.epochs)
    done = train_lightweight(model, train, validation, scaler, settings, run.seed, checkpoint, on_epoch)
    return RunResult(
        scores=lightweight_scores(model, test, scaler, settings.bf16),
        config={
            **asdict(settings),
            **asdict(scaler),
            "sources": list(settings.sources),
            "parameters": parameters(model),
        },
        curve=done.curve,
        samples_backprop=done.samples_backprop,
        seconds=done.seconds,
        metrics=METRICS,
        parts=parts,
        sources=origins,
    )
