"""What every registered data set keeps to: on tiny synthetic layouts and, where there are any, real data."""

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

from ecgkit import datasets
from ecgkit.datasets import DataSource, ECGDataset
from ecgkit.datasets.check import check_records
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.errors import DataNotFoundError, RecordError
from ecgkit.signals import STANDARD_LEADS

# Every registered data set and the layout that the generator writes for it.
LAYOUTS = {
    "ptbxl": "ptbxl",
    "cpsc2018": "cpsc2018",
    "cpsc2018_extra": "cpsc2018_extra",
    "georgia": "georgia",
    "csn": "csn",
    "ptb": "ptb",
    "sph": "sph",
    "synthetic": "ptbxl",
}
RECORDS = 8
EINTHOVEN_MV = 0.005  # three rounded leads in a sum; sets are stored with steps of 1 to 5 uV


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with all data sets, as ECGKIT_DATA names it."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def own_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGKIT_CACHE", str(root.parent / "cache"))


def load(root: Path, name: str, **options: object) -> ECGDataset:
    make_synthetic(root / name, dataset=LAYOUTS[name], n=RECORDS)  # returns at once when it is there
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is missing, nothing is clipped
        return datasets.load(name, root, **options)  # type: ignore[arg-type]


def einthoven_error_mv(dataset: ECGDataset, rows: list[int]) -> np.ndarray:
    """Largest deviation from the relations between the limb leads, per record, in mV."""
    worst = []
    for row in rows:
        one, two, three, right, left, foot = dataset.signals[row, :6].astype(np.float64) * dataset.mv_per_unit
        errors = (
            one + three - two,
            right + (one + two) / 2,
            left - (one - three) / 2,
            foot - (two + three) / 2,
        )
        worst.append(max(np.abs(error).max() for error in errors))
    return np.array(worst)


def check(dataset: ECGDataset, source: DataSource) -> None:
    """The contract, as far as it can be said of any data set."""
    n, leads, samples = dataset.signals.shape
    assert isinstance(dataset.signals, np.memmap) and dataset.signals.dtype == np.int16
    assert n == len(dataset) and leads == 12 and dataset.leads == STANDARD_LEADS
    assert dataset.name == source.name and dataset.mv_per_unit == source.mv_per_unit
    assert dataset.labels.shape == (n, len(dataset.classes)) == (n, len(set(dataset.classes)))
    if dataset.labels.dtype == np.float32:
        assert dataset.labels.shape[1] == 1
    else:
        assert dataset.labels.dtype == np.uint8 and dataset.labels.max(initial=0) <= 1
    assert dataset.known.shape == (n,) and dataset.known.dtype == bool
    assert dataset.lengths.shape == (n,) and dataset.lengths.dtype == np.int32
    assert dataset.lengths.min() > 0 and dataset.lengths.max() == samples
    shortest = int(dataset.lengths.argmin())
    assert not dataset.signals[shortest, :, dataset.lengths[shortest] :].any()
    meta = dataset.meta
    assert {"record_id", "patient", "fold", "age", "sex"} <= set(meta.columns) and len(meta) == n
    assert meta["record_id"].is_unique and meta["patient"].notna().all()
    assert set(meta["fold"].unique()) <= set(range(1, 11))
    assert meta["age"].dtype == np.float64 and not (meta["age"] > 120).any() and not (meta["age"] < 0).any()
    assert set(meta["sex"].dropna()) <= {"female", "male"}
    assert len(dataset.fingerprint) == 64
    assert source.name in repr(dataset) and dataset.task in repr(dataset)


def check_parts(dataset: ECGDataset) -> None:
    """Splits and subsets."""
    parts = dataset.split()
    ids = [part.meta["record_id"].tolist() for part in parts]
    assert sorted(i for part in ids for i in part) == sorted(dataset.meta["record_id"].tolist())
    patients = [set(part.meta["patient"]) for part in parts]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    filled = [part.fingerprint for part in parts if len(part)]
    assert len({dataset.fingerprint, *filled}) == 1 + len(filled)
    labelled = dataset.labelled()
    assert labelled.known.all() and len(labelled) == dataset.known.sum()
    index = [len(dataset) - 1, 0]
    part = dataset.subset(index).subset([1, 0])  # back in order
    assert part.meta["record_id"].tolist() == dataset.meta["record_id"].iloc[[0, -1]].tolist()
    np.testing.assert_array_equal(part.signals, dataset.signals[[0, len(dataset) - 1]])
    np.testing.assert_array_equal(part.labels, dataset.labels[[0, len(dataset) - 1]])
    with pytest.raises(IndexError):
        dataset.subset([len(dataset)])
    with pytest.raises(IndexError):
        dataset.subset([True])


