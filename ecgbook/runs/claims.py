"""Claiming a run, so that two sweeps on one folder never do the same work twice."""

import errno
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from ecgbook.runs.results import (
    failed_record,
    read_record,
    record_path,
    state_folder,
    write_record,
)
from ecgbook.runs.run import Run
from ecgkit.errors import StoreError

__all__ = ["Outcome", "RunOne", "Stopped", "claim", "is_claimed", "run_claimed", "stored_status"]

RunOne = Callable[..., Any]
"""``run_one(run, results, progress=..., **options)``: does one run and writes its record."""

Outcome = Literal["finished", "failed", "done", "busy", "stopped"]


class Stopped(BaseException):
    """Raised inside a run to stop it; like KeyboardInterrupt it is no error, and the run can be resumed."""


def stored_status(results: Path, run: Run) -> tuple[str, str] | None:
    """Status and ``content_sha256`` of the record of a run, or None when it has none.

    Raises:
        RecordError: If the record was changed after it was written.
    """
    try:
        record = read_record(record_path(results, run))
    except FileNotFoundError:
        return None
    return record["status"], record["content_sha256"]


_HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}  # the last two: Windows


def _try_lock(descriptor: int, path: Path) -> bool:
    """Lock a file that is open; False when another process has locked it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise StoreError(
            f"{path} cannot be locked ({error.strerror or error}): the results must lie on a file system "
            "with locks. Choose another folder with --results, or have the system mounted with locks"
        ) from error
    return True


@contextmanager
def claim(results: Path, run: Run) -> Iterator[bool]:
    """Hold the lock of a run; gives False when another process holds it.

    The operating system releases the lock when the process ends, however it ends: no lock is ever stale.

    Raises:
        StoreError: If the file system has no locks.
    """
    path = state_folder(results, run) / "lock"
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a run that just finished took the folder away: make it again
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            break
    try:
        held = _try_lock(descriptor, path)
        if held:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
        yield held
    finally:
        os.close(descriptor)


def is_claimed(results: Path, run: Run) -> bool:
    """Whether another process is doing this run at the moment."""
    if not (state_folder(results, run) / "lock").exists():
        return False
    with claim(results, run) as held:
        return not held


def run_claimed(
    run: Run,
    results: Path,
    run_one: RunOne,
    options: Mapping[str, Any],
    progress: Callable[..., None] | None = None,
    retry_of: str | None = None,
) -> Outcome:
    """Do one run unless it is done, or another process is doing it; a failure is recorded, not raised.

    Args:
        run: The run.
        results: The results folder.
        run_one: Does the run and writes its record.
        options: Further arguments for `run_one`, for example device and threads.
        progress: Handed to `run_one`.
        retry_of: ``content_sha256`` of the failed record that may be replaced.
    """
    with claim(results, run) as held:
        if not held:
            return "busy"
        stored = stored_status(results, run)
        if stored and (stored[0] == "finished" or stored[1] != retry_of):
            return "done"
        _sweep_up(results, run)
        try:
            run_one(run, results, progress=progress, **options)
            written = stored_status(results, run)
            if written is None or written == stored:
                raise RuntimeError("the run ended without writing a record")
        except (Stopped, KeyboardInterrupt):
            return "stopped"
        except Exception as error:
            write_record(results, failed_record(run, error))
            return "failed"
        if written[0] == "finished":
            shutil.rmtree(state_folder(results, run), ignore_errors=True)
        return "finished" if written[0] == "finished" else "failed"


def _sweep_up(results: Path, run: Run) -> None:
    """Delete temporary files that a killed process left: nobody else writes them while we hold the lock."""
    leftovers = [
        *record_path(results, run).parent.glob(f".{run.hash}*.tmp"),
        *state_folder(results, run).glob(".*.tmp"),
    ]
    for path in leftovers:
        path.unlink(missing_ok=True)
