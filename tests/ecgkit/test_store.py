"""The store: what it keeps, and what it does when something goes wrong."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
from toy_source import TOY, write_record, write_toy

from ecgkit.datasets import convert, store
from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import DataNotFoundError, RecordError, StoreError

TOY_SCRIPT = str(Path(__file__).with_name("toy_source.py"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ECGKIT_CACHE", str(folder))
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "toy"


def load(root: Path, task: str = "odd") -> ECGDataset:
    return store.open_or_convert(TOY, root, task, 100)


def conversions(cache: Path) -> int:
    """How often the toy was converted."""
    log = cache.parent / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def left_overs(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.suffix == ".tmp"]


def store_of(root: Path) -> Path:
    return store.store_folder(TOY, root, 100)


# What is kept


@pytest.mark.parametrize("records", [5, 300])  # in this process, and in forked ones
def test_first_use_converts_bit_for_bit_and_the_second_only_opens(
    cache: Path, root: Path, records: int
) -> None:
    signals = write_toy(root, records)
    first, second = load(root), load(root)
    assert conversions(cache) == 1
    for ds in (first, second):
        assert isinstance(ds.signals, np.memmap) and ds.signals.dtype == np.int16
        np.testing.assert_array_equal(ds.signals, signals)
        assert ds.mv_per_unit == 0.001 and ds.classes == ("odd",)
        assert ds.meta["record_id"].tolist() == [f"r{number:04d}" for number in range(records)]
    assert first.fingerprint == second.fingerprint and len(first.fingerprint) == 64
    assert left_overs(cache) == []


def test_long_records_are_converted_in_smaller_pieces(
    cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = write_toy(root)
    whole = load(root)
    written = (store_of(root) / "signals.npy").read_bytes()
    shutil.rmtree(store_of(root))
    monkeypatch.setattr(convert, "_CHUNK_BYTES", 2 * signals[0].nbytes)  # two records
    assert load(root).fingerprint == whole.fingerprint
    assert (store_of(root) / "signals.npy").read_bytes() == written


def test_a_store_made_elsewhere_is_taken_over(
    cache: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the table is on this machine; the signals come in the store alone."""
    signals = write_toy(root)
    made_there = load(root)
    made, here = tmp_path / "made", tmp_path / "here" / "toy"
    shutil.copytree(store_of(root), made)
    here.mkdir(parents=True)
    shutil.copy(root / "toy.csv", here)
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "other" / "cache"))
    assert store.adopt(TOY, here, 100, made) == store_of(here)
    assert not made.exists()
    ds = load(here)
    assert conversions(cache) == 1
    assert ds.fingerprint == made_there.fingerprint
    np.testing.assert_array_equal(ds.signals, signals)
    (here / "toy.csv").write_text("record_id\nr0000\n")  # a store of other tables is not used
    with pytest.raises(DataNotFoundError, match="holds none"):
        load(here)


def test_every_task_is_kept(cache: Path, root: Path) -> None:
    write_toy(root)
    assert load(root).labels[:, 0].tolist() == [0, 1, 0, 1, 0]
    assert len(load(root).labelled()) == 2
    age = load(root, "age")
    assert age.labels.dtype == np.float32 and len(age.labelled()) == 5
    assert conversions(cache) == 1


def test_shorter_records_are_followed_by_zeros(cache: Path, root: Path) -> None:
    signals = write_toy(root)
    write_record(root / "r0002", signals[2, :, :30])
    ds = load(root)
    assert ds.lengths.tolist() == [50, 50, 30, 50, 50]
    np.testing.assert_array_equal(ds.signals[2, :, :30], signals[2, :, :30])
    assert not ds.signals[2, :, 30:].any()


def test_other_gains_come_to_the_common_unit(cache: Path, root: Path) -> None:
    write_toy(root)
    signal_units = np.arange(600, dtype=np.int16).reshape(12, 50)
    write_record(root / "r0001", signal_units, gain=200.0)  # 5 uV per unit
    np.testing.assert_array_equal(load(root).signals[1], 5 * signal_units)


def test_clipping_is_reported_at_every_load(cache: Path, root: Path) -> None:
    write_toy(root)
    tall = np.zeros((12, 50), np.int16)
    tall[3, 7:9] = 10_000, -10_000  # 50 mV at 200 units per mV
    write_record(root / "r0001", tall, gain=200.0)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"2 samples of 1 records .such as r0001. exceed 32\.8 mV"):
            ds = load(root)
    assert ds.signals[1, 3, 7:9].tolist() == [32767, -32768]


