"""One run: how it stands, its lock, and doing it.

Every run has a lock, which the operating system releases when its process ends, however it ends, and a
checkpoint at the end of every epoch. So it may be stopped or killed at any moment, and goes on.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from ecgbook.runs.records import failed_record, record_path, state_folder, stored_status, write_record
from ecgbook.runs.run import Run
from ecgkit.errors import DataNotFoundError, EcgkitError, StoreError
from ecgkit.files import write_error

__all__ = [
    "Execute",
    "Outcome",
    "Planned",
    "Stopped",
    "delete_temporary_files",
    "do_run",
    "is_locked",
    "lock",
    "plan",
]

Execute = Callable[..., Any]
"""``execute(run, results, progress=..., **options)``: does one run and writes its record."""
State = Literal["missing", "resumes", "finished", "failed"]
Outcome = Literal["finished", "failed", "done", "busy", "stopped"] | EcgkitError
"""How a run ended: "done" by somebody before, "busy" at somebody else's; or why it could not be done here."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Stopped(BaseException):
    """Raised inside a run to stop it; like KeyboardInterrupt it is no error, and the run can be resumed."""


@dataclass(frozen=True)
class Planned:
    """A run and how it stands: "missing", "resumes" (begun and stopped), "finished" or "failed"."""

    run: Run
    state: State


def plan(runs: Sequence[Run], results: Path) -> list[Planned]:
    """How each run of a sweep stands, in the order given."""

    def state(run: Run) -> State:
        if stored := stored_status(results, run):
            return "finished" if stored[0] == "finished" else "failed"
        begun = {path.name for path in state_folder(results, run).glob("*")} - {"lock", "log.txt"}
        return "resumes" if begun else "missing"

    return [Planned(run, state(run)) for run in runs]


@contextmanager
def lock(results: Path, run: Run) -> Iterator[bool]:
    """Hold the lock of a run; gives False when another process holds it.

    Raises:
        StoreError: If the lock cannot be made.
    """
    path = state_folder(results, run) / "lock"
    own = FileLock(path)
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            own.acquire(blocking=False)
        except Timeout:
            yield False
            return
        except FileNotFoundError:  # a run that just finished took the folder away: make it again
            continue
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise write_error(path, error) from error
            raise StoreError(
                f"{path} cannot be locked ({error}): the results must lie on a file system with locks. "
                "Choose another folder with --results, or have the system mounted with locks"
            ) from error
        break
    try:
        yield True
    finally:
        own.release()


def is_locked(results: Path, run: Run) -> bool:
    """Whether another process is doing this run at the moment."""
    if not (state_folder(results, run) / "lock").exists():
        return False
    with lock(results, run) as held:
        return not held


def do_run(
    run: Run,
    results: Path,
    execute: Execute,
    options: Mapping[str, Any],
    progress: Callable[..., None] | None = None,
    retry_of: str | None = None,
) -> Outcome:
    """Do one run unless it is done, or another process is doing it; a failure is recorded, not raised.

    Args:
        run: The run.
        results: The results folder.
        execute: Does the run and writes its record.
        options: Further arguments for `execute`, for example device and threads.
        progress: Handed to `execute`.
        retry_of: ``content_sha256`` of the failed record that may be replaced.

    Returns:
        How it ended. A full disk or data that are not there are no failure of the run: nothing is recorded.
    """
    try:
        with lock(results, run) as held:
            if not held:
                return "busy"
            before = stored_status(results, run)
            if before and (before[0] == "finished" or before[1] != retry_of):
                return "done"
            delete_temporary_files(results, run)
            try:
                execute(run, results, progress=progress, **options)
                after = stored_status(results, run)
                if after is None or after == before:
                    raise RuntimeError("the run ended without writing a record")
            except (Stopped, KeyboardInterrupt):
                return "stopped"
            except Exception as error:
                if reason := _not_its_fault(error, state_folder(results, run)):
                    return reason
                write_record(results, failed_record(run, error))
                return "failed"
            if after[0] == "finished":
                shutil.rmtree(state_folder(results, run), ignore_errors=True)
            return "finished" if after[0] == "finished" else "failed"
    except StoreError as error:
        return error


def _not_its_fault(error: BaseException, folder: Path) -> EcgkitError | None:
    """The full disk, the read-only folder or the missing data behind an error, if that is its cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StoreError | DataNotFoundError):
            return cause
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return write_error(Path(cause.filename or folder), cause)
        if isinstance(cause, RuntimeError) and "PytorchStreamWriter" in str(cause):
            return write_error(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        cause = cause.__cause__ or cause.__context__
    return None


def delete_temporary_files(results: Path, run: Run) -> None:
    """Delete what a killed process was writing: nobody else writes it while we hold the lock."""
    folder = record_path(results, run).parent
    for path in (*folder.glob(f".{run.hash}*.tmp"), *state_folder(results, run).rglob(".*.tmp")):
        path.unlink(missing_ok=True)
