"""Data sets made from others: pooled, cropped, with one label per record, or with the Challenge's classes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.challenge import CHALLENGE_SETS, MELEP_SECONDS
from ecgkit.datasets.code_systems import challenge_codes, scored_classes, scored_codes
from ecgkit.datasets.labels_challenge import label_matrix
from ecgkit.datasets.labels_ptbxl import aggregation_matrix, classes_of, likelihoods

__all__ = [
    "POOL_COLUMNS",
    "RARE_FIRST",
    "TIE_ORDER",
    "first_seconds",
    "pooled",
    "primary_classes",
    "scored_2021",
    "single_label",
]

TIE_ORDER = ("MI", "STTC", "CD", "HYP", "NORM")
"""Which superclass of PTB-XL wins a tie: abnormal before normal, then the one with more records."""

RARE_FIRST = {
    "cpsc2018": ("STE", "LBBB", "PAC", "PVC", "I-AVB", "STD", "AF", "RBBB", "NORM"),
    "georgia": ("AF", "PAC", "I-AVB", "TInv", "LAD", "STach", "LQT", "SB", "TAb", "NORM"),
}
"""Which of several classes a record keeps, by data set: the rarest by the published counts, normal last. The
nine classes of CPSC 2018; of Georgia the ten labels that MELEP uses. ERTS says neither which nor how."""

POOL_COLUMNS = ("record_id", "patient", "fold", "age", "sex", "source")


def scored_2021(dataset: ECGDataset) -> ECGDataset:
    """A data set with the 26 classes that the Challenge of 2021 scored as its labels.

    The Challenge's own sets have this task; PTB-XL's statements are mapped as the Challenge mapped them.

    Raises:
        ValueError: If the data set has neither these labels nor SCP-ECG statements.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), section 3.1: sets of the Challenge, 26 diagnoses. The thesis does
        not list them; 26 is the number of classes that the Challenge of 2021 scored.
    """
    classes = scored_classes(2021)
    if dataset.classes == classes:
        return dataset
    if "scp_codes" not in dataset.meta:
        if dataset.name in {source.name for source in CHALLENGE_SETS}:
            raise ValueError(f"{dataset.name}, task {dataset.task}: load it with task='scored2021'")
        raise ValueError(f"{dataset.name} has no labels of the Challenge of 2021; leave it out of `sources`")
    pairs = zip(dataset.meta["scp_codes"], dataset.meta["heart_axis"], strict=True)
    codes = [
        challenge_codes(json.loads(text), axis if isinstance(axis, str) else None) for text, axis in pairs
    ]
    labels = label_matrix([scored_codes(sorted(record), 2021) for record in codes], [[c] for c in classes])
    known = np.asarray(labels.any(axis=1))
    return replace(dataset, task="scored2021", classes=classes, labels=labels, known=known)


def pooled(parts: Sequence[ECGDataset]) -> ECGDataset:
    """Data sets of one task, rate and length, one below the other.

    Identifiers of records and patients get the name of their source in front, so that "1" of one source and
    "1" of another stay two. Signals are copied.

    Raises:
        ValueError: If there is none, they differ in classes, rate, unit or number of samples, or a record is
            in two of them.

    >>> meta = pd.DataFrame({"record_id": [1], "patient": [1], "fold": [1], "age": [50.0], "sex": ["male"]})
    >>> a, b = (ECGDataset(name, "1", "t", 100, np.zeros((1, 12, 50), np.int16), 0.001,
    ...                    np.ones((1, 1), np.uint8), ("AF",), meta) for name in "ab")
    >>> pooled([a, b]).meta["patient"].tolist()
    ['a/1', 'b/1']
    """
    kinds = {(p.classes, p.sampling_rate_hz, p.mv_per_unit, p.signals.shape[1:]) for p in parts}
    if len(kinds) != 1:
        names = ", ".join(part.name for part in parts)
        raise ValueError(f"{names or 'no data set'}: pool sets of the same classes, rate, unit and length")
    metas = []
    for part in parts:
        meta = part.meta.assign(source=part.name)
        for column in ("record_id", "patient"):
            meta[column] = [f"{part.name}/{value}" for value in part.meta[column]]
        metas.append(meta[list(POOL_COLUMNS)])
    whole = pd.concat(metas, ignore_index=True)
    if (twice := whole["record_id"].duplicated()).any():
        raise ValueError(
            f"record {whole['record_id'][twice].iloc[0]} is in two of the data sets; pool each once"
        )
    fingerprint = " ".join(part.fingerprint for part in parts)
    return replace(
        parts[0],
        name="+".join(part.name for part in parts),
        version="+".join(part.version for part in parts),
        signals=np.concatenate([part.signals for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        meta=whole,
        fingerprint=hashlib.sha256(fingerprint.encode()).hexdigest(),
        lengths=np.concatenate([part.lengths for part in parts]),
        known=np.concatenate([part.known for part in parts]),
        truth=None,
    )


def first_seconds(dataset: ECGDataset, duration_s: float = MELEP_SECONDS) -> ECGDataset:
    """The records that last at least `duration_s`, cropped to their first `duration_s` seconds.

    Raises:
        ValueError: If that is less than one sample.

    Source:
        MELEP (Nguyen et al., 2024), section 2.2: crop to ten seconds, leave out what is shorter.

    >>> import numpy as np, pandas as pd
    >>> meta = pd.DataFrame({"record_id": ["a", "b"], "patient": ["a", "b"], "fold": [1, 2]})
    >>> ds = ECGDataset("toy", "1", "all", 100, np.ones((2, 12, 1500), np.int16), 0.001,
    ...                 np.ones((2, 1), np.uint8), ("AF",), meta, lengths=np.array([600, 1500], np.int32))
    >>> part = first_seconds(ds)
    >>> part.signals.shape, part.meta["record_id"].tolist()
    ((1, 12, 1000), ['b'])
    """
    samples = round(duration_s * dataset.sampling_rate_hz)
    if samples < 1:
        raise ValueError(f"{duration_s} s are no sample at {dataset.sampling_rate_hz} Hz; keep a longer part")
    long_enough = dataset.lengths >= samples
    part = dataset.subset(long_enough)
    return replace(
        part,
        signals=dataset.signals[:, :, :samples][long_enough],
        lengths=np.full(len(part), samples, np.int32),
        fingerprint=hashlib.sha256(f"{part.fingerprint} first {samples}".encode()).hexdigest(),
    )


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
