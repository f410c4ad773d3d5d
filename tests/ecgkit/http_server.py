"""A small web server on 127.0.0.1 that serves given files and misbehaves as planned."""

import hashlib
import re
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

__all__ = ["Request", "Server", "sums"]


class Request(NamedTuple):
    """One request as the server saw it."""

    path: str
    range: str | None
    status: int
    sent: int  # bytes of the body
    user_agent: str


def sums(files: Mapping[str, bytes]) -> bytes:
    """A SHA256SUMS.txt as PhysioNet writes it: one space, paths from the root of the release."""
    lines = [f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in sorted(files.items())]
    return "".join(lines).encode()


class _QuietServer(ThreadingHTTPServer):
    """Says nothing when a client hangs up: a test reads the stderr that its thread would write to."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """Serves `files` (path without the leading slash -> content), with ranges, ETags and Content-Length.

    `plan` maps a path to what happens to the first requests for it, one word each; later ones are normal.
    A ``*`` in front (``*404``) means for ever. The words: ``ok``; a status (``404``), also with a Retry-After
    (``503:1``); ``drop`` (half of the body, then the connection closes); ``drop-chunked`` (the same without a
    Content-Length); ``stall`` (half of the body, then silence); ``ignore-range`` (200 with the whole body);
    ``ignore-range-drop`` (half of that); ``wrong-range`` (206 that begins elsewhere); ``wrong`` (other bytes,
    as many); ``endless`` (a body without end); ``drip`` and ``drip-head`` (body or head, byte by byte).
    `names_versions` says whether answers have an ETag.
    """

    def __init__(self, files: Mapping[str, bytes], plan: Mapping[str, list[str]] | None = None) -> None:
        self.files = dict(files)
        self.requests: list[Request] = []
        self.most_at_once = 0
        self.delay_s = 0.0
        self.names_versions = True
        self._plan = defaultdict(deque, {path: deque(words) for path, words in (plan or {}).items()})
        self._lock = threading.Lock()
        self._at_once = 0
        self._closing = threading.Event()
        self._http = _QuietServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/"

    def sent(self, path: str) -> list[int]:
        """Bytes sent in each of the requests for a path."""
        return [request.sent for request in self.requests if request.path == path]

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _next(self, path: str) -> str:
        with self._lock:
            words = self._plan[path]
            if not words:
                return "ok"
            return words[0][1:] if words[0].startswith("*") else words.popleft()

    def _handler(server: "Server") -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                path = self.path.lstrip("/")
                with server._lock:
                    server._at_once += 1
                    server.most_at_once = max(server.most_at_once, server._at_once)
                try:
                    server._closing.wait(server.delay_s)
                    self._answer(path, server._next(path))
                finally:
                    with server._lock:
                        server._at_once -= 1

            def _answer(self, path: str, word: str) -> None:
                content = server.files.get(path)
                if content is None and word == "ok":
                    word = "404"
                if word[:3].isdigit():
                    status, _, wait = word.partition(":")
                    self._send(path, int(status), b"no", {"Retry-After": wait} if wait else {})
                    return
                assert content is not None
                etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
                if word == "wrong":
                    content = bytes(255 - byte for byte in content)
                asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                if self.headers.get("If-Range", etag) != etag or word.startswith("ignore-range"):
                    asked = None
                headers = {"ETag": etag} if server.names_versions else {}
                status, start = 200, 0
                if asked is not None:
                    start = int(asked[1])
                    if start >= len(content):
                        self._send(path, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
                        return
                    start = 0 if word == "wrong-range" else start
                    status = 206
                    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                body = content[start:]
                self._send(path, status, body, headers, word)

            def _drip(self, content: bytes) -> None:
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    if server._closing.wait(0.02):
                        break
                self.close_connection = True

            def _send(
                self, path: str, status: int, body: bytes, headers: Mapping[str, str], word: str = "ok"
            ) -> None:
                broken = word in ("drop", "drop-chunked", "stall", "ignore-range-drop")
                sent = body[: (len(body) + 1) // 2] if broken else body
                agent = self.headers.get("User-Agent", "")
                with server._lock:
                    server.requests.append(Request(path, self.headers.get("Range"), status, len(sent), agent))
                if word == "drip-head":
                    self._drip(b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 2000)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if word in ("drop-chunked", "endless"):
                    self.send_header("Transfer-Encoding", "chunked")
                    sent = f"{len(body):x}\r\n".encode() + sent
                else:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                while word == "endless":
                    self.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
                if word == "drip":
                    self._drip(sent)
                    sent = b""
                self.wfile.write(sent)
                self.wfile.flush()
                if word == "stall":
                    server._closing.wait(20)
                if broken:
                    self.close_connection = True

        return Handler