def test_fingerprint_depends_on_the_data_alone(cache: Path, root: Path, tmp_path: Path) -> None:
    write_toy(root)
    moved = tmp_path / "elsewhere" / "copy"
    shutil.copytree(root, moved)
    os.utime(moved / "r0000.dat", (1, 1))
    assert load(moved).fingerprint == load(root).fingerprint
    write_toy(moved, seed=1)
    assert load(moved).fingerprint != load(root).fingerprint


def test_a_subset_gathers_its_rows_only_when_they_are_read(cache: Path, root: Path) -> None:
    signals = write_toy(root)
    part = load(root).subset([4, 2, 0]).subset([True, False, True])
    assert "2 records" in repr(part) and "signals" not in vars(part)
    np.testing.assert_array_equal(part.signals, signals[[4, 0]])
    assert part.signals is part.signals  # gathered once
    np.testing.assert_array_equal(part.subset(slice(1, None)).signals, signals[[0]])


# What can go wrong


def test_a_killed_conversion_leaves_nothing_half_made(cache: Path, root: Path) -> None:
    signals = write_toy(root, 300)
    process = subprocess.Popen([sys.executable, TOY_SCRIPT, str(root), "0.05"], stderr=subprocess.DEVNULL)
    conversion, workers = psutil.Process(process.pid), []
    deadline = time.monotonic() + 60
    while not (list(cache.glob("*.tmp/signals.npy")) and workers) and time.monotonic() < deadline:
        time.sleep(0.02)
        workers = conversion.children()
    time.sleep(0.3)  # the workers are at work now
    workers = conversion.children()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert workers and not psutil.wait_procs(workers, timeout=60)[1], "workers outlive the killed process"
    assert len(left_overs(cache)) == 1 and not store_of(root).exists()
    np.testing.assert_array_equal(load(root).signals, signals)
    assert left_overs(cache) == []


def test_a_changed_source_is_converted_again(cache: Path, root: Path) -> None:
    signals = write_toy(root)
    before = load(root)
    signals[0] += 1
    write_record(root / "r0000", signals[0])
    os.utime(root / "r0000.dat", ns=(1, 1))
    after = load(root)
    np.testing.assert_array_equal(after.signals, signals)
    assert after.fingerprint != before.fingerprint and conversions(cache) == 2


def test_a_store_of_another_version_is_made_again(
    cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy(root)
    load(root)
    monkeypatch.setattr(store, "SCHEMA", store.SCHEMA + 1)
    load(root)
    assert conversions(cache) == 2
    monkeypatch.setattr(store, "__version__", "9.9.9")
    load(root)
    assert conversions(cache) == 3


@pytest.mark.parametrize("name", ["signals.npy", "meta.npz", "labels.npz", "store.json"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_damaged_store_is_made_again(cache: Path, root: Path, name: str, gone: bool) -> None:
    signals = write_toy(root)
    load(root)
    file = store_of(root) / name
    if gone:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-100])
    np.testing.assert_array_equal(load(root).signals, signals)
    assert conversions(cache) == 2


def test_a_store_with_flipped_bits_in_its_tables_is_refused(cache: Path, root: Path) -> None:
    write_toy(root)
    load(root)
    file = store_of(root) / "meta.npz"
    content = bytearray(file.read_bytes())
    content[content.index(b"r0001")] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"meta\.npz is damaged .* delete its folder"):
        load(root)


def test_a_cache_that_cannot_be_written(cache: Path, root: Path) -> None:
    write_toy(root)
    cache.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="ECGKIT_CACHE"):
        load(root)


