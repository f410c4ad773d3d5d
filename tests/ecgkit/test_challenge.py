"""The Challenge sets: headers in all variants, unequal lengths and rates, labels alone, real records."""

import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.signal

from ecgkit import datasets
from ecgkit.datasets import challenge
from ecgkit.datasets.base import DataSource
from ecgkit.datasets.code_systems import CPSC9
from ecgkit.datasets.derived import first_seconds
from ecgkit.datasets.labels_challenge import label_matrix, published_counts, read_labels
from ecgkit.datasets.sph import SPH
from ecgkit.datasets.splits import assert_no_patient_straddles
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.errors import DamagedError, DataNotFoundError, FormatError, TableError
from ecgkit.signals.record import STANDARD_LEADS

AF, RBBB, CRBBB, LAE = "164889003", "59118001", "713427006", "67741000119109"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))


def write(
    folder: Path,
    name: str,
    comments: str = f"#Age: 61\n#Sex: Male\n#Dx: {AF}\n",
    samples: int = 5000,
    rate: int = 500,
    signal: np.ndarray | None = None,
    gain: str = "1000/mV",
    title: str | None = None,
    mat: str | None = None,
) -> np.ndarray:
    """Write a record as the Challenge does and return its integers, shape (12, samples)."""
    folder.mkdir(parents=True, exist_ok=True)
    if signal is None:
        rng = np.random.default_rng(sum(map(ord, name)))
        signal = np.cumsum(rng.integers(-3, 4, (12, samples)), axis=1).astype(np.int16)
    mat = mat or f"{name}.mat"
    scipy.io.savemat(folder / mat, {"val": signal}, format="4")
    lines = [f"{title or name} 12 {rate} {signal.shape[1]} 12-May-2020 12:33:59"]
    for lead, row in zip(STANDARD_LEADS, signal, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 65536
        checksum -= 65536 * (checksum > 32767)
        lines.append(f"{mat} 16+24 {gain} 16 0 {row[0]} {checksum} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n" + comments)
    return signal


def test_layouts_variants_and_lengths(tmp_path: Path) -> None:
    """Sub-folders, record names in .mat, header texts of all kinds, 6 to 70 s, gains: what is stored."""
    root = tmp_path / "cpsc2018"
    short = write(root / "g1", "A0001", samples=3000)
    long = write(
        root / "g2", "A0002", "# Age: NaN\n# Sex: F\n# Dx: AF,RBBB\n", samples=35_000, title="A0002.mat"
    )
    write(root / "g2", "A0003", "#Age: -1\n#Sex: Unknown\n#Dx: Unknown\n#Sx: Unknows\n", gain="1000.0(0)/mV")
    write(root, "A0004", f"#Age: 300\n#Sex: female\n#Dx: {CRBBB},{RBBB}, {LAE},{RBBB}\n", gain="4880/mV")
    ds = datasets.load("cpsc2018", tmp_path, task="all", sampling_rate_hz=500)
    assert ds.signals.shape == (4, 12, 30_000)  # the cap: 60 s
    assert ds.lengths.tolist() == [3000, 30_000, 5000, 5000]
    np.testing.assert_array_equal(ds.signals[0, :, :3000], short)
    assert not ds.signals[0, :, 3000:].any()
    np.testing.assert_array_equal(ds.signals[1], long[:, :30_000])
    assert (
        ds.meta["record_id"].tolist() == ds.meta["patient"].tolist() == ["A0001", "A0002", "A0003", "A0004"]
    )
    np.testing.assert_array_equal(ds.meta["age"], [61, np.nan, np.nan, np.nan])
    assert ds.meta["sex"].fillna("?").tolist() == ["male", "female", "?", "female"]
    assert ds.meta["duration_s"].tolist() == [6, 70, 10, 10]
    codes = ds.meta["codes"].tolist()
    assert codes == [AF, f"{AF},{RBBB}", "", f"{CRBBB},{RBBB},{LAE}"]
    assert ds.classes[-1] == LAE  # a code that the published counts do not have is added
    assert ds.labels.sum(axis=0)[[ds.classes.index(c) for c in (AF, RBBB, CRBBB, LAE)]].tolist() == [
        2,
        2,
        1,
        1,
    ]
    assert ds.known.tolist() == [True, True, False, True]


def test_tasks_merge_and_select(tmp_path: Path) -> None:
    root = tmp_path / "cpsc2018"
    write(root, "A0001", f"#Dx: {RBBB}\n", samples=4999)
    write(root, "A0002", f"#Dx: {CRBBB},{AF}\n")
    write(root, "A0003", "#Dx: 164884008\n")  # ventricular ectopics: a class of CPSC 2018, not scored
    nine = datasets.load("cpsc2018", root)
    assert nine.task == "cpsc9" and nine.classes == tuple(name for name, _ in CPSC9.values())
    assert nine.labels.argmax(axis=1).tolist() == [4, 1, 6]
    scored = datasets.load("cpsc2018", root, task="scored")
    assert len(scored.classes) == 24
    assert scored.labels[:, scored.classes.index(CRBBB)].tolist() == [1, 1, 0]
    assert scored.known.tolist() == [True, True, False]
    assert len(datasets.load("cpsc2018", root, task="scored2021").classes) == 26
    melep = datasets.load("cpsc2018", root, task="melep")
    assert melep.classes == nine.classes
    assert melep.labelled().meta["record_id"].tolist() == ["A0002", "A0003"]  # A0001 is 2 ms too short


def test_resampling_is_scipys_polyphase(tmp_path: Path) -> None:
    digital = write(tmp_path / "ptb", "S0001", rate=1000, samples=12_345)
    ds = datasets.load("ptb", tmp_path)
    assert ds.sampling_rate_hz == 100 and ds.lengths.tolist() == [1235]
    expected = scipy.signal.resample_poly(digital / 1000, 1, 10, axis=-1, padtype="line")
    np.testing.assert_allclose(ds.signals[0] * ds.mv_per_unit, expected, atol=0.0006)


def test_invalid_samples_are_interpolated(tmp_path: Path) -> None:
    signal = np.tile(np.arange(5000, dtype=np.int16), (12, 1))
    signal[0, 10:13] = -32768
    signal[1] = -32768
    write(tmp_path / "georgia", "E00001", signal=signal)
    ds = datasets.load("georgia", tmp_path, sampling_rate_hz=500)
    np.testing.assert_array_equal(ds.signals[0, 0], np.arange(5000))
    assert not ds.signals[0, 1].any()
    np.testing.assert_array_equal(ds.signals[0, 2], np.arange(5000))


def test_broken_headers_are_left_out_and_named(tmp_path: Path) -> None:
    """JS01052 of version 1.0.0 lost a line break; S23074 of the Challenge 2021 names JS23074.mat."""
    folder = tmp_path / "csn" / "WFDBRecords" / "01" / "019"
    write(folder, "JS00001")
    write(folder, "JS01052")
    header = folder / "JS01052.hea"
    header.write_text(header.read_text().replace("5000 12-May-2020 12:33:59\nJS01052.mat 16+24 ", "5000", 1))
    write(folder, "S23074", mat="JS23074.mat")
    write(folder, "JS00003")
    (folder / "JS00003.mat").unlink()
    with pytest.warns(UserWarning) as warned:
        ds = datasets.load("csn", tmp_path)
    assert ds.meta["record_id"].tolist() == ["JS00001", "S23074"]
    texts = [str(w.message) for w in warned]
    assert len(texts) == 1 and texts[0].startswith("csn: 2 of 4 records are left out")
    assert "WFDBRecords/01/019/JS01052.hea: " in texts[0] and "JS00003.mat" in texts[0]


def test_a_damaged_signal_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "georgia", "E00001")
    header = tmp_path / "georgia" / "E00001.hea"
    header.write_text(header.read_text().replace("1000/mV", "1000/pF"))
    with pytest.raises(FormatError, match=r"E00001.*'pF'"):
        datasets.load("georgia", tmp_path)
    header.write_text(header.read_text().replace(" V6\n", " V7\n"))
    with pytest.raises(FormatError, match=r"E00001\.hea: missing lead V6"):
        datasets.load("georgia", tmp_path)


