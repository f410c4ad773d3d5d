"""Reading records: against independent decodings of the same bytes."""

import csv
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import wfdb

from ecgkit.errors import RecordError
from ecgkit.signals import (
    STANDARD_LEADS,
    age_from_text,
    codes_from_text,
    normalise_lead,
    parse_header,
    read_digital,
    read_record,
    sex_from_text,
    standard_order,
)


def struct_decode(file: Path, leads: int) -> np.ndarray:
    """16-bit samples by a plain loop over bytes, shape (leads, samples)."""
    data = file.read_bytes()
    values = [struct.unpack_from("<h", data, 2 * i)[0] for i in range(len(data) // 2)]
    return np.array([values[lead::leads] for lead in range(leads)])


def header_lines(file: Path) -> list[str]:
    lines = file.read_text().splitlines()
    return [line for line in lines[1:] if line and not line.startswith("#")]


def checksums_match(header_file: Path, digital: np.ndarray) -> bool:
    """Header checksums, recomputed with Python integers from the text of the header."""
    wanted = [int(line.split()[6]) % 65536 for line in header_lines(header_file)]
    return wanted == [sum(row) % 65536 for row in digital.tolist()]


@pytest.fixture
def random_digital() -> np.ndarray:
    return np.random.default_rng(0).integers(-3000, 3000, (12, 400)).astype(np.int16)


def write_with_wfdb(folder: Path, digital: np.ndarray, fmt: str = "16", **options) -> Path:
    leads = options.pop("leads", STANDARD_LEADS)
    wfdb.wrsamp(
        "r1",
        fs=500,
        units=options.pop("units", ["mV"] * len(leads)),
        sig_name=list(leads),
        d_signal=digital.T.astype(np.int64),
        fmt=[fmt] * len(leads),
        adc_gain=options.pop("gain", [1000.0] * len(leads)),
        baseline=options.pop("baseline", [0] * len(leads)),
        write_dir=str(folder),
        **options,
    )
    return folder / "r1.hea"


def test_what_wfdb_writes_is_read_back_bit_for_bit(tmp_path, random_digital):
    header_file = write_with_wfdb(tmp_path, random_digital, comments=["Age: 65", "Sex: Female", "Dx: 1,22"])
    digital, header = read_digital(header_file)
    assert digital.dtype == np.int16 and digital.flags.c_contiguous
    np.testing.assert_array_equal(digital, random_digital)
    np.testing.assert_array_equal(digital, struct_decode(tmp_path / "r1.dat", 12))
    assert (header.name, header.sampling_rate_hz, header.samples) == ("r1", 500.0, 400)
    record = read_record(header_file)
    np.testing.assert_array_equal(record.signal_mv, (random_digital / 1000).astype(np.float32))
    assert (record.age, record.sex, record.codes, record.coding) == (65.0, "female", ("1", "22"), "SNOMED CT")
    assert record.duration_s == 0.8


@pytest.mark.parametrize("named", ["r1", "r1.hea", "r1.dat"])
def test_any_file_or_the_stem_may_be_named(tmp_path, random_digital, named):
    write_with_wfdb(tmp_path, random_digital)
    assert read_record(tmp_path / named).signal_mv.shape == (12, 400)
    assert read_record(str(tmp_path / named)).path == tmp_path / "r1.hea"


@pytest.mark.parametrize("fmt", ["16", "24", "32", "212", "80"])
def test_other_storage_formats_agree_with_wfdb(tmp_path, fmt):
    small = np.random.default_rng(1).integers(-100, 100, (12, 60)).astype(np.int16)
    digital, _ = read_digital(write_with_wfdb(tmp_path, small, fmt))
    np.testing.assert_array_equal(digital, small)


def test_gain_baseline_and_units_turn_into_millivolts(tmp_path, random_digital):
    gain = [200.0 + 10 * i for i in range(12)]
    baseline = [5 * i - 20 for i in range(12)]
    units = ["mV", "uV"] * 6
    header_file = write_with_wfdb(tmp_path, random_digital, gain=gain, baseline=baseline, units=units)
    factor = np.array([1.0, 1e-3] * 6)[:, None]
    physical = wfdb.rdrecord(str(tmp_path / "r1")).p_signal.T * factor
    np.testing.assert_allclose(read_record(header_file).signal_mv, physical, rtol=1e-6, atol=1e-9)


def test_leads_come_in_standard_order_and_extra_leads_are_left_out(tmp_path):
    names = ["vx", "V6", "v5", "V4", "V3", "V2", "V1", "AVF", "avl", "AvR", "iii", "II", "i", "vy", "vz"]
    digital = np.arange(15 * 20, dtype=np.int16).reshape(15, 20)
    record = read_record(write_with_wfdb(tmp_path, digital, leads=names))
    assert record.leads == STANDARD_LEADS
    np.testing.assert_array_equal(record.signal_mv, (digital[12:0:-1] / 1000).astype(np.float32))


def test_leads_may_lie_in_several_files_and_units_default_to_mv(tmp_path):
    digital = np.random.default_rng(2).integers(-900, 900, (12, 30)).astype("<i2")
    digital[:8].T.tofile(tmp_path / "p.dat")
    digital[8:].T.tofile(tmp_path / "p.xyz")
    names = ["i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6"]
    lines = [
        f"p.{'dat' if i < 8 else 'xyz'} 16 2000 16 0 {digital[i, 0]} {digital[i].sum()} 0 {name}"
        for i, name in enumerate(names)
    ]
    (tmp_path / "p.hea").write_text("\n".join(["p 12 1000 30", *lines, "# age: 81", "# sex: female"]))
    record = read_record(tmp_path / "p.xyz")
    np.testing.assert_array_equal(record.signal_mv, (digital / 2000).astype(np.float32))
    assert (record.age, record.sex, record.codes, record.coding) == (81.0, "female", (), None)


def test_challenge_record_whose_name_ends_in_mat(tmp_path, random_digital):
    """wfdb refuses this header; the Challenge published it so."""
    scipy.io.savemat(tmp_path / "E07938.mat", {"val": random_digital}, format="4")
    checksums = [
        (int(row.sum(dtype=int)) + 32768) % 65536 - 32768 for row in random_digital
    ]  # signed, as there
    lines = [
        f"E07938.mat 16+24 1000/mV 16 0 {row[0]} {checksum} 0 {lead}"
        for row, checksum, lead in zip(random_digital, checksums, STANDARD_LEADS, strict=True)
    ]
    text = "\n".join(["E07938.mat 12 500 400 05-May-2020 09:49:17", *lines, "# Age: 65", "# Sex: Female"])
    (tmp_path / "E07938.hea").write_text(text + "\n# Dx: 284470004\n")
    for named in ("E07938", "E07938.hea", "E07938.mat"):
        digital, header = read_digital(tmp_path / named)
        np.testing.assert_array_equal(digital, random_digital)
    assert header.name == "E07938"
    assert header.signals[0].byte_offset == 24
    raw = np.frombuffer((tmp_path / "E07938.mat").read_bytes()[24:], "<i2").reshape(400, 12).T
    np.testing.assert_array_equal(digital, raw)
    record = read_record(tmp_path / "E07938")
    assert (record.name, record.codes, record.age) == ("E07938", ("284470004",), 65.0)


def test_sph_record_with_and_without_its_table(tmp_path):
    signal = np.random.default_rng(3).normal(0, 0.5, (12, 5000)).astype(np.float16)
    (tmp_path / "records").mkdir()
    with h5py.File(tmp_path / "records" / "A00001.h5", "w") as file:
        file["ecg"] = signal
    record = read_record(tmp_path / "records" / "A00001")
    np.testing.assert_array_equal(record.signal_mv, signal.astype(np.float32))
    assert (record.sampling_rate_hz, record.codes, record.coding, record.age) == (500.0, (), None, None)
    (tmp_path / "metadata.csv").write_text(
        "ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date\nA00001,22;145+362,S00001,55,M,5000,2020-03-04\n"
    )
    record = read_record(tmp_path / "records" / "A00001.h5")
    assert (record.codes, record.coding, record.age, record.sex) == (("22", "145+362"), "AHA", 55.0, "male")


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("65", 65.0),
        (" 65.5 ", 65.5),
        ("0", 0.0),
        ("104", 104.0),
        ("NaN", None),
        ("nan", None),
        ("Unknown", None),
        ("", None),
        ("-1", None),
        ("300", None),
        ("inf", None),
    ],
)
def test_variants_of_age(text, age):
    assert age_from_text(text) == age


