"""What a data set is, once loaded, and what a data set must say of itself to be loaded."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgkit.signals.record import STANDARD_LEADS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Contents", "DataSource", "ECGDataset", "Labels", "known_records"]


def known_records(labels: np.ndarray) -> np.ndarray:
    """Which rows hold a label: at least one 1, or a finite number where labels are float; bool, (N,)."""
    present = np.isfinite(labels) if labels.dtype.kind == "f" else labels != 0
    return np.asarray(present.any(axis=1))


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of one task.

    Attributes:
        classes: Names of the K classes, in the order of the columns.
        values: Labels, shape (N, K): uint8 with 0 and 1, or float32 with K = 1 for a regression.
        known: Which records have a label of this task, shape (N,), bool. None: those with at least
            one 1 (or, in a regression, with a finite value).
    """

    classes: tuple[str, ...]
    values: np.ndarray
    known: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Contents:
    """What a folder of a data set holds, without the signals.

    Attributes:
        version: Version of the data set, as its publishers number it.
        records: File (or stem) of each record, in the order of the rows of `meta`.
        meta: One row per record; at least the columns record_id, patient, fold, age, sex. Plain columns
            only: bool, int, float, or strings where None means missing.
        tasks: Labels of every task.
        max_samples: Length of the longest record, in samples per lead, at the sampling rate asked for.
        missing: How many records the table of the set lists whose files are not there.
        left_out: Files that are there and cannot be used, each with the reason: a header that cannot be read,
            signals without a header, a second copy of a record, a record that the table does not list.
    """

    version: str
    records: tuple[Path, ...]
    meta: "pd.DataFrame"
    tasks: Mapping[str, Labels]
    max_samples: int
    missing: int = 0
    left_out: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True)
