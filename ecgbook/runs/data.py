"""The data of a run: all records that are published, or no run."""

from pathlib import Path

from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.cards import CARDS
from ecgkit.errors import DataNotFoundError

__all__ = ["load_for", "origin", "require_whole"]

_ENOUGH = 0.99  # a few records may be unreadable as they were published


def load_for(run: Run, name: str, task: str | None, root: Path | None = None) -> ECGDataset:
    """Load a data set at the sampling rate of a run.

    Args:
        run: The run that needs it.
        name: Name for `ecgkit.datasets.load`.
        task: A task of the data set, or None for its first.
        root: Folder of the data; see `ecgkit.datasets.load`.

    Raises:
        DataNotFoundError: If it is not there, or if only a part of it is and the run is no quick one.
    """
    dataset = datasets.load(name, root=root, task=task, sampling_rate_hz=run.sampling_rate_hz)
    require_whole(dataset, run.protocol)
    return dataset


def origin(dataset: ECGDataset) -> dict[str, str]:
    """What a record says of a data set: its version and its fingerprint."""
    return {"version": dataset.version, "fingerprint": dataset.fingerprint}


def require_whole(dataset: ECGDataset, protocol: str) -> None:
    """Refuse to do a run on some records of a data set under the name of the whole.

    Synthetic data have no size of their own, and runs of the protocol "quick" may use what is there.

    Raises:
        DataNotFoundError: If fewer than 99 % of the published records are at hand.
    """
    made_here = dataset.name == "synthetic" or dataset.version.startswith("synthetic")
    if protocol == "quick" or made_here:
        return
    published = CARDS[dataset.name].records
    if len(dataset) < _ENOUGH * published:
        raise DataNotFoundError(
            f"{dataset.name} {dataset.version} has {published:,} records, and {len(dataset):,} of them "
            f"are at hand at {dataset.sampling_rate_hz} Hz: a run of the protocol {protocol!r} needs them "
            f"all. Fetch the rest with `ecgkit data download {dataset.name}`, or choose the protocol 'quick'"
        )
