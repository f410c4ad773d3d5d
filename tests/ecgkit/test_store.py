"""The store: what it keeps, and what it does when something goes wrong."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from toy_source import TOY, write_record, write_toy

from ecgkit.datasets import convert, ptbxl, store
from ecgkit.datasets.base import Contents, ECGDataset
from ecgkit.errors import DamagedError, DataNotFoundError, FormatError, RecordError, StoreError, TableError

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


@pytest.mark.parametrize("records", [5, 300])  # in this process, and in others
def test_first_use_converts_bit_for_bit_and_the_second_only_opens(
    cache: Path, root: Path, records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "_SMALL", 100)
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
    while not list(cache.glob("*.tmp/signals.npy")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
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


def edit_description(folder: Path, **values: object) -> None:
    info = json.loads((folder / "store.json").read_text()) | values
    (folder / "store.json").write_text(json.dumps(info))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no signals": lambda folder: (folder / "signals.npy").unlink(),
    "no metadata": lambda folder: (folder / "meta.npz").unlink(),
    "cut labels": lambda folder: os.truncate(folder / "labels.npz", 300),
    "cut description": lambda folder: os.truncate(folder / "store.json", 300),
    "a bit of the signals": lambda folder: flip(folder / "signals.npy", -1000),
    "a bit of the signals' head": lambda folder: flip(folder / "signals.npy", 20),
    "zeros": lambda folder: (folder / "signals.npy").write_bytes(
        b"\0" * (folder / "signals.npy").stat().st_size
    ),
    "a bit of a record's name": lambda folder: flip(
        folder / "meta.npz", (folder / "meta.npz").read_bytes().index(b"r0001")
    ),
    "a bit of the labels": lambda folder: flip(folder / "labels.npz", -400),
    "another unit": lambda folder: edit_description(folder, mv_per_unit=0.005),
    "another class": lambda folder: edit_description(folder, classes={"odd": ["even"], "age": ["age"]}),
    "no object": lambda folder: (folder / "store.json").write_text("[]"),
}


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_store_is_made_again(cache: Path, root: Path, damage: Callable[[Path], object]) -> None:
    signals = write_toy(root)
    before = load(root)
    damage(store_of(root))
    after = load(root)
    assert conversions(cache) == 2
    np.testing.assert_array_equal(after.signals, signals)
    assert (after.classes, after.mv_per_unit, after.fingerprint) == (("odd",), 0.001, before.fingerprint)


def test_a_long_store_is_compared_whole_on_demand(
    cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening reads only the beginning of a long file; `verify_store` reads all of it."""
    write_toy(root, 60)
    load(root)
    store.verify_store(TOY, root, 100)
    monkeypatch.setattr(store, "_WHOLE_BYTES", 1000)
    flip(store_of(root) / "signals.npy", -1)
    load(root)
    assert conversions(cache) == 1
    with pytest.raises(StoreError, match=r"signals\.npy is damaged; delete the folder"):
        store.verify_store(TOY, root, 100)
    flip(store_of(root) / "signals.npy", 70)
    load(root)
    assert conversions(cache) == 2
    store.verify_store(TOY, root, 100)


def test_other_labelling_code_makes_a_store_again(root: Path, cache: Path) -> None:
    """A key of files and versions alone gave the labels of the code that was there before."""
    write_toy(root)
    assert load(root).labels[:, 0].tolist() == [0, 1, 0, 1, 0]

    def all_odd(root: Path, sampling_rate_hz: int, files: list[Path]) -> Contents:
        contents = TOY.describe(root, sampling_rate_hz, files)
        odd = replace(contents.tasks["odd"], values=np.ones((5, 1), np.uint8))
        return replace(contents, tasks={**contents.tasks, "odd": odd})

    changed = replace(TOY, describe=all_odd)
    assert store.open_or_convert(changed, root, "odd", 100).labels[:, 0].tolist() == [1] * 5
    assert load(root).labels[:, 0].tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("change", ["function", "file", "table"])
def test_the_key_covers_functions_files_and_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = store._code(ptbxl.PTBXL)
    assert store._code(ptbxl.PTBXL) == before
    if change == "function":
        monkeypatch.setattr(ptbxl, "read_labels", lambda *arguments: {})
    else:
        package = tmp_path / "ecgkit"
        shutil.copytree(Path(store.__file__).parents[1], package)
        monkeypatch.setattr(store, "__file__", str(package / "datasets" / "store.py"))
        assert store._code(ptbxl.PTBXL) == before  # the same wherever it is installed
        changed = package / "datasets" / ("ptbxl.py" if change == "file" else "tables/snomed.csv")
        changed.write_bytes(changed.read_bytes() + b"\n")
    assert store._code(ptbxl.PTBXL) != before


