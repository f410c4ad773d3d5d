"""Reading records: against independent decodings of the same bytes."""

import csv
import re
import shutil
import struct
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import DamagedError, FormatError
from ecgkit.signals import (
    STANDARD_LEADS,
    age_from_text,
    codes_from_text,
    normalise_lead,
    parse_header,
    read_digital,
    read_millivolts,
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


FORMATS = {"80": 8, "212": 12, "310": 10, "311": 10, "16": 16, "61": 16, "160": 16, "24": 24, "32": 32}
FLAC = {"508": 8, "516": 16, "524": 24}
WRITTEN = [fmt for fmt in (*FORMATS, *FLAC) if fmt not in ("310", "311", "61", "160")]  # by wfdb


@pytest.mark.parametrize("fmt", WRITTEN)
@pytest.mark.parametrize("samples", [60, 61])
def test_every_storage_format_gives_what_wfdb_wrote(tmp_path, fmt, samples):
    bits = {**FORMATS, **FLAC}[fmt]
    low = -(2 ** (bits - 1)) + 1
    wide = np.random.default_rng(1).integers(low, -low, (12, samples), np.int64)
    digital, _ = read_digital(write_with_wfdb(tmp_path, wide, fmt))
    np.testing.assert_array_equal(digital, wide)
    assert digital.dtype == (np.int32 if bits > 16 else np.int16)
    theirs = wfdb.rdrecord(str(tmp_path / "r1"), physical=False).d_signal.T
    np.testing.assert_array_equal(digital, theirs)


@pytest.mark.parametrize("fmt", WRITTEN)
def test_the_mark_of_an_invalid_sample_is_known_in_every_format(tmp_path, fmt):
    bits = {**FORMATS, **FLAC}[fmt]
    digital = np.full((12, 30), 3, np.int64)
    digital[2, 5] = -(2 ** (bits - 1))
    header_file = write_with_wfdb(tmp_path, digital, fmt)
    np.testing.assert_array_equal(np.argwhere(np.isnan(read_millivolts(header_file)[0])), [[2, 5]])
    with pytest.raises(DamagedError, match="lead III has 1 samples marked as invalid"):
        read_record(header_file)


def test_format_8_stores_differences(tmp_path):
    digital = np.random.default_rng(3).integers(-60, 60, (12, 40)).cumsum(axis=1)
    steps = np.diff(digital, axis=1, prepend=digital[:, :1]).astype(np.int8)
    steps.T.tofile(tmp_path / "d.dat")
    lines = [
        f"d.dat 8 1000/mV 12 0 {row[0]} {row.sum() % 65536} 0 {lead}"
        for row, lead in zip(digital, STANDARD_LEADS, strict=True)
    ]
    (tmp_path / "d.hea").write_text("\n".join(["d 12 500 40", *lines]))
    np.testing.assert_array_equal(read_digital(tmp_path / "d")[0], digital)
    np.testing.assert_array_equal(wfdb.rdrecord(str(tmp_path / "d"), physical=False).d_signal.T, digital)


@given(data=st.data())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_what_wfdb_reads_in_mv_is_read_equal(data):
    """Formats, gains, baselines, offsets, samples per frame, files, extra leads and orders at random."""
    fmt = data.draw(st.sampled_from([*FORMATS, "8"]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    names = [*STANDARD_LEADS, *data.draw(st.sets(st.sampled_from(["vx", "vy", "V7"])))]
    names = [names[i] for i in rng.permutation(len(names))]
    samples, offset = int(rng.integers(1, 40)), int(rng.integers(0, 3)) * 12
    split = int(rng.integers(1, len(names))) if rng.random() < 0.5 else len(names)
    lines, folder = [], Path(tempfile.mkdtemp())
    for name, part in (("r.dat", names[:split]), ("r.d2", names[split:])):
        per_frame = [int(rng.choice([1, 1, 2, 4])) for _ in part]
        for lead, count in zip(part, per_frame, strict=True):
            gain = rng.choice(["200", "1000.5", "-100", "1.5e3", "4883"])
            base = rng.choice(["", "(0)", "(-29)", "(512)"])
            unit = rng.choice(["", "/mV"])
            frame = f"x{count}" if count > 1 else ""
            tail = rng.choice(["12 5 0", "16 0 0"])  # the third field would be the first value of format 8
            lines.append(
                f"{name} {fmt}{frame}+{offset} {gain}{base}{unit} {tail}".rsplit(" ", fmt != "8")[0]
                + f" {lead}"
            )
        values = sum(per_frame) * samples
        size = {"212": -(-values // 2) * 3, "310": -(-values // 3) * 4, "311": -(-values // 3) * 4}.get(
            fmt, values * max(1, {**FORMATS, "8": 8}[fmt] // 8)
        )
        if part:
            content = (
                rng.integers(-(10**7), 10**7, values, "<i4").tobytes() if fmt == "32" else rng.bytes(size)
            )
            (folder / name).write_bytes(rng.bytes(offset) + content)
    rate = data.draw(st.sampled_from(["500", "62.5", "257.0", "500/360", "1000/1(5)"]))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join([f"r {len(names)} {rate} {samples} 12:00:00 01/02/2003", *lines, "#Age: 65", ""])
    (folder / "r.hea").write_bytes(text.encode())
    # wfdb's own mean over a frame cuts off fractions and counts marks of invalid samples as values.
    theirs = wfdb.rdrecord(str(folder / "r"), smooth_frames=False)
    rows = [theirs.e_p_signal[theirs.sig_name.index(lead)] for lead in STANDARD_LEADS]
    expected = np.array([row.reshape(samples, -1).mean(axis=1) for row in rows])
    signal, header = read_millivolts(folder / "r")
    assert header.sampling_rate_hz == theirs.fs and set(theirs.units) == {"mV"}
    np.testing.assert_allclose(signal, expected, rtol=1e-5, atol=1e-6)  # NaN where a sample is marked
    shutil.rmtree(folder)


def test_segments_of_one_record_are_joined_as_wfdb_joins_them(tmp_path, random_digital):
    for name, part in (("s1", random_digital[:, :150]), ("s2", random_digital[:, 150:])):
        write_with_wfdb(tmp_path, part)
        for ending in ("hea", "dat"):
            text = (tmp_path / f"r1.{ending}").read_bytes()
            (tmp_path / f"{name}.{ending}").write_bytes(
                text.replace(b"r1", name.encode()) if ending == "hea" else text
            )
    (tmp_path / "whole.hea").write_text("whole/2 12 500 400\ns1 150\ns2 250\n#Age: 50\n")
    record = read_record(tmp_path / "whole")
    np.testing.assert_array_equal(record.signal_mv, (random_digital / 1000).astype(np.float32))
    np.testing.assert_allclose(record.signal_mv, wfdb.rdrecord(str(tmp_path / "whole")).p_signal.T, atol=1e-6)
    assert (record.name, record.age) == ("whole", 50.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace(" ", "   ").replace("\n", "  \n\n"),
        lambda text: text.replace("\n", "\n# in between\n"),
        lambda text: "# before\n" + text,
        lambda text: "records/" + text,
        lambda text: "ge_median/00001_" + text,
        lambda text: text.replace("500 400", "500 400 10:20:30 01/02/2003"),
        lambda text: text.replace("500 400", "500/1000(0) 400"),
        lambda text: text.replace("500 400", "500"),
        lambda text: text.replace("500 400", "500 0"),
        lambda text: text.replace("500 400", "500 10:20:30"),
        lambda text: text + "r1.dat 16 1000/mV 16 0 0 0 0 more than announced\n",
        lambda text: re.sub(r"/mV .*? (\S+)\n", r"/mV \1\n", text),
        lambda text: re.sub(r"/mV (16 0) .*? (\S+)\n", r" \1 \2\n", text),
        lambda text: text.replace("r1.dat", "R1.DAT"),
        lambda text: text.replace("r1.dat", "r1"),
        lambda text: text.replace("r1.dat", "r1.mat"),
        lambda text: text.replace("1000.0(0)/mV", "1(0)/uV"),
        lambda text: text.replace("1000.0(0)/mV", "1(0)/µV"),
        lambda text: text.replace("1000.0(0)/mV", "1e6/V"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_headers_as_the_format_allows_them(tmp_path, random_digital, change, encoding):
    header_file = write_with_wfdb(tmp_path, random_digital)
    header_file.write_bytes(change(header_file.read_text()).encode(encoding))
    record = read_record(header_file)
    np.testing.assert_allclose(record.signal_mv, random_digital / 1000, rtol=1e-6)
    assert record.sampling_rate_hz == 500


@pytest.mark.parametrize("letters", ["H\xe4ndel", "a ... \x85 b", "\xb5V"])
def test_comments_in_latin_1(tmp_path, random_digital, letters):
    header_file = write_with_wfdb(tmp_path, random_digital)
    header_file.write_bytes(header_file.read_bytes() + f"#Age: 70\n#Hx: {letters}\n".encode("latin-1"))
    record = read_record(header_file)
    assert record.age == 70 and read_digital(header_file)[1].comments[1] == f"Hx: {letters}"


@pytest.mark.parametrize("named", ["r1", "r1.hea", "r1.HEA", "R1.DAT", "r1.dat"])
def test_endings_in_upper_case(tmp_path, random_digital, named):
    write_with_wfdb(tmp_path, random_digital)
    (tmp_path / "r1.dat").rename(tmp_path / "R1.DAT")
    (tmp_path / "r1.hea").rename(tmp_path / "r1.HEA")
    assert read_record(tmp_path / named).signal_mv.shape == (12, 400)


@pytest.mark.parametrize("compressed", [True, False])
def test_record_as_the_organisers_of_cpsc_2018_published_it(tmp_path, compressed):
    signal = np.random.default_rng(4).normal(0, 0.5, (12, 700))
    ecg = {"sex": "Female", "age": 61, "data": signal}
    scipy.io.savemat(tmp_path / "A0001.mat", {"ECG": ecg}, do_compression=compressed)
    for named in ("A0001", "A0001.mat", "A0001.MAT"):
        record = read_record(tmp_path / named)
        np.testing.assert_array_equal(record.signal_mv, signal.astype(np.float32))
        assert (record.name, record.sampling_rate_hz, record.age, record.sex) == (
            "A0001",
            500.0,
            61.0,
            "female",
        )
        assert (record.codes, record.coding, record.path) == ((), None, tmp_path / "A0001.mat")
    with pytest.raises(FormatError, match="use read_record"):
        read_digital(tmp_path / "A0001.mat")


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
        ("6_5", None),
        ("9" * 5000, None),
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
    with pytest.raises(FormatError, match="V6"):
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
def test_both_publications_of_cpsc_2018_agree(real_data):
    compared = 0
    for file in sorted((real_data / "cpsc2018").glob("*.hea")):
        original = real_data / "cpsc2018_original" / f"{file.stem}.mat"
        if original.exists():
            ours, theirs = read_record(original), read_record(file)
            np.testing.assert_allclose(ours.signal_mv, theirs.signal_mv, atol=6e-4)
            assert ours.sex == theirs.sex and (ours.age == theirs.age or theirs.age is None)
            compared += 1
    assert compared >= 10


@pytest.mark.real_data
def test_real_records_of_the_original_cpsc_2018(real_data):
    files = sorted((real_data / "cpsc2018_original").glob("*.mat"))
    assert len(files) >= 300
    for file in files[::20]:
        record, ecg = read_record(file), scipy.io.loadmat(file)["ECG"][0, 0]
        np.testing.assert_array_equal(record.signal_mv, ecg["data"].astype(np.float32))
        assert (record.age, record.sex) == (float(ecg["age"].item()), str(ecg["sex"].item()).lower())


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
