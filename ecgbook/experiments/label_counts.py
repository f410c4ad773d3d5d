"""What label files alone show: how many records, patients and labels a data set has.

The book shows counts of the real sets on every page, also where the data are not at hand. They are recorded
once, with the SHA-256 of each file they were counted from:

    python -m ecgbook.experiments.label_counts DATA_FOLDER results/label_counts.json
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.datasets import labels_challenge, sph
from ecgkit.datasets.base import Labels
from ecgkit.datasets.code_systems import parse_statements
from ecgkit.datasets.labels_ptbxl import LEVELS, classes_of, count_table, likelihoods
from ecgkit.datasets.ptbxl import read_labels, read_metadata
from ecgkit.datasets.splits import leaky_random_folds
from ecgkit.errors import DamagedError, DataNotFoundError
from ecgkit.files import atomic_write, sha256_file

__all__ = ["code_counts", "count_all", "leaked", "ptbxl_counts", "read", "record"]

# PTB-XL 1.0.1 is the version of the benchmark paper; its table of metadata may lie beside the newer one.
_PTBXL = ("ptbxl/ptbxl_database_v1.0.1.csv", "ptbxl/ptbxl_database.csv")
_CHALLENGE = "labels/challenge2020_demographics_dx.csv"
_SPH = "sph/metadata.csv"


def leaked(patients: np.ndarray, folds: np.ndarray, test_fold: int = 10, validation_fold: int = 9) -> int:
    """How many test records belong to a patient who also has a record in training.

    Args:
        patients: Patient of each record, shape (N,).
        folds: Fold of each record, shape (N,).
        test_fold: The fold that tests.
        validation_fold: The fold that is neither in training nor in the test.

    >>> leaked(np.array([1, 1, 2, 3]), np.array([1, 10, 10, 9]))
    1
    """
    training = (folds != test_fold) & (folds != validation_fold)
    return int(np.isin(patients[folds == test_fold], patients[training]).sum())


def ptbxl_counts(meta: pd.DataFrame, labels: Mapping[str, Labels], seeds: int = 10) -> dict[str, Any]:
    """Counts of a set in PTB-XL's layout.

    Args:
        meta: Metadata as `ecgkit.datasets.ptbxl.read_metadata` returns them.
        labels: Labels of every task as `ecgkit.datasets.ptbxl.read_labels` returns them.
        seeds: Number of random splits to count leaks in.

    Returns:
        Plain JSON values: records; patients; labels_per_record (per level the number of classes and of
        records with 0, 1, 2, 3 and at least 4 labels); class_records (per level and class); together
        (records with both of two superclasses); likelihood (per kind of statement, how often each value in
        percent was given); records_per_patient; fold_records; sex; age_decades; age_unknown; age_over_89;
        notes (records per kind of quality note); test_records; leaked_by_patient (with the folds of `meta`);
        leaked_at_random (one number per seed).
    """
    levels = {level: labels[level] for level in LEVELS}
    table = count_table(levels)
    top = labels["superdiagnostic"]
    values = top.values.astype(np.int64)
    ages, hidden = meta["age"].to_numpy(np.float64), meta["age_over_89"].to_numpy(bool)
    patients, folds = meta["patient"].to_numpy(), meta["fold"].to_numpy()
    quality = labels["quality"]
    return {
        "records": len(meta),
        "patients": int(meta["patient"].nunique()),
        "labels_per_record": {
            level: dict(zip(table.columns, row, strict=True))
            for level, row in zip(LEVELS, table.to_numpy().tolist(), strict=True)
        },
        "class_records": {
            level: dict(zip(each.classes, each.values.sum(axis=0, dtype=np.int64).tolist(), strict=True))
            for level, each in levels.items()
        },
        "together": {"classes": list(top.classes), "records": (values.T @ values).tolist()},
        "likelihood": {kind: _likelihood_values(meta, kind) for kind in ("diagnostic", "form", "rhythm")},
        "records_per_patient": _tally(Counter(patients.tolist()).values()),
        "fold_records": _tally(folds.tolist()),
        "sex": _tally(meta["sex"]),
        "age_decades": _tally((10 * (ages[np.isfinite(ages) & ~hidden] // 10)).astype(int).tolist()),
        "age_unknown": int((~np.isfinite(ages) & ~hidden).sum()),
        "age_over_89": int(hidden.sum()),
        "notes": dict(zip(quality.classes, quality.values.sum(axis=0, dtype=np.int64).tolist(), strict=True)),
        "test_records": int((folds == 10).sum()),
        "leaked_by_patient": leaked(patients, folds),
        "leaked_at_random": [
            leaked(patients, leaky_random_folds(meta["record_id"].to_numpy(), seed=seed))
            for seed in range(seeds)
        ],
    }


def _tally(values: Iterable[Any]) -> dict[str, int]:
    """How often each value occurs, in order of the value."""
    return {str(value): int(n) for value, n in sorted(Counter(values).items())}


def _likelihood_values(meta: pd.DataFrame, kind: str) -> dict[str, int]:
    given = likelihoods(meta, classes_of(kind))
    return _tally(np.round(100 * given[np.isfinite(given)]).astype(int).tolist())


def code_counts(codes: Iterable[Iterable[str]]) -> dict[str, int]:
    """Numbers of records, of different codes and of records without any code.

    >>> code_counts([["a", "b"], ["a"], []])
    {'records': 3, 'codes': 2, 'without_code': 1}
    """
    sets = [set(record) for record in codes]
    return {
        "records": len(sets),
        "codes": len(set().union(*sets)),
        "without_code": sum(not record for record in sets),
    }


def count_all(root: str | Path) -> dict[str, Any]:
    """Counts of every data set whose label file lies under `root`, with the SHA-256 of each file.

    Raises:
        DataNotFoundError: If there is none of them.
    """
    root = Path(root)
    files: dict[str, str] = {}
    result: dict[str, Any] = {"ptbxl": {}, "codes": {}}
    for name in (n for n in _PTBXL if (root / n).exists()):
        meta = read_metadata(root / name)
        version = str(meta.attrs["version"])
        result["ptbxl"][version] = {"file": name, **ptbxl_counts(meta, read_labels(meta))}
        files[name] = sha256_file(root / name)
    if (root / _CHALLENGE).exists():
        table = labels_challenge.read_labels(root / _CHALLENGE)
        for source, part in table.groupby("source"):
            result["codes"][str(source)] = {"file": _CHALLENGE, **code_counts(part["codes"])}
        files[_CHALLENGE] = sha256_file(root / _CHALLENGE)
    if (root / _SPH).exists():
        meta = sph.read_metadata((root / _SPH).parent)
        primary = [[each.primary for each in parse_statements(text)] for text in meta["codes"]]
        patients = int(meta["patient"].nunique())
        result["codes"]["sph"] = {"file": _SPH, **code_counts(primary), "patients": patients}
        files[_SPH] = sha256_file(root / _SPH)
    if not files:
        wanted = ", ".join((*_PTBXL, _CHALLENGE, _SPH))
        raise DataNotFoundError(f"{root} has none of {wanted}; name the folder that ECGKIT_DATA means")
    return {**result, "files": files}


def record(root: str | Path, path: str | Path) -> dict[str, Any]:
    """Count, and write the counts with the date to a JSON file; returns what was written."""
    counts = {"date": datetime.now(UTC).date().isoformat(), **count_all(root)}
    with atomic_write(Path(path)) as file:
        json.dump(counts, file, indent=1)
        file.write("\n")
    return counts


def read(path: str | Path) -> dict[str, Any]:
    """The recorded counts.

    Raises:
        DataNotFoundError: If the file is not there.
        DamagedError: If it is damaged.
    """
    path = Path(path)
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataNotFoundError(
            f"{path} is not there; set ECGKIT_RESULTS to the book's results folder, or make the file with "
            f"`python -m ecgbook.experiments.label_counts DATA_FOLDER {path}`"
        ) from error
    except ValueError as error:
        raise DamagedError(f"{path} is no whole JSON file; make it again") from error
    if not isinstance(counts, dict) or not {"date", "files", "ptbxl", "codes"} <= set(counts):
        raise DamagedError(f"{path} holds no label counts; make it again")
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    record(sys.argv[1], sys.argv[2])
