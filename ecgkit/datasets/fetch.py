"""One file over HTTP: resumed, retried, checked, from the first mirror that has it."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ecgkit.errors import DownloadError
from ecgkit.files import sha256_file, write_error

if TYPE_CHECKING:
    import requests

__all__ = ["Fetcher", "RetryPolicy", "Stopped", "user_agent"]

_CHUNK_BYTES = 2**16


@dataclass(frozen=True)
class RetryPolicy:
    """How patient a download is with a server that has trouble.

    Attributes:
        tries: Failures in a row, without a single new byte, after which a mirror is given up.
        backoff_s: Wait after the first failure in seconds; it doubles each time, give or take a half.
        timeout_s: A server that is silent for so many seconds counts as a failure.
        longest_wait_s: A server that asks (``Retry-After``) for a longer wait in seconds is given up.
    """

    tries: int = 6
    backoff_s: float = 1.0
    timeout_s: float = 30.0
    longest_wait_s: float = 120.0


class Stopped(Exception):
    """The whole download is being stopped; what has arrived stays in the .part file."""


class _Refused(Exception):
    """This mirror will not give the file."""


class _Trouble(Exception):
    """It may work if tried again, after `wait_s` seconds when the server named a time."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def user_agent() -> str:
    """What the package calls itself in each request, with a link to its repository."""
    from importlib.metadata import PackageNotFoundError, metadata

    from ecgkit import __version__

    try:
        links = metadata("ecgkit").get_all("Project-URL") or []
    except PackageNotFoundError:
        links = []
    url = next((link.partition(", ")[2] for link in links if link.startswith("Repository")), "")
    return f"ecgkit/{__version__}" + (f" (+{url})" if url else "")


class Fetcher:
    """Fetches files by name from a list of mirrors; one object serves all threads of a download.

    Args:
        mirrors: Base addresses, each ending in ``/``; the order is that of preference. A mirror that fails
            goes behind those that failed less often.
        policy: When to try again.
        stop: When set, transfers and waits end at once with `Stopped`.
        on_bytes: Called from the threads with the number of bytes just received.
    """

    def __init__(
        self,
        mirrors: Sequence[str],
        policy: RetryPolicy = RetryPolicy(),
        stop: threading.Event | None = None,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.policy = policy
        self.stop = stop or threading.Event()
        self._failures = dict.fromkeys(mirrors, 0)
        self._on_bytes = on_bytes
        self._local = threading.local()
        self._jitter = random.Random()

    def fetch(self, name: str, target: Path, sha256: str | None = None) -> None:
        """Fetch one file. It grows as ``<target>.part`` and takes its place when complete and checked.

        Args:
            name: Name below the mirrors' address.
            target: Where the file goes.
            sha256: Expected checksum, 64 hexadecimal digits; None when none is published.

        Raises:
            DownloadError: If no mirror gives the file, or only wrong ones.
            StoreError: If the disk is full or the folder cannot be written.
            Stopped: If the download was stopped.
        """
        part = target.with_name(target.name + ".part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(target, error) from error
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
                if sha256 is None or (found := sha256_file(part)) == sha256:
                    part.replace(target)
                    return
                part.unlink()
                reason = f"wrong checksum (SHA-256 {found[:12]}... instead of {sha256[:12]}...)"
            self._failures[mirror] += 1
            reasons.append(f"{url}: {reason}")
        raise DownloadError(f"could not download {name}: " + "; ".join(reasons))

    def _transfer(self, url: str, part: Path) -> None:
        """Fill `part` to the end, with as many requests as it takes."""
        failures, longest = 0, _size(part)
        memory: dict[str, str] = {}
        while True:
            if self.stop.is_set():
                raise Stopped
            try:
                self._request(url, part, memory)
                return
            except _Trouble as error:
                if _size(part) > longest:
                    failures, longest = 0, _size(part)
                failures += 1
                if failures >= self.policy.tries:
                    raise _Refused(f"{error}, {failures} times in a row") from error
                wait = error.wait_s
                if wait is None:
                    wait = self.policy.backoff_s * 2 ** (failures - 1) * self._jitter.uniform(0.5, 1.5)
                self.stop.wait(wait)

    def _request(self, url: str, part: Path, memory: dict[str, str]) -> None:
        """One request for the rest of the file."""
        import requests
        from urllib3.exceptions import HTTPError, TimeoutError

        offset = _size(part)
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and "etag" in memory:  # the bytes so far are of this very version of the file
            headers["If-Range"] = memory["etag"]
        timeout = self.policy.timeout_s
        try:
            with self._session().get(url, headers=headers, stream=True, timeout=timeout) as response:
                start = self._begins_at(response, offset, part)
                if start is None:
                    return
                etag = response.headers.get("ETag", "")
                if etag and not etag.startswith("W/"):
                    memory["etag"] = etag
                self._receive(response, part, start)
        except (requests.Timeout, TimeoutError) as error:
            raise _Trouble(f"the server was silent for {timeout:g} s") from error
        except (requests.ConnectionError, HTTPError) as error:
            raise _Trouble(f"the connection failed or broke off ({_root_cause(error)})") from error
        except requests.RequestException as error:
            raise _Refused(f"{type(error).__name__}: {error}") from error

    def _begins_at(self, response: "requests.Response", offset: int, part: Path) -> int | None:
        """The position the answer begins at; None when `part` is complete already."""
        status = response.status_code
        content_range = response.headers.get("Content-Range", "")
        if status == 200:  # the whole file: a new one, or the server ignores ranges
            return 0
        if status == 206 and content_range.startswith(f"bytes {offset}-"):
            return offset
        if status in (206, 416) and offset:
            if status == 416 and content_range == f"bytes */{offset}":
                return None
            part.unlink()
            raise _Trouble("the server could not resume the file", wait_s=0.0)
        text = f"HTTP {status} {response.reason or ''}".strip()
        if status in (408, 425, 429) or status >= 500:
            wait = _retry_after(response.headers)
            if wait is not None and wait > self.policy.longest_wait_s:
                raise _Refused(f"{text}, try again in {wait:.0f} s")
            raise _Trouble(text, wait)
        raise _Refused(text)

    def _receive(self, response: "requests.Response", part: Path, start: int) -> None:
        length = response.headers.get("Content-Length", "")
        try:
            with part.open("ab" if start else "wb") as file:
                # read1 hands on what has arrived; iter_content would lose it when the connection breaks off.
                while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                    if self.stop.is_set():
                        raise Stopped
                    file.write(chunk)
                    self._on_bytes(len(chunk))
        except OSError as error:  # of the disk: those of the network are of urllib3's own kind
            raise write_error(part, error) from error
        if length.isdigit() and _size(part) != start + int(length):
            raise _Trouble("the connection broke off")

    def _session(self) -> "requests.Session":
        import requests

        if not hasattr(self._local, "session"):
            session = requests.Session()
            # Compressed answers would break both ranges and checksums.
            session.headers.update({"User-Agent": user_agent(), "Accept-Encoding": "identity"})
            self._local.session = session
        found: requests.Session = self._local.session
        return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _retry_after(headers: Mapping[str, Any]) -> float | None:
    value = str(headers.get("Retry-After", "")).strip()
    if value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _root_cause(error: BaseException) -> str:
    """The innermost reason: the outer ones repeat the whole address."""
    seen: BaseException = error
    while True:
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        if not isinstance(inner, BaseException):
            return type(seen).__name__
        seen = inner
