"""Which checkpoint to fine-tune? Sources of several kinds, widths and lengths of pre-training, four targets.

Sources and targets are groups of PTB-XL's statements. Sources learn folds 1-4, targets come from folds 5-10,
so no patient is in both; a source is no candidate for its own group. Every candidate is fine-tuned on every
target, so that each score's choice can be compared with the best one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgbook.experiments.melep_folds import SOURCE_FOLDS, fold_row, init_model, pretrain, with_labels
from ecgbook.experiments.method import Progress, RunResult, Splits, check_known, total_seconds
from ecgbook.runs.run import Run
from ecgkit.models.heads import Classifier
from ecgkit.training import DeviceData, Scaler, TrainConfig, Training, fit_scaler, predict, to_device
from ecgkit.training.checkpoint import Checkpoint, data_digest
from ecgkit.training.settings import check_settings
from ecgkit.transfer.finetune import FineTuneConfig, weighted_f1
from ecgkit.transfer.scores import SCORES
from ecgkit.transfer.tasks import concat, frequent_labels, sample_task, statement_group

__all__ = ["SelectionSettings", "f1_draws", "melep_selection"]

DRAWS = 1000


@dataclass(frozen=True)
class SelectionSettings:
    """The parameters of a run.

    Attributes:
        groups: Groups of statements; each is a source and, in turn, the target of the others.
        widths: Widths of the network; 0 for networks without that option.
        source_epochs: Lengths of pre-training; 0 is a network with random weights, the same for all groups.
        records: Records of a target task.
        min_positives: Statements with fewer positive records are no target label.
        epochs, batch_size, lr, window_s, bf16: Of fine-tuning, and but for `epochs` also of pre-training.
    """

    groups: tuple[str, ...] = ("rhythm", "form", "MI", "CD")
    widths: tuple[int, ...] = (8, 16)
    source_epochs: tuple[int, ...] = (0, 1, 6)
    records: int = 1000
    min_positives: int = 100
    epochs: int = 10
    batch_size: int = 64
    lr: float = 0.003
    window_s: float = 5.0
    bf16: bool = False

    def __post_init__(self) -> None:
        check_settings(self, at_least={"records": 2, "min_positives": 1})
        if min((*self.widths, *self.source_epochs), default=0) < 0 or not self.groups:
            raise ValueError("widths and source_epochs must be at least 0, and there must be a group")

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "SelectionSettings":
        """Settings from the parameters of a run.

        Raises:
            ValueError: If a parameter is none of them.
        """
        check_known(params, cls)
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in params.items()
        }
        return cls(**values)

    def pre_training(self, epochs: int) -> TrainConfig:
        return TrainConfig(
            epochs=epochs,
            batch_size=self.batch_size,
            window_s=self.window_s,
            max_lr=self.lr,
            bf16=self.bf16,
            validate_every=epochs,
        )

    def candidates(self) -> Iterator[tuple[str, int, int]]:
        """Source group ("none" for random weights), width and epochs of every candidate."""
        for width in self.widths:
            for epochs in self.source_epochs:
                for group in self.groups if epochs else ("none",):
                    yield group, width, epochs


def melep_selection(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Scores and fine-tuned F1 of every candidate on every target.

    A stopped run goes on after the last finished candidate; the pre-training of the next one goes on after
    its last epoch. Networks with random weights have learned no source task: their ``source_f1`` is None.

    Source:
        MELEP (Nguyen et al., 2024), section 3.4, with other sources, targets and candidates.
    """
    settings = SelectionSettings.of(run.params)
    classes = parts.train.classes
    folds = parts.train.meta["fold"].to_numpy()
    source = parts.train.subset(folds <= SOURCE_FOLDS)
    pool_set = concat([parts.train.subset(folds > SOURCE_FOLDS), parts.validation, parts.test])
    scaler = fit_scaler(source)
    pool = to_device(pool_set, device)
    tasks = {}
    for number, group in enumerate(settings.groups):
        frequent = frequent_labels(pool_set.labels, settings.min_positives)
        columns = np.intersect1d(frequent, np.flatnonzero(statement_group(classes, group)))
        patients = pool_set.meta["patient"].to_numpy()
        rng = np.random.default_rng([run.seed, number])
        everything = (len(columns), len(columns))
        tasks[group] = sample_task(pool_set.labels, patients, columns, settings.records, rng, everything)

    whole = concat([parts.train, parts.validation, parts.test])
    saved = Checkpoint(checkpoint, {"run": run.hash, "records": data_digest(to_device(whole, "cpu"))})
    state = saved.load() or {"rows": [], "hits": [], "samples": 0, "seconds": {}, "done": 0}
    candidates = list(settings.candidates())
    for number in range(state["done"], len(candidates)):
        group, width, epochs = candidates[number]
        # Random weights have no labels of their own: theirs are the outputs that the first group would have.
        own = statement_group(classes, settings.groups[0] if group == "none" else group)
        learned, judged = (to_device(with_labels(part, own), device) for part in (source, parts.test))
        own_file = checkpoint.with_name(f"source-{number}.pt")
        model, before = _candidate(run, settings, learned, judged, scaler, width, epochs, own_file)
        source_f1 = None
        if epochs:
            found = predict(model, judged, scaler, 10.0, bf16=settings.bf16)
            source_f1 = weighted_f1(judged.labels.cpu().numpy().astype(int), found)
        state["samples"] += before.samples_backprop
        seconds = [state["seconds"], before.seconds]
        del learned, judged
        for target, task in tasks.items():
            if target == group:
                continue
            config = FineTuneConfig(
                settings.epochs, settings.batch_size, settings.lr, settings.window_s, settings.bf16
            )
            row, done = fold_row(model, pool, task, scaler, config, run.seed)
            state["samples"] += done.samples_backprop
            seconds.append(done.seconds)
            state["rows"].append(
                {
                    "target": target,
                    "labels": " ".join(classes[k] for k in task.labels),
                    "source": group,
                    "width": width,
                    "source_epochs": epochs,
                    "source_f1": source_f1,
                    **row,
                }
            )
            state["hits"].append(torch.from_numpy(done.predictions[done.validated] >= 0.5))
        state["seconds"] = total_seconds(seconds)
        state["done"] = number + 1
        saved.save(state)
        if progress is not None:
            progress(number + 1, len(candidates))
    truth = {
        target: pool_set.labels[np.ix_(task.test, np.array(task.labels))] for target, task in tasks.items()
    }
    return RunResult(
        scores=None,
        config={**asdict(settings), "source_records": len(source), "pool_records": len(pool_set)},
        samples_backprop=state["samples"],
        seconds=state["seconds"],
        values=_values(state["rows"], [hits.numpy() for hits in state["hits"]], truth, run.seed),
        intervals=f"bootstrap over the test records of the targets, {DRAWS} draws, 95 %; targets, "
        "candidates and the best of them as they are",
        table=state["rows"],
    )


