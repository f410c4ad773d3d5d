"""The method "leakage": what it is worth to have seen a patient before, and nothing else.

A comparison of a split by patients with a random one changes the test records along with the leak. Here a
crossover keeps them fixed. Patients with several records are drawn into two halves. One record of each is for
testing. Network A is trained on the other records of the first half, network B on those of the second, both
also on everyone else. So A knows the test patients of the first half and not those of the second; B the other
way round. Every test record gets one score from a network that knows its patient and one from a network that
does not, and the two kinds of score come from the same two networks.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from ecgbook.experiments.method import (
    Progress,
    RunResult,
    Splits,
    drawn,
    model_options,
    total_seconds,
    train_config,
)
from ecgbook.experiments.supervised import build_model, on_device
from ecgbook.runs.run import Run
from ecgkit.datasets.base import ECGDataset
from ecgkit.evaluation import macro_auc, paired_bootstrap
from ecgkit.training import TrainConfig, Training, predict, train_classifier
from ecgkit.transfer.tasks import concat

__all__ = ["Crossover", "crossover", "leakage"]


@dataclass(frozen=True, eq=False)
class Crossover:
    """Rows of a data set for the two trainings of the crossover.

    Attributes:
        test: One record of each patient with several, shape (n,).
        first: Whether the patient of a test record is in the first half, bool, shape (n,).
        train_a: Rows that network A learns from: it knows the first half.
        train_b: Rows that network B learns from: it knows the second half.
        validation: Rows of patients that no training has.
    """

    test: np.ndarray
    first: np.ndarray
    train_a: np.ndarray
    train_b: np.ndarray
    validation: np.ndarray


def crossover(patients: np.ndarray, seed: int, validation_share: float = 0.05) -> Crossover:
    """Draw the halves, the test records and the records to learn from.

    Both trainings get the same number of records: where one half has more other records, some of them are
    left out at random.

    Args:
        patients: Patient of each record, shape (N,).
        seed: Seed of the draw.
        validation_share: Share of the patients with one record that the validation part gets.

    Raises:
        ValueError: If fewer than four patients have several records.

    >>> found = crossover(np.array([1, 1, 2, 2, 3, 3, 4, 4, *range(5, 45)]), seed=0)
    >>> len(found.test), len(found.train_a), len(found.train_b), len(found.validation)
    (4, 40, 40, 2)
    """
    rng = np.random.default_rng(seed)
    _, patient, count = np.unique(np.asarray(patients), return_inverse=True, return_counts=True)
    several = rng.permutation(np.flatnonzero(count > 1))
    if len(several) < 4:
        raise ValueError(f"{len(several)} patients have several records; the crossover needs at least 4")
    order = rng.permutation(len(patient))
    _, one_each = np.unique(patient[order], return_index=True)
    chosen = order[one_each]  # one random record of every patient
    test = chosen[several]
    first = np.arange(len(several)) < len(several) // 2
    others = np.setdiff1d(np.flatnonzero(count[patient] > 1), test)
    known_a = rng.permutation(others[np.isin(patient[others], several[first])])
    known_b = rng.permutation(others[~np.isin(patient[others], several[first])])
    size = min(len(known_a), len(known_b))
    single = rng.permutation(np.flatnonzero(count[patient] == 1))
    cut = round(validation_share * len(single))
    return Crossover(
        test=test,
        first=first,
        train_a=np.sort(np.concatenate([single[cut:], known_a[:size]])),
        train_b=np.sort(np.concatenate([single[cut:], known_b[:size]])),
        validation=np.sort(single[:cut]),
    )


def leakage(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Train both networks of the crossover, and compare the scores of known with those of unknown patients.

    Parameters of the run: those of `TrainConfig`. The published folds are not used: the method draws its own
    parts out of all records. The stored scores are those of networks that do not know the patient; the
    table has both, as macro AUC per half.

    Source:
        The question is that of the PTB-XL benchmark (Strodthoff et al., 2021), Appendix II and Table VI; the
        crossover is ours.
    """
    config = train_config(run)
    whole = concat([parts.train, parts.validation, parts.test])
    halves = crossover(whole.meta["patient"].to_numpy(), run.seed)
    test, validation = whole.subset(halves.test), whole.subset(halves.validation)
    scores, trainings = {}, []
    for number, (name, rows) in enumerate((("a", halves.train_a), ("b", halves.train_b))):
        scores[name], done = _one(
            run, whole.subset(rows), validation, test, config, device, checkpoint.with_name(f"{name}.pt")
        )
        trainings.append(done)
        if progress is not None:
            progress(number + 1, 2)
    first = halves.first[:, None]
    known = np.where(first, scores["a"], scores["b"])
    unknown = np.where(first, scores["b"], scores["a"])
    gap, how = drawn(
        lambda redraw: paired_bootstrap(
            macro_auc, test.labels, known, unknown, n=1000, seed=0, redraw=redraw
        ),
        "leak: paired bootstrap over test patients, 1000 draws, 95 %",
    )
    return RunResult(
        scores=unknown,
        config={**asdict(config), "train_records": len(halves.train_a), "test_patients": len(halves.test)},
        curve=[{**entry, "network": float(n)} for n, done in enumerate(trainings) for entry in done.curve],
        samples_backprop=sum(done.samples_backprop for done in trainings),
        seconds=total_seconds(done.seconds for done in trainings),
        parts=Splits(whole.subset(halves.train_a), validation, test),
        values={"leak": {"point": gap.difference, "low": gap.low, "high": gap.high}},
        intervals=how,
        table=[
            {
                "half": half,
                "patients": int(rows.sum()),
                "known": macro_auc(test.labels[rows], known[rows]),
                "unknown": macro_auc(test.labels[rows], unknown[rows]),
            }
            for half, rows in (("first", halves.first), ("second", ~halves.first))
        ],
    )


def _one(
    run: Run,
    train: ECGDataset,
    validation: ECGDataset,
    test: ECGDataset,
    config: TrainConfig,
    device: torch.device,
    checkpoint: Path,
) -> tuple[np.ndarray, Training]:
    """Scores of one network for the test records, and what its training left behind."""
    scaler, data, held_out, judged = on_device(Splits(train, validation, test), device)
    model = build_model(run.model, data, run.seed, **model_options(run))  # both begin with the same weights
    done = train_classifier(model, data, held_out, scaler, config, run.seed, checkpoint)
    return predict(model, judged, scaler, config.window_s, bf16=config.bf16), done
