"""Sweeps on a local Dask cluster with two workers: a worker may die, and nothing is lost."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_runner import fake_execute, make_run

from ecgbook.runs.one_run import lock
from ecgbook.runs.records import failed_record, read_record, record_path, write_record
from ecgbook.runs.results import load
from ecgbook.runs.run import Run
from ecgbook.runs.sweep import Bar, _Work, sweep
from ecgkit.errors import EcgkitError


def epochs_computed(results: Path) -> Counter[tuple[str, str]]:
    lines = (results / "epochs.log").read_text().splitlines()
    return Counter((line.split()[0], line.split()[1]) for line in lines)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
def test_killing_a_dask_worker_loses_nothing(tmp_path: Path, scheduler: str) -> None:
    runs = [make_run(seed) for seed in range(5)] + [make_run(7, fails=True)]
    killed: list[int] = []

    class Killer(Bar):
        """When the first run has ended, kills the worker that computed the latest epoch."""

        def ended(self, run: Run, outcome: Any) -> None:
            if not killed:
                time.sleep(0.3)
                killed.append(int((tmp_path / "epochs.log").read_text().splitlines()[-1].split()[2]))
                os.kill(killed[0], signal.SIGKILL)

    options = {"epoch_s": 0.2}
    arguments = {"scheduler": scheduler, "execute": fake_execute, "options": options}
    summary = sweep(runs, tmp_path, bar=Killer(6), **arguments)
    # The dead worker may have finished its run without having been able to say so: then it counts as done.
    assert (summary.finished + summary.done, summary.failed, summary.remaining) == (5, 1, 0)
    computed = [line.split() for line in (tmp_path / "epochs.log").read_text().splitlines()]
    assert {pid for _, _, pid in computed} > {str(killed[0])}  # others went on
    assert set(epochs_computed(tmp_path).values()) == {1}  # and resumed, not begun again
    assert len(load("demo", tmp_path)) == 5
    assert sweep(runs, tmp_path, **arguments).done == 6


@pytest.mark.slow
def test_the_time_limit_on_a_cluster_stops_at_the_end_of_an_epoch(tmp_path: Path, scheduler: str) -> None:
    runs = [make_run(seed) for seed in range(4)]
    first = sweep(
        runs,
        tmp_path,
        scheduler=scheduler,
        execute=fake_execute,
        options={"epoch_s": 0.5, "epochs": 240},
        minutes=3 / 60,
    )
    assert (first.finished, first.failed, first.remaining) == (0, 0, 4)
    assert first.seconds < 100  # of the 240 that two runs side by side would take
    assert not list((tmp_path / ".state").glob("stop-*"))
    last = sweep(
        runs, tmp_path, scheduler=scheduler, execute=fake_execute, options={"epoch_s": 0.0, "epochs": 240}
    )
    assert last.finished == 4
    assert set(epochs_computed(tmp_path).values()) == {1}


@pytest.mark.slow
def test_two_sweeps_on_one_cluster_do_not_take_each_others_runs(tmp_path: Path, scheduler: str) -> None:
    """Dask gives two tasks of one name one result: then one folder stays empty, or one limit ends both."""
    runs = [make_run(seed) for seed in range(3)]
    arguments = {"scheduler": scheduler, "execute": fake_execute, "options": {"epoch_s": 0.2}}
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(sweep, runs, tmp_path / name, **arguments) for name in "ab"]
        assert [future.result().finished for future in both] == [3, 3]
        assert len(load("demo", tmp_path / "a")) == len(load("demo", tmp_path / "b")) == 3

        limited = pool.submit(sweep, runs, tmp_path / "c", minutes=0.5 / 60, **arguments)
        whole = pool.submit(sweep, runs, tmp_path / "c", **arguments).result()
    assert (whole.finished + whole.done, whole.remaining) == (3, 0)
    assert whole.finished + limited.result().finished == 3
    assert set(epochs_computed(tmp_path / "c").values()) == {1}


@pytest.mark.slow
def test_a_worker_with_two_threads_does_one_run_at_a_time(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    runs = [make_run(seed) for seed in range(3)]
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        address = cluster.scheduler_address
        sweep(runs, tmp_path, scheduler=address, execute=fake_execute, options={"epoch_s": 0.05})
    order = [line.split()[0] for line in (tmp_path / "epochs.log").read_text().splitlines()]
    assert len(order) == 15
    assert sum(a != b for a, b in pairwise(order)) == 2, "epochs of two runs were computed in turns"


def died(run: Run, results: Path, error: BaseException, retry_of: str | None = None) -> dict[str, int]:
    """What a sweep counts for a run that took its workers down."""
    work = _Work(results, fake_execute, {}, [], {run.hash: retry_of} if retry_of else {}, None, None)
    work.died(run, error)
    return dict(work.count)


def test_a_run_that_took_its_workers_down_overwrites_nothing(tmp_path: Path) -> None:
    error = MemoryError("killed three workers")
    run = make_run()
    with lock(tmp_path, run):
        assert died(run, tmp_path, error) == {}  # somebody else is doing it
    assert not record_path(tmp_path, run).exists()
    fake_execute(run, tmp_path, epoch_s=0.0)  # a worker finished it before it died
    before = record_path(tmp_path, run).read_bytes()
    assert died(run, tmp_path, error) == {"done": 1}
    assert record_path(tmp_path, run).read_bytes() == before

    other = make_run(1)
    assert died(other, tmp_path, error) == {"failed": 1}
    first = read_record(record_path(tmp_path, other))
    assert first["error"]["message"] == "killed three workers"
    again = RuntimeError("and again")
    assert died(other, tmp_path, again) == {"failed": 1}  # not asked to try again: stays
    assert read_record(record_path(tmp_path, other)) == first
    write_record(tmp_path, failed_record(other, "an earlier one"))
    retry_of = read_record(record_path(tmp_path, other))["content_sha256"]
    assert died(other, tmp_path, again, retry_of) == {"failed": 1}
    assert read_record(record_path(tmp_path, other))["error"]["message"] == "and again"


def test_a_wrong_scheduler_address_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecgbook.runs.sweep.CONNECT_S", 0.5)
    with pytest.raises(EcgkitError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        sweep([make_run()], tmp_path, scheduler="tcp://127.0.0.1:1", execute=fake_execute)
    with pytest.raises(EcgkitError, match=r"no Dask scheduler answers at nonsense: .* for example tcp://"):
        sweep([make_run()], tmp_path, scheduler="nonsense", execute=fake_execute)
    monkeypatch.setitem(sys.modules, "distributed", None)  # not installed
    with pytest.raises(EcgkitError, match="pip install distributed"):
        sweep([make_run()], tmp_path, scheduler="tcp://127.0.0.1:1", execute=fake_execute)