def test_a_cache_that_cannot_be_written(cache: Path, root: Path) -> None:
    write_toy(root)
    cache.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="ECGKIT_CACHE"):
        load(root)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), r"read-only.*ECGKIT_CACHE"),
        (NotImplementedError("no flock"), r"file system has no locks.*ECGKIT_CACHE"),
    ],
)
def test_a_read_only_cache_and_one_without_locks(
    cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    write_toy(root)
    load(root)

    def refuse(lock: FileLock, *arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(store.FileLock, "acquire", refuse)
    assert len(load(root)) == 5  # what is there can be read
    (root / "new.txt").touch()
    with pytest.raises(StoreError, match=message):
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
    write_toy(root, 300)  # 360 kB of signals
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
    with pytest.raises(DamagedError, match=r"r0123\.dat"):
        load(root)
    assert left_overs(cache) == [] and not store_of(root).exists()


def die(path: Path, sampling_rate_hz: int) -> tuple[np.ndarray, float]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.skipif(
    (os.cpu_count() or 1) < 2,
    reason="one processor needs no workers",
)
def test_a_killed_worker_is_reported(cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "_SMALL", 100)
    write_toy(root, 300)
    with pytest.raises(StoreError, match="a worker process was killed"):
        store.open_or_convert(replace(TOY, read=die), root, "odd", 100)
    assert left_overs(cache) == [] and not store_of(root).exists()


def test_records_that_are_not_there_are_counted(cache: Path, root: Path) -> None:
    write_toy(root)
    for name in ("r0001.hea", "r0001.dat"):
        (root / name).unlink()
    with pytest.warns(UserWarning, match="toy: 1 of 5 records are left out: 1 are not on this disk"):
        ds = load(root)
    assert ds.meta["record_id"].tolist() == ["r0000", "r0002", "r0003", "r0004"]
    for file in root.glob("r*"):
        file.unlink()
    with pytest.raises(DataNotFoundError, match=r"lists 5 records of toy but holds none.*Write it anew"):
        load(root)


def test_a_record_longer_than_announced_is_refused(cache: Path, root: Path) -> None:
    signals = write_toy(root)
    write_record(root / "r0001", np.concatenate([signals[1], signals[1]], axis=1))
    with pytest.raises(DamagedError, match=r"r0001.*\(12, 100\)"):
        load(root)


def test_another_rate_is_refused(cache: Path, root: Path) -> None:
    signals = write_toy(root)
    write_record(root / "r0001", signals[1], rate=250)
    with pytest.raises(FormatError, match=r"r0001: sampled at 250 Hz, not at 100 Hz"):
        load(root)


def test_a_record_without_all_leads_is_named(cache: Path, root: Path) -> None:
    write_toy(root)
    header = root / "r0001.hea"
    header.write_text(header.read_text().replace(" V6\n", " V7\n"))
    with pytest.raises(RecordError, match=r"r0001\.hea: missing lead V6"):
        load(root)


@pytest.mark.parametrize("damage", [lambda path: path.write_text("[" * 100_000), os.mkfifo])
def test_a_description_that_is_none(cache: Path, root: Path, damage: Callable[[Path], object]) -> None:
    write_toy(root)
    before = load(root).fingerprint
    (description,) = cache.rglob("store.json")
    description.unlink()
    damage(description)
    assert load(root).fingerprint == before


def test_a_table_of_truth_that_nothing_planted(cache: Path, root: Path) -> None:
    """A file of the user's, in a folder whose name is not UTF-8."""
    root = Path(os.fsdecode(os.fsencode(root) + b"\xff"))
    write_toy(root)
    (root / "truth.csv").write_text("mine")
    assert load(root).truth is None


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
    with pytest.raises(TableError, match=r"truth\.csv does not know record r0004"):
        load(root)
    for text, message in (("a,b", "cannot be read"), ("record_id\nr1\nr1\n", "lists record r1 twice")):
        (root / "truth.csv").write_text(text)
        with pytest.raises(TableError, match=message):
            load(root)
    (root / "synthetic.json").write_text("{}")
    with pytest.raises(DamagedError, match=r"synthetic\.json does not name"):
        load(root)
