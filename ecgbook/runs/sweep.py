"""Run a grid on this machine: one process per run, several at a time, and stop at any moment without loss."""

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, Protocol

from ecgbook.runs.claims import Outcome, RunOne, claim, is_claimed, stored_status
from ecgbook.runs.processes import limited_threads, undisturbed, work_in_child
from ecgbook.runs.results import failed_record, state_folder, write_record
from ecgbook.runs.run import Run

__all__ = ["Display", "Planned", "Summary", "plan", "sweep"]

ATTEMPTS = 3  # how often a run whose process dies (out of memory, killed) is taken up again
GRACE_S = 30.0  # how long a stopped process may take to end by itself
POLL_S = 0.5  # how often runs that another sweep holds are looked at


class Display(Protocol):
    """What a sweep tells while it works; `ecgbook.runs.display.Bar` shows it in a terminal."""

    def started(self, run: Run) -> None: ...
    def progress(self, run: Run, event: tuple[Any, ...]) -> None: ...
    def ended(self, run: Run, outcome: Outcome) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Planned:
    """A run and how it stands: "missing", "resumes" (begun and stopped), "finished" or "failed"."""

    run: Run
    state: Literal["missing", "resumes", "finished", "failed"]


@dataclass(frozen=True)
class Summary:
    """How a sweep ended: number of runs by outcome.

    Attributes:
        finished: Done by this sweep.
        failed: Recorded as failed by this sweep.
        done: Done before, or meanwhile by another sweep.
        remaining: Left for the next time, because this sweep was stopped or its time was up.
        seconds: Wall-clock time.
        interrupted: Whether it was stopped from outside.
    """

    finished: int
    failed: int
    done: int
    remaining: int
    seconds: float
    interrupted: bool = False

    def __str__(self) -> str:
        stopped = "; stopped, run the same command to go on" if self.interrupted else ""
        return (
            f"{self.finished} finished, {self.failed} failed, {self.done} done before or elsewhere, "
            f"{self.remaining} remaining, {self.seconds:.0f} s{stopped}"
        )


def plan(runs: Sequence[Run], results: Path) -> list[Planned]:
    """How each run of a sweep stands, in the order given."""

    def state(run: Run) -> Literal["missing", "resumes", "finished", "failed"]:
        stored = stored_status(results, run)
        if stored:
            return "finished" if stored[0] == "finished" else "failed"
        begun = state_folder(results, run)
        return (
            "resumes"
            if begun.exists() and any(p.name not in _NO_STATE for p in begun.iterdir())
            else "missing"
        )

    return [Planned(run, state(run)) for run in runs]


_NO_STATE = ("lock", "log.txt")


def sweep(
    runs: Sequence[Run],
    results: str | Path,
    *,
    run_one: RunOne,
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    retry_failed: bool = False,
    display: Display | None = None,
) -> Summary:
    """Do the runs that are missing, `workers` at a time, in the order given.

    Ctrl-C, or the time limit, stops the runs that are under way; the next sweep resumes them from their
    last checkpoint. A run that fails is recorded with its traceback and does not stop the others. Runs that
    another sweep on the same folder is doing are left to it; should that sweep die, they are taken over.

    Args:
        runs: The runs; see `ecgbook.runs.grids.read_sweep`.
        results: The results folder, which other sweeps may share.
        run_one: Does one run: ``run_one(run, results, progress=..., **options)``. Must be importable.
        workers: Number of processes.
        options: Further arguments for `run_one`. ``threads`` also limits OpenMP and BLAS.
        minutes: Time limit in minutes.
        retry_failed: Whether runs that are recorded as failed are done again.
        display: Is told of starts, progress and ends.

    Returns:
        How many runs ended how.

    Raises:
        StoreError: If the results folder cannot be written.
    """
    state = _Sweep(list(runs), Path(results), run_one, dict(options or {}), display)
    return state.work(workers, minutes, retry_failed)


