"""Damaged, foreign and missing records: one clear error each, of the right kind, that names the file."""

import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import (
    DamagedError,
    DataNotFoundError,
    EcgkitError,
    FormatError,
    RecordError,
    TableError,
)
from ecgkit.signals import STANDARD_LEADS, parse_header, read_digital, read_millivolts, read_record

SAMPLES = 50


@pytest.fixture
def digital() -> np.ndarray:
    return np.random.default_rng(0).integers(-900, 900, (12, SAMPLES)).astype("<i2")


def signal_lines(digital, file="a.dat", leads=STANDARD_LEADS, form="16", gain="1000/mV"):
    return [
        f"{file} {form} {gain} 16 0 {row[0]} {int(row.sum(dtype=int)) % 65536} 0 {lead}"
        for row, lead in zip(digital, leads, strict=False)
    ]


def write(folder: Path, digital, lines=None, record_line=f"a 12 500 {SAMPLES}") -> Path:
    """A sound record, but for the `lines` or `record_line` given."""
    lines = signal_lines(digital) if lines is None else lines
    (folder / "a.hea").write_text("\n".join([record_line, *lines, ""]))
    digital.T.tofile(folder / "a.dat")
    return folder / "a.hea"


def write_mat(folder: Path, digital, variables=None, **options) -> Path:
    lines = signal_lines(digital, "a.mat", form="16+24")
    (folder / "a.hea").write_text("\n".join([f"a 12 500 {SAMPLES}", *lines]))
    scipy.io.savemat(folder / "a.mat", {"val": digital} if variables is None else variables, **options)
    return folder / "a.hea"


def write_h5(folder: Path, name: str = "ecg", data=None) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        file[name] = np.zeros((12, SAMPLES), np.float16) if data is None else data
    return folder / "a.h5"


def fails(path: Path, kind: type[EcgkitError], *words: str) -> None:
    """Reading must raise an error of this very kind that names the record and has all `words`."""
    with pytest.raises(EcgkitError) as caught:
        read_record(path)
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert len(message) < 1000
    for word in (path.stem[:100], *words):
        assert word in message, message


def test_the_sound_records_are_read(tmp_path, digital):
    assert read_record(write(tmp_path, digital)).signal_mv.shape == (12, SAMPLES)
    for options in ({"format": "4"}, {}, {"do_compression": True}):
        np.testing.assert_array_equal(read_digital(write_mat(tmp_path, digital, **options))[0], digital)


