"""Doing a grid of runs: a process per run on this machine, or the workers of a Dask cluster.

Every run has a lock, which the operating system releases when its process ends, however it ends, and a
checkpoint at the end of every epoch. So a sweep may be stopped or killed at any moment, two may share a
folder, and the same command goes on.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ecgbook.runs.one_run import Execute, Outcome, Stopped, delete_temporary_files, do_run, is_locked, lock
from ecgbook.runs.records import (
    failed_record,
    require_writable,
    state_folder,
    stored_status,
    write_record,
)
from ecgbook.runs.run import Run
from ecgkit.errors import EcgkitError, StoreError
from ecgkit.files import write_error

__all__ = ["Bar", "Summary", "run_title", "sweep"]

ATTEMPTS = 3  # how often a run whose process dies (out of memory, killed) is taken up again
POLL_S = 0.5  # how often runs that another sweep holds, and the clock, are looked at
CONNECT_S = 15.0  # how long the scheduler of a cluster may take to answer


@dataclass(frozen=True)
class Summary:
    """How a sweep ended: number of runs by outcome.

    Attributes:
        finished: Done by this sweep.
        failed: Recorded as failed by this sweep.
        done: Done before, or meanwhile by another sweep.
        remaining: Left for the next time: the sweep was stopped, its time was up, or data are not there.
        seconds: Wall-clock time.
        interrupted: Whether it was stopped from outside.
        no_data: Which data are not there, a sentence for each.
    """

    finished: int
    failed: int
    done: int
    remaining: int
    seconds: float
    interrupted: bool = False
    no_data: tuple[str, ...] = ()

    def __str__(self) -> str:
        stopped = "; stopped, run the same command to go on" if self.interrupted else ""
        return (
            f"{self.finished} finished, {self.failed} failed, {self.done} done before or elsewhere, "
            f"{self.remaining} remaining, {self.seconds:.0f} s{stopped}"
        )


def run_title(run: Run) -> str:
    """A run in a few words.

    >>> run_title(Run("demo", "ptbxl", "1.0.3", "rhythm", "lstm", "supervised", "paper", seed=2))
    'ptbxl rhythm lstm seed 2'
    """
    model = run.model if run.model != "none" else run.method
    params = [f"{name}={value}" for name, value in run.params.items()]
    return " ".join([run.dataset, run.task, model, *params, f"seed {run.seed}"])


class Bar:
    """A progress bar over runs, with the epochs of those under way; a line for each run that ends.

    Args:
        total: Number of runs to do.
    """

    def __init__(self, total: int) -> None:
        self._bar = tqdm(total=total, unit="run", disable=None, dynamic_ncols=True)
        self._running: dict[str, str] = {}

    def progress(self, run: Run, done: int, total: int) -> None:
        self._running[run.hash] = f"{run.model}/{run.seed} {done}/{total}"
        self._bar.set_postfix_str(", ".join(self._running.values()))

    def ended(self, run: Run, outcome: Outcome) -> None:
        self._running.pop(run.hash, None)
        if outcome in ("finished", "failed"):
            tqdm.write(f"{outcome:8} {run_title(run)}")
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


def sweep(
    runs: Sequence[Run],
    results: str | Path,
    *,
    execute: Execute,
    workers: int = 1,
    scheduler: str | None = None,
    options: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    retry_failed: bool = False,
    bar: Bar | None = None,
) -> Summary:
    """Do the runs that are missing, several at a time, in the order given.

    Ctrl-C, or the time limit, stops the runs that are under way; the next sweep resumes them from their
    last checkpoint. A run that fails is recorded with its traceback and does not stop the others. Runs that
    another sweep on the same folder is doing are left to it; should that sweep die, they are taken over.

    On a Dask cluster all workers must see the results folder under the same path. When a worker dies, Dask
    gives its runs to another. Runs stop there at the end of an epoch. Of a worker with several threads only
    one works at a time.

    Args:
        runs: The runs; see `ecgbook.runs.grids.read_sweep`.
        results: The results folder, which other sweeps may share.
        execute: Does one run: ``execute(run, results, progress=..., **options)``. Must be importable.
        workers: Number of processes on this machine.
        scheduler: Address of a Dask scheduler, for example ``tcp://10.0.0.1:8786``; None: this machine.
        options: Further arguments for `execute`, for example device and threads.
        minutes: Time limit in minutes.
        retry_failed: Whether runs that are recorded as failed are done again.
        bar: Is told of progress and ends.

    Returns:
        How many runs ended how.

    Raises:
        StoreError: If the results cannot be written: before anything starts, or when the disk is full.
        EcgkitError: If no scheduler answers at the address, or Dask's `distributed` is not installed.
        ValueError: If `workers` or `minutes` are not above 0.
    """
    if workers < 1 or (minutes is not None and not minutes > 0):
        raise ValueError(f"workers is {workers} and minutes is {minutes}: both must be above 0")
    start, folder = time.monotonic(), Path(results).resolve()
    for experiment in sorted({run.experiment for run in runs}):
        require_writable(folder, experiment)
    stored = {run.hash: stored_status(folder, run) for run in runs}
    retry_of = {key: value[1] for key, value in stored.items() if value and value[0] == "failed"}
    pending = [run for run in runs if not stored[run.hash] or (retry_failed and run.hash in retry_of)]
    deadline = None if minutes is None else start + 60 * minutes
    work = _Work(
        folder, execute, dict(options or {}), pending, retry_of if retry_failed else {}, deadline, bar
    )
    work.count["done"] = len(runs) - len(pending)
    interrupted = False
    try:
        if scheduler is None:
            _on_this_machine(work, workers)
        else:
            _on_cluster(work, scheduler)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if bar:
            bar.close()
    if work.error:
        raise work.error
    finished, failed, done = (work.count[outcome] for outcome in ("finished", "failed", "done"))
    left, seconds = len(runs) - finished - failed - done, time.monotonic() - start
    return Summary(finished, failed, done, left, seconds, interrupted, tuple(sorted(work.no_data)))


@dataclass
class _Work:
    """What is to be done, and what has come of it."""

    results: Path
    execute: Execute
    options: dict[str, Any]
    pending: list[Run]
    retry_of: Mapping[str, str]  # by hash: the failed record that may be replaced
    deadline: float | None
    bar: Bar | None
    count: Counter[str] = field(default_factory=Counter)
    no_data: set[str] = field(default_factory=set)
    error: EcgkitError | None = None  # the disk is full: no run can end well

    def goes_on(self) -> bool:
        return not self.error and (self.deadline is None or time.monotonic() < self.deadline)

    def of_run(self, run: Run) -> tuple[Any, ...]:
        return run, self.results, self.execute, self.options, self.retry_of.get(run.hash)

    def record_of(self, run: Run) -> str | None:
        """Status of a record that was not there when the sweep began."""
        stored = stored_status(self.results, run)
        return stored[0] if stored and stored[1] != self.retry_of.get(run.hash) else None

    def ended(self, run: Run, outcome: Outcome) -> None:
        if isinstance(outcome, StoreError):
            self.error = self.error or outcome
        elif isinstance(outcome, EcgkitError):
            self.no_data.add(str(outcome))
        elif outcome in ("busy", "stopped"):
            self.pending.append(run)
        else:
            self.count[outcome] += 1
            if self.bar:
                self.bar.ended(run, outcome)

    def died(self, run: Run, error: BaseException | str) -> None:
        """A run took its processes down: record that, unless it has a record or somebody else is doing it."""
        with lock(self.results, run) as held:
            if status := self.record_of(run):
                self.ended(run, "done" if status == "finished" else "failed")
            elif held:
                write_record(self.results, failed_record(run, error))
                self.ended(run, "failed")


# On this machine --------------------------------------------------------------------------------------


def _on_this_machine(work: _Work, workers: int) -> None:
    running: dict[Connection, tuple[Run, BaseProcess]] = {}
    deaths: Counter[str] = Counter()
    try:
        while (work.pending or running) and work.goes_on():
            for run in list(work.pending):
                if len(running) == workers:
                    break
                if work.record_of(run):
                    work.pending.remove(run)
                    work.ended(run, "done")
                elif not is_locked(work.results, run):
                    work.pending.remove(run)
                    _start(work, run, running)
            if not running:
                time.sleep(POLL_S)  # all that is left is being done by another sweep
            for pipe in wait(list(running), POLL_S) if running else ():
                assert isinstance(pipe, Connection)
                run, process = running[pipe]
                try:
                    event = pipe.recv()
                except (EOFError, OSError):
                    event = None
                if isinstance(event, tuple):
                    if work.bar:
                        work.bar.progress(run, *event)
                    continue
                del running[pipe]
                pipe.close()
                process.join()
                if event is not None:
                    work.ended(run, event)
                    continue
                deaths[run.hash] += 1
                if deaths[run.hash] < ATTEMPTS:
                    work.pending.insert(0, run)
                else:
                    work.died(run, f"its process ended {ATTEMPTS} times: {_last_words(work, run, process)}")
    finally:  # nothing is lost: each has its checkpoint
        for _, process in running.values():
            process.kill()
        for pipe, (run, process) in running.items():
            process.join()
            pipe.close()
            if status := work.record_of(run):
                work.ended(run, "finished" if status == "finished" else "failed")
            else:
                delete_temporary_files(work.results, run)


def _start(work: _Work, run: Run, running: dict[Connection, tuple[Run, BaseProcess]]) -> None:
    """Start the process of a run; it never hears Ctrl-C, which a terminal sends to all processes."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(*work.of_run(run), theirs), name=f"run-{run.hash}")
    with _signals_held_back():
        process.start()
        running[ours] = run, process
    theirs.close()  # so that the end of the child ends the pipe


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait; a process that is started meanwhile never hears them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else the first process starts it, and that lets both in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(
    run: Run, results: Path, execute: Execute, options: dict[str, Any], retry_of: str | None, pipe: Connection
) -> None:
    """What the process of a run does; what it prints goes to a file."""

    def end_with_the_sweep() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        wait([parent.sentinel])
        os._exit(1)

    def report(done: int, total: int) -> None:
        try:
            pipe.send((done, total))
        except OSError:  # the sweep is gone: that is no failure of the run
            os._exit(1)

    threading.Thread(target=end_with_the_sweep, daemon=True).start()
    try:
        log = state_folder(results, run) / "log.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
            os.dup2(file.fileno(), sys.stderr.fileno())
        outcome = do_run(run, results, execute, options, report, retry_of)
    except OSError as error:
        outcome = write_error(state_folder(results, run), error)
    with suppress(OSError):
        pipe.send(outcome)