def test_every_registered_data_set_is_tested_here() -> None:
    assert set(datasets.names()) == set(LAYOUTS), "give the new data set a layout in LAYOUTS"
    assert all(source.name == name and source.title for name, source in datasets.SOURCES.items())


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("name", LAYOUTS)
def test_contract(root: Path, name: str) -> None:
    source = datasets.SOURCES[name]
    for task in source.tasks:
        dataset = load(root, name, task=task)
        assert len(dataset) == RECORDS and dataset.task == task
        assert dataset.sampling_rate_hz == source.sampling_rates_hz[0]
        check(dataset, source)
        check_parts(dataset)
    assert einthoven_error_mv(dataset, list(range(RECORDS))).max() < EINTHOVEN_MV
    assert 0.05 < dataset.signals[:, :, : dataset.lengths.min()].std() * dataset.mv_per_unit < 2  # mV
    assert dataset.truth is not None and len(dataset.truth) == RECORDS
    assert dataset.truth["record_id"].astype(str).tolist() == dataset.meta["record_id"].astype(str).tolist()


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("name", LAYOUTS)
def test_loading_again_gives_the_same(root: Path, name: str) -> None:
    first, second = load(root, name), load(root, name)
    assert first.fingerprint == second.fingerprint and first.classes == second.classes
    np.testing.assert_array_equal(first.signals, second.signals)
    np.testing.assert_array_equal(first.labels, second.labels)
    pd.testing.assert_frame_equal(first.meta, second.meta)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("name", LAYOUTS)
def test_signals_are_those_of_the_files(root: Path, name: str) -> None:
    """At the rate of the files the store holds what `read_record` reads, to half a step."""
    source = datasets.SOURCES[name]
    dataset = load(root, name)
    found = {path.stem: path for path in (root / name).rglob("*") if path.suffix in (".hea", ".h5")}
    record = datasets.read_record(next(iter(found.values())))
    rate = int(record.sampling_rate_hz)
    assert rate in source.sampling_rates_hz
    dataset = load(root, name, sampling_rate_hz=rate)
    for row in (0, len(dataset) - 1):
        record_id = str(dataset.meta["record_id"].iloc[row])
        stem = f"{int(record_id):05d}_lr" if LAYOUTS[name] == "ptbxl" else record_id
        record = datasets.read_record(found[stem])
        length = int(dataset.lengths[row])
        assert record.signal_mv.shape == (12, length)
        ours = dataset.signals[row, :, :length] * dataset.mv_per_unit
        np.testing.assert_allclose(ours, record.signal_mv, atol=0.501 * dataset.mv_per_unit)


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def reword(old: str, new: str) -> Callable[[Path], object]:
    return lambda file: file.write_text(file.read_text().replace(old, new))