# --- Headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record_line", "kind", "words"),
    [
        *(
            (f"a 12 500 {n}", DamagedError, "number of samples")
            for n in ("-5", "1e3", "5.0", "٣", "9" * 5000)
        ),
        ("a 12", FormatError, "sampling rate is missing"),
        *(
            (f"a 12 {rate} {SAMPLES}", DamagedError, "sampling rate")
            for rate in ("0", "-500", "fast", "nan", "inf", "1e300", "0.01", "1", "1e9", "9" * 5000)
        ),
        *((f"a {n} 500 {SAMPLES}", DamagedError, "signals") for n in ("13", "0", "x", "9" * 5000)),
        (f"a 11 500 {SAMPLES}", DamagedError, "too long"),
        ("a 12 500 500000000000", DamagedError, "truncated"),
        ("a/2 12 500 50\nb 20\nc 20", DamagedError, "segments have 40 samples"),
        ("a/2 12 500 50\nb 25\nb 25", DamagedError, "segments"),
        ("a/2 12 500 50\n~ 25\nb 25", FormatError, "gaps"),
        ("a/2 12 500 50\n../b 25\nc 25", FormatError, "plain name"),
        ("a/2 12 500 50\nb 25\nc 25", DataNotFoundError, "segment b"),
    ],
)
def test_record_lines_that_cannot_be(tmp_path, digital, record_line, kind, words):
    lines = [] if "\n" in record_line else None
    fails(write(tmp_path, digital, lines, record_line), kind, words)


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        *(
            ({"gain": gain}, DamagedError, "gain")
            for gain in (
                "abc/mV",
                "1000(x)/mV",
                "inf",
                "1e999/mV",
                "1e-300/mV",
                "1e30/mV",
                f"200({'9' * 23})/mV",
            )
        ),
        ({"gain": "200(999999999999)/mV"}, DamagedError, "impossible gain"),
        ({"gain": "0.1(99999999)/mV"}, DamagedError, "holds more than"),
        ({"gain": "0/mV"}, FormatError, "not calibrated"),
        ({"gain": "1000/mmHg"}, FormatError, "mmHg"),
        ({"form": "16z"}, DamagedError, "storage format"),
        ({"form": "99"}, FormatError, "storage format 99"),
        ({"form": "16x2"}, DamagedError, "truncated"),
        ({"form": "16x0"}, DamagedError, "storage format"),
        ({"form": "16:5"}, FormatError, "skew"),
        ({"form": f"16+{'9' * 17}"}, DamagedError, "truncated"),
        ({"form": "16+1e30"}, DamagedError, "storage format"),
        ({"leads": ("MLII", *STANDARD_LEADS[1:])}, FormatError, "unknown lead name 'MLII'"),
        ({"leads": ("II", *STANDARD_LEADS[1:])}, FormatError, "II appears twice"),
        *(
            ({"file": name}, FormatError, "plain name")
            for name in (
                "/etc/passwd",
                "../a.dat",
                "..",
                "sub/a.dat",
                "..\\a.dat",
                "C:a.dat",
                "~/a.dat",
                "~",
                "-",
            )
        ),
    ],
)
def test_signal_lines_that_cannot_be(tmp_path, digital, changed, kind, words):
    (tmp_path.parent / "a.dat").write_bytes(b"secret")
    fails(write(tmp_path, digital, signal_lines(digital, **changed)), kind, words)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("a.dat 16 1000/mV 16 zero 1 2 0 V6", FormatError, "unknown lead name"),
        (f"a.dat 16 1000/mV 16 {'9' * 5000} 1 2 0 V6", FormatError, "unknown lead name"),
        ("a.dat 16 1000/mV", FormatError, "unknown lead name ''"),
        ("a.dat", DamagedError, "lacks"),
        ("a.dat 16", FormatError, "not calibrated"),
        ("a.dat 61 1000/mV 16 0 1 2 0 V6", DamagedError, "several formats"),
    ],
)
def test_the_last_signal_line(tmp_path, digital, line, kind, words):
    fails(write(tmp_path, digital, [*signal_lines(digital)[:11], line]), kind, words)


def test_a_lead_short(tmp_path, digital):
    path = write(tmp_path, digital[:11], signal_lines(digital[:11]), f"a 11 500 {SAMPLES}")
    fails(path, FormatError, "missing lead V6")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\0" * 100, b"\xff\xfe" + b"\0" * 7])
def test_headers_without_a_header(tmp_path, digital, content):
    path = write(tmp_path, digital)
    path.write_bytes(content)
    fails(path, DamagedError, "download")


def test_a_header_as_large_as_a_film(tmp_path):
    with (tmp_path / "a.hea").open("wb") as file:
        file.truncate(2**40)
    fails(tmp_path / "a.hea", FormatError, "1,048,576")


SOUND = "\n".join(
    ["a 2 500 50", "a.dat 16 1000(0)/mV 16 0 1 2 0 I", "a.mat 16x1+24 200/uV 12 0 -1 -2 0 aVR", "#Age: 65"]
)


@given(at=st.integers(0, len(SOUND) - 1), new=st.text(max_size=4), cut=st.integers(0, 6))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_damaged_headers_are_read_or_refused_but_never_break(at, new, cut):
    try:
        header = parse_header(SOUND[:at] + new + SOUND[at + cut :])
    except RecordError:
        return
    assert header.samples >= 0 and 10 <= header.sampling_rate_hz <= 100_000
    assert all("/" not in s.file_name and "\\" not in s.file_name and s.gain != 0 for s in header.signals)


# --- Data files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda data: data[:-24], DamagedError, ("a.dat", "truncated", "download")),
        (lambda data: data[:-1], DamagedError, ("a.dat", "truncated")),
        (lambda data: data + bytes(24), DamagedError, ("a.dat", "too long")),
        (lambda data: b"", DamagedError, ("truncated",)),
        (None, DataNotFoundError, ("a.dat", "missing")),
    ],
)
def test_damaged_data_files(tmp_path, digital, change, kind, words):
    path = write(tmp_path, digital)
    file = tmp_path / "a.dat"
    data = file.read_bytes()
    file.unlink()
    if change:
        file.write_bytes(change(data))
    fails(path, kind, *words)