def left_out(root: Path, name: str = "georgia") -> str:
    """The warning about records that are left out."""
    with pytest.warns(UserWarning, match="records are left out") as warned:
        datasets.load(name, root)
    return str(warned[0].message)


def test_the_same_record_counts_once(tmp_path: Path) -> None:
    """As packed and as unpacked, behind a link, and under two headers; two that differ are an error."""
    root = tmp_path / "georgia"
    for name in ("E00001", "E00002"):
        write(root, name)
        write(root / "g1", name)
    (root / "g2").symlink_to(root / "g1")
    assert "2 of 4 records" in left_out(tmp_path) and "g1/E00001.hea: a second copy of" in left_out(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert datasets.load("georgia", tmp_path).meta["record_id"].tolist() == ["E00001", "E00002"]
    shutil.rmtree(root / "g1")
    (root / "g2").unlink()
    header = (root / "E00002.hea").read_text().replace("E00002.mat", "E00001.mat")
    (root / "E00002.hea").write_text(header)
    assert "E00002.hea: its signals (E00001.mat) are those of E00001.hea" in left_out(tmp_path)
    for comments in ("#Dx: 426783006\n", "#Dx: 164889003\n"):  # of another length, and of the same
        for folder in (root, root / "g1"):
            write(folder, "E00001", comments if folder == root else "#Dx: 164890007\n")
        with pytest.raises(DamagedError, match=r"two different records of one name; remove one"):
            datasets.load("georgia", tmp_path)


def test_records_behind_links_are_loaded(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "019", "JS00001")
    (tmp_path / "csn" / "WFDBRecords").mkdir(parents=True)
    (tmp_path / "csn" / "WFDBRecords" / "01").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "019" / "JS00002.hea").symlink_to(tmp_path / "nowhere")
    assert "JS00002.hea" in left_out(tmp_path, "csn")
    (tmp_path / "elsewhere" / "019" / "JS00002.hea").unlink()
    assert len(datasets.load("csn", tmp_path)) == 1