# What is done to one file of a data set, and whether its records can all be used then.
CASES: dict[str, tuple[str, str, Callable[[Path], object], bool]] = {
    "nothing": ("georgia", "*.hea", lambda file: None, True),
    "cut signals": ("georgia", "*.mat", shorten, False),
    "no signals": ("georgia", "*.mat", Path.unlink, False),
    "no header": ("georgia", "*.hea", Path.unlink, False),
    "a header of another kind": ("georgia", "*.hea", lambda file: file.write_text("no header"), False),
    "microvolts": ("georgia", "*.hea", reword("1000/mV", "1/uV"), True),
    "no voltage": ("georgia", "*.hea", reword("/mV", "/pF"), False),
    "a rate without a ratio": ("georgia", "*.hea", reword(" 12 500 ", " 12 333.33337 "), False),
    "an unknown lead": ("georgia", "*.hea", reword(" V3", " V99"), False),
    "a bad code": ("georgia", "*.hea", lambda file: file.write_text(file.read_text() + "# Dx: ?\n"), True),
    "a bad first code": ("georgia", "*.hea", reword("Dx: ", "Dx: ?"), False),
    "a copy": ("georgia", "*.hea", lambda file: shutil.copytree(file.parent, file.parent / "g9"), False),
    "a Mac's file": (
        "georgia",
        "*.hea",
        lambda file: (file.parent / f"._{file.name}").write_bytes(b"\5"),
        True,
    ),
    "PTB-XL at another rate": ("ptbxl", "*_lr.hea", reword(" 12 100 ", " 12 250 "), False),
    "PTB-XL, no samples": ("ptbxl", "*_lr.dat", Path.unlink, False),
    "synthetic data of no version": ("ptbxl", "synthetic.json", lambda file: file.write_text("[]"), False),
    "no truth to the records": ("ptbxl", "truth.csv", lambda file: file.write_text("mine"), False),
    "PTB-XL, cut": ("ptbxl", "*_lr.dat", shorten, False),
    "SPH, cut": ("sph", "*.h5", shorten, False),
    "SPH, another kind": ("sph", "*.h5", lambda file: file.write_text("no HDF5"), False),
    "SPH, unlisted": ("sph", "*.h5", lambda file: shutil.copy(file, file.with_stem("A99999")), False),
    "CPSC 2018's own, cut": ("original", "A*.mat", shorten, False),
    "CPSC 2018's own": ("original", "A*.mat", lambda file: None, True),
}


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_checking_and_loading_agree(
    tmp_path: Path, case: tuple[str, str, Callable[[Path], object], bool]
) -> None:
    """`ecgkit data check` finds a fault if and only if loading refuses the set or leaves a record out."""
    layout, pattern, change, right = case
    name = "cpsc2018" if layout == "original" else layout
    if layout == "original":
        (tmp_path / "REFERENCE.csv").write_text(
            "Recording,First_label,Second_label,Third_label\nA0001,1,,\nA0002,2,,\n"
        )
        for record in ("A0001", "A0002"):
            ecg = {"sex": "Male", "age": np.array([[50.0]]), "data": np.ones((12, 5000)) / 8}
            scipy.io.savemat(tmp_path / f"{record}.mat", {"ECG": ecg})
    else:
        make_synthetic(tmp_path, dataset=layout, n=2)
    change(sorted(tmp_path.rglob(pattern))[0])
    report = check_records(datasets.SOURCES[name], tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if right:
            assert len(datasets.load(name, tmp_path)) == report.records == 2
        else:
            with pytest.raises((RecordError, UserWarning)) as refused:
                datasets.load(name, tmp_path)
    assert (report.faults == ()) == right
    if not right:  # for the same reason
        path, reason = report.faults[0]
        assert reason.removeprefix(f"{path}: ")[:40] in str(refused.value)


@pytest.mark.parametrize("name", ["ptbxl", "sph"])
def test_a_table_at_fault_is_not_the_records_fault(tmp_path: Path, name: str) -> None:
    make_synthetic(tmp_path, dataset=name, n=2)
    table = next(tmp_path.glob("*database.csv" if name == "ptbxl" else "metadata.csv"))
    text = table.read_bytes()
    table.write_bytes(b"\xef\xbb\xbf" + text)
    assert check_records(datasets.SOURCES[name], tmp_path).faults == ()
    table.write_bytes(text.splitlines()[0])
    with pytest.raises(RecordError, match=table.name):
        check_records(datasets.SOURCES[name], tmp_path)


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "synthetic"])
def test_data_that_are_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        DataNotFoundError, match=rf"{name} is not in .*ecgkit data download {name}.*synthetic"
    ):
        datasets.load(name, tmp_path)


def test_synthetic_needs_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = []

    def small(out: Path, **options: object) -> Path:
        made.append(out)
        return make_synthetic(out, n=4, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(datasets.synthetic, "make_synthetic", small)
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path))
    monkeypatch.delenv("ECGKIT_DATA", raising=False)
    assert len(datasets.load("synthetic")) == 4
    assert len(datasets.load("synthetic", sampling_rate_hz=500)) == 4
    assert made == [tmp_path / "synthetic-100hz", tmp_path / "synthetic-500hz"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "synthetic"])
def test_contract_on_real_data(real_data: Path, name: str) -> None:
    if name != "ptbxl" and not (real_data / name).is_dir():
        if os.environ.get("ECGKIT_REQUIRE_DATA") == "1":
            pytest.fail(f"{name} is not in {real_data}: get it with `ecgkit data download {name}`")
        pytest.skip(f"{name} is not in {real_data}: get it with `ecgkit data download {name}`")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a part of the records is enough
        dataset = datasets.load(name, real_data)
    check(dataset, datasets.SOURCES[name])
    check_parts(dataset)
    assert dataset.truth is None
    rows = np.random.default_rng(0).choice(len(dataset), min(len(dataset), 500), replace=False)
    # In PTB-XL, 61 of 21,799 records break the relations by 5 uV or more in at least one sample.
    assert (einthoven_error_mv(dataset, rows.tolist()) < EINTHOVEN_MV).mean() > 0.99