def test_wrong_checksum_and_wrong_first_value(tmp_path, digital):
    path = write(tmp_path, digital)
    changed = digital.copy()
    changed[7, 20] += 1
    changed.T.tofile(tmp_path / "a.dat")
    fails(path, DamagedError, "checksum", "V2", "download")
    changed = digital.copy()
    changed[1, :2] += np.array([1, -1], "<i2")
    changed.T.tofile(tmp_path / "a.dat")
    fails(path, DamagedError, "lead II", "begins with")


def test_invalid_samples(tmp_path, digital):
    digital[4, 10:13] = -32768
    path = write(tmp_path, digital)
    fails(path, DamagedError, "aVL", "3 samples", "invalid")
    assert (read_digital(path)[0][4, 10:13] == -32768).all()  # The raw numbers stay at hand,
    signal, _ = read_millivolts(path)  # and so do the others.
    np.testing.assert_array_equal(np.argwhere(np.isnan(signal)), [[4, 10], [4, 11], [4, 12]])
    assert signal[4, 13] == np.float32(digital[4, 13] / 1000)


@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
@pytest.mark.parametrize("name", ["a.hea", "a.dat", "a.mat", "a.h5", "metadata.csv"])
def test_what_is_no_file_is_never_opened(tmp_path, digital, kind, name):
    """A pipe never ends, and neither does /dev/zero."""
    if name == "a.mat":
        write_mat(tmp_path, digital)
    elif name in ("a.h5", "metadata.csv"):
        write_h5(tmp_path)
    else:
        write(tmp_path, digital)
    (tmp_path / name).unlink(missing_ok=True)
    {
        "fifo": lambda path: os.mkfifo(path),
        "device": lambda path: path.symlink_to("/dev/zero"),
        "folder": lambda path: path.mkdir(),
    }[kind](tmp_path / name)
    with pytest.raises(FormatError, match="not a file"):
        read_record(tmp_path / ("a.h5" if name == "metadata.csv" else name.replace(".mat", ".hea")))


@pytest.mark.parametrize(
    "name", ["a", "a.hea", "a.dat", "a.mat", "a.h5", "x" * 5000, "x" * 5000 + ".hea", "a\0b", "a.edf"]
)
def test_no_such_record(tmp_path, name):
    fails(tmp_path / name, DataNotFoundError, "check")


def test_files_of_other_kinds(tmp_path, digital):
    for name in ("x.edf", "x.zip", "x.csv"):
        (tmp_path / name).write_bytes(b"something")
        fails(tmp_path / name, FormatError, "convert")
    with pytest.raises(FormatError, match="folder"):
        read_record("")
    write(tmp_path, digital).unlink()
    fails(tmp_path / "a.dat", DataNotFoundError, "a.hea")


# --- MATLAB ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a MATLAB file at all" * 20, "not a readable MATLAB file"),
        (b"", "not a readable MATLAB file"),
        (None, "missing"),
    ],
)
def test_corrupt_and_missing_mat(tmp_path, digital, content, words):
    path = write_mat(tmp_path, digital)
    (tmp_path / "a.mat").unlink()
    if content is not None:
        (tmp_path / "a.mat").write_bytes(content)
    fails(path, DataNotFoundError if content is None else DamagedError, "a.mat", words)


@pytest.mark.parametrize("options", [{"format": "4"}, {}, {"do_compression": True}])
def test_truncated_mat(tmp_path, digital, options):
    path = write_mat(tmp_path, digital, **options)
    file = tmp_path / "a.mat"
    file.write_bytes(file.read_bytes()[:-100])
    fails(path, DamagedError, "a.mat", "download")


def test_every_damaged_byte_of_a_mat_file_is_harmless(tmp_path, digital):
    """scipy's reader ends Python on some of these."""
    path = write_mat(tmp_path, digital)
    file = tmp_path / "a.mat"
    sound = file.read_bytes()
    for at in range(0, 256):
        for value in (127, sound[at] ^ 1):
            file.write_bytes(sound[:at] + bytes([value]) + sound[at + 1 :])
            try:
                np.testing.assert_array_equal(read_digital(path)[0], digital)
            except RecordError:
                continue


@pytest.mark.parametrize(
    "variables",
    [
        {"other": np.zeros((12, SAMPLES), np.int16)},
        {"val": np.array([["a", {"b": 1}]], dtype=object)},
        {"val": "text"},
        {"val": np.full((12, SAMPLES), np.nan)},
        {"val": np.full((12, SAMPLES), 0.5)},
        {"val": np.zeros((12, SAMPLES), complex)},
    ],
)
def test_mat_without_integers(tmp_path, digital, variables):
    fails(write_mat(tmp_path, digital, variables), FormatError, "a.mat", "no variable 'val' with integers")