def _candidate(
    run: Run,
    settings: SelectionSettings,
    learned: DeviceData,
    judged: DeviceData,
    scaler: Scaler,
    width: int,
    epochs: int,
    checkpoint: Path,
) -> tuple[Classifier, Training]:
    options = {"width": width} if width else {}
    if not epochs:
        return init_model(run.model, options, learned, run.seed), Training()
    config = settings.pre_training(epochs)
    return pretrain(run.model, options, learned, judged, scaler, config, run.seed, checkpoint)


def f1_draws(y_true: np.ndarray, y_pred: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted F1 of many resamples at once.

    Args:
        y_true: Zeros and ones, shape (n, Y).
        y_pred: Zeros and ones, shape (n, Y).
        weights: How often each record is in each resample, shape (draws, n).

    Returns:
        Shape (draws,).

    >>> f1_draws(np.array([[1, 0], [1, 1], [1, 0]]), np.array([[1, 0], [1, 0], [1, 0]]), np.ones((1, 3)))
    array([0.75])
    """
    hit = weights @ (y_true & y_pred)  # (draws, Y)
    positive, predicted = weights @ y_true, weights @ y_pred
    both = positive + predicted
    f1 = 2 * hit / np.where(both > 0, both, 1)
    return (positive * f1).sum(1) / np.maximum(positive.sum(1), 1e-12)


def _values(
    rows: list[dict[str, Any]], hits: list[np.ndarray], truth: Mapping[str, np.ndarray], seed: int
) -> dict[str, dict[str, float]]:
    """Means over targets: the F1 of each score's choice, its lead over a random choice, its regret.

    The first draw is the test part itself. The best candidate there is "the best" in every draw. If each draw
    took its own best one, chance would help to choose it, and all intervals of regret would lie too high.
    """
    rng = np.random.default_rng([seed, 1])
    best, random = np.zeros(DRAWS + 1), np.zeros(DRAWS + 1)
    chosen = {name: np.zeros(DRAWS + 1) for name in SCORES}
    for target, y_true in truth.items():
        among = [k for k, row in enumerate(rows) if row["target"] == target]
        n = len(y_true)
        weights = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), size=DRAWS)])
        f1 = np.array([f1_draws(y_true.astype(int), hits[k].astype(int), weights) for k in among])
        best += f1[f1[:, 0].argmax()] / len(truth)
        random += f1.mean(0) / len(truth)
        for name, score in SCORES.items():
            sign = 1 if score.better == "higher" else -1
            pick = int(np.argmax([sign * rows[k][name] for k in among]))
            chosen[name] += f1[pick] / len(truth)
    values = {"f1_random": _interval(random), "f1_best": _interval(best)}
    for name, f1 in chosen.items():
        values[f"f1_{name}"] = _interval(f1)
        values[f"gain_{name}"] = _interval(f1 - random)
        values[f"regret_{name}"] = _interval(best - f1)
    return values


def _interval(draws: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return {"point": float(draws[0]), "low": float(low), "high": float(high)}
