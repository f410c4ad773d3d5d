"""One label per record: the primary class of a record that has several."""

from dataclasses import replace

import numpy as np

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.labels_ptbxl import aggregation_matrix, classes_of, likelihoods

__all__ = ["RARE_FIRST", "TIE_ORDER", "primary_classes", "single_label"]

TIE_ORDER = ("MI", "STTC", "CD", "HYP", "NORM")
"""Which superclass of PTB-XL wins a tie: abnormal before normal, then the one with more records."""

RARE_FIRST = {
    "cpsc2018": ("STE", "LBBB", "PAC", "PVC", "I-AVB", "STD", "AF", "RBBB", "NORM"),
    "georgia": ("AF", "PAC", "I-AVB", "TInv", "LAD", "STach", "LQT", "SB", "TAb", "NORM"),
}
"""Which of several classes a record keeps, by data set: the rarest by the published counts, normal last. The
nine classes of CPSC 2018; of Georgia the ten labels that MELEP uses. ERTS says neither which nor how."""


def primary_classes(dataset: ECGDataset) -> np.ndarray:
    """The primary class of every record, int64, shape (N,).

    Superclasses of PTB-XL: the one with the most likely statement, by the annotator's likelihoods; of equally
    likely ones the first in `TIE_ORDER`. A likelihood of 0, which means that none was given, counts as the
    least likely here. Other tasks have no likelihood: the first class of the record in
    `RARE_FIRST`, or where that has no order, in ``dataset.classes``. ERTS trains with one class per record
    and does not say which.

    Raises:
        ValueError: If a record has no label.

    >>> import pandas as pd
    >>> meta = pd.DataFrame({"record_id": [1, 2], "patient": [1, 2], "fold": [1, 1], "age": [50.0, 60.0],
    ...     "sex": ["male", "female"], "scp_codes": ['{"NORM": 80, "IMI": 15}', '{"LVH": 100, "NDT": 100}']})
    >>> labels = np.array([[0, 0, 1, 1, 0], [0, 1, 0, 0, 1]], np.uint8)
    >>> ds = ECGDataset("ptbxl", "1", "superdiagnostic", 100, np.zeros((2, 12, 10), np.int16), 0.001, labels,
    ...                 ("CD", "HYP", "MI", "NORM", "STTC"), meta)
    >>> [ds.classes[k] for k in primary_classes(ds)]
    ['NORM', 'STTC']
    """
    labels = dataset.labels > 0
    if not labels.any(axis=1).all():
        raise ValueError(f"{dataset.name}: a record has no {dataset.task} label; use labelled() first")
    order = list(range(len(dataset.classes)))
    score = np.zeros(labels.shape)
    if dataset.task == "superdiagnostic" and "scp_codes" in dataset.meta:
        order = [dataset.classes.index(name) for name in TIE_ORDER]
        score = _likelihood(dataset)
    elif set(RARE_FIRST.get(dataset.name, ())) == set(dataset.classes):
        order = [dataset.classes.index(name) for name in RARE_FIRST[dataset.name]]
    score = np.where(labels, score, -np.inf)[:, order]
    return np.array(order, np.int64)[score.argmax(axis=1)]


def _likelihood(dataset: ECGDataset) -> np.ndarray:
    """Likelihood of the most likely statement of each superclass, shape (N, 5); -1 where there is none."""
    codes = classes_of("diagnostic")
    each = np.nan_to_num(likelihoods(dataset.meta, codes), nan=-1.0)  # (N, 44)
    belongs = aggregation_matrix(codes, "superdiagnostic").astype(bool)
    return np.stack([each[:, column].max(axis=1) for column in belongs.T], axis=1)


def single_label(dataset: ECGDataset) -> ECGDataset:
    """The records that have a class, with their primary class as the only label."""
    if not (known := dataset.labels.any(axis=1)).all():
        dataset = dataset.subset(known)
    labels = np.zeros(dataset.labels.shape, np.uint8)
    labels[np.arange(len(labels)), primary_classes(dataset)] = 1
    return replace(dataset, labels=labels)
