"""Checking a data set on disk: every record read as loading reads it, every file compared with checksums."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgkit.datasets.base import DataSource
from ecgkit.datasets.convert import read_units, read_wfdb
from ecgkit.datasets.download import STATE_NAME
from ecgkit.datasets.published import PUBLISHED, Entry, parse_sums
from ecgkit.datasets.store import planted, verify_store
from ecgkit.errors import DataNotFoundError, EcgkitError, RecordError, StoreError
from ecgkit.files import sha256_file

__all__ = ["PUBLISHED_BROKEN", "Report", "check_records", "check_sums", "sums_of"]

PUBLISHED_BROKEN = {"csn": ("JS01052.hea", "JS23074.hea")}
"""Headers that cannot be read as they were published, by data set; fetching them again does not help."""


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        records: Number of records that are here, at all rates.
        faults: Files that loading refuses or leaves out, with the reason; and damaged files of the cache.
        published_broken: The files among those left out that were published broken.
        missing: Number of listed records that are not here.
        listed: Number of records that the set's table lists, 0 where it has none.
    """

    records: int
    faults: tuple[tuple[Path, str], ...]
    published_broken: tuple[Path, ...]
    missing: int
    listed: int


def check_records(
    source: DataSource, root: Path, progress: Callable[[Iterable[Path]], Iterable[Path]] = iter
) -> Report:
    """Do with every record what loading does with it, and verify the stores that were made of them.

    Loading and this function list the records with the source's own ``describe`` and read each with
    `convert.read_units`, so that their verdicts agree: loading succeeds and leaves nothing out if and only if
    there is no fault. Where each sampling rate has files of its own (PTB-XL), all rates that are here count.

    Args:
        source: The data set.
        root: Its folder.
        progress: Wraps the records while they are read, such as tqdm.

    Raises:
        DataNotFoundError: If the set's table is not there, or none of its records.
        TableError: If the table is at fault; nothing is said about the records then.
    """
    rates = source.sampling_rates_hz if source.rate_folders else source.sampling_rates_hz[:1]
    found = {rate: source.describe(root, rate, source.files(root, rate)) for rate in rates}
    here = {rate: each for rate, each in found.items() if each.records or each.left_out}
    if not here:
        listed = max((each.missing for each in found.values()), default=0)
        raise DataNotFoundError(f"none of its {listed:,} records is in {root}. {source.remedy}")
    faults: list[tuple[Path, str]] = []
    jobs: list[tuple[Path, dict[str, Any]]] = []
    for rate, each in here.items():
        faults += each.left_out
        options = {"samples": each.max_samples, "sampling_rate_hz": rate}
        jobs += [(path, options) for path in each.records]
    read = source.read or read_wfdb
    for path, (_, options) in zip(progress([path for path, _ in jobs]), jobs, strict=True):
        try:
            read_units(path, mv_per_unit=source.mv_per_unit, read=read, **options)
        except EcgkitError as error:
            faults.append((path, str(error)))
    for each in here.values():
        try:
            planted(root, each)
        except RecordError as error:
            faults.append((root, str(error)))
    for rate in source.sampling_rates_hz:
        try:
            verify_store(source, root, rate)
        except StoreError as error:
            faults.append((root, str(error)))
    broken = {path for path, _ in faults if path.name in PUBLISHED_BROKEN.get(source.name, ())}
    stems = {path.with_suffix("") for path, _ in (*jobs, *faults) if path != root and path not in broken}
    missing = sum(each.missing for each in here.values())
    return Report(
        records=len(stems),
        faults=tuple((path, reason) for path, reason in faults if path not in broken),
        published_broken=tuple(sorted(broken)),
        missing=missing,
        listed=missing + len(jobs) if missing else 0,
    )


def sums_of(name: str, folder: Path) -> list[Entry]:
    """The published checksums of a data set, from the ``SHA256SUMS.txt`` in its folder.

    Raises:
        DataNotFoundError: If it is not there, or none is published.
        DownloadError: If it is not a list of checksums.
    """
    if name not in PUBLISHED or PUBLISHED[name].files:
        raise DataNotFoundError(f"no list of checksums is published for {name}: check it without --sha256")
    path = folder / "SHA256SUMS.txt"
    if not path.is_file():
        raise DataNotFoundError(
            f"{path} is not there: `ecgkit data download {name}` fetches it, and checks every file as it does"
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    prefix = PUBLISHED[name].prefix
    return parse_sums(text, prefix if f" {prefix}" in text else "")  # the publisher's list, or ours


def check_sums(folder: Path, sums: Sequence[Entry]) -> Iterator[tuple[Path, str | None]]:
    """Compare files with their checksums, one by one.

    Yields:
        The file, and None when it is right, "" when it is not here and was never downloaded (as in a subset),
        or else what is wrong.
    """
    try:
        had = set(json.loads((folder / STATE_NAME).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        had = set()
    for entry in sums:
        path = folder / entry.local
        if path.is_file():
            yield path, None if sha256_file(path) == entry.sha256 else "SHA-256 differs from SHA256SUMS.txt"
        else:
            yield path, "was downloaded but is gone" if entry.local in had else ""