@pytest.mark.parametrize(
    ("text", "sex"),
    [
        *((text, "female") for text in ("Female", "female", "F", "f", " Female")),
        *((text, "male") for text in ("Male", "male", "M", "m ")),
        *((text, None) for text in ("Unknown", "NaN", "", "0")),
    ],
)
def test_variants_of_sex(text, sex):
    assert sex_from_text(text) == sex


def test_codes_and_their_coding():
    assert codes_from_text(" 164889003, 59118001,") == (("164889003", "59118001"), "SNOMED CT")
    assert codes_from_text("") == codes_from_text("Unknown") == ((), None)
    assert codes_from_text("NORM,SR") == (("NORM", "SR"), None)


@pytest.mark.parametrize("prefix", ["#", "# ", "#\t", "  # "])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_spacing_of_comments_and_line_ends(prefix, ending):
    text = ending.join(["a 1 500/360(0) 10", "a.dat 16 200(-5)/uV 12 3 1 2 0 lead II", f"{prefix}Age:65", ""])
    header = parse_header(text)
    assert header.comments == ("Age:65",)
    line = header.signals[0]
    assert (line.gain, line.baseline, line.units, line.adc_resolution, line.adc_zero) == (
        200,
        -5,
        "uV",
        12,
        3,
    )
    assert (line.initial_value, line.checksum, line.block_size, line.lead) == (1, 2, 0, "lead II")
    assert header.sampling_rate_hz == 500