def _last_words(work: _Work, run: Run, process: BaseProcess) -> str:
    code = process.exitcode or 0
    how = f"killed by {signal.Signals(-code).name} (out of memory?)" if code < 0 else f"exit status {code}"
    with suppress(OSError):
        log = state_folder(work.results, run) / "log.txt"
        how += "\n" + log.read_text(encoding="utf-8", errors="replace")[-4000:]
    return how


# On a Dask cluster ------------------------------------------------------------------------------------

_ONE_RUN = threading.Lock()
"""Held by the run of a worker process: two in its threads would share the random numbers of torch."""


def _on_cluster(work: _Work, scheduler: str) -> None:
    try:
        import distributed
    except ImportError as error:
        raise EcgkitError("a sweep on a Dask cluster needs distributed: pip install distributed") from error
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise EcgkitError(
            f"no Dask scheduler answers at {scheduler}: check the address, for example tcp://10.0.0.1:8786"
        ) from error
    name = uuid.uuid4().hex  # Dask would merge a run with the same run of another sweep
    stop_file = work.results / ".state" / f"stop-{name}"
    with client:
        futures = {
            client.submit(
                *(_on_worker, *work.of_run(run), stop_file),
                key=f"run-{run.hash}-{name}",
                pure=False,
                priority=-number,
            ): run
            for number, run in enumerate(work.pending)
        }

        def collect() -> None:
            try:
                ended = distributed.wait(list(futures), timeout=POLL_S, return_when="FIRST_COMPLETED").done
            except distributed.TimeoutError:
                return
            for future in ended:
                run = futures.pop(future)
                if future.status == "error":  # the run took down several workers, or could not be sent
                    work.died(run, future.exception())
                else:
                    work.ended(run, future.result() if future.status == "finished" else "stopped")

        try:
            while futures and work.goes_on():
                collect()
        finally:  # the runs that are under way end with their epoch, and no other starts
            stop_file.touch()
            try:
                while futures and client.status == "running" and client.scheduler_info()["workers"]:
                    collect()
            finally:
                stop_file.unlink(missing_ok=True)


def _on_worker(
    run: Run, results: Path, execute: Execute, options: dict[str, Any], retry_of: str | None, stop_file: Path
) -> Outcome:
    """What a worker does: one run, unless the sweep has been stopped."""

    def report(done: int, total: int) -> None:
        if stop_file.exists():
            raise Stopped

    while True:
        with _ONE_RUN:
            if stop_file.exists():
                return "stopped"
            outcome = do_run(run, results, execute, options, report, retry_of)
        if outcome != "busy":
            return outcome
        time.sleep(POLL_S)  # another sweep, or a worker that is just dying, holds it
