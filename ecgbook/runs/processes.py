"""The process of one run in a sweep: it stops when told, and ends with the sweep."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any

from ecgbook.runs.claims import RunOne, Stopped, run_claimed
from ecgbook.runs.results import state_folder
from ecgbook.runs.run import Run

__all__ = ["limited_threads", "undisturbed", "work_in_child"]


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Let processes started meanwhile use this many threads in OpenMP and the BLAS libraries."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS") if threads else ()
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the process that is started meanwhile is known to the sweep.

    The new process begins with both held back: Ctrl-C is not for it, and `work_in_child` lets SIGTERM in.
    """
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # else the first process starts it, and that lets both signals in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work_in_child(
    run: Run, results: Path, run_one: RunOne, options: dict[str, Any], retry_of: str | None, pipe: Connection
) -> None:
    """What the process of a run does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    def report(*event: Any) -> None:
        try:
            pipe.send(("progress", event))
        except OSError:  # the sweep is gone: that is no failure of the run
            raise Stopped from None

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep gets the Ctrl-C and ends us in order
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # see `undisturbed`
        log = state_folder(results, run) / "log.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
            os.dup2(file.fileno(), sys.stderr.fileno())
        outcome = run_claimed(run, results, run_one, options, report, retry_of)
    except Stopped:
        outcome = "stopped"
    with suppress(OSError):
        pipe.send(("outcome", outcome))


def _end_with_parent() -> None:
    """End this process when the sweep is gone, even by SIGKILL, so that the next sweep can take over."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