def test_fields_of_a_signal_line_agree_with_wfdb(tmp_path):
    text = "b 3 360 650000 12:00:00 01/02/2003\nb.dat 212x1 200(1024)/mV 11 1024 995 -22131 0 V1\n"
    text += "b.dat 16:2+24 1.5e3/uV 11 0\nb.dat 16 500\n"
    (tmp_path / "b.hea").write_text(text)
    ours, theirs = parse_header(text), wfdb.rdheader(str(tmp_path / "b"))
    assert [str(s.format) for s in ours.signals] == theirs.fmt
    assert [s.samples_per_frame for s in ours.signals] == theirs.samps_per_frame
    assert [s.skew for s in ours.signals] == [skew or 0 for skew in theirs.skew]
    assert [s.byte_offset for s in ours.signals] == [offset or 0 for offset in theirs.byte_offset]
    assert [s.gain for s in ours.signals] == theirs.adc_gain
    assert [s.units for s in ours.signals] == theirs.units
    assert [s.baseline for s in ours.signals] == [baseline or 0 for baseline in theirs.baseline]
    assert ours.signals[0].checksum == theirs.checksum[0] and ours.signals[0].initial_value == 995


def test_order_of_leads_is_a_permutation_that_sorts():
    rng = np.random.default_rng(0)
    for _ in range(20):
        names = [name.swapcase() for name in rng.permutation(STANDARD_LEADS)]
        assert [normalise_lead(names[i]) for i in standard_order(names)] == list(STANDARD_LEADS)


def test_missing_lead_in_the_order():
    with pytest.raises(RecordError, match="V6"):
        standard_order(STANDARD_LEADS[:-1])


# --- The published sets ---------------------------------------------------------------------------


CHALLENGE = ["cpsc2018", "cpsc2018_extra", "georgia", "csn", "ptb"]
COUNTS = {"cpsc2018": 64, "cpsc2018_extra": 20, "georgia": 45, "csn": 55, "ptb": 5}


