"""Download a published data set: in parallel, resumable, checked against the published SHA-256 list."""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgkit.datasets.archives import safe_extract
from ecgkit.datasets.fetch import Fetcher, RetryPolicy, Stopped
from ecgkit.datasets.published import MIRRORS, PUBLISHED, Entry, Published, by_hand, parse_sums, select
from ecgkit.errors import DataNotFoundError, DownloadError
from ecgkit.files import atomic_write, sha256_file, write_error

__all__ = ["STATE_NAME", "State", "default_root", "download"]

STATE_NAME = ".ecgkit-download.json"
_SUMS = "SHA256SUMS.txt"
_SAVE_EVERY_S = 20.0
_FAILURES_TO_STOP = 5


def default_root() -> Path:
    """The folder of the data sets: the environment variable ``ECGKIT_DATA``, or else ``data`` right here."""
    return Path(os.environ.get("ECGKIT_DATA") or "data")


@dataclass
class State:
    """What a download has checked already, kept beside the files so that a repeated call is quick.

    Attributes:
        version: The version of the data set.
        files: For each file that matched its checksum: size in bytes, time of change in ns, SHA-256.
        unpacked: For each file that came out of the set's archive: size in bytes.
    """

    version: str
    files: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    unpacked: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, version: str) -> "State":
        """The state of a folder; an empty one when there is none, or one of another version."""
        try:
            raw = json.loads((folder / STATE_NAME).read_text(encoding="utf-8"))
            if raw["version"] != version:
                return cls(version)
            files = {str(name): (int(s), int(t), str(sha)) for name, (s, t, sha) in raw["files"].items()}
            unpacked = {str(name): int(size) for name, size in raw.get("unpacked", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(version)
        return cls(version, files, unpacked)

    def save(self, folder: Path) -> None:
        with atomic_write(folder / STATE_NAME) as file:
            json.dump({"version": self.version, "files": self.files, "unpacked": self.unpacked}, file)

    def matches(self, folder: Path, entry: Entry) -> bool:
        """Whether the file is there, unchanged since it last matched this very checksum."""
        known = self.files.get(entry.local)
        if known is None or (entry.sha256 is not None and known[2] != entry.sha256):
            return False
        try:
            stat = (folder / entry.local).stat()
        except OSError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == known[:2]

    def add(self, folder: Path, local: str, sha256: str) -> None:
        stat = (folder / local).stat()
        self.files[local] = (stat.st_size, stat.st_mtime_ns, sha256)

    def all_unpacked(self, folder: Path) -> bool:
        """Whether the archive was unpacked and each of its files is still there, with its size."""
        try:
            return bool(self.unpacked) and all(
                (folder / name).stat().st_size == size for name, size in self.unpacked.items()
            )
        except OSError:
            return False


def download(
    name: str,
    out: str | Path | None = None,
    *,
    version: str | None = None,
    records: int | None = None,
    sampling_rate_hz: int | None = None,
    workers: int = 8,
    mirror: str | Sequence[str] | None = None,
    retry: RetryPolicy | None = None,
    progress: bool = True,
) -> Path:
    """Download a data set in its published layout. Run it again to resume, or to add what is missing.

    Args:
        name: ptbxl, cpsc2018, cpsc2018_extra, georgia, ptb, csn or sph.
        out: Folder of the data sets; the set goes to ``<out>/<name>``. None: see `default_root`.
        version: Published version; None for the one that the book uses.
        records: Only the first so many records, and the metadata of all.
        sampling_rate_hz: For PTB-XL: only the signals at 100 or at 500 Hz; None for both.
        workers: Files fetched at the same time.
        mirror: ``"physionet"`` or ``"aws"`` to ask that one first, or the address (or addresses, in the order
            to be tried) of a copy laid out as PhysioNet's ``/files/``.
        retry: When to try again; None for the usual patience.
        progress: Show a bar on stderr.

    Returns:
        The folder of the data set.

    Raises:
        DownloadError: If something could not be had, with the way to get it by hand. Complete files stay,
            and incomplete ones stay as ``.part`` files that the next call resumes.
        StoreError: If the folder cannot be written.
        ValueError: If an argument is out of range.

    Example::

        download("ptbxl", "data", sampling_rate_hz=100, records=500)
    """
    source = PUBLISHED.get(name)
    if source is None:
        raise DataNotFoundError(f"no download is known for {name!r}: choose one of {', '.join(PUBLISHED)}")
    if (records is not None and records < 1) or workers < 1:
        raise ValueError("records and workers must be at least 1")
    if records is not None and source.archive:
        raise ValueError(f"{name} is published as one archive: it can only be had whole, without records")
    if sampling_rate_hz is not None and source.folders.get(sampling_rate_hz) is None:
        rates = ", ".join(map(str, source.folders)) or "one rate only, so leave the sampling rate out"
        raise ValueError(f"{name} is published at {rates}; {sampling_rate_hz} Hz cannot be downloaded")
    folder = (default_root() if out is None else Path(out)) / name
    job = _Job(source, folder, version or source.version, retry or RetryPolicy(), progress, name)
    job.fetcher = Fetcher(_mirrors(source, mirror), job.retry, job.stop, job.count)
    try:
        entries = job.list_files(records, source.folders.get(sampling_rate_hz or 0, ""))
        job.fetch_all(entries, workers)
        if source.archive:
            job.unpack(source.archive)
    except DownloadError as error:
        raise DownloadError(
            f"{error}\nWhat arrived is kept in {folder}; run the same command again to resume.\n"
            + by_hand(source, job.version, folder)
        ) from error
    return folder


def _mirrors(source: Published, mirror: str | Sequence[str] | None) -> list[str]:
    if mirror is None:
        return list(source.mirrors)
    if isinstance(mirror, str) and mirror in MIRRORS:
        return sorted(source.mirrors, key=lambda address: address != MIRRORS[mirror])
    given = [mirror] if isinstance(mirror, str) else list(mirror)
    for address in given:
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"mirror must be {', '.join(MIRRORS)} or an http(s) address, not {address!r}")
    return [address.rstrip("/") + "/" for address in given]


class _Job:
    """One call of `download`."""

    fetcher: Fetcher

    def __init__(
        self, source: Published, folder: Path, version: str, retry: RetryPolicy, progress: bool, name: str
    ) -> None:
        self.source, self.folder, self.version, self.retry = source, folder, version, retry
        self.stop = threading.Event()
        self.state = State.read(folder, version)
        self._progress, self._name = progress, name
        self._lock = threading.Lock()
        self._bar: Any = None

    def count(self, received: int) -> None:
        if self._bar is not None:
            with self._lock:
                self._bar.update(received)

    def list_files(self, records: int | None, rate_folder: str) -> list[Entry]:
        """The files to have, from the list that the publisher gives."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(self.folder, error) from error
        if self.source.files:
            return [Entry(remote, local, None) for local, remote in self.source.files.items()]
        path = self.folder / _SUMS
        if not self.state.matches(self.folder, Entry(_SUMS, _SUMS, None)):
            fresh = path.with_name(_SUMS + ".new")  # the list in place stays valid until this one is read
            fresh.with_name(fresh.name + ".part").unlink(missing_ok=True)  # nothing would tell its version
            self.fetcher.fetch(self.source.base(self.version) + _SUMS, fresh)
            try:
                entries = parse_sums(fresh.read_text(encoding="utf-8", errors="replace"), self.source.prefix)
                if not entries:
                    raise DownloadError(f"SHA256SUMS.txt lists no file below {self.source.prefix or '/'}")
            finally:
                fresh.unlink()
            with atomic_write(path) as file:
                file.writelines(f"{entry.sha256}  {entry.local}\n" for entry in entries)
            self.state.add(self.folder, _SUMS, sha256_file(path))
            self.state.save(self.folder)
        base, prefix = self.source.base(self.version), self.source.prefix
        listed = [
            e._replace(remote=base + ("" if e.local == "LICENSE.txt" else prefix) + e.local)
            for e in parse_sums(path.read_text(encoding="utf-8"))
        ]
        return select(listed, records, rate_folder)

    def fetch_all(self, entries: Sequence[Entry], workers: int) -> None:
        """Fetch what is missing and check what is there but unknown."""
        from tqdm import tqdm

        todo = [entry for entry in entries if not self._done(entry)]
        if not todo:
            return
        expected = self._check_space(todo)
        failed: list[DownloadError] = []
        saved = time.monotonic()
        with tqdm(
            total=expected,
            desc=self._name,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            file=sys.stderr,
            disable=not self._progress,
        ) as self._bar:
            with ThreadPoolExecutor(workers) as pool:
                futures = [pool.submit(self._have, entry) for entry in todo]
                try:
                    for done, future in enumerate(as_completed(futures), start=1):
                        try:
                            future.result()
                        except DownloadError as error:
                            failed.append(error)
                            if len(failed) >= _FAILURES_TO_STOP:
                                break
                        self._bar.set_postfix_str(f"{done}/{len(todo)} files", refresh=False)
                        if time.monotonic() - saved > _SAVE_EVERY_S:
                            self._save()
                            saved = time.monotonic()
                finally:
                    self.stop.set()
                    pool.shutdown(cancel_futures=True)
                    self._save()
            self._bar.total = self._bar.n  # the total was an estimate
            self._bar.refresh()
        self._bar = None
        if failed:
            if any("wrong checksum" in str(error) for error in failed):
                self.state.files.pop(_SUMS, None)  # the list itself may be the wrong one: get it anew
                self._save()
            more = f"\n(stopped after {len(failed)} failures)" if len(failed) >= _FAILURES_TO_STOP else ""
            raise DownloadError("\n".join(str(error) for error in failed) + more)

    def _done(self, entry: Entry) -> bool:
        if self.state.matches(self.folder, entry):
            return True
        gone = entry.local == self.source.archive and not (self.folder / entry.local).exists()
        return gone and self.state.all_unpacked(self.folder)

    def _have(self, entry: Entry) -> None:
        """Runs in a thread: make sure that one file is there and right."""
        target = self.folder / entry.local
        if self.stop.is_set():
            raise Stopped
        there = entry.sha256 is not None and target.is_file()
        if there and sha256_file(target) == entry.sha256:
            self.count(target.stat().st_size)
        else:
            self.fetcher.fetch(entry.remote, target, entry.sha256)
            self._check_beginning(entry, target)
        sha256 = entry.sha256 or sha256_file(target)
        with self._lock:
            self.state.add(self.folder, entry.local, sha256)

    def _check_beginning(self, entry: Entry, target: Path) -> None:
        begins = self.source.begins.get(entry.local, b"")
        with target.open("rb") as file:
            found = file.read(60)
        if not found.startswith(begins):
            target.unlink()
            raise DownloadError(
                f"{entry.remote} is not the set's {entry.local} (it begins {found!r}): "
                "the server may have sent an error page; try again later"
            )

    def _save(self) -> None:
        with self._lock:
            self.state.save(self.folder)

    def _check_space(self, todo: Sequence[Entry]) -> int:
        """The bytes to expect; raises early when the disk has no room for them."""
        expected = sum(self.source.estimate(entry.local) for entry in todo)
        there = sum(
            path.stat().st_size
            for entry in todo
            for path in (self.folder / entry.local, self.folder / f"{entry.local}.part")
            if path.is_file()
        )
        needed = expected * (2 if self.source.archive else 1) - there
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise DownloadError(
                f"not enough room in {self.folder}: about {needed / 1e9:.2f} GB ({needed:,} bytes) needed "
                f"but only {free / 1e9:.2f} GB ({free:,} bytes) free. Free some space, choose another folder "
                "(--out), or fetch less (--records, --rate)"
            )
        return expected

    def unpack(self, archive: str) -> None:
        """Unpack the set's archive and remove it."""
        path = self.folder / archive
        if not path.exists():
            return
        try:
            written = safe_extract(path, self.folder)
        except DownloadError:  # the archive is no good; a full disk is not its fault
            self.state.files.pop(archive, None)
            self._save()
            raise
        self.state.unpacked = {
            file.relative_to(self.folder).as_posix(): file.stat().st_size for file in written
        }
        self._save()
        path.unlink()
