"""Download a published data set: in parallel, resumable, checked against the published SHA-256 list."""

import errno
import json
import os
import queue
import random
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ecgkit.datasets.archives import require_inside, safe_extract
from ecgkit.datasets.published import (
    MIRRORS,
    PUBLISHED,
    Entry,
    Published,
    by_hand,
    is_record,
    parse_sums,
    select,
)
from ecgkit.errors import DataNotFoundError, DownloadError, EcgkitError, StoreError
from ecgkit.files import atomic_write, sha256_file, write_error

if TYPE_CHECKING:
    import requests

__all__ = ["STATE_NAME", "RetryPolicy", "default_root", "download"]

STATE_NAME = ".ecgkit-download.json"
_LOCK_NAME = ".ecgkit-download.lock"
_SUMS = "SHA256SUMS.txt"
_SAVE_EVERY_S = 20.0
_FAILURES_TO_STOP = 5
_CHUNK_BYTES = 2**16


@dataclass(frozen=True)
class RetryPolicy:
    """How patient a download is with a server that has trouble.

    Attributes:
        tries: Failures in a row, with hardly a new byte, after which a mirror is given up.
        backoff_s: Wait after the first failure in seconds; it doubles each time, give or take a half.
        timeout_s: A server that is silent for so many seconds counts as a failure, and so does one that has
            not begun to answer by then.
        longest_wait_s: A server that asks (``Retry-After``) for a longer wait in seconds is given up.
        slowest_bytes_per_s: A server that sends less, on average over `timeout_s` or longer, is in trouble.
    """

    tries: int = 6
    backoff_s: float = 1.0
    timeout_s: float = 30.0
    longest_wait_s: float = 120.0
    slowest_bytes_per_s: float = 500.0


def default_root() -> Path:
    """The folder of the data sets: the environment variable ``ECGKIT_DATA``, or else ``data`` right here."""
    return Path(os.environ.get("ECGKIT_DATA") or "data")


def download(
    name: str,
    out: str | Path | None = None,
    *,
    version: str | None = None,
    records: int | None = None,
    sampling_rate_hz: int | None = None,
    workers: int = 8,
    mirror: str | Sequence[str] | None = None,
    retry: RetryPolicy = RetryPolicy(),
    progress: bool = True,
) -> Path:
    """Download a data set in its published layout. Run it again to resume, or to add what is missing.

    A file that is there already and differs from the published one is replaced; if it is a table that was
    changed by hand, it is kept as ``<name>.old``. Nothing is written through a link that leads out of the
    folder.

    Args:
        name: ptbxl, cpsc2018, cpsc2018_extra, georgia, ptb, csn or sph.
        out: Folder of the data sets; the set goes to ``<out>/<name>``. None: see `default_root`.
        version: Published version; None for the one that the book uses.
        records: Only the first so many records, and the metadata of all.
        sampling_rate_hz: For PTB-XL: only the signals at 100 or at 500 Hz; None for both.
        workers: Files fetched at the same time.
        mirror: ``"physionet"`` or ``"aws"`` to ask that one first, or the address (or addresses, in the order
            to be tried) of a copy laid out as PhysioNet's ``/files/``.
        retry: When to try again.
        progress: Show a bar on stderr.

    Returns:
        The folder of the data set.

    Raises:
        DataNotFoundError: If no such data set is published.
        DownloadError: If something could not be had, with the way to get it by hand. Complete files stay,
            and incomplete ones stay as ``.part`` files that the next call resumes.
        StoreError: If the folder cannot be written, or a link leads out of it.
        ValueError: If an argument is out of range.

    Example::

        download("ptbxl", "data", sampling_rate_hz=100, records=500)
    """
    source = PUBLISHED.get(name)
    if source is None:
        raise DataNotFoundError(f"no download is known for {name!r}: choose one of {', '.join(PUBLISHED)}")
    if (records is not None and (records < 1 or int(records) != records)) or workers < 1:
        raise ValueError("records and workers must be whole numbers from 1")
    if records is not None and source.archive:
        raise ValueError(f"{name} is published as one archive: it can only be had whole, without records")
    if source.files and version not in (None, source.version):
        raise ValueError(f"{name} is published in one version, {source.version}")
    if sampling_rate_hz is not None and source.folders.get(sampling_rate_hz) is None:
        rates = ", ".join(map(str, source.folders)) or "one rate only, so leave the sampling rate out"
        raise ValueError(f"{name} is published at {rates}; {sampling_rate_hz} Hz cannot be downloaded")
    folder = (default_root() if out is None else Path(out)) / name
    version = version or source.version
    fetcher = _Fetcher(_mirrors(source, mirror), retry)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            job = _Job(source, folder, version, fetcher)
            job.fetch_all(job.list_files(records, source.folders.get(sampling_rate_hz or 0, "")), workers,
                          name if progress else "")  # fmt: skip
            if source.archive:
                job.unpack(source.archive)
    except DownloadError as error:
        raise DownloadError(
            f"{error}\nWhat arrived is kept in {folder}; run the same command again to resume.\n"
            + by_hand(source, version, folder)
        ) from error
    except OSError as error:
        if isinstance(error, EcgkitError):
            raise
        raise write_error(folder, error) from error
    return folder