def test_signals_without_a_header_are_told(tmp_path: Path) -> None:
    write(tmp_path / "georgia", "E00001")
    write(tmp_path / "georgia", "E00002")
    (tmp_path / "georgia" / "E00001.hea").unlink()
    (tmp_path / "georgia" / "._E00002.hea").write_bytes(b"\0\5\x16\7")  # macOS
    assert "1 of 2 records" in left_out(tmp_path) and "E00001.mat: its header" in left_out(tmp_path)


@pytest.mark.parametrize("change", [str.upper, str.lower])
def test_a_folder_whose_names_all_changed_their_case(tmp_path: Path, change: Callable[[str], str]) -> None:
    write(tmp_path / "georgia", "E00001")
    for path in list((tmp_path / "georgia").iterdir()):
        path.rename(path.with_name(change(path.name)))
    assert datasets.load("georgia", tmp_path).meta["record_id"].tolist() == ["E00001"]


def test_units_endings_and_cases(tmp_path: Path) -> None:
    """Microvolts, names in other cases (network drives), a .dat in place of the .mat, one sample."""
    root = tmp_path / "georgia"
    signal = write(root, "E00001", gain="1/uV")
    write(root, "E00002")
    for end in ("hea", "mat"):
        (root / f"E00002.{end}").rename(root / f"e00002.{end.upper()}")
    signal_3 = write(root, "E00003")
    (root / "E00003.mat").unlink()
    signal_3.T.astype("<i2").tofile(root / "E00003.dat")
    header = (root / "E00003.hea").read_text().replace("E00003.mat 16+24", "E00003.dat 16")
    (root / "E00003.hea").write_text(header)
    write(root, "E00004", samples=1)
    ds = datasets.load("georgia", tmp_path, sampling_rate_hz=500)
    assert ds.meta["record_id"].tolist() == ["E00001", "E00002", "E00003", "E00004"]
    np.testing.assert_array_equal(ds.signals[0], signal)
    np.testing.assert_array_equal(ds.signals[2], signal_3)
    assert ds.lengths.tolist() == [5000, 5000, 5000, 1]
    assert datasets.load("georgia", tmp_path).lengths.tolist() == [1000, 1000, 1000, 1]