def test_a_read_only_cache(cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy(root)
    load(root)
    plain_open = Path.open

    def refuse(path: Path, mode: str = "r", *args: object, **options: object) -> object:
        if set(mode) & set("wa+") and cache in path.parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return plain_open(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert len(load(root)) == 5  # what is there can be read
    (root / "new.txt").touch()
    with pytest.raises(StoreError, match=r"read-only.*ECGKIT_CACHE"):
        load(root)


def test_a_full_disk_is_noticed_before(cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy(root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(StoreError, match=r"disk is full.*set ECGKIT_CACHE"):
        load(root)
    assert left_overs(cache) == [] and not store_of(root).exists()


def test_a_disk_that_fills_up(cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy(root)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(convert, "_convert_chunk", full)
    with pytest.raises(StoreError, match=r"disk is full: free some space.*ECGKIT_CACHE"):
        load(root)
    assert left_overs(cache) == [] and not store_of(root).exists()


def test_a_write_that_the_system_refuses(cache: Path, root: Path) -> None:
    write_toy(root, 300)  # 360 kB of signals, written by forked workers
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, TOY_SCRIPT, str(root)], capture_output=True, text=True
    )
    assert done.returncode == 1 and "StoreError" in done.stderr and "File too large" in done.stderr
    assert left_overs(cache) == [] and not store_of(root).exists()


def test_two_processes_at_once_convert_once(cache: Path, root: Path) -> None:
    write_toy(root)
    command = [sys.executable, TOY_SCRIPT, str(root), "0.1"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE) for _ in "ab"
    ]
    prints = [process.communicate()[0].strip() for process in both]
    assert prints[0] == prints[1] and len(prints[0]) == 64
    assert conversions(cache) == 1


def test_a_damaged_record_is_named(cache: Path, root: Path) -> None:
    write_toy(root, 300)
    file = root / "r0123.dat"
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(RecordError, match=r"r0123\.dat"):
        load(root)
    assert left_overs(cache) == [] and not store_of(root).exists()


def die(path: Path, sampling_rate_hz: int) -> tuple[np.ndarray, float]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="workers are processes on Linux with two processors or more",
)
def test_a_killed_worker_is_reported(cache: Path, root: Path) -> None:
    write_toy(root, 300)
    with pytest.raises(StoreError, match="a worker process was killed"):
        store.open_or_convert(replace(TOY, read=die), root, "odd", 100)
    assert left_overs(cache) == [] and not store_of(root).exists()


def test_records_that_are_not_there_are_counted(cache: Path, root: Path) -> None:
    write_toy(root)
    for name in ("r0001.hea", "r0001.dat"):
        (root / name).unlink()
    with pytest.warns(UserWarning, match="1 of 5 records are not on this disk or have .* only the other 4"):
        ds = load(root)
    assert ds.meta["record_id"].tolist() == ["r0000", "r0002", "r0003", "r0004"]
    for file in root.glob("r*"):
        file.unlink()
    with pytest.raises(DataNotFoundError, match=r"lists 5 records of toy but holds none.*Write it anew"):
        load(root)


def test_a_record_longer_than_announced_is_refused(cache: Path, root: Path) -> None:
    signals = write_toy(root)
    write_record(root / "r0001", np.concatenate([signals[1], signals[1]], axis=1))
    with pytest.raises(RecordError, match=r"r0001.*\(12, 100\)"):
        load(root)


def test_another_rate_is_refused(cache: Path, root: Path) -> None:
    signals = write_toy(root)
    write_record(root / "r0001", signals[1], rate=250)
    with pytest.raises(RecordError, match=r"r0001: sampled at 250 Hz, not at 100 Hz"):
        load(root)


def test_a_record_without_all_leads_is_named(cache: Path, root: Path) -> None:
    write_toy(root)
    header = root / "r0001.hea"
    header.write_text(header.read_text().replace(" V6\n", " V7\n"))
    with pytest.raises(RecordError, match=r"r0001\.hea: missing lead V6"):
        load(root)


def test_planted_truth_follows_its_records(cache: Path, root: Path) -> None:
    write_toy(root)
    assert load(root).truth is None and load(root).version == "1"
    names = ["r0004", "r0003", "r0002", "r0001", "r0000"]  # in another order than the data set
    pd.DataFrame({"record_id": names, "size": range(5)}).to_csv(root / "truth.csv")
    (root / "synthetic.json").write_text('{"generator_version": "7"}')
    ds = load(root)
    assert ds.truth is not None and ds.truth["size"].tolist() == [4, 3, 2, 1, 0]
    assert ds.subset([3]).truth["record_id"].tolist() == ["r0003"]
    assert ds.version == "synthetic-7"  # never taken for the published one
    pd.DataFrame({"record_id": names[1:], "size": range(4)}).to_csv(root / "truth.csv")
    with pytest.raises(RecordError, match=r"truth\.csv does not know record r0004"):
        load(root)