@pytest.mark.real_data
@pytest.mark.parametrize("name", CHALLENGE)
def test_every_real_challenge_record(real_data, name):
    files = sorted((real_data / name).glob("*.hea"))
    assert len(files) >= COUNTS[name]
    for file in files:
        digital, header = read_digital(file)
        mat = file.with_suffix(".mat").read_bytes()
        if len(mat) == 24 + 2 * digital.size:  # MATLAB 4: plain numbers after 24 bytes
            plain = np.frombuffer(mat, "<i2", offset=24).reshape(header.samples, 12).T
            np.testing.assert_array_equal(digital, plain)
        else:
            np.testing.assert_array_equal(digital, scipy.io.loadmat(file.with_suffix(".mat"))["val"])
        assert checksums_match(file, digital)
        record = read_record(file)
        assert record.leads == STANDARD_LEADS and record.name == file.stem
        numeric = all(code.isdigit() for code in record.codes)  # CPSC's first release has "PVC" and the like.
        assert record.codes and record.coding == ("SNOMED CT" if numeric else None)
        assert numeric or name == "cpsc2018"
        gain = np.array([float(line.split()[2].split("/")[0].split("(")[0]) for line in header_lines(file)])
        np.testing.assert_array_equal(record.signal_mv, (digital / gain[:, None]).astype(np.float32))


@pytest.mark.real_data
def test_age_and_sex_agree_with_an_independent_table(real_data):
    with (real_data / "labels" / "challenge2020_demographics_dx.csv").open() as file:
        table = {row["record"]: row for row in csv.DictReader(file)}
    compared, different = 0, []
    for name in ("cpsc2018", "cpsc2018_extra", "georgia", "ptb"):
        for file in (real_data / name).glob("*.hea"):
            record = read_record(file)
            row = table[file.stem]
            age = float(row["age"]) if row["age"] and float(row["age"]) >= 0 else None
            assert record.sex == row["sex"].lower()
            if record.age != age:
                different.append((file.stem, record.age, age))
            compared += 1
    assert compared >= 134
    assert different == [("Q0019", 92.0, 90.0)]  # The header and the table differ here.


@pytest.mark.real_data
def test_headers_named_mat_are_among_the_real_ones(real_data):
    named = [f for f in (real_data / "georgia").glob("*.hea") if ".mat " in f.read_text().split("\n")[0]]
    assert len(named) >= 20
    assert {read_record(f).name for f in named} == {f.stem for f in named}


@pytest.mark.real_data
def test_every_real_sph_record(real_data):
    with (real_data / "sph" / "metadata.csv").open() as file:
        table = {row["ECG_ID"]: row for row in csv.DictReader(file)}
    files = sorted((real_data / "sph" / "records").glob("*.h5"))
    assert len(files) >= 6
    for file in files:
        record = read_record(file)
        with h5py.File(file) as h5:
            np.testing.assert_array_equal(record.signal_mv, h5["ecg"][()].astype(np.float32))
        row = table[file.stem]
        assert record.signal_mv.shape[1] == int(row["N"]) and record.age == float(row["Age"])
        assert record.codes == tuple(row["AHA_Code"].split(";")) and record.coding == "AHA"
        assert record.sex == {"M": "male", "F": "female"}[row["Sex"]]
        # Lead III = II - I within the rounding of float16: the rows are in standard order.
        i, ii, iii = record.signal_mv[:3]
        assert np.median(np.abs(ii - i - iii)) < 0.01


@pytest.mark.real_data
def test_real_ptbxl_records(real_data):
    files = sorted((real_data / "ptbxl" / "records100").glob("*/*.hea"))
    assert len(files) == 21799
    chosen = files[::50] + sorted((real_data / "ptbxl" / "records500").glob("*/*.hea"))
    for file in chosen:
        digital, header = read_digital(file)
        data = np.frombuffer(file.with_suffix(".dat").read_bytes(), "<i2")
        np.testing.assert_array_equal(digital, data.reshape(-1, 12).T)
        assert checksums_match(file, digital)
        assert header.sampling_rate_hz == (100 if file.stem.endswith("_lr") else 500)
    for file in chosen[::25]:
        theirs = wfdb.rdrecord(str(file.with_suffix("")), physical=False)
        digital, _ = read_digital(file)
        np.testing.assert_array_equal(digital, theirs.d_signal.T)
        np.testing.assert_array_equal(digital, struct_decode(file.with_suffix(".dat"), 12))
        physical = wfdb.rdrecord(str(file.with_suffix(""))).p_signal.T.astype(np.float32)
        np.testing.assert_array_equal(read_record(file).signal_mv, physical)