@pytest.mark.parametrize("code", ["16488900\u00b2", "A\x1fF", "no-code", "1" * 5000])
def test_a_bad_code_leaves_its_record_out(tmp_path: Path, code: str) -> None:
    write(tmp_path / "georgia", "E00001")
    write(tmp_path / "georgia", "E00002", f"#Dx: {code}\n")
    assert "E00002.hea: the Dx line holds" in left_out(tmp_path)


# CPSC 2018 as its organisers published it


def write_original(folder: Path, names: str, table: str) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "REFERENCE.csv").write_text(table)
    signals = np.random.default_rng(0).normal(0, 0.4, (len(names.split()), 12, 4000))
    for name, signal in zip(names.split(), signals, strict=True):
        ecg = {"sex": "Female", "age": np.array([[61.0]]), "data": signal}
        scipy.io.savemat(folder / f"{name}.mat", {"ECG": ecg})
    return signals


HEAD = "Recording,First_label,Second_label,Third_label\n"


@pytest.mark.parametrize("sub", ["", "TrainingSet1"])
def test_the_organisers_own_layout(tmp_path: Path, sub: str) -> None:
    signals = write_original(tmp_path / "c" / sub, "A0001 A0002 A0003", HEAD + "A0001,5,,\nA0002,1,9,\n")
    with pytest.warns(UserWarning, match=r"1 of 3 .*A0003\.mat: .*REFERENCE\.csv does not list it"):
        ds = datasets.load("cpsc2018", tmp_path / "c", sampling_rate_hz=500)
    assert ds.meta["record_id"].tolist() == ["A0001", "A0002"]
    assert ds.meta["age"].tolist() == [61, 61] and set(ds.meta["sex"]) == {"female"}
    assert [{ds.classes[k] for k in np.flatnonzero(row)} for row in ds.labels] == [{"RBBB"}, {"NORM", "STE"}]
    np.testing.assert_allclose(ds.signals * ds.mv_per_unit, signals[:2], atol=0.000501)


