"""Does a score that is known before fine-tuning foretell its result? One source, many small target tasks.

The source is pre-trained within the run, so that nothing but the run and its seed decides the result. There
are three kinds, named by the parameter `source`:

- a group of statements of the same data set ("rhythm", "form", "diagnostic" or a superclass): trained on
  folds 1-4, and the targets come from folds 5-10, from other statements and other patients;
- another data set: trained on its folds 1-8, and the targets come from all records;
- "untrained": random weights, a control that knows nothing of any ECG.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgbook.experiments.method import (
    Progress,
    RunResult,
    Splits,
    check_known,
    load_for,
    origin,
    total_seconds,
)
from ecgbook.experiments.supervised import build_model, parameters
from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.challenge import MELEP_SECONDS
from ecgkit.datasets.derived import first_seconds
from ecgkit.evaluation import f1, mean_interval
from ecgkit.models.heads import Classifier
from ecgkit.training import (
    DeviceData,
    Scaler,
    TrainConfig,
    Training,
    fit_scaler,
    predict,
    to_device,
    train_classifier,
)
from ecgkit.training.checkpoint import Checkpoint, data_digest, network_digest
from ecgkit.training.settings import check_settings
from ecgkit.transfer import networks
from ecgkit.transfer.choice import correlation
from ecgkit.transfer.finetune import (
    FineTuneConfig,
    FineTuning,
    all_scores,
    fine_tune,
    new_head,
    select,
    source_outputs,
    weighted_f1,
)
from ecgkit.transfer.melep import melep
from ecgkit.transfer.tasks import TargetTask, concat, frequent_labels, sample_tasks, statement_group

__all__ = ["FoldSettings", "fold_row", "melep_folds", "pretrain", "whole_records"]

SOURCE_FOLDS = 4  # of the same data set: folds 1-4 for the source, 5-10 for the targets


@dataclass(frozen=True)
class FoldSettings:
    """The parameters of a run. The defaults are MELEP's where the paper has a value.

    Attributes:
        source: What the source learned; see the module.
        targets: Group of statements that the targets are drawn from; "" for all labels of the task.
        folds: Number of target tasks.
        records: Records of a target task.
        n_labels: Smallest and largest number of labels.
        min_positives: Labels with fewer positive records are not drawn.
        validation_share: Share of the 70 % that chooses the epoch. 0 as in the paper: then only the test part
            can choose it.
        epochs, batch_size, lr, window_s, bf16: Of fine-tuning; see `FineTuneConfig`.
        source_epochs: Epochs of pre-training.
        width: Width of a resnet18; 0 for networks without that option.
    """

    source: str = "untrained"
    targets: str = ""
    folds: int = 100
    records: int = 1000
    n_labels: tuple[int, int] = (2, 10)
    min_positives: int = 1000
    validation_share: float = 0.2
    epochs: int = 50
    batch_size: int = 256
    lr: float = 0.01
    window_s: float = 10.0
    bf16: bool = False
    source_epochs: int = 50
    width: int = 0

    def __post_init__(self) -> None:
        check_settings(self, at_least={"folds": 1, "records": 2, "min_positives": 1, "width": 0})
        if not 0 <= self.validation_share < 1:
            raise ValueError(f"validation_share is {self.validation_share}; choose 0 or more, and below 1")

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "FoldSettings":
        """Settings from the parameters of a run.

        Raises:
            ValueError: If a parameter is none of them.
        """
        check_known(params, cls)
        values = dict(params)
        if "n_labels" in values:
            values["n_labels"] = tuple(values["n_labels"])
        return cls(**values)

    @property
    def options(self) -> dict[str, int]:
        """Options of the network."""
        return {"width": self.width} if self.width else {}

    @property
    def fine_tuning(self) -> FineTuneConfig:
        return FineTuneConfig(self.epochs, self.batch_size, self.lr, self.window_s, self.bf16)

    @property
    def pre_training(self) -> TrainConfig:
        """AdamW with a one-cycle schedule, as in all of the book; the paper has Adam at a constant rate."""
        return TrainConfig(
            epochs=self.source_epochs,
            batch_size=self.batch_size,
            window_s=self.window_s,
            max_lr=self.lr,
            bf16=self.bf16,
            validate_every=self.source_epochs,
        )


def whole_records(dataset: ECGDataset) -> ECGDataset:
    """The first ten seconds of every record that lasts so long; PTB-XL stays as it is."""
    samples = MELEP_SECONDS * dataset.sampling_rate_hz
    if dataset.signals.shape[2] == samples and (dataset.lengths == samples).all():
        return dataset
    return first_seconds(dataset, MELEP_SECONDS)


def pretrain(
    name: str,
    options: Mapping[str, int],
    source: DeviceData,
    held_out: DeviceData,
    scaler: Scaler,
    config: TrainConfig,
    seed: int,
    checkpoint: Path | None = None,
) -> tuple[Classifier, Training]:
    """A network trained on a source task, and what its training left.

    Args:
        name: Name for `models.create`.
        options: Options of the network.
        source: Records of the source task.
        held_out: Records to look at after the last epoch; they choose nothing.
        scaler: From the records of `source`.
        config: How to train.
        seed: Of the first weights and of training.
        checkpoint: File to go on from when it is there, and to write after every epoch.
    """
    model = init_model(name, options, source, seed)
    done = train_classifier(model, source, held_out, scaler, config, seed, checkpoint)
    return model, done


def init_model(name: str, options: Mapping[str, int], like: DeviceData, seed: int) -> Classifier:
    """A network of the paper with random weights for the leads and labels of `like`, on its device."""
    model = build_model(name, like, seed, create=networks.create, **options)
    assert isinstance(model, Classifier)
    return model


def fold_row(
    model: Classifier,
    pool: DeviceData,
    task: TargetTask,
    scaler: Scaler,
    config: FineTuneConfig,
    seed: int,
) -> tuple[dict[str, Any], FineTuning]:
    """All scores of a source for a target task, then the F1 that fine-tuning it gives.

    Scores read training and validation part, never the test part. Their time is a phase beside those of
    fine-tuning.
    """
    start = time.perf_counter()
    learning = select(pool, task.learning, task.labels)
    probabilities, features = source_outputs(model, learning, scaler, config.bf16)
    labels = learning.labels.cpu().numpy().astype(int)
    scores = all_scores(probabilities, features, labels)
    per_label_melep = np.atleast_1d(melep(probabilities, labels, per_label=True))
    scored = time.perf_counter() - start
    train, validation, test = (
        select(pool, rows, task.labels) if len(rows) else None
        for rows in (task.train, task.validation, task.test)
    )
    assert train is not None and test is not None
    done = fine_tune(new_head(model, len(task.labels), seed), train, validation, test, scaler, config, seed)
    done.seconds["score"] = scored
    chosen = done.validated if validation is not None else done.best
    truth = test.labels.cpu().numpy().astype(int)
    per_label = [
        float(f1(truth[:, [k]], (done.predictions[chosen][:, [k]] >= 0.5).astype(int)))
        for k in range(truth.shape[1])
    ]
    row = {
        "n_labels": len(task.labels),
        "records": len(learning) + len(test),
        "prevalences": [round(float(p), 6) for p in labels.mean(axis=0)],
        **scores,
        "melep_per_label": [float(v) for v in per_label_melep],
        "f1_last": done.f1_test[-1],
        "f1_best": done.f1_test[done.best],
        "f1_validated": done.f1_test[chosen] if validation is not None else None,
        "f1_per_label": per_label,
        "f1_all_positive": weighted_f1(truth, np.ones(truth.shape)),
        "epoch_best": done.best + 1,
        "epoch_validated": chosen + 1 if validation is not None else None,
        "f1_curve": [round(v, 5) for v in done.f1_test],
    }
    return row, done


def melep_folds(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Scores and fine-tuned F1 of one source on many target tasks.

    A stopped run goes on after the last epoch of pre-training, or after the last finished fold.

    Source:
        MELEP (Nguyen et al., 2024), sections 3.1-3.3.
    """
    settings = FoldSettings.of(run.params)
    other = None
    if settings.source in datasets.names():
        other = load_for(run, settings.source, _other_task(settings.source), parts.root)
    source, held_out, pool_set, columns, classes = _data(parts, settings, other)
    scaler = fit_scaler(source)
    pool, learned, judged = (to_device(part, device) for part in (pool_set, source, held_out))
    if settings.source == "untrained":
        model, before = init_model(run.model, settings.options, learned, run.seed), Training()
    else:
        model, before = pretrain(
            run.model,
            settings.options,
            learned,
            judged,
            scaler,
            settings.pre_training,
            run.seed,
            checkpoint.with_name("source.pt"),
        )
    found = predict(model, judged, scaler, float(MELEP_SECONDS), bf16=settings.bf16)
    source_f1 = weighted_f1(judged.labels.cpu().numpy().astype(int), found)
    saved = Checkpoint(
        checkpoint,
        {"run": run.hash, "records": data_digest(pool), "source": network_digest(model)},
    )
    state = saved.load() or {"rows": [], "samples": 0, "seconds": {}}
    tasks = sample_tasks(
        pool_set.labels,
        pool_set.meta["patient"].to_numpy(),
        columns,
        settings.folds,
        settings.records,
        run.seed,
        settings.n_labels,
        settings.validation_share,
    )
    del learned
    for fold in range(len(state["rows"]), settings.folds):
        seed = int(np.random.SeedSequence([run.seed, fold]).generate_state(1)[0])
        row, done = fold_row(model, pool, tasks[fold], scaler, settings.fine_tuning, seed)
        names = " ".join(classes[k] for k in tasks[fold].labels)
        state["rows"].append({"fold": fold, "labels": names, **row})
        state["samples"] += done.samples_backprop
        state["seconds"] = total_seconds([state["seconds"], done.seconds])
        saved.save(state)
        if progress is not None:
            progress(fold + 1, settings.folds)
    return RunResult(
        scores=None,
        config={
            **asdict(settings),
            "source_f1": source_f1,
            "source_labels": list(source.classes),
            "source_records": len(source),
            "pool_records": len(pool_set),
            "target_labels": [classes[k] for k in columns],
            "parameters": parameters(model),
        },
        curve=before.curve,
        samples_backprop=before.samples_backprop + state["samples"],
        seconds=total_seconds([before.seconds, state["seconds"]]),
        values=_values(state["rows"], source_f1),
        intervals="correlations: Fisher's, which takes folds to be independent; means: Student's t, folds",
        table=state["rows"],
        sources={} if other is None else {settings.source: origin(other)},
    )


