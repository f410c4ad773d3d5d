"""Several data sets as one: the same classes, rate and length, each record with the name of its source."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.challenge import CHALLENGE_SETS
from ecgkit.datasets.code_maps import challenge_codes
from ecgkit.datasets.labels_challenge import label_matrix
from ecgkit.datasets.labels_snomed import scored_classes, scored_codes

__all__ = ["POOL_COLUMNS", "pooled", "scored_2021"]

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
        ValueError: If there is none, or they differ in classes, rate, unit or number of samples.

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
    fingerprint = " ".join(part.fingerprint for part in parts)
    return replace(
        parts[0],
        name="+".join(part.name for part in parts),
        version="+".join(part.version for part in parts),
        signals=np.concatenate([part.signals for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        meta=pd.concat(metas, ignore_index=True),
        fingerprint=hashlib.sha256(fingerprint.encode()).hexdigest(),
        lengths=np.concatenate([part.lengths for part in parts]),
        known=np.concatenate([part.known for part in parts]),
        truth=None,
    )
