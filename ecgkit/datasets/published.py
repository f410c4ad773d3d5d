"""Where each data set is published, and how its files are listed there."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ecgkit.datasets.archives import safe_relative_path
from ecgkit.errors import DownloadError

__all__ = ["MIRRORS", "PUBLISHED", "Entry", "Published", "by_hand", "is_record", "parse_sums", "select"]

MIRRORS: Mapping[str, str] = {
    "physionet": "https://physionet.org/files/",
    "aws": "https://physionet-open.s3.amazonaws.com/",
}
_FIGSHARE = (
    "https://springernature.figshare.com/ndownloader/files/",
    "https://ndownloader.figshare.com/files/",
)
_RECORD_ENDINGS = (".hea", ".dat", ".mat")
_SUM_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *]?(.+)")


@dataclass(frozen=True)
class Published:
    """One published data set.

    Attributes:
        project: PhysioNet's name of the project; empty for a set that is published elsewhere.
        version: The version that is fetched unless another is asked for.
        prefix: Folder of the project that holds this set, with a slash at its end.
        mirrors: Base addresses, the preferred first.
        folders: For sets published at several sampling rates: the folder of each rate in Hz.
        mean_bytes: Typical size in bytes of the files that end so, to know early whether the disk suffices.
        files: For sets without a published list: local name -> name at the mirror.
        archive: The one of `files` that has to be unpacked.
        begins: For files without a published checksum: how they have to begin, by local name.
        page: The page for people.
    """

    project: str
    version: str
    page: str
    prefix: str = ""
    mirrors: tuple[str, ...] = tuple(MIRRORS.values())
    folders: Mapping[int, str] = field(default_factory=dict)
    mean_bytes: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    archive: str | None = None
    begins: Mapping[str, bytes] = field(default_factory=dict)

    def base(self, version: str) -> str:
        """What stands between a mirror's address and a file's name."""
        return f"{self.project}/{version}/" if self.project else ""

    def estimate(self, name: str) -> int:
        """Expected size of a file in bytes."""
        return next((size for end, size in self.mean_bytes.items() if name.endswith(end)), 700)

    def most_bytes(self, name: str) -> int:
        """More than such a file can have, in bytes: what is longer is not the file."""
        return 4 * self.estimate(name) + (2**20 if is_record(name) else 2**26)


class Entry(NamedTuple):
    """One file to have: its name at the mirrors, its name here, its SHA-256 (None: not published)."""

    remote: str
    local: str
    sha256: str | None


def _challenge(folder: str, mean_bytes: int) -> Published:
    return Published(
        project="challenge-2021",
        version="1.0.3",
        page="https://physionet.org/content/challenge-2021/1.0.3/",
        prefix=f"training/{folder}/",
        mean_bytes={".mat": mean_bytes},
    )


PUBLISHED: Mapping[str, Published] = {
    "ptbxl": Published(
        project="ptb-xl",
        version="1.0.3",
        page="https://physionet.org/content/ptb-xl/1.0.3/",
        folders={100: "records100/", 500: "records500/"},
        mean_bytes={"_lr.dat": 24_000, "_hr.dat": 120_000, "ptbxl_database.csv": 7_000_000},
    ),
    "cpsc2018": _challenge("cpsc_2018", 195_000),
    "cpsc2018_extra": _challenge("cpsc_2018_extra", 195_000),
    "georgia": _challenge("georgia", 121_000),
    "ptb": _challenge("ptb", 2_700_000),
    "csn": Published(
        project="ecg-arrhythmia",
        version="1.0.0",
        page="https://physionet.org/content/ecg-arrhythmia/1.0.0/",
        mean_bytes={".mat": 120_024},
    ),
    "sph": Published(
        project="",
        version="1",
        page="https://doi.org/10.6084/m9.figshare.c.5779802",
        mirrors=_FIGSHARE,
        mean_bytes={".tar": 2_300_000_000, ".csv": 1_500_000},
        files={"metadata.csv": "34793152", "code.csv": "32630954", "records.tar": "32630684"},
        archive="records.tar",
        begins={"metadata.csv": b"ECG_ID,"},
    ),
}


def is_record(name: str) -> bool:
    """Whether a file is a part of a record, and no table or list."""
    return name.endswith(_RECORD_ENDINGS)


def parse_sums(text: str, prefix: str = "") -> list[Entry]:
    """Read a ``SHA256SUMS.txt``; its names are checked, since they decide where files are written.

    Args:
        text: The list: a checksum, one or two spaces, a name per line.
        prefix: Keep the files below this folder (and the licence), and cut it off their local names.

    Raises:
        DownloadError: If a line is not of this form, a name is unsafe, or two lines name the same file.

    >>> line = "ab" * 32 + " training/georgia/g1/E00001.hea"
    >>> parse_sums(line, prefix="training/georgia/")[0].local
    'g1/E00001.hea'
    """
    entries = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = _SUM_LINE.fullmatch(line)
        if match is None:
            raise DownloadError(
                f"SHA256SUMS.txt is not a list of checksums (line {number}: {line[:60]!r}): "
                "the server may have sent an error page; try again later or use another --mirror"
            )
        sha256, name = match[1].lower(), safe_relative_path(match[2]).as_posix()
        licence = name == "LICENSE.txt"
        if not (name.startswith(prefix) or licence):
            continue
        local = name if licence else name.removeprefix(prefix)
        if local in entries:
            raise DownloadError(f"SHA256SUMS.txt names {name!r} twice")
        if local == "SHA256SUMS.txt" or local.startswith(".ecgkit") or local.endswith(".part"):
            raise DownloadError(f"refused the unsafe file name {name!r}: it is one of ecgkit's own")
        entries[local] = Entry(name, local, sha256)
    return list(entries.values())


def select(entries: Iterable[Entry], records: int | None = None, folder: str = "") -> list[Entry]:
    """Choose the files to fetch: the metadata, then the records in the order of their names.

    Args:
        entries: All files of the set.
        records: Number of records; None for all. A record that is there at two rates counts once.
        folder: Only records below this folder; empty for all.

    >>> names = ["b/2.hea", "b/2.mat", "a/1.hea", "a/1.mat", "about.csv"]
    >>> [entry.local for entry in select([Entry(n, n, None) for n in names], records=1)]
    ['about.csv', 'a/1.hea', 'a/1.mat']
    """
    metadata: list[Entry] = []
    of_record: list[tuple[str, Entry]] = []  # with the record's name
    for entry in entries:
        if is_record(entry.local):
            of_record.append((_record(entry.local), entry))
        else:
            metadata.append(entry)
    wanted = set(sorted({record for record, _ in of_record})[:records])
    chosen = sorted(pair for pair in of_record if pair[0] in wanted and pair[1].local.startswith(folder))
    used = {_parent(entry.local) for _, entry in chosen}
    unused = {_parent(entry.local) for _, entry in of_record} - used
    return [e for e in metadata if _parent(e.local) not in unused] + [entry for _, entry in chosen]


def _record(local: str) -> str:
    """Name of the record that a file belongs to, the same at all rates."""
    return re.sub(r"_[lh]r$", "", local.rpartition("/")[2].rpartition(".")[0])


def _parent(local: str) -> str:
    return local.rpartition("/")[0]


def by_hand(source: Published, version: str, folder: Path) -> str:
    """How to get the set without ecgkit, and where to put it."""
    if not source.project:
        return (
            f"By hand: open {source.page}, save {', '.join(source.files)} (the archive may be called "
            f"records.tar.gz) in {folder} and unpack the archive there: the .h5 files go to {folder}/records."
        )
    path = source.base(version) + source.prefix
    depth = 1 + path.rstrip("/").count("/") + 1
    return (
        f"By hand: wget -r -N -c -np -nH --cut-dirs={depth} -R 'index.html*' -P {folder} "
        f"{MIRRORS['physionet']}{path}"
    )