def test_mat_that_contradicts_its_header(tmp_path, digital):
    fails(write_mat(tmp_path, digital, {"val": digital.T}), DamagedError, "a.mat", "shape")
    changed = digital.copy()
    changed[0, 5] += 1
    fails(write_mat(tmp_path, digital, {"val": changed}), DamagedError, "checksum of lead I ")
    fails(write_mat(tmp_path, digital, {"val": digital.astype(float) * 1e9}), DamagedError, "32 bits")


def test_mat_of_whole_floating_numbers_or_more_bits_is_read(tmp_path, digital):
    for kind in (np.float64, np.int32, np.int64):
        np.testing.assert_array_equal(
            read_digital(write_mat(tmp_path, digital, {"val": digital.astype(kind)}))[0], digital
        )


def test_mat_of_matlab_7_3(tmp_path, digital):
    path = write_mat(tmp_path, digital)
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["val"] = digital
    fails(path, FormatError, "7.3", "-v7")


def test_mat_without_its_header(tmp_path, digital):
    write_mat(tmp_path, digital).unlink()
    fails(tmp_path / "a.mat", DataNotFoundError, "a.hea")
    scipy.io.savemat(tmp_path / "a.mat", {"ECG": {"data": np.zeros((3, 40)), "sex": "Male"}})
    fails(tmp_path / "a.mat", FormatError, "12 leads")
    scipy.io.savemat(tmp_path / "a.mat", {"ECG": {"data": np.full((12, 40), np.inf)}})
    fails(tmp_path / "a.mat", DamagedError, "no voltages")


def test_small_files_that_announce_or_unpack_to_gigabytes(tmp_path):
    """Read with half a GiB to spare, in a process of its own."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("ecg", (12, 2**28), "f2", chunks=(12, 2**20), fillvalue=0.0)
    scipy.io.savemat(tmp_path / "b.mat", {"val": np.zeros((12, 2**22), np.int8)}, do_compression=True)
    (tmp_path / "b.hea").write_text(
        "\n".join(["b 12 500 5000", *(f"b.mat 16+24 1/mV 16 0 0 0 0 {n}" for n in STANDARD_LEADS)])
    )
    (tmp_path / "c.hea").write_text(
        "\n".join([f"c 12 500 {2**39}", *(f"{n}.dat 16 1/mV 16 0 0 0 0 {n}" for n in STANDARD_LEADS)])
    )
    (tmp_path / "I.dat").write_bytes(bytes(100))
    packed = (
        b"MATLAB 5.0 MAT-file".ljust(124)
        + struct.pack("<H", 0x100)
        + b"IM"
        + struct.pack("<4I", 14, 2**31, 6, 8)
    )
    (tmp_path / "d.mat").write_bytes(packed)
    code = f"""
        from ecgkit.errors import EcgkitError
        from ecgkit.signals import read_record
        import resource, h5py, soundfile
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 2**29
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        for name in ("a.h5", "b.hea", "c.hea", "d.mat"):
            try:
                read_record({str(tmp_path)!r} + "/" + name)
            except EcgkitError as error:
                print(type(error).__name__)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["DamagedError", "FormatError", "DamagedError", "DamagedError"]


# --- HDF5 and the table of SPH --------------------------------------------------------------------


def test_corrupt_and_truncated_h5(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"no HDF5 " * 100)
    fails(tmp_path / "a.h5", DamagedError, "not a readable HDF5 file", "download")
    path = write_h5(tmp_path, data=np.zeros((12, 5000), np.float16))
    path.write_bytes(path.read_bytes()[:20000])
    fails(path, DamagedError, "not a readable HDF5 file")


@pytest.mark.parametrize("data", [np.zeros((5000, 12), np.float16), np.zeros((12, 50), np.int16), 1.0])
def test_h5_of_another_shape_or_type(tmp_path, data):
    fails(write_h5(tmp_path, data=data), FormatError, "shape")