def test_what_can_be_wrong_with_the_organisers_layout(tmp_path: Path) -> None:
    root = tmp_path / "cpsc2018"
    write_original(root, "A0001 A0002", HEAD + "A0001,5,,\nA0002,1,,\nA0003,1,,\n")
    scipy.io.savemat(root / "A0002.mat", {"ECG": {"data": np.zeros((3, 5))}})
    expected = r"2 of 3 records are left out: 1 are not on this disk; A0002\.mat: .*12 leads"
    with pytest.warns(UserWarning, match=expected):
        assert len(datasets.load("cpsc2018", tmp_path)) == 1
    scipy.io.savemat(root / "A0003.mat", {"val": np.zeros((12, 9), np.int16)})
    (root / "A0001.mat").rename(root / "a0001.MAT")
    with pytest.warns(UserWarning, match=r"2 of 3 .*A0003\.mat: the header A0003\.hea is not there"):
        assert datasets.load("cpsc2018", tmp_path).meta["record_id"].tolist() == ["A0001"]
    (root / "REFERENCE.csv").unlink()
    with pytest.raises(DataNotFoundError, match=r"no REFERENCE\.csv with their labels"):
        datasets.load("cpsc2018", tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    write(tmp_path / "georgia", "E00001")
    with pytest.raises(DataNotFoundError, match="cpsc2018"):
        datasets.load("cpsc2018", tmp_path / "georgia")  # records of another set do not count
    (tmp_path / "georgia" / "E00001.mat").unlink()
    with pytest.raises(FormatError, match=r"no complete record.*E00001\.mat"):
        datasets.load("georgia", tmp_path)


def test_first_seconds_crops_and_leaves_out(tmp_path: Path) -> None:
    root = tmp_path / "cpsc2018"
    write(root, "A0001", samples=4000)
    write(root, "A0002", samples=8000)
    ds = datasets.load("cpsc2018", root)
    part = first_seconds(ds)
    assert part.signals.shape == (1, 12, 1000) and part.lengths.tolist() == [1000]
    np.testing.assert_array_equal(part.signals[0], ds.signals[1, :, :1000])
    with pytest.raises(ValueError, match="no sample"):
        first_seconds(ds, 0)
    assert part.fingerprint != ds.fingerprint and len(part.fingerprint) == 64


def test_folds_do_not_depend_on_folders(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / "a" / "georgia", f"E{number:05d}", samples=500)
        write(tmp_path / "b" / "georgia" / f"g{number % 4}", f"E{number:05d}", samples=500)
    a, b = (datasets.load("georgia", tmp_path / side) for side in "ab")
    assert a.meta["fold"].tolist() == b.meta["fold"].tolist()
    assert sorted(a.meta["fold"]) == sorted(list(range(1, 11)) * 3)
    assert a.fingerprint == b.fingerprint
    assert_no_patient_straddles(a.meta["patient"], a.meta["fold"])


def test_labels_alone(tmp_path: Path) -> None:
    write(tmp_path / "g1", "A0002", "#Dx: Normal\n#Age: 40\n")
    write(tmp_path, "A0001", f"#Dx: {AF},{AF}\n")
    labels = read_labels(tmp_path)
    assert labels["record_id"].tolist() == ["A0001", "A0002"]
    assert labels["codes"].tolist() == [(AF,), ("426783006",)]
    reference = tmp_path / "REFERENCE.csv"
    reference.write_text("Recording,First_label,Second_label,Third_label\nA0001,2,5,\n")
    assert read_labels(reference)["codes"].tolist() == [(AF, RBBB)]
    reference.write_bytes(b"\xef\xbb\xbf" + (HEAD + "A0001.mat,2.0,,\n,,,\n").replace(",", ";").encode())
    assert (
        read_labels(reference)["codes"].tolist() == [(AF,)] and read_labels(reference).record_id[0] == "A0001"
    )
    demographics = "record,tranche_name,age,sex,diagnosis\nA1,"
    for text, message in (
        (
            HEAD + "A0001,10,,\n",
            r"line 2 \(record A0001\), column First_label: '10' is not a number",
        ),
        (HEAD + "A0001,1,,\nA0001,2,,\n", "was listed before, in line 2"),
        ("a,b\n1,2\n", "neither"),
        (demographics + "Mars,1,F,NSR\n", "column tranche_name: 'Mars'"),
        (demographics + "CPSC,1,F,NSR;XYZ\n", "column diagnosis: .*'XYZ'"),
    ):
        reference.write_text(text)
        with pytest.raises(TableError, match=message):
            read_labels(reference)
    for nothing in (tmp_path / "no.csv", tmp_path / "g0"):
        with pytest.raises(DataNotFoundError):
            read_labels(nothing)
    (tmp_path / "g0").mkdir()
    with pytest.raises(DataNotFoundError):
        read_labels(tmp_path / "g0")
    assert label_matrix([], [["a"], ["b"]]).shape == (0, 2)


@pytest.mark.parametrize("source", [*challenge.CHALLENGE_SETS, SPH], ids=lambda source: source.name)
def test_synthetic_records_load_with_their_truth(tmp_path: Path, source: DataSource) -> None:
    make_synthetic(tmp_path / source.name, dataset=source.name, n=4)
    ds = datasets.load(source.name, tmp_path)
    assert len(ds) == 4 and ds.labels.any()
    assert ds.truth is not None
    assert ds.truth["record_id"].tolist() == ds.meta["record_id"].tolist()


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "records", "shortest_s", "longest_s"),
    [
        ("cpsc2018", 64, 10, 50.54),
        ("cpsc2018_extra", 20, 10, 60),
        ("georgia", 45, 10, 10),
        ("csn", 55, 10, 10),
        ("ptb", 5, 38.4, 115.2),
    ],
)
def test_every_real_record_loads(
    real_data: Path, name: str, records: int, shortest_s: float, longest_s: float
) -> None:
    ds = datasets.load(name, real_data, task="all")
    assert len(ds) == records == len(ds.labelled())
    assert (ds.meta["duration_s"].min(), ds.meta["duration_s"].max()) == (shortest_s, longest_s)
    headers = sorted((real_data / name).glob("*.hea"))
    assert ds.meta["record_id"].tolist() == [path.stem for path in headers]
    assert set(ds.meta["sex"]) == {"female", "male"}
    assert ds.meta["age"].dropna().between(0, 100).all()
    native = datasets.load(name, real_data, sampling_rate_hz=int(ds.meta["published_rate_hz"].iloc[0]))
    for row, header in enumerate(
        headers
    ):  # without our own reader: scipy, and the gain from the header's text
        gain = float(re.match(r"[\d.]+", header.read_text().splitlines()[1].split()[2])[0])
        expected = scipy.io.loadmat(header.with_suffix(".mat"))["val"] / gain
        stored = native.signals[row, :, : native.lengths[row]] * native.mv_per_unit
        np.testing.assert_allclose(stored, expected, atol=0.000501)