def _values(rows: list[dict[str, Any]], source_f1: float) -> dict[str, dict[str, float]]:
    """Correlations with the F1 of the epoch that was chosen, and of the one that the test part chose."""
    column = {name: [row[name] for row in rows] for name in ("melep", "melep_authors", "f1_best", "f1_last")}
    validated = [row["f1_validated"] for row in rows]
    column["f1"] = column["f1_best"] if None in validated else validated
    values = {"source_f1": {"point": source_f1, "low": source_f1, "high": source_f1}}
    pairs = {
        "correlation": ("melep", "f1"),
        "correlation_best": ("melep", "f1_best"),
        "correlation_authors": ("melep_authors", "f1"),
        "correlation_authors_best": ("melep_authors", "f1_best"),
    }
    for name, (x, y) in pairs.items():
        found = correlation(column[x], column[y])
        if np.isfinite([found.r, found.low, found.high]).all():
            values[name] = {"point": found.r, "low": found.low, "high": found.high}
    means = {"average_f1": column["f1"], "optimism": np.subtract(column["f1_best"], column["f1"])}
    for name, numbers in means.items():
        mean = mean_interval(numbers)
        values[name] = {"point": mean.mean, "low": mean.low, "high": mean.high}
    return values


def _data(
    parts: Splits, settings: FoldSettings, other: ECGDataset | None
) -> tuple[ECGDataset, ECGDataset, ECGDataset, np.ndarray, tuple[str, ...]]:
    """Source records, held-out source records, target pool, its columns to draw from, its classes.

    The source is the data set `other`, or else a part of the run's own.
    """
    whole = [whole_records(part) for part in (parts.train, parts.validation, parts.test)]
    classes = whole[0].classes
    if other is not None:
        train, _, held_out = (whole_records(part) for part in other.labelled().split())
        pool = concat(whole)
    else:
        group = "rhythm" if settings.source == "untrained" else settings.source
        own = statement_group(classes, group)
        train = with_labels(whole[0].subset(whole[0].meta["fold"].to_numpy() <= SOURCE_FOLDS), own)
        held_out = with_labels(whole[2], own)
        later = whole[0].subset(whole[0].meta["fold"].to_numpy() > SOURCE_FOLDS)
        pool = concat([later, *whole[1:]])
    allowed = statement_group(classes, settings.targets) if settings.targets else np.ones(len(classes), bool)
    if other is None and settings.source != "untrained":
        allowed = allowed & ~statement_group(classes, settings.source)
    columns = np.intersect1d(frequent_labels(pool.labels, settings.min_positives), np.flatnonzero(allowed))
    return train, held_out, pool, columns, classes


def with_labels(dataset: ECGDataset, columns: np.ndarray) -> ECGDataset:
    """The same records with some of the labels, those of a boolean mask that occur at all; the rest is 0."""
    return replace(
        dataset,
        labels=dataset.labels[:, columns],
        classes=tuple(name for name, used in zip(dataset.classes, columns, strict=True) if used),
    )


def _other_task(name: str) -> str:
    return "superdiagnostic" if name in ("ptbxl", "synthetic") else "melep"