def _alone(folder: Path) -> AbstractContextManager[Any]:
    """Hold the folder's lock: two downloads at once would write into the same .part files."""
    from filelock import FileLock, Timeout

    require_inside(folder, folder / _LOCK_NAME)
    try:
        return FileLock(folder / _LOCK_NAME).acquire(timeout=0)
    except Timeout as error:
        raise StoreError(f"another download into {folder} is under way: wait until it has ended") from error
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES):  # all may be there already
            return nullcontext()
        raise


def _mirrors(source: Published, mirror: str | Sequence[str] | None) -> list[str]:
    if mirror is None:
        return list(source.mirrors)
    if isinstance(mirror, str) and mirror in MIRRORS:
        return sorted(source.mirrors, key=lambda address: address != MIRRORS[mirror])
    given = [mirror] if isinstance(mirror, str) else list(mirror)
    for address in given:
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"mirror must be {', '.join(MIRRORS)} or an http(s) address, not {address!r}")
    if not given:
        raise ValueError("mirror is an empty list; leave it out to ask the usual ones")
    return [address.rstrip("/") + "/" for address in given]


@dataclass
class _State:
    """What a download has checked already, kept beside the files so that a repeated call is quick.

    Attributes:
        version: The version of the data set.
        files: For each file that was right: size in bytes, time of change in ns, SHA-256.
        unpacked: For each file that came out of the set's archive: size in bytes.
        parts: For each incomplete file without a published checksum: what the server called the version of it
            that the bytes are of.
    """

    version: str
    files: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    unpacked: dict[str, int] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, version: str) -> "_State":
        """The state of a folder; an empty one when there is none that can be read."""
        try:
            if not (folder / STATE_NAME).is_file():
                return cls(version)
            raw = json.loads((folder / STATE_NAME).read_text(encoding="utf-8"))
            files = {str(name): (int(s), int(t), str(sha)) for name, (s, t, sha) in raw["files"].items()}
            unpacked = {str(name): int(size) for name, size in raw.get("unpacked", {}).items()}
            parts = {str(name): str(mark) for name, mark in raw.get("parts", {}).items()}
            if raw["version"] != version:
                files.pop(_SUMS, None)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
            return cls(version)
        return cls(version, files, unpacked, parts)

    def save(self, folder: Path) -> None:
        with atomic_write(folder / STATE_NAME) as file:
            json.dump(vars(self), file)

    def matches(self, folder: Path, local: str, sha256: str | None = None) -> bool:
        """Whether the file is there, unchanged since it was found right (by this very checksum, if any)."""
        known = self.files.get(local)
        if known is None or (sha256 is not None and known[2] != sha256):
            return False
        return known[:2] == _size_and_time(folder / local)

    def add(self, folder: Path, local: str, sha256: str) -> None:
        self.files[local] = (*(_size_and_time(folder / local) or (0, 0)), sha256)

    def all_unpacked(self, folder: Path) -> bool:
        """Whether the archive was unpacked and each of its files is still there, with its size."""
        sizes = ((_size_and_time(folder / name), size) for name, size in self.unpacked.items())
        return bool(self.unpacked) and all(there and there[0] == size for there, size in sizes)


