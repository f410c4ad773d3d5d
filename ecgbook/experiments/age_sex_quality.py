"""Age, sex and signal quality from the ECG: the benchmark's tasks that are no diagnoses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ecgbook.experiments.method import Progress, RunResult, Splits, train_config
from ecgbook.experiments.supervised import train_and_predict
from ecgbook.runs.run import Run
from ecgkit.datasets.base import ECGDataset

__all__ = ["age", "healthy_records", "noisy_target", "quality", "sex"]


def age(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Predict the age in years: squared error on the standardised age, mean over the windows of a record.

    Mean and standard deviation of the age come from the training folds. Records whose age is not known or
    hidden are not in `parts`.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section III-C. The paper does not say that it
        standardises the age.
    """
    config = replace(train_config(run), loss="mse", aggregate="mean")
    mean, std = float(parts.train.labels.mean()), float(parts.train.labels.std())
    if not std > 0:
        raise ValueError(
            f"all {len(parts.train)} training records have the age {mean}: nothing can be learned"
        )

    def standard(part: ECGDataset) -> ECGDataset:
        return replace(part, labels=(part.labels.astype(np.float32) - mean) / std)

    inner = Splits(standard(parts.train), standard(parts.validation), parts.test)
    outcome = train_and_predict(run, inner, config, device, checkpoint, progress)
    curve = [
        {**entry, **({"validation_mae": entry["validation_mae"] * std} if "validation_mae" in entry else {})}
        for entry in outcome.curve
    ]
    settings = {**outcome.config, "age_mean": mean, "age_std": std}
    assert outcome.scores is not None
    scores = outcome.scores * std + mean
    return replace(outcome, scores=scores, config=settings, curve=curve, metrics=("mae", "r2"))


def sex(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Predict the recorded sex (1 is female): cross-entropy, mean over the windows of a record.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section III-C.
    """
    config = replace(train_config(run), aggregate="mean")
    outcome = train_and_predict(run, parts, config, device, checkpoint, progress)
    return replace(outcome, metrics=("macro_auc", "accuracy_at_half"))


def quality(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Predict whether the technical expert noted drift or noise, maximum over the windows of a record.

    The other classes of the task "quality" are not learned; for any other task this is its first class.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section III-D.
    """
    inner = Splits(*(noisy_target(part) for part in (parts.train, parts.validation, parts.test)))
    outcome = train_and_predict(run, inner, train_config(run), device, checkpoint, progress)
    return replace(outcome, metrics=("macro_auc", "accuracy_at_half"), parts=inner)


def noisy_target(dataset: ECGDataset) -> ECGDataset:
    """The same records with the first class alone, which is "any" drift or noise in the task "quality"."""
    return replace(dataset, labels=dataset.labels[:, :1], classes=dataset.classes[:1])


def healthy_records(labels: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Which records have NORM as their only superclass, bool, shape (N,).

    Args:
        labels: Labels of the task "superdiagnostic", shape (N, K).
        classes: Their names.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section III-C. All other records are its "non-healthy".

    >>> healthy_records(np.array([[1, 0], [1, 1], [0, 0]]), ("NORM", "MI"))
    array([ True, False, False])
    """
    return np.asarray((labels[:, classes.index("NORM")] == 1) & (labels.sum(axis=1) == 1))