@pytest.mark.real_data
def test_the_organisers_records_are_those_of_the_challenge(real_data: Path) -> None:
    """The Challenge rounded the same signals to 1 uV; names, classes, ages and sexes agree."""
    if not (real_data / "cpsc2018_original").is_dir():
        pytest.skip("cpsc2018_original is not there")
    own = datasets.load("cpsc2018", real_data / "cpsc2018_original", sampling_rate_hz=500)
    challenge_set = datasets.load("cpsc2018", real_data, sampling_rate_hz=500)
    rows = {name: row for row, name in enumerate(own.meta["record_id"])}
    both = [(rows[name], row) for row, name in enumerate(challenge_set.meta["record_id"]) if name in rows]
    assert len(both) > 5
    for mine, theirs in both:
        np.testing.assert_array_equal(own.labels[mine], challenge_set.labels[theirs])
        for column in ("age", "sex", "duration_s"):
            assert own.meta[column][mine] == challenge_set.meta[column][theirs]
        length = own.lengths[mine]
        difference = own.signals[mine, :, :length].astype(int) - challenge_set.signals[theirs, :, :length]
        assert np.abs(difference).max() <= 1


@pytest.mark.real_data
def test_cpsc_labels_agree_in_three_places(real_data: Path) -> None:
    """Headers (64), REFERENCE.csv (6,877) and the Challenge's table agree: names, numbers and codes."""
    table = read_labels(real_data / "labels" / "challenge2020_demographics_dx.csv").set_index("record_id")
    assert len(table) == 43_101
    reference = read_labels(real_data / "cpsc2018" / "REFERENCE.csv").set_index("record_id")
    assert len(reference) == 6877
    assert reference["codes"].map(len).value_counts().to_dict() == {1: 6401, 2: 470, 3: 6}
    cpsc = table[table["source"] == "cpsc2018"]
    assert reference["codes"].map(frozenset).equals(cpsc["codes"].map(frozenset))
    headers = read_labels(real_data / "cpsc2018").set_index("record_id")
    assert headers["codes"].map(frozenset).equals(reference["codes"].map(frozenset)[headers.index])
    assert headers["age"].equals(cpsc["age"][headers.index])
    assert (headers["sex"] == cpsc["sex"][headers.index]).all()


@pytest.mark.real_data
def test_published_counts_follow_from_the_labels(real_data: Path) -> None:
    """Once repeated codes are dropped, the table of diagnoses gives the label maps' counts exactly."""
    table = read_labels(real_data / "labels" / "challenge2020_demographics_dx.csv")
    for name in ("cpsc2018", "cpsc2018_extra", "georgia", "ptb", "ptbxl"):
        counted = table.loc[table["source"] == name, "codes"].explode().value_counts()
        expected = published_counts()[name]
        assert counted.to_dict() == expected[expected > 0].to_dict()
    raw = pd.read_csv(real_data / "labels" / "challenge2020_demographics_dx.csv")
    georgia = raw.loc[raw["tranche_name"] == "Georgia", "diagnosis"].str.split(";")
    assert sum(len(set(names)) < len(names) for names in georgia) == 628


@pytest.mark.real_data
def test_melep_table_1_from_labels_alone(real_data: Path) -> None:
    table = read_labels(real_data / "labels" / "challenge2020_demographics_dx.csv")
    records = table.groupby("source").size()
    labels = (published_counts() > 0).sum()
    assert (records["cpsc2018"], labels["cpsc2018"]) == (6877, 9)
    assert (records["georgia"], labels["georgia"]) == (10_344, 67)  # Table 1 says 62 labels, its text 67
    assert labels["csn"] == 94
    assert records["ptbxl"] == 21_837