def _size_and_time(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of change in ns; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _size(path: Path) -> int:
    return (_size_and_time(path) or (0, 0))[0]


class _Job:
    """One call of `download`."""

    def __init__(self, source: Published, folder: Path, version: str, fetcher: "_Fetcher") -> None:
        self.source, self.folder, self.version, self.fetcher = source, folder, version, fetcher
        self.state = _State.read(folder, version)
        self._lock = threading.Lock()

    def list_files(self, records: int | None, rate_folder: str) -> list[Entry]:
        """The files to have, from the list that the publisher gives."""
        if self.source.files:
            return [Entry(remote, local, None) for local, remote in self.source.files.items()]
        path, base, prefix = self.folder / _SUMS, self.source.base(self.version), self.source.prefix
        if not self.state.matches(self.folder, _SUMS):
            part = self._part(_SUMS)
            part.path.unlink(missing_ok=True)  # nothing would tell its version
            self.fetcher.fetch(base + _SUMS, part)
            text = part.path.read_text(encoding="utf-8-sig", errors="replace")
            part.path.unlink()
            entries = parse_sums(text, prefix)
            if not entries:
                raise DownloadError(f"SHA256SUMS.txt lists no file below {prefix or '/'}")
            with atomic_write(path) as file:
                file.writelines(f"{entry.sha256}  {entry.local}\n" for entry in entries)
            self.state.add(self.folder, _SUMS, sha256_file(path))
            self.state.save(self.folder)
        listed = [
            e._replace(remote=base + ("" if e.local == "LICENSE.txt" else prefix) + e.local)
            for e in parse_sums(path.read_text(encoding="utf-8"))
        ]
        return select(listed, records, rate_folder)

    def fetch_all(self, entries: Sequence[Entry], workers: int, bar_name: str) -> None:
        """Fetch what is missing and check what is there but unknown; a bar is shown when it has a name."""
        from tqdm import tqdm

        todo = [entry for entry in entries if not self._have_already(entry)]
        expected = self._check_space(todo)
        failed: list[DownloadError] = []
        saved = time.monotonic()
        with tqdm(
            total=expected, desc=bar_name, unit="B", unit_scale=True, unit_divisor=1024, file=sys.stderr,
            disable=not bar_name or not todo,
        ) as bar:  # fmt: skip

            def count(received: int) -> None:
                with self._lock:
                    bar.update(received)

            self.fetcher.on_bytes = count
            with ThreadPoolExecutor(workers) as pool:
                futures = [pool.submit(self._have, entry) for entry in todo]
                try:
                    for number, future in enumerate(as_completed(futures), start=1):
                        try:
                            future.result()
                        except DownloadError as error:
                            failed.append(error)
                            if len(failed) >= _FAILURES_TO_STOP:
                                break
                        bar.set_postfix_str(f"{number}/{len(todo)} files", refresh=False)
                        if time.monotonic() - saved > _SAVE_EVERY_S:
                            self._save()
                            saved = time.monotonic()
                finally:
                    self.fetcher.stop.set()
                    pool.shutdown(cancel_futures=True)
                    if todo:
                        self._save()
        if failed:
            if any("wrong checksum" in str(error) for error in failed):
                self.state.files.pop(_SUMS, None)  # the list itself may be the wrong one: get it anew
                self._save()
            more = f"\n(stopped after {len(failed)} failures)" if len(failed) >= _FAILURES_TO_STOP else ""
            raise DownloadError("\n".join(str(error) for error in failed) + more)

    def _have_already(self, entry: Entry) -> bool:
        if self.state.matches(self.folder, entry.local, entry.sha256):
            return True
        gone = entry.local == self.source.archive and not (self.folder / entry.local).exists()
        return gone and self.state.all_unpacked(self.folder)

    def _have(self, entry: Entry) -> None:
        """Runs in a thread: make sure that one file is there and right."""
        target = self.folder / entry.local
        if self.fetcher.stop.is_set():
            raise _Stopped
        if target.is_dir():
            raise StoreError(f"{target} is a folder where a file should go: move it away")
        if target.is_file() and entry.sha256 is None and entry.local not in self.state.files:
            self._check_beginning(entry, target)  # somebody put it there: it is taken as it is
            return
        if target.is_file() and entry.sha256 is not None and sha256_file(target) == entry.sha256:
            self.fetcher.on_bytes(_size(target))
        else:
            part = self._part(entry.local, checked=entry.sha256 is not None)
            self.fetcher.fetch(entry.remote, part, entry.sha256)
            try:
                self._check_beginning(entry, part.path)
            except DownloadError:
                part.path.unlink()
                raise
            self._keep_changed(entry.local)
            part.path.replace(target)
        with self._lock:
            self.state.parts.pop(entry.local, None)
            self.state.add(self.folder, entry.local, entry.sha256 or "")

    def _part(self, local: str, checked: bool = False) -> "_Part":
        """The incomplete file, in a folder that is there."""
        path = self.folder / f"{local}.part"
        path.parent.mkdir(parents=True, exist_ok=True)
        require_inside(self.folder, path)
        if path.exists() and path.stat().st_nlink > 1:
            path.unlink()  # another name for a file that may be anywhere

        def remember(mark: str) -> None:
            with self._lock:
                self.state.parts[local] = mark
                self.state.save(self.folder)

        most = self.source.most_bytes(local)
        if checked or local == _SUMS:
            return _Part(path, most, checked)
        return _Part(path, most, checked, self.state.parts.get(local, ""), remember)

    def _check_beginning(self, entry: Entry, path: Path) -> None:
        """Where no checksum is published, tell at least an error page from the file."""
        if entry.sha256 is not None:
            return
        with path.open("rb") as file:
            start = file.read(60)
        if not start.startswith(self.source.begins.get(entry.local, b"")) or start.lstrip().startswith(b"<"):
            raise DownloadError(
                f"{path} is not the set's {entry.local} from {entry.remote} (it begins {start!r}): "
                "it may be an error page of the server; move it away and try again later"
            )

    def _keep_changed(self, local: str) -> None:
        """Rename a table that somebody changed instead of replacing it."""
        target = self.folder / local
        if target.is_file() and not is_record(local) and not self.state.matches(self.folder, local):
            names = (target.with_name(f"{target.name}.old{number or ''}") for number in range(10_000))
            target.rename(next(name for name in names if not name.exists()))

    def _save(self) -> None:
        with self._lock:
            self.state.save(self.folder)

    def _check_space(self, todo: Sequence[Entry]) -> int:
        """The bytes to expect; raises early when the disk has no room for them."""
        expected = sum(self.source.estimate(entry.local) for entry in todo)
        there = sum(
            _size(self.folder / entry.local) + _size(self.folder / f"{entry.local}.part") for entry in todo
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
        """Unpack the set's archive; remove it unless somebody else put it there."""
        path, ours = self.folder / archive, self.state.matches(self.folder, archive)
        if not path.exists() or (not ours and self.state.all_unpacked(self.folder)):
            return
        try:
            written = safe_extract(path, self.folder)
        except DownloadError:  # the archive is no good; a full disk is not its fault
            if ours:
                path.unlink()
            raise
        self.state.unpacked = {file.relative_to(self.folder).as_posix(): _size(file) for file in written}
        if ours:
            self.state.files.pop(archive)
        self._save()
        if ours:
            path.unlink()


@dataclass
class _Part:
    """A file that is growing.

    Attributes:
        path: Where it grows.
        most_bytes: More than such a file can have, in bytes.
        checked: Whether a published checksum will tell if the bytes are those of one version.
        mark: The server's name (ETag or date) of the version that the bytes so far are of.
        remember: Called with the mark of a new version before its first byte is written.
    """

    path: Path
    most_bytes: int
    checked: bool
    mark: str = ""
    remember: Callable[[str], None] = lambda mark: None


class _Stopped(Exception):
    """The whole download is being stopped; what has arrived stays in the .part file."""


class _Refused(Exception):
    """This mirror will not give the file."""


class _Trouble(Exception):
    """It may work if tried again, after `wait_s` seconds when the server named a time."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _Fetcher:
    """Fetches files by name from a list of mirrors; one object serves all threads of a download.

    Args:
        mirrors: Base addresses, each ending in ``/``; the order is that of preference. A mirror that fails
            goes behind those that failed less often.
        policy: When to try again.
    """

    def __init__(self, mirrors: Sequence[str], policy: RetryPolicy = RetryPolicy()) -> None:
        self.policy = policy
        self.stop = threading.Event()  # when set, transfers and waits end at once with `_Stopped`
        self.on_bytes: Callable[[int], None] = lambda count: None
        self._failures = dict.fromkeys(mirrors, 0)
        self._local = threading.local()

    def fetch(self, name: str, part: _Part, sha256: str | None = None) -> None:
        """Fetch one file, until `part` is complete and has the right checksum.

        Args:
            name: Name below the mirrors' address.
            part: Where the file grows.
            sha256: Expected checksum, 64 hexadecimal digits; None when none is published.

        Raises:
            DownloadError: If no mirror gives the file, or only wrong ones.
            StoreError: If the disk is full or the folder cannot be written.
        """
        reasons = []
        for mirror in sorted(self._failures, key=self._failures.__getitem__):
            url = mirror + quote(name)
            reason = ""
            for _ in range(2):  # a file with the wrong checksum is fetched afresh once
                try:
                    self._transfer(url, part)
                except _Refused as error:
                    reason = str(error)
                    break
                if sha256 is None or (got := sha256_file(part.path)) == sha256:
                    return
                part.path.unlink()
                reason = f"wrong checksum (SHA-256 {got[:12]}... instead of {sha256[:12]}...)"
            self._failures[mirror] += 1
            reasons.append(f"{url}: {reason}")
        raise DownloadError(f"could not download {name}: " + "; ".join(reasons))

    def _transfer(self, url: str, part: _Part) -> None:
        """Fill the part to the end, with as many requests as it takes."""
        failures, longest = 0, _size(part.path)
        if part.checked:
            part.mark = ""  # another mirror has other names for the same version
        while True:
            if self.stop.is_set():
                raise _Stopped
            try:
                self._request(url, part)
                return
            except _Trouble as error:
                if _size(part.path) >= longest + _CHUNK_BYTES:
                    failures, longest = 0, _size(part.path)
                failures += 1
                if failures >= self.policy.tries:
                    raise _Refused(f"{error}, {failures} times in a row") from error
                wait = error.wait_s
                if wait is None:
                    wait = self.policy.backoff_s * 2 ** (failures - 1) * random.uniform(0.5, 1.5)
                self.stop.wait(wait)

    def _request(self, url: str, part: _Part) -> None:
        """One request for the rest of the file."""
        import requests
        from urllib3.exceptions import HTTPError, TimeoutError

        if not (part.checked or part.mark):
            part.path.unlink(missing_ok=True)  # nothing would tell whether the rest is of the same version
        offset = _size(part.path)
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and part.mark:
            headers["If-Range"] = part.mark
        try:
            with self._answer(url, headers) as response:
                start = self._begins_at(response, offset, part)
                if start is not None:
                    self._receive(response, part, start)
        except (requests.Timeout, TimeoutError) as error:
            raise _Trouble(f"the server was silent for {self.policy.timeout_s:g} s") from error
        except (requests.ConnectionError, HTTPError) as error:
            raise _Trouble(f"the connection failed or broke off ({_root_cause(error)})") from error
        except (requests.RequestException, ValueError) as error:
            raise _Refused(f"{type(error).__name__}: {error}") from error

    def _answer(self, url: str, headers: dict[str, str]) -> "requests.Response":
        """Ask, and wait for the head of the answer no longer than allowed, even if it comes byte by byte."""
        import requests

        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            # Compressed answers would break both ranges and checksums.
            agent = {"User-Agent": _user_agent(), "Accept-Encoding": "identity"}
            self._local.session.headers.update(agent)
        session, timeout = self._local.session, self.policy.timeout_s
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(session.get(url, headers=headers, stream=True, timeout=timeout))
            except Exception as error:
                answers.put(error)

        threading.Thread(target=ask, daemon=True).start()
        deadline = time.monotonic() + 1.5 * timeout
        while not self.stop.is_set():
            with suppress(queue.Empty):
                answer = answers.get(timeout=0.1)
                if isinstance(answer, Exception):
                    raise answer
                response: requests.Response = answer
                return response
            if time.monotonic() > deadline:
                del self._local.session  # it is still busy
                raise _Trouble(f"the server did not begin to answer in {1.5 * timeout:g} s")
        raise _Stopped

    def _begins_at(self, response: "requests.Response", offset: int, part: _Part) -> int | None:
        """The position the answer begins at; None when the part is complete already."""
        from urllib3 import Retry
        from urllib3.exceptions import InvalidHeader

        status, headers = response.status_code, response.headers
        content_range = headers.get("Content-Range", "")
        etag = headers.get("ETag", "")
        mark = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
        same = not (mark and part.mark) or mark == part.mark
        if status == 200:  # the whole file: a new one, or the server ignores ranges
            part.path.unlink(missing_ok=True)
            part.mark = mark
            part.remember(mark)
            return 0
        if status == 206 and content_range.startswith(f"bytes {offset}-") and same:
            part.mark = part.mark or mark
            return offset
        if status in (206, 416) and offset:
            if status == 416 and content_range == f"bytes */{offset}" and same:
                return None
            part.path.unlink()
            raise _Trouble("the server could not resume the file", wait_s=0.0)
        text = f"HTTP {status} {response.reason or ''}".strip()
        if status in (408, 425, 429) or status >= 500:
            wait = None
            with suppress(InvalidHeader):
                wait = Retry(0).get_retry_after(response.raw)
            if wait is not None and wait > self.policy.longest_wait_s:
                raise _Refused(f"{text}, try again in {wait:.0f} s")
            raise _Trouble(text, wait)
        raise _Refused(text)

    def _receive(self, response: "requests.Response", part: _Part, start: int) -> None:
        length = response.headers.get("Content-Length", "")
        too_long = f"it is longer than the {part.most_bytes:,} bytes that such a file may have"
        if length.isdecimal() and start + int(length[:20]) > part.most_bytes:
            raise _Refused(too_long)
        begin, size = time.monotonic(), start
        try:
            with _open_part(part.path, "ab" if start else "wb") as file:
                # read1 hands on what has arrived; iter_content would lose it when the connection breaks off.
                while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                    if self.stop.is_set():
                        raise _Stopped
                    size += len(chunk)
                    if size > part.most_bytes:
                        break
                    file.write(chunk)
                    self.on_bytes(len(chunk))
                    seconds = time.monotonic() - begin
                    if seconds > self.policy.timeout_s and (
                        size - start < seconds * self.policy.slowest_bytes_per_s
                    ):
                        raise _Trouble(f"the server sent only {size - start} bytes in {seconds:.0f} s")
        except OSError as error:  # of the disk: those of the network are of urllib3's own kind
            raise write_error(part.path, error) from error
        if size > part.most_bytes:
            part.path.unlink()
            raise _Refused(too_long)
        if length.isdecimal() and size != start + int(length):
            raise _Trouble("the connection broke off")


def _open_part(path: Path, mode: str) -> Any:
    return path.open(mode)


def _user_agent() -> str:
    """What the package calls itself in each request, with a link to its repository."""
    from importlib.metadata import PackageNotFoundError, metadata

    from ecgkit import __version__

    links = []
    with suppress(PackageNotFoundError):
        links = metadata("ecgkit").get_all("Project-URL") or []
    url = next((link.partition(", ")[2] for link in links if link.startswith("Repository")), "")
    return f"ecgkit/{__version__}" + (f" (+{url})" if url else "")


def _root_cause(error: BaseException) -> str:
    """The innermost reason: the outer ones repeat the whole address."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return type(error).__name__
        error = inner