@dataclass
class _Sweep:
    runs: list[Run]
    results: Path
    run_one: RunOne
    options: dict[str, Any]
    display: Display | None
    count: Counter[str] = field(default_factory=Counter)
    running: dict[Connection, tuple[Run, BaseProcess]] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    pending: list[Run] = field(default_factory=list)
    retry_of: dict[str, str] = field(default_factory=dict)
    stopping: bool = False

    def work(self, workers: int, minutes: float | None, retry_failed: bool) -> Summary:
        start = time.monotonic()
        stored = {run.hash: stored_status(self.results, run) for run in self.runs}
        self.retry_of = {
            key: value[1] for key, value in stored.items() if value and value[0] == "failed" and retry_failed
        }
        self.pending = [run for run in self.runs if not stored[run.hash] or run.hash in self.retry_of]
        self.count["done"] = len(self.runs) - len(self.pending)
        interrupted = False
        try:
            with limited_threads(self.options.get("threads")):
                while self.pending or self.running:
                    if minutes is not None and time.monotonic() - start >= 60 * minutes:
                        break
                    while len(self.running) < workers and self._start_next():
                        pass
                    self._listen(POLL_S)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self._stop()
            if self.display:
                self.display.close()
        left = len(self.runs) - self.count["done"] - self.count["finished"] - self.count["failed"]
        ends = self.count["finished"], self.count["failed"], self.count["done"]
        return Summary(*ends, left, time.monotonic() - start, interrupted)

    def _start_next(self) -> bool:
        """Start the first pending run that nobody else holds; False when there is none."""
        for run in list(self.pending):
            stored = stored_status(self.results, run)
            if stored and stored[1] != self.retry_of.get(run.hash):
                self.pending.remove(run)
                self._end(run, "done")
            elif not is_claimed(self.results, run):
                self.pending.remove(run)
                context = multiprocessing.get_context("spawn")
                ours, theirs = context.Pipe(duplex=False)
                retry_of = self.retry_of.get(run.hash)
                arguments = (run, self.results, self.run_one, self.options, retry_of, theirs)
                process = context.Process(target=work_in_child, args=arguments, name=f"run-{run.hash}")
                with undisturbed():
                    process.start()
                    self.running[ours] = run, process
                theirs.close()  # so that the end of the child ends the pipe
                if self.display:
                    self.display.started(run)
                return True
        return False

    def _listen(self, timeout: float) -> None:
        if not self.running:
            time.sleep(timeout)  # all that is left is being done by another sweep
            return
        for pipe in wait(list(self.running), timeout):
            assert isinstance(pipe, Connection)
            run, process = self.running[pipe]
            try:
                event = pipe.recv()
            except (EOFError, OSError):
                self._died(pipe, run, process)
                continue
            if event[0] == "progress" and self.display:
                self.display.progress(run, event[1])
            elif event[0] == "outcome":
                self._close(pipe, process)
                self._end(run, event[1])

    def _died(self, pipe: Connection, run: Run, process: BaseProcess) -> None:
        """The process of a run ended without a word: take the run up again, or record it as failed."""
        self._close(pipe, process)
        if self.stopping:
            return
        self.deaths[run.hash] += 1
        if self.deaths[run.hash] < ATTEMPTS:
            self.pending.insert(0, run)
            return
        code = process.exitcode or 0
        how = (
            f"killed by {signal.Signals(-code).name} (out of memory?)" if code < 0 else f"exit status {code}"
        )
        log = state_folder(self.results, run) / "log.txt"
        with suppress(OSError):
            how += "\n" + log.read_text(encoding="utf-8", errors="replace")[-4000:]
        with claim(self.results, run) as held:
            if held and stored_status(self.results, run) in (None, ("failed", self.retry_of.get(run.hash))):
                write_record(self.results, failed_record(run, f"its process ended {ATTEMPTS} times: {how}"))
        self._end(run, "failed")

    def _end(self, run: Run, outcome: Outcome) -> None:
        if outcome in ("busy", "stopped"):
            self.pending.append(run)
            return
        self.count[outcome] += 1
        if self.display:
            self.display.ended(run, outcome)

    def _close(self, pipe: Connection, process: BaseProcess) -> None:
        del self.running[pipe]
        pipe.close()
        process.join()

    def _stop(self) -> None:
        """End the processes that are left: first politely, then for good."""
        self.stopping = True
        try:
            for _, process in self.running.values():
                process.terminate()
            deadline = time.monotonic() + GRACE_S
            while self.running and time.monotonic() < deadline:
                self._listen(POLL_S)
        finally:  # also at a second Ctrl-C
            for pipe, (_, process) in list(self.running.items()):
                process.kill()
                self._close(pipe, process)
