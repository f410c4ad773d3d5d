"""Small target tasks drawn from a large data set: some of its labels, some of its records."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.labels_ptbxl import SUPERCLASSES, statements

__all__ = ["TargetTask", "frequent_labels", "join", "sample_task", "sample_tasks", "statement_group"]

_ATTEMPTS = 1000


@dataclass(frozen=True, eq=False)
class TargetTask:
    """A target task: columns of the label table and rows of the records.

    Attributes:
        labels: Columns of the task's labels, ascending.
        train: Rows to fine-tune on.
        validation: Rows to choose the epoch on; may be empty.
        test: Rows to judge on. No patient of theirs is in another part.
    """

    labels: tuple[int, ...]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def learning(self) -> np.ndarray:
        """Training and validation rows: what is known of the target before the test."""
        return np.concatenate([self.train, self.validation])


def sample_task(
    labels: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    columns: Sequence[int] | np.ndarray,
    records: int,
    rng: np.random.Generator,
    n_labels: tuple[int, int] = (2, 10),
    test_share: float = 0.3,
    validation_share: float = 0.2,
) -> TargetTask:
    """Draw N labels, then records that have at least one of them, then split by patients.

    A draw is repeated when fewer records than asked for have one of the labels, or when a label is the same
    in all records of the training or the test part.

    Args:
        labels: Zeros and ones, shape (n, K).
        patients: Patient of each record, shape (n,).
        columns: Labels to draw from.
        records: Number of records.
        rng: Where the randomness comes from.
        n_labels: Smallest and largest N; each N between them is equally likely.
        test_share: Share of the records that the test part gets, up to whole patients.
        validation_share: Share of the others that the validation part gets. 0: no validation part.

    Raises:
        ValueError: If no draw in a thousand gives such a task.

    Source:
        MELEP (Nguyen et al., 2024), section 3.1: N from 2 to 10, 1,000 records, 7:3. The paper has no
        validation part and does not mention patients.
    """
    low, high = n_labels[0], min(n_labels[1], len(columns))
    for _ in range(_ATTEMPTS if low <= high else 0):
        chosen = np.sort(rng.permutation(np.asarray(columns))[: rng.integers(low, high + 1)])
        rows = np.flatnonzero(labels[:, chosen].any(axis=1))
        if len(rows) < records:
            continue
        rows = rng.permutation(rows)[:records]
        rest, test = _split(rows, patients, test_share, rng)
        train, validation = _split(rest, patients, validation_share, rng)
        if not (len(train) and len(test)):
            continue
        shares = np.array([labels[np.ix_(part, chosen)].mean(axis=0) for part in (train, test)])
        if ((shares > 0) & (shares < 1)).all():
            return TargetTask(tuple(int(k) for k in chosen), train, validation, test)
    raise ValueError(
        f"no task of {records} records and {low} to {n_labels[1]} of {len(columns)} labels in {_ATTEMPTS} "
        "draws: ask for fewer records, or for more frequent labels"
    )


def sample_tasks(
    labels: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    columns: Sequence[int] | np.ndarray,
    count: int,
    records: int = 1000,
    seed: int = 0,
    n_labels: tuple[int, int] = (2, 10),
    validation_share: float = 0.2,
) -> list[TargetTask]:
    """Draw `count` tasks as in `sample_task`, each from a generator of its own.

    Task k is the same whatever `count` is. Tasks overlap: a record may be in several of them.

    >>> labels = (np.random.default_rng(0).random((500, 4)) < 0.3).astype(int)
    >>> tasks = sample_tasks(labels, np.arange(500) // 2, range(4), count=3, records=100)
    >>> [len(tasks[0].train), len(tasks[0].validation), len(tasks[0].test)]
    [56, 14, 30]
    """
    return [
        sample_task(
            labels,
            patients,
            columns,
            records,
            np.random.default_rng([seed, k]),
            n_labels,
            validation_share=validation_share,
        )
        for k in range(count)
    ]


def _split(
    rows: np.ndarray, patients: Sequence[object] | np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows in two parts without a common patient, the second with about `share` of the rows."""
    _, patient = np.unique(np.asarray(patients)[rows], return_inverse=True)
    order = rng.permutation(patient.max() + 1)
    size = np.cumsum(np.bincount(patient)[order])
    second = np.isin(patient, order[: np.searchsorted(size, share * len(rows), side="right")])
    return rows[~second], rows[second]


def frequent_labels(labels: np.ndarray, at_least: int) -> np.ndarray:
    """Columns with at least so many positive records, ascending.

    >>> frequent_labels(np.array([[1, 0], [1, 0], [0, 1]]), at_least=2)
    array([0])
    """
    return np.flatnonzero(labels.sum(axis=0) >= at_least)


def statement_group(classes: Sequence[str], group: str) -> np.ndarray:
    """Which statements of PTB-XL belong to a group and to no other kind, bool, shape (K,).

    Args:
        classes: Statements, as `ECGDataset.classes` of the task "all".
        group: "diagnostic", "form", "rhythm", or a superclass. Four statements are both diagnostic and form:
            they count as form.

    Raises:
        ValueError: If there is no such group.

    >>> statement_group(["AFIB", "IMI", "NDT"], "diagnostic"), statement_group(["IMI", "LAFB"], "MI")
    (array([False,  True, False]), array([ True, False]))
    """
    table = statements().loc[list(classes)]
    if group in ("form", "rhythm"):
        return table[group].to_numpy(bool)
    only = (table["diagnostic"] & ~table["form"] & ~table["rhythm"]).to_numpy(bool)
    if group == "diagnostic":
        return only
    if group in SUPERCLASSES:
        return only & (table["diagnostic_class"] == group).to_numpy(bool)
    raise ValueError(f"no group {group!r}; there are diagnostic, form, rhythm, {', '.join(SUPERCLASSES)}")


def join(parts: Sequence[ECGDataset]) -> ECGDataset:
    """Parts of one data set below each other, signals in memory."""
    return replace(
        parts[0],
        signals=np.concatenate([part.signals for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        meta=pd.concat([part.meta for part in parts], ignore_index=True),
        fingerprint=hashlib.sha256(" ".join(part.fingerprint for part in parts).encode()).hexdigest(),
        lengths=np.concatenate([part.lengths for part in parts]),
        known=np.concatenate([part.known for part in parts]),
        truth=None,
    )
