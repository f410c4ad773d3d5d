"""Data sets behind one interface: memory-mapped int16 signals, labels per task, a row of metadata per record.

>>> from ecgkit import datasets
>>> "ptbxl" in datasets.names()
True
"""

import os
import re
from pathlib import Path

from ecgkit.datasets.base import Contents, DataSource, ECGDataset, Labels
from ecgkit.datasets.challenge import CHALLENGE_SETS
from ecgkit.datasets.derived import pooled, scored_2021, single_label
from ecgkit.datasets.ptbxl import PTBXL, SYNTHETIC
from ecgkit.datasets.sph import SPH
from ecgkit.datasets.store import cache_root, open_or_convert
from ecgkit.errors import DataNotFoundError
from ecgkit.signals.read import read_record

__all__ = [
    "SOURCES",
    "Contents",
    "DataSource",
    "ECGDataset",
    "Labels",
    "cache_root",
    "data_folder",
    "load",
    "names",
    "pooled",
    "read_record",
    "scored_2021",
    "single_label",
]

SOURCES: dict[str, DataSource] = {source.name: source for source in (PTBXL, *CHALLENGE_SETS, SPH, SYNTHETIC)}


def names() -> tuple[str, ...]:
    """Names that :func:`load` knows."""
    return tuple(SOURCES)


def load(
    name: str, root: str | Path | None = None, task: str | None = None, sampling_rate_hz: int | None = None
) -> ECGDataset:
    """Load a data set. The first time converts it into the cache; after that it opens at once.

    Args:
        name: One of :func:`names`.
        root: Folder with the published layout, or a folder that has it in a subfolder `name`. None:
            ``$ECGKIT_DATA``, or else ``data`` in the working folder; ``synthetic`` needs none.
        task: Which labels; None for the data set's first task.
        sampling_rate_hz: Samples per second; None for the data set's first rate.

    Returns:
        All records; ``.labelled()`` leaves those with a label of the task, ``.split()`` follows the folds.

    Raises:
        ValueError: If name, task or rate is not known; the message lists those that are.
        DataNotFoundError: If the data are not there; the message says how to get them.
        RecordError: If a table is at fault or a record cannot be used; the message names it.
        StoreError: If the cache cannot be written.
    """
    if name not in SOURCES:
        raise ValueError(f"no data set {name!r}; there are {', '.join(SOURCES)}")
    source = SOURCES[name]
    task = source.tasks[0] if task is None else task
    if task not in source.tasks:
        raise ValueError(f"{name} has no task {task!r}; it has {', '.join(source.tasks)}")
    rate = source.sampling_rates_hz[0] if sampling_rate_hz is None else sampling_rate_hz
    if rate not in source.sampling_rates_hz:
        rates = ", ".join(map(str, source.sampling_rates_hz))
        raise ValueError(f"{name} comes at {rates} Hz, not at {rate} Hz")
    return open_or_convert(source, data_folder(name, root, int(rate)), task, int(rate))


def data_folder(name: str, root: str | Path | None = None, sampling_rate_hz: int | None = None) -> Path:
    """The folder in which the published layout of a data set lies. The synthetic set is made if need be, at
    `sampling_rate_hz` alone (None: its first rate).

    Raises:
        DataNotFoundError: If it is nowhere; the message says where it was looked for and how to get it.
    """
    source = SOURCES[name]
    if name == SYNTHETIC.name and root is None:
        from ecgkit.datasets.synthetic import make_synthetic  # slow to import

        rate = sampling_rate_hz or SYNTHETIC.sampling_rates_hz[0]
        return make_synthetic(cache_root() / f"synthetic-{rate}hz", sampling_rates_hz=(rate,))
    base = Path(root if root is not None else os.environ.get("ECGKIT_DATA") or "data")
    places = (base / name, base)
    for place in places:
        if any(next(place.glob(_any_case(marker)), None) for marker in source.markers):
            return place
    raise DataNotFoundError(
        f"{name} is not in {' or '.join(map(str, places))}: get it with `ecgkit data download {name}`, set "
        'ECGKIT_DATA to the folder that holds it, or use datasets.load("synthetic"), which needs no download'
    )


def _any_case(pattern: str) -> str:
    """The pattern of a record's file for names in any case of letters; that of a table stays as it is."""
    folder, slash, name = pattern.rpartition("/")
    if "[" not in name:
        return pattern
    either = re.sub(
        r"\[[^]]*\]|([A-Za-z])", lambda part: f"[{part[0]}{part[0].swapcase()}]" if part[1] else part[0], name
    )
    return folder + slash + either
