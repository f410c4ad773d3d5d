"""Small target tasks drawn from a large data set: some of its labels, some of its records."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from ecgkit.evaluation.arrays import group_numbers
from ecgkit.transfer.inputs import check_labels

if TYPE_CHECKING:
    from ecgkit.datasets.base import ECGDataset

__all__ = ["TargetTask", "concat", "frequent_labels", "sample_task", "sample_tasks", "statement_group"]

_ATTEMPTS = 1000
_TEST_SHARE = 0.3  # up to whole patients


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
    validation_share: float = 0.2,
) -> TargetTask:
    """Draw N labels, then records that have at least one of them, then split by patients, 3 in 10 to test.

    A draw is repeated when fewer records than asked for have one of the labels, or when a label is the same
    in all records of the training or the test part.

    Args:
        labels: Zeros and ones, shape (n, K).
        patients: Patient of each record, shape (n,).
        columns: Labels to draw from.
        records: Number of records.
        rng: Where the randomness comes from.
        n_labels: Smallest and largest N; each N between them is equally likely.
        validation_share: Share of the learning records that the validation part gets. 0: no validation part.

    Raises:
        ValueError: If labels are not 0 or 1, a patient is missing, an argument is out of range, or no draw in
            a thousand gives such a task.

    Source:
        MELEP (Nguyen et al., 2024), section 3.1: N from 2 to 10, 1,000 records, 7:3. The paper has no
        validation part and does not mention patients.
    """
    labels = check_labels(labels, name="labels")
    patients = group_numbers(patients, len(labels), "patients")
    columns = np.asarray(columns)
    if columns.ndim != 1 or not np.isin(columns, np.arange(labels.shape[1])).all():
        raise ValueError(f"columns {columns.tolist()} must be some of the {labels.shape[1]} of labels")
    columns = columns.astype(np.intp)
    whole = all(isinstance(number, Integral) for number in (records, *n_labels))
    if not (whole and 0 <= validation_share < 1 and records >= 1 and 1 <= n_labels[0] <= n_labels[1]):
        raise ValueError(
            f"records {records}, n_labels {n_labels} or validation_share {validation_share} is out of range"
        )
    low, high = n_labels[0], min(n_labels[1], len(columns))
    for _ in range(_ATTEMPTS if low <= high else 0):
        chosen = np.sort(rng.permutation(columns)[: rng.integers(low, high + 1)])
        rows = np.flatnonzero(labels[:, chosen].any(axis=1))
        if len(rows) < records:
            continue
        rows = rng.permutation(rows)[:records]
        rest, test = _split(rows, patients, _TEST_SHARE, rng)
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
    if not isinstance(count, Integral) or count < 1 or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"count is {count!r} and seed {seed!r}; whole numbers from 1 and from 0 are wanted")
    labels = check_labels(labels, name="labels")  # once, not for each task
    patients = group_numbers(patients, len(labels), "patients")
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
    rows: np.ndarray, patients: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows in two parts without a common patient, the second with about `share` of the rows."""
    _, patient = np.unique(patients[rows], return_inverse=True)
    order = rng.permutation(patient.max() + 1)
    size = np.cumsum(np.bincount(patient)[order])
    second = np.isin(patient, order[: np.searchsorted(size, share * len(rows), side="right")])
    return rows[~second], rows[second]


def frequent_labels(labels: np.ndarray, at_least: int) -> np.ndarray:
    """Columns with at least so many positive records, ascending.

    >>> frequent_labels(np.array([[1, 0], [1, 0], [0, 1]]), at_least=2)
    array([0])
    """
    return np.flatnonzero(check_labels(labels, name="labels").sum(axis=0) >= at_least)


def statement_group(classes: Sequence[str], group: str) -> np.ndarray:
    """Which statements of PTB-XL belong to a group and to no other kind, bool, shape (K,).

    Args:
        classes: Statements, as `ECGDataset.classes` of the task "all".
        group: "diagnostic", "form", "rhythm", or a superclass. Four statements are both diagnostic and form:
            they count as form.

    Raises:
        ValueError: If there is no such group, or a class is not a statement of PTB-XL.

    >>> statement_group(["AFIB", "IMI", "NDT"], "diagnostic"), statement_group(["IMI", "LAFB"], "MI")
    (array([False,  True, False]), array([ True, False]))
    """
    from ecgkit.datasets.labels_ptbxl import SUPERCLASSES, statements

    every = statements()
    if unknown := [name for name in classes if name not in every.index]:
        raise ValueError(f"not a statement of PTB-XL: {', '.join(map(str, unknown))}")
    table = every.loc[list(classes)]
    if group in ("form", "rhythm"):
        return table[group].to_numpy(bool)
    only = (table["diagnostic"] & ~table["form"] & ~table["rhythm"]).to_numpy(bool)
    if group == "diagnostic":
        return only
    if group in SUPERCLASSES:
        return only & (table["diagnostic_class"] == group).to_numpy(bool)
    raise ValueError(f"no group {group!r}; there are diagnostic, form, rhythm, {', '.join(SUPERCLASSES)}")


def concat(parts: Sequence["ECGDataset"]) -> "ECGDataset":
    """Parts of one data set below each other, signals in memory.

    Raises:
        ValueError: If there are none, or they differ in what they hold: labels, length, sampling rate, unit.

    >>> from ecgkit import datasets
    >>> train, validation, _ = (synthetic := datasets.load("synthetic")).split()
    >>> len(concat([train, validation]).signals) == len(train.signals) + len(validation.signals)
    True
    """
    import pandas as pd

    kinds = {
        (part.name, part.classes, part.sampling_rate_hz, part.mv_per_unit, part.signals.shape[1:])
        for part in parts
    }
    if len(kinds) != 1:
        raise ValueError(f"parts of one data set are wanted, got {len(parts)} of {len(kinds)} kinds")
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
