"""Dividing data sets: stratified folds grouped by patient, one source left out, and a leaky split.

PTB-XL comes with folds. The other sets get theirs here: folds 1-8 train, 9 validation, 10 test, as in
PTB-XL.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "SOURCE_GROUPS",
    "SourceSplit",
    "assert_no_patient_straddles",
    "leaky_random_folds",
    "leave_one_source_out",
    "stratified_folds",
]

_FOLDS = 10  # as in PTB-XL

SOURCE_GROUPS: tuple[tuple[str, ...], ...] = (
    ("cpsc2018", "cpsc2018_extra"),
    ("georgia",),
    ("ptb", "ptbxl"),
    ("csn",),
    ("sph",),
)
"""Sources that are left out together, because they come from the same collection or hospital."""


@dataclass(frozen=True)
class SourceSplit:
    """Names of the data sets to train on and to test on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def _ids(values: Sequence[object] | np.ndarray) -> np.ndarray:
    """Identifiers as text, so that their order depends on nothing but themselves.

    What is missing (None, NaN, a blank text) is like nothing else, and gets a text of its own.
    """
    texts = [str(value).strip() for value in values]
    blank = ("", "None", "nan", "NaN", "NaT", "<NA>")
    return np.array([f"\x00{row}" if text in blank else text for row, text in enumerate(texts)], dtype=str)


def stratified_folds(
    labels: np.ndarray, patients: Sequence[object] | np.ndarray, seed: int = 0
) -> np.ndarray:
    """Folds 1 to 10 with like label shares, all records of a patient in one fold.

    Iterative stratification over patients, each with the union of the labels of its records. The result
    depends on the patients' names, their labels and the seed, and not on the order of the rows. With fewer
    than ten patients, each gets a fold of its own and some folds stay empty. A record without a patient
    (None, NaN, a blank text) counts as a patient of its own.

    Args:
        labels: Shape (N, K), non-zero where a record has a label.
        patients: Patient of each record, shape (N,), of any type that prints.
        seed: Seed of the order and of the tie-breaks.

    Returns:
        Fold of each record, int64, shape (N,).

    Raises:
        ValueError: If the shapes do not fit, or a label is NaN.

    Source:
        Sechidis et al., On the stratification of multi-label data, ECML PKDD 2011; thesis, section 3.3.

    >>> import numpy as np
    >>> folds = stratified_folds(np.eye(2)[[0, 0, 0, 1, 1, 1]], ["a", "a", "b", "c", "d", "d"])
    >>> bool(folds[0] == folds[1] != folds[2]), bool(folds[4] == folds[5] != folds[3])
    (True, True)
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or len(labels) != len(patients):
        raise ValueError(f"labels of shape {labels.shape} do not belong to {len(patients)} patients")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError("a label is NaN; stratify by labels of 0 and 1")
    names, row = np.unique(_ids(patients), return_inverse=True)
    rng = np.random.default_rng(seed)
    if len(names) < _FOLDS:
        return 1 + rng.permutation(_FOLDS)[row]

    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    union = np.zeros((len(names), max(labels.shape[1], 2)), dtype=np.int64)  # the library wants two columns
    np.maximum.at(union[:, : labels.shape[1]], row, (labels != 0).astype(np.int64))
    order = rng.permutation(len(names))
    splitter = MultilabelStratifiedKFold(n_splits=_FOLDS, shuffle=True, random_state=seed)
    fold = np.zeros(len(names), dtype=np.int64)
    for number, (_, held_out) in enumerate(splitter.split(union[order], union[order]), start=1):
        fold[order[held_out]] = number
    return fold[row]


def leaky_random_folds(records: Sequence[object] | np.ndarray, seed: int = 0) -> np.ndarray:
    """Folds drawn record by record, blind to patients: for the leakage experiment only.

    A patient with several records ends up on both sides of the split, and the test score is too good. Use
    `stratified_folds` for everything else. The result does not depend on the order of the rows.

    Args:
        records: Identifier of each record, shape (N,), all different.
        seed: Seed of the draw.

    Returns:
        Fold of each record, 1 to 10, int64, shape (N,); the folds' sizes differ by one record at most.

    Raises:
        ValueError: If an identifier occurs twice.

    >>> sorted(leaky_random_folds(range(10)).tolist())
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    """
    names, row = np.unique(_ids(records), return_inverse=True)
    if len(names) < len(row):
        raise ValueError(f"{len(row) - len(names)} of {len(row)} records have the identifier of another one")
    position = np.random.default_rng(seed).permutation(len(names))
    return (1 + position % _FOLDS)[row]


def assert_no_patient_straddles(
    patients: Sequence[object] | np.ndarray, parts: Sequence[object] | np.ndarray
) -> None:
    """Check that all records of a patient lie in the same part (fold, or "train"/"test").

    Args:
        patients: Patient of each record, shape (N,).
        parts: Part of each record, shape (N,).

    Raises:
        ValueError: If a patient has records in more than one part; it names up to five of them.

    >>> assert_no_patient_straddles(["a", "a", "b"], [1, 1, 2])
    """
    pairs = (
        np.unique(np.stack([_ids(patients), _ids(parts)], axis=1), axis=0)
        if len(patients)
        else np.empty((0, 2))
    )
    names, count = np.unique(pairs[:, 0], return_counts=True)
    straddling = names[count > 1]
    if len(straddling):
        some = ", ".join(straddling[:5].tolist())
        raise ValueError(f"{len(straddling)} patients have records in more than one part, for example {some}")


def leave_one_source_out(sources: Sequence[str]) -> tuple[SourceSplit, ...]:
    """For each group of sources: test on it, train on all the others.

    The thesis gives one such split as an example, "CPSC and CPSC-Extra" against the rest of the Challenge's
    sets, and refers to its code for the others; here every group of `SOURCE_GROUPS` is left out once.
    Sources outside these groups form a group each.

    Args:
        sources: Names of the data sets at hand.

    Returns:
        One split per group that `sources` touches.

    Raises:
        ValueError: If all `sources` belong to one group, so that nothing is left to train on.

    Source:
        Lightweight ResNet-18 thesis, section 3.3.

    >>> leave_one_source_out(["cpsc2018", "cpsc2018_extra", "georgia"])[0]
    SourceSplit(train=('georgia',), test=('cpsc2018', 'cpsc2018_extra'))
    """
    group = {name: members for members in SOURCE_GROUPS for name in members}
    held_out = dict.fromkeys(group.get(name, (name,)) for name in sources)
    if len(held_out) < 2:
        raise ValueError(f"the sources {', '.join(sources)} are one group: nothing is left to train on")
    return tuple(
        SourceSplit(
            train=tuple(name for name in sources if name not in members),
            test=tuple(name for name in sources if name in members),
        )
        for members in held_out
    )
