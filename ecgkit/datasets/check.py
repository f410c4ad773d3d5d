"""Checking a data set on disk: every record is read, every file compared with the published checksums."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ecgkit.datasets.download import STATE_NAME
from ecgkit.datasets.published import PUBLISHED, Entry, parse_sums
from ecgkit.errors import DataNotFoundError, RecordError
from ecgkit.files import sha256_file
from ecgkit.signals.leads import standard_order
from ecgkit.signals.read import read_digital, read_record

__all__ = ["PUBLISHED_BROKEN", "check_record", "check_sums", "missing_records", "record_files", "sums_of"]

PUBLISHED_BROKEN = {"csn": ("JS01052.hea", "JS23074.hea")}
"""Headers that cannot be read as they were published, by data set; fetching them again does not help."""


def record_files(name: str, folder: Path) -> list[Path]:
    """One file for each record of a data set that lies in `folder`, at all its sampling rates.

    It is the header (or .h5 file); for samples without a header, the file of the samples.
    """
    from ecgkit.datasets import SOURCES

    source = SOURCES[name]
    files = {Path(file) for rate in source.sampling_rates_hz for file in source.files(folder, rate)}
    whole = {file for file in files if file.suffix in (".hea", ".h5")}
    lonely = {
        file for file in files if file.suffix in (".dat", ".mat") and file.with_suffix(".hea") not in whole
    }
    return sorted(whole | lonely)


def missing_records(name: str, folder: Path, files: Sequence[Path]) -> tuple[int, int]:
    """How many records of the set's table have none of `files`, and how many the table lists.

    PTB-XL's records count once for each sampling rate of which there are any. Sets without a table: (0, 0).

    Raises:
        DataNotFoundError: If the table is not there.
        RecordError: If it cannot be read.
    """
    from ecgkit.datasets import ptbxl, sph

    if name == "sph":
        listed = [sph.read_metadata(folder)["record_id"]]
    elif name in ("ptbxl", "synthetic"):
        meta = ptbxl.read_metadata(folder)
        listed = [meta[column].str.rpartition("/")[2] for column in ("filename_lr", "filename_hr")]
    else:
        return 0, 0
    here = {file.stem for file in files}
    absent = [(int((~names.isin(here)).sum()), len(names)) for names in listed]
    counted = [pair for pair in absent if pair[0] < pair[1]] or absent[:1]
    return sum(missing for missing, _ in counted), sum(total for _, total in counted)


def check_record(path: Path) -> str | None:
    """Read a record: header, length, checksums, the twelve leads.

    Returns:
        What is wrong with it, without its path; None when nothing is.
    """
    try:
        if path.suffix == ".h5":
            read_record(path)
        else:
            _, header = read_digital(path)
            standard_order(header.leads)
    except RecordError as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


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
    except (OSError, ValueError, KeyError, TypeError):
        had = set()
    for entry in sums:
        path = folder / entry.local
        if path.is_file():
            yield path, None if sha256_file(path) == entry.sha256 else "SHA-256 differs from SHA256SUMS.txt"
        else:
            yield path, "was downloaded but is gone" if entry.local in had else ""