def test_h5_with_something_else(tmp_path):
    fails(write_h5(tmp_path, "signal"), FormatError, "no dataset 'ecg'", "signal")
    fails(write_h5(tmp_path, data=np.zeros((12, 0), np.float16)), DamagedError, "zero samples")
    data = np.zeros((12, SAMPLES), np.float16)
    data[11, 3:5] = np.nan, np.inf
    fails(write_h5(tmp_path, data=data), DamagedError, "2 samples", "V6")
    with pytest.raises(FormatError, match="use read_record"):
        read_digital(write_h5(tmp_path))


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_h5_of_which_a_part_was_never_written(tmp_path, compression):
    """HDF5 itself gives zeros for it."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        signal = file.create_dataset("ecg", (12, 5000), "f2", chunks=(12, 1000), compression=compression)
        signal[:, :1000] = np.random.default_rng(0).normal(size=(12, 1000))
    fails(tmp_path / "a.h5", DamagedError, "cannot be")


def test_h5_of_a_kilovolt_and_more(tmp_path):
    fails(write_h5(tmp_path, data=np.full((12, SAMPLES), 1e300)), DamagedError, "mV")


@pytest.mark.parametrize("names", ["ab", "ba", "cb"])
def test_segments_that_consist_of_segments(tmp_path, digital, names):
    write_mat(tmp_path, digital).rename(tmp_path / "b.hea")
    for name, parts in (("a", names), ("c", "ab")):
        lines = [f"{part} {SAMPLES}" for part in parts]
        (tmp_path / f"{name}.hea").write_text("\n".join([f"{name}/2 12 500 {2 * SAMPLES}", *lines]))
    fails(tmp_path / "a.hea", DamagedError, "consists of segments")


def test_h5_never_reads_other_files(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(240)) * 10)
    other = write_h5(tmp_path)
    other = other.rename(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("ecg", (12, 100), "f2", external=[(str(tmp_path / "secret"), 0, 2400)])
    fails(tmp_path / "a.h5", FormatError, "of this file itself")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ecg"] = h5py.ExternalLink(str(other), "ecg")
    fails(tmp_path / "a.h5", FormatError, "of this file itself")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        layout = h5py.VirtualLayout((12, SAMPLES), "f2")
        layout[:] = h5py.VirtualSource(str(other), "ecg", (12, SAMPLES))
        file.create_virtual_dataset("ecg", layout)
    fails(tmp_path / "a.h5", FormatError, "of this file itself")


ROW = "a,22;145+362,S00001,55,M,50,2020-03-04"
COLUMNS = "ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date"


@pytest.mark.parametrize(
    "table",
    [
        f"{COLUMNS}\n{ROW}\n".encode(),
        f"\ufeff{COLUMNS}\n{ROW}\n".encode(),
        f"{COLUMNS}\r\n{ROW}\r\n".encode(),
        f"{COLUMNS}\n{ROW}\n".replace(";", "|")
        .replace(",", ";")
        .replace("22|145+362", '"22;145+362"')
        .encode(),
        f"{COLUMNS}\n{ROW}\n".encode("utf-16"),
        f"{COLUMNS}\n{ROW.replace('a,', 'a.h5,')}\n".encode(),
        f"\n{COLUMNS}\n{ROW}\n".replace(",", "\t").encode(),
        f"{COLUMNS}\n{ROW.replace('50,', ' 50.0 ,')}\n,,,,,,\n".encode(),
    ],
)
def test_tables_of_sph_as_programs_write_them(tmp_path, table):
    (tmp_path / "metadata.csv").write_bytes(table)
    record = read_record(write_h5(tmp_path))
    assert (record.codes, record.age, record.sex) == (("22", "145+362"), 55.0, "male")


@pytest.mark.parametrize(
    ("table", "kind", "words"),
    [
        ("id,label\n1,2\n", TableError, "ECG_ID"),
        (f"{COLUMNS}\na,1", TableError, "column N"),
        (f"{COLUMNS}\n{ROW.replace('50,', '²,')}", TableError, "column N"),
        (f"{COLUMNS}\n{ROW.replace('55,', '55 or so,')}", TableError, "column Age"),
        (f"{COLUMNS}\nb{ROW}", TableError, "not listed"),
        (f"{COLUMNS}\n{ROW.replace('50,', '6000,')}", DamagedError, "6000"),
        ("\xe4", TableError, "UTF-8"),
    ],
)
def test_tables_of_sph_that_cannot_be(tmp_path, table, kind, words):
    (tmp_path / "metadata.csv").write_bytes(
        table.encode("latin-1", "replace") if "\xe4" in table else table.encode()
    )
    with pytest.raises(kind, match=words) as caught:
        read_record(write_h5(tmp_path))
    assert type(caught.value) is kind and "metadata.csv" in str(caught.value)
