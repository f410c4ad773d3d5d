"""SPH: AHA statements, patients, half-precision signals, and the real records."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from ecgkit import datasets
from ecgkit.datasets import sph
from ecgkit.datasets.splits import assert_no_patient_straddles, stratified_folds
from ecgkit.errors import DataNotFoundError, RecordError

HEAD = "ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))


def write(root: Path, rows: list[str]) -> dict[str, np.ndarray]:
    """Write metadata and a record per row, in float16 as published; the signals in mV by record."""
    (root / "records").mkdir(parents=True, exist_ok=True)
    (root / "metadata.csv").write_text(HEAD + "\n".join(rows) + "\n")
    signals = {}
    for number, row in enumerate(rows):
        name, samples = row.split(",")[0], int(row.split(",")[5])
        signal = np.random.default_rng(number).normal(0, 0.3, (12, samples)).astype(np.float16)
        signals[name] = signal
        with h5py.File(root / "records" / f"{name}.h5", "w") as file:
            file["ecg"] = signal
    return signals


ROWS = [
    "A00002,1;1,S1,32,F,5000,2020-01-02",
    "A00001,22;60+310,S1,300,M,20000,2020-01-01",
    "A00003,145+362,S2,,F,5500,2020-01-03",
]


def test_load(tmp_path: Path) -> None:
    signals = write(tmp_path / "sph", ROWS)
    ds = datasets.load("sph", tmp_path, sampling_rate_hz=500)
    assert ds.meta["record_id"].tolist() == ["A00001", "A00002", "A00003"]
    assert ds.lengths.tolist() == [15_000, 5000, 5500]  # the cap: 30 s
    assert ds.meta["duration_s"].tolist() == [40, 10, 11]
    for row, name in enumerate(ds.meta["record_id"]):
        stored = ds.signals[row, :, : ds.lengths[row]] * ds.mv_per_unit
        np.testing.assert_allclose(stored, signals[name][:, :15_000].astype(float), atol=0.00051)
    assert len(ds.classes) == 44
    got = [{ds.classes[i] for i in np.flatnonzero(row)} for row in ds.labels]
    assert got == [{"22", "60"}, {"1"}, {"145"}]
    np.testing.assert_array_equal(ds.meta["age"], [np.nan, 32, np.nan])
    assert ds.meta["sex"].tolist() == ["male", "female", "female"]
    assert ds.meta["codes"].tolist() == ["22;60+310", "1;1", "145+362"]
    folds = ds.meta["fold"].tolist()
    assert folds[0] == folds[1] != folds[2]
    category = datasets.load("sph", tmp_path, task="category", sampling_rate_hz=500)
    got = [{category.classes[i] for i in np.flatnonzero(row)} for row in category.labels]
    assert got == [{"C", "F"}, {"A"}, {"L"}]


def test_length_at_another_rate(tmp_path: Path) -> None:
    write(tmp_path, ["A00001,1,S1,50,M,5003,2020-01-01"])
    assert datasets.load("sph", tmp_path).lengths.tolist() == [1001]


def test_missing_and_unlisted_records(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    (tmp_path / "records" / "A00003.h5").unlink()
    with pytest.warns(UserWarning, match="1 of 3"):
        assert len(datasets.load("sph", tmp_path)) == 2
    (tmp_path / "metadata.csv").write_text(HEAD + ROWS[0] + "\n")
    with pytest.warns(UserWarning, match=r"1 of 2 .*A00001\.h5: metadata\.csv does not list it"):
        assert datasets.load("sph", tmp_path).meta["record_id"].tolist() == ["A00002"]
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(DataNotFoundError, match=r"metadata\.csv"):
        datasets.load("sph", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ECG_ID,AHA_Code\nA00001,1\n", "no column 'Patient_ID'"),
        (HEAD + "A00001,1,S1,5,M,5000,x\nA00001,1,S1,5,M,5000,x\n", "line 3 .*'A00001' was listed before"),
        (HEAD + "A00001,1,S1,5,M,many,x\n", r"line 2 \(ECG_ID A00001\), column N: 'many' is no number"),
        (HEAD + "A00001,1,S1,5,M,5000,x\nA00002,1,S1", "line 3 .*column N: '' holds no number"),
        (HEAD + "A00001,1,S1,5,M,0,x\n", "column N: '0' is not a number from 1"),
        (HEAD + "A00001,1,S1,old,M,5000,x\n", "column Age: 'old' is no number"),
        (HEAD + "A00001,1,S1,5,X,5000,x\n", "column Sex: 'X' is not one of"),
        (HEAD + "A00001,1;999,S1,5,M,5000,x\n", "column AHA_Code: '1;999' holds 999, none of the 44"),
        (HEAD + "A00001,60+,S1,5,M,5000,x\n", "column AHA_Code: '60[+]' cannot be read"),
        (HEAD + "A00001,1\x00,S1,5,M,5000,x\n", "column AHA_Code: .* control character|NUL"),
        ("", "is empty"),
    ],
)
def test_bad_metadata_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(RecordError, match=rf"metadata\.csv.*{message}"):
        sph.read_metadata(tmp_path)


def test_what_spreadsheets_do_and_empty_cells(tmp_path: Path) -> None:
    """A byte order mark, semicolons, names with the file's ending; a record without codes, age or patient."""
    rows = ["SPH00001,22;,S1,32,F,5000,2020", "SPH00002,,,,,5000,"]
    signals = write(tmp_path, rows)
    text = (HEAD + "SPH00001.h5,22;,S1,32,F,5000,2020\nSPH00002.h5,,,,,5000,\n,,,,,,\n").replace(";,", "|,")
    text = text.replace(",", ";").replace("22|", '"22;"')
    (tmp_path / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    meta = sph.read_metadata(tmp_path)
    assert meta["record_id"].tolist() == ["SPH00001", "SPH00002"]
    assert meta["patient"].tolist() == ["S1", "SPH00002"] and meta["age"].isna().tolist() == [False, True]
    (tmp_path / "metadata.csv").write_text(HEAD + "\n".join(rows))
    ds = datasets.load("sph", tmp_path, sampling_rate_hz=500)
    assert ds.known.tolist() == [True, False] and ds.classes[int(ds.labels[0].argmax())] == "22"
    np.testing.assert_allclose(ds.signals[1] * ds.mv_per_unit, signals["SPH00002"].astype(float), atol=6e-4)


def test_records_without_a_patient_are_spread_over_the_folds(tmp_path: Path) -> None:
    rows = [f"A{number:05d},1,,50,M,500,2020" for number in range(1, 31)]
    write(tmp_path, rows)
    ds = datasets.load("sph", tmp_path)
    assert ds.meta["patient"].is_unique and [len(part) for part in ds.split()] == [24, 3, 3]


@pytest.mark.real_data
def test_every_real_record_loads(real_data: Path) -> None:
    with pytest.warns(UserWarning, match="25764 of 25770"):
        ds = datasets.load("sph", real_data)
    assert len(ds) == len(ds.labelled()) == 6
    assert ds.meta["record_id"].tolist() == [f"A{i:05d}" for i in range(1, 7)]
    assert ds.signals.shape == (6, 12, 1300)


@pytest.mark.real_data
def test_all_real_metadata(real_data: Path) -> None:
    meta = sph.read_metadata(real_data / "sph")
    assert len(meta) == 25_770 and meta["patient"].nunique() == 24_666
    assert (meta["duration_s"].min(), meta["duration_s"].max()) == (10, 56)
    assert int((meta["duration_s"] > sph.MAX_DURATION_S).sum()) == 57
    assert meta["age"].notna().all() and meta["sex"].notna().all()
    codes = meta["codes"].str.get_dummies(";").to_numpy()
    fold = stratified_folds(codes, meta["patient"])
    assert_no_patient_straddles(meta["patient"], fold)
    assert abs(np.bincount(fold)[1:] - 2577).max() < 30