class DataSource:
    """How one data set is found, listed and read. To add a data set, write one module with

    1. ``files(root, sampling_rate_hz)``: every file that the result depends on (signals, headers, tables), as
       str or Path. It runs at each load, so it only lists; `ecgkit.tabular.find_files` does it.
    2. ``describe(root, sampling_rate_hz, files)``: it parses tables or headers and returns :class:`Contents`.
       It runs once, at conversion; the store keeps what it returns, so it may be slow.
    3. If the records are not plain WFDB, ``read(path, sampling_rate_hz)``, a function of module level (worker
       processes call it). It returns ``(values, mv_per_value)``: values of shape (12, samples), leads in
       standard order, so that ``values * mv_per_value`` is in mV. The default, `convert.read_wfdb`, checks
       the rate and passes integers through untouched.

    and register its DataSource in ``ecgkit/datasets/__init__.py``, its card in ``tables/cards.toml`` and its
    layout in ``tests/ecgkit/test_dataset_contract.py``.

    Attributes:
        name: Name for `datasets.load`.
        title: One line for people.
        markers: Glob patterns; a folder in which one of them finds a file is a root of this data set.
        tasks: Names of the tasks; the first is the default.
        sampling_rates_hz: Rates that can be asked for; the first is the default.
        mv_per_unit: Value of one stored int16 step in mV.
        files: See above.
        describe: See above.
        read: See above; None for plain WFDB.
        remedy: What to do when the data set is not there.
        rate_folders: Whether each rate has files of its own.
    """

    name: str
    title: str
    markers: tuple[str, ...]
    tasks: tuple[str, ...]
    sampling_rates_hz: tuple[int, ...]
    mv_per_unit: float
    files: Callable[[Path, int], list[Any]]
    describe: Callable[[Path, int, list[Any]], Contents]
    read: Callable[[Path, int], tuple[np.ndarray, float]] | None = None
    remedy: str = ""
    rate_folders: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class ECGDataset:
    """A data set for one task: signals, labels and metadata, row by row.

    Attributes:
        name: Name of the data set.
        version: Version, as its publishers number it.
        task: Name of the task.
        sampling_rate_hz: Samples per second and lead.
        signals: Signals in units of `mv_per_unit`, int16, shape (N, 12, T). Memory-mapped for a whole data
            set; for a subset the rows are gathered when this attribute is first read.
        mv_per_unit: mV per unit of `signals`.
        labels: Shape (N, K): uint8 with 0 and 1, or float32 with K = 1 for a regression (NaN: not known).
        classes: Names of the K classes.
        meta: One row per record: record_id, patient, fold, age (years), sex ("female", "male") and more.
        fingerprint: SHA-256 over signals and metadata; the same on every machine.
        lengths: Valid samples of each record, int32, shape (N,); beyond them signals are 0.
        leads: Names of the leads, in order.
        known: Which records have a label of this task, bool, shape (N,).
        truth: What was planted in a synthetic data set, one row per record; None for real data.

    >>> import numpy as np, pandas as pd
    >>> meta = pd.DataFrame({"record_id": [1, 2], "patient": [7, 8], "fold": [1, 10],
    ...                      "age": [50.0, 60.0], "sex": ["female", "male"]})
    >>> ds = ECGDataset("toy", "1", "rhythm", 100, np.zeros((2, 12, 1000), np.int16), 0.001,
    ...                 np.array([[1], [0]], np.uint8), ("AFIB",), meta)
    >>> ds
    ECGDataset toy 1, task rhythm: 2 records of 12 leads x 1000 samples at 100 Hz, 1 class (AFIB)
    >>> [len(part) for part in ds.split()], len(ds.labelled())
    ([1, 0, 1], 1)
    """

    name: str
    version: str
    task: str
    sampling_rate_hz: int
    signals: np.ndarray
    mv_per_unit: float
    labels: np.ndarray
    classes: tuple[str, ...]
    meta: "pd.DataFrame"
    fingerprint: str = ""
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    leads: tuple[str, ...] = STANDARD_LEADS
    known: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    truth: "pd.DataFrame | None" = None

    def __post_init__(self) -> None:
        n, _, samples = self.signals.shape
        if len(self.meta) != n or self.labels.shape != (n, len(self.classes)):
            raise ValueError(
                f"{self.name}: {n} signals, {len(self.meta)} rows of metadata and labels of shape "
                f"{self.labels.shape} for {len(self.classes)} classes do not belong together"
            )
        if len(self.lengths) != n:
            object.__setattr__(self, "lengths", np.full(n, samples, np.int32))
        if len(self.known) != n:
            object.__setattr__(self, "known", known_records(self.labels))

    def __getattr__(self, name: str) -> Any:
        # Python comes here only when `signals` is not set: in a subset whose rows were not yet needed.
        if name == "signals" and "_rows" in self.__dict__:
            stored, index = self.__dict__["_rows"]
            object.__setattr__(self, "signals", stored[index])
            return self.__dict__["signals"]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _stored(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The signals at hand and, where they are not gathered yet, the rows of them that belong here."""
        return (self.__dict__["signals"], None) if "signals" in self.__dict__ else self.__dict__["_rows"]

    def __len__(self) -> int:
        return len(self.meta)

    def __repr__(self) -> str:
        stored, _ = self._stored()
        names = list(self.classes) if len(self.classes) <= 6 else [*self.classes[:5], "..."]
        return (
            f"ECGDataset {self.name} {self.version}, task {self.task}: {len(self)} records of "
            f"{stored.shape[1]} leads x {stored.shape[2]} samples at {self.sampling_rate_hz} Hz, "
            f"{len(self.classes)} class{'' if len(self.classes) == 1 else 'es'} ({', '.join(names)})"
        )

    def subset(self, index: Any) -> "ECGDataset":
        """The records at `index`: a boolean mask of length N, or positions (a list, an array or a slice).

        The fingerprint of a subset follows from that of the whole and the positions.

        Raises:
            IndexError: If a position is outside the data set or the mask has another length.
        """
        positions = np.arange(len(self))[index].reshape(-1)
        stored, rows = self._stored()
        digest = hashlib.sha256(self.fingerprint.encode() + positions.astype("<i8").tobytes())
        part = object.__new__(ECGDataset)
        part.__dict__.update(self.__dict__)
        part.__dict__.pop("signals", None)
        part.__dict__.update(
            _rows=(stored, positions if rows is None else rows[positions]),
            labels=self.labels[positions],
            meta=self.meta.iloc[positions].reset_index(drop=True),
            fingerprint=digest.hexdigest(),
            lengths=self.lengths[positions],
            known=self.known[positions],
            truth=None if self.truth is None else self.truth.iloc[positions].reset_index(drop=True),
        )
        return part

    def labelled(self) -> "ECGDataset":
        """Only the records that have a label of this task."""
        return self.subset(self.known)

    def split(self) -> tuple["ECGDataset", "ECGDataset", "ECGDataset"]:
        """Training (folds 1-8), validation (fold 9) and test part (fold 10).

        Source:
            PTB-XL benchmark (Strodthoff et al., 2021), section II-A.
        """
        fold = self.meta["fold"].to_numpy()
        return self.subset(fold <= 8), self.subset(fold == 9), self.subset(fold == 10)
