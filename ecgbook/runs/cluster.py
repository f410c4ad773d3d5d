"""Run a grid on a Dask cluster: SLURM, Kubernetes, or any machines that share the results folder."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgbook.runs.claims import Outcome, RunOne, Stopped, claim, run_claimed, stored_status
from ecgbook.runs.results import failed_record, write_record
from ecgbook.runs.run import Run
from ecgbook.runs.sweep import Display, Summary
from ecgkit.errors import EcgkitError

__all__ = ["sweep_on_cluster"]

POLL_S = 2.0
CONNECT_S = 15.0
_ONE_RUN = threading.Lock()
"""Held by the run of a worker process: two in its threads would share the random numbers of torch."""


def sweep_on_cluster(
    runs: Sequence[Run],
    results: str | Path,
    *,
    scheduler: str,
    run_one: RunOne,
    options: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    retry_failed: bool = False,
    display: Display | None = None,
) -> Summary:
    """Do the runs that are missing on the workers of a Dask cluster, in the order given.

    The results folder must be shared by all workers under the same path. When a worker dies, Dask gives its
    runs to another, which resumes them from the last checkpoint. Ctrl-C and the time limit stop runs when
    they next report: at the end of an epoch or, where a run trains several networks, of one of these. Of a
    worker with several threads only one works at a time.

    Args:
        runs: The runs.
        results: The shared results folder.
        scheduler: Address of the Dask scheduler, for example ``tcp://10.0.0.1:8786``.
        run_one: Does one run; must be importable on the workers.
        options: Further arguments for `run_one`.
        minutes: Time limit in minutes.
        retry_failed: Whether runs that are recorded as failed are done again.
        display: Is told of the ends.

    Raises:
        EcgkitError: If no scheduler answers at the address, or Dask's `distributed` is not installed.
        StoreError: If the file system of the results folder has no locks.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise EcgkitError("a sweep on a Dask cluster needs distributed: pip install distributed") from error

    folder, start = Path(results).resolve(), time.monotonic()
    stored = {run.hash: stored_status(folder, run) for run in runs}
    retry_of = {
        key: value[1] for key, value in stored.items() if value and value[0] == "failed" and retry_failed
    }
    pending = {run.hash: run for run in runs if not stored[run.hash] or run.hash in retry_of}
    count = Counter(done=len(runs) - len(pending))
    sweep = uuid.uuid4().hex
    stop_file = folder / ".state" / f"stop-{sweep}"
    stop_file.parent.mkdir(parents=True, exist_ok=True)
    interrupted = False
    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise EcgkitError(
            f"no Dask scheduler answers at {scheduler}: check the address, for example tcp://10.0.0.1:8786"
        ) from error
    with client:
        futures = {
            client.submit(
                _work_on_worker,
                run,
                folder,
                run_one,
                dict(options or {}),
                retry_of.get(key),
                stop_file,
                key=f"ecgkit-run-{key}-{sweep}",  # Dask would merge it with the same run of another sweep
                pure=False,
                priority=-number,
            ): run
            for number, (key, run) in enumerate(pending.items())
        }
        try:
            while futures:
                if minutes is not None and time.monotonic() - start >= 60 * minutes:
                    break
                _collect(futures, folder, retry_of, count, display, POLL_S)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if futures:
                _stop(client, futures, stop_file, folder, retry_of, count, display)
            if display:
                display.close()
    left = len(runs) - count["finished"] - count["failed"] - count["done"]
    return Summary(
        count["finished"], count["failed"], count["done"], left, time.monotonic() - start, interrupted
    )


def _work_on_worker(
    run: Run,
    results: Path,
    run_one: RunOne,
    options: dict[str, Any],
    retry_of: str | None,
    stop_file: Path,
) -> Outcome:
    """What a worker does: one run, unless the sweep has been stopped."""

    def report(*event: Any) -> None:
        if stop_file.exists():
            raise Stopped

    while True:
        with _ONE_RUN:
            if stop_file.exists():
                return "stopped"
            outcome = run_claimed(run, results, run_one, options, report, retry_of)
        if outcome != "busy":
            return outcome
        time.sleep(POLL_S)  # another sweep, or a worker that is just dying, holds it


def _collect(
    futures: dict[Any, Run],
    results: Path,
    retry_of: Mapping[str, str],
    count: Counter[str],
    display: Display | None,
    timeout: float,
) -> None:
    """Take the runs that have ended out of `futures`."""
    from distributed import TimeoutError as NotYet
    from distributed import wait

    try:
        ended = wait(list(futures), timeout=timeout, return_when="FIRST_COMPLETED").done
    except NotYet:
        return
    for future in ended:
        run = futures.pop(future)
        if future.status == "finished":
            outcome: Outcome = future.result()
        elif future.status == "error":  # the run took down several workers, or could not be sent
            outcome = _record_failure(run, results, future.exception(), retry_of.get(run.hash))
        else:
            outcome = "stopped"
        count[outcome] += 1
        if display:
            display.ended(run, outcome)


def _record_failure(run: Run, results: Path, error: BaseException, retry_of: str | None) -> Outcome:
    """Record that a run took its workers down, unless it has a record, or somebody else is doing it."""
    with claim(results, run) as held:
        stored = stored_status(results, run)
        if stored and stored[0] == "finished":
            return "done"
        if held and stored in (None, ("failed", retry_of)):
            write_record(results, failed_record(run, error))
            return "failed"
    return "failed" if stored else "stopped"


def _stop(
    client: Any,
    futures: dict[Any, Run],
    stop_file: Path,
    results: Path,
    retry_of: Mapping[str, str],
    count: Counter[str],
    display: Display | None,
) -> None:
    """Let the runs that are under way end with their epoch, and start no other."""
    stop_file.touch()
    try:
        while futures and client.status == "running" and client.scheduler_info()["workers"]:
            _collect(futures, results, retry_of, count, display, POLL_S)
    finally:
        stop_file.unlink(missing_ok=True)
