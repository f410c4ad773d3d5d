"""One test per way in which a record can be damaged: a clear error that names the file."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError, RecordError
from ecgkit.signals import STANDARD_LEADS, parse_header, read_digital, read_record

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


def write_mat(folder: Path, digital, variables=None) -> Path:
    lines = signal_lines(digital, "a.mat", form="16+24")
    (folder / "a.hea").write_text("\n".join([f"a 12 500 {SAMPLES}", *lines]))
    scipy.io.savemat(folder / "a.mat", {"val": digital} if variables is None else variables)
    return folder / "a.hea"


def fails(path: Path, *words: str) -> None:
    """Reading must raise a RecordError that names the record and has all `words`."""
    with pytest.raises(RecordError) as caught:
        read_record(path)
    message = str(caught.value)
    assert path.stem in message
    for word in words:
        assert word in message, message
    assert isinstance(caught.value, EcgkitError) and isinstance(caught.value, ValueError)


def test_the_sound_record_is_read(tmp_path, digital):
    assert read_record(write(tmp_path, digital)).signal_mv.shape == (12, SAMPLES)


def test_the_sound_mat_record_is_read(tmp_path, digital):
    np.testing.assert_array_equal(read_digital(write_mat(tmp_path, digital))[0], digital)


def test_truncated_dat(tmp_path, digital):
    path = write(tmp_path, digital)
    file = tmp_path / "a.dat"
    file.write_bytes(file.read_bytes()[:-24])
    fails(path, "a.dat", "truncated", "download")


def test_dat_cut_within_a_number(tmp_path, digital):
    path = write(tmp_path, digital)
    file = tmp_path / "a.dat"
    file.write_bytes(file.read_bytes()[:-1])
    fails(path, "a.dat", "truncated")


def test_dat_that_is_too_long(tmp_path, digital):
    path = write(tmp_path, digital)
    with (tmp_path / "a.dat").open("ab") as file:
        file.write(bytes(24))
    fails(path, "a.dat", "too long")


def test_missing_dat(tmp_path, digital):
    path = write(tmp_path, digital)
    (tmp_path / "a.dat").unlink()
    fails(path, "a.dat", "download")


def test_wrong_checksum(tmp_path, digital):
    path = write(tmp_path, digital)
    digital[7, 20] += 1
    digital.T.tofile(tmp_path / "a.dat")
    fails(path, "checksum", "V2", "download")


def test_wrong_first_value_with_a_right_checksum(tmp_path, digital):
    path = write(tmp_path, digital)
    digital[1, 0] += 1
    digital[1, 1] -= 1
    digital.T.tofile(tmp_path / "a.dat")
    fails(path, "lead II", "begins with")


def test_missing_lead(tmp_path, digital):
    path = write(tmp_path, digital[:11], signal_lines(digital[:11]), f"a 11 500 {SAMPLES}")
    fails(path, "missing lead V6")


def test_unknown_lead_name(tmp_path, digital):
    leads = ("MLII", *STANDARD_LEADS[1:])
    fails(write(tmp_path, digital, signal_lines(digital, leads=leads)), "unknown lead", "MLII")


def test_lead_without_a_name(tmp_path, digital):
    lines = signal_lines(digital)
    lines[3] = lines[3].rsplit(" ", 1)[0]
    fails(write(tmp_path, digital, lines), "unknown lead name ''")


def test_the_same_lead_twice(tmp_path, digital):
    leads = ("II", *STANDARD_LEADS[1:])
    fails(write(tmp_path, digital, signal_lines(digital, leads=leads)), "II appears twice")


def test_invalid_sample(tmp_path, digital):
    digital[4, 10:13] = -32768
    path = write(tmp_path, digital)
    fails(path, "aVL", "3 samples", "invalid")
    assert (read_digital(path)[0][4, 10:13] == -32768).all()  # The raw numbers stay at hand.


def test_unknown_unit(tmp_path, digital):
    fails(write(tmp_path, digital, signal_lines(digital, gain="1000/mmHg")), "mmHg", "mV")


@pytest.mark.parametrize("gain", ["0/mV", "abc/mV", "1000(x)/mV", "inf"])
def test_gain_that_is_none(tmp_path, digital, gain):
    fails(write(tmp_path, digital, signal_lines(digital, gain=gain)), "gain")


def test_zero_samples(tmp_path, digital):
    fails(write(tmp_path, digital[:, :0], signal_lines(digital), "a 12 500 0"), "zero samples")


def test_missing_number_of_samples(tmp_path, digital):
    fails(write(tmp_path, digital, record_line="a 12 500"), "number of samples is missing")


@pytest.mark.parametrize("count", ["-5", "1e3", "5000.0", "٣"])
def test_number_of_samples_that_is_none(tmp_path, digital, count):
    fails(write(tmp_path, digital, record_line=f"a 12 500 {count}"), "number of samples")


def test_missing_sampling_rate(tmp_path, digital):
    fails(write(tmp_path, digital, record_line="a 12"), "sampling rate is missing")


@pytest.mark.parametrize("rate", ["0", "-500", "fast", "nan", "inf", "1e300"])
def test_sampling_rate_that_is_none(tmp_path, digital, rate):
    fails(write(tmp_path, digital, record_line=f"a 12 {rate} {SAMPLES}"), "sampling rate")


def test_header_that_is_not_utf8(tmp_path, digital):
    path = write(tmp_path, digital)
    path.write_bytes(path.read_bytes() + "#Hx: Händel\n".encode("latin-1"))
    fails(path, "not UTF-8", "0xe4")


def test_header_in_utf8_with_umlauts_is_read(tmp_path, digital):
    path = write(tmp_path, digital)
    path.write_bytes(path.read_bytes() + "#Hx: Händel\n".encode())
    assert read_digital(path)[1].comments == ("Hx: Händel",)


def test_empty_header(tmp_path, digital):
    path = write(tmp_path, digital)
    path.write_text("# nothing\n")
    fails(path, "empty")


def test_header_of_several_segments(tmp_path, digital):
    fails(write(tmp_path, digital, record_line=f"a/2 12 500 {SAMPLES}"), "segments")


@pytest.mark.parametrize("announced", ["11", "13", "0", "x"])
def test_wrong_number_of_signals(tmp_path, digital, announced):
    fails(write(tmp_path, digital, record_line=f"a {announced} 500 {SAMPLES}"), "signals")


def test_signal_line_with_a_text_for_a_number(tmp_path, digital):
    lines = signal_lines(digital)
    lines[0] = "a.dat 16 1000/mV 16 zero 1 2 0 I"
    fails(write(tmp_path, digital, lines), "whole number")


def test_signal_line_that_is_cut(tmp_path, digital):
    fails(write(tmp_path, digital, [*signal_lines(digital)[:11], "a.dat 16"]), "lacks")


def test_storage_format_that_is_none(tmp_path, digital):
    fails(write(tmp_path, digital, signal_lines(digital, form="16z")), "storage format")


def test_storage_format_that_wfdb_does_not_know(tmp_path, digital):
    fails(write(tmp_path, digital, signal_lines(digital, form="99")), "wfdb")


def test_leads_of_unequal_rate(tmp_path, digital):
    fails(write(tmp_path, digital, signal_lines(digital, form="16x2")), "unequal rate")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a.dat", "..", "sub/a.dat", "..\\a.dat", "C:a.dat", "~/a.dat", "~", "-"]
)
def test_data_file_outside_the_folder(tmp_path, digital, name):
    (tmp_path.parent / "a.dat").write_bytes(b"secret")
    fails(write(tmp_path, digital, signal_lines(digital, name)), "plain name")


def test_no_such_record(tmp_path):
    for name in ("a", "a.hea", "a.dat", "a.mat", "a.h5"):
        fails(tmp_path / name, "check the path")


def test_corrupt_mat(tmp_path, digital):
    path = write_mat(tmp_path, digital)
    (tmp_path / "a.mat").write_bytes(b"not a MATLAB file at all" * 20)
    fails(path, "a.mat", "not a readable MATLAB file")


def test_truncated_mat(tmp_path, digital):
    path = write_mat(tmp_path, digital)
    file = tmp_path / "a.mat"
    file.write_bytes(file.read_bytes()[:-100])
    fails(path, "a.mat", "download")


def test_empty_mat(tmp_path, digital):
    path = write_mat(tmp_path, digital)
    (tmp_path / "a.mat").write_bytes(b"")
    fails(path, "a.mat", "not a readable MATLAB file")


def test_missing_mat(tmp_path, digital):
    path = write_mat(tmp_path, digital)
    (tmp_path / "a.mat").unlink()
    fails(path, "a.mat", "missing")


@pytest.mark.parametrize(
    "variables",
    [
        {"other": np.zeros((12, SAMPLES), np.int16)},
        {"val": np.array([["a", {"b": 1}]], dtype=object)},
        {"val": "text"},
        {"val": np.full((12, SAMPLES), np.nan)},
    ],
)
def test_mat_without_integers(tmp_path, digital, variables):
    fails(write_mat(tmp_path, digital, variables), "a.mat", "no variable 'val' with integers")


def test_mat_of_another_shape(tmp_path, digital):
    fails(write_mat(tmp_path, digital, {"val": digital.T}), "a.mat", "shape")


def test_mat_with_a_wrong_checksum(tmp_path, digital):
    changed = digital.copy()
    changed[0, 5] += 1
    fails(write_mat(tmp_path, digital, {"val": changed}), "checksum of lead I ")


def test_mat_of_more_than_16_bits(tmp_path, digital):
    fails(write_mat(tmp_path, digital, {"val": digital.astype(np.int32) + 70000}), "16 bits")


def write_h5(folder: Path, name: str = "ecg", data=None) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        file[name] = np.zeros((12, SAMPLES), np.float16) if data is None else data
    return folder / "a.h5"


def test_corrupt_h5(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"no HDF5 " * 100)
    fails(tmp_path / "a.h5", "not a readable HDF5 file", "download")


def test_truncated_h5(tmp_path):
    path = write_h5(tmp_path, data=np.zeros((12, 5000), np.float16))
    path.write_bytes(path.read_bytes()[:20000])
    fails(path, "not a readable HDF5 file")


def test_h5_with_another_dataset(tmp_path):
    fails(write_h5(tmp_path, "signal"), "no dataset 'ecg'", "signal")


@pytest.mark.parametrize("data", [np.zeros((5000, 12), np.float16), np.zeros((12, 50), np.int16), 1.0])
def test_h5_of_another_shape_or_type(tmp_path, data):
    fails(write_h5(tmp_path, data=data), "shape")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_h5_with_values_that_are_no_numbers(tmp_path, value):
    data = np.zeros((12, SAMPLES), np.float16)
    data[11, 3:5] = value
    fails(write_h5(tmp_path, data=data), "2 samples", "V6")


def test_h5_of_zero_length(tmp_path):
    fails(write_h5(tmp_path, data=np.zeros((12, 0), np.float16)), "zero samples")


def test_h5_whose_table_is_cut_short(tmp_path):
    (tmp_path / "metadata.csv").write_text("ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date\na,1")
    record = read_record(write_h5(tmp_path))
    assert (record.codes, record.age, record.sex) == (("1",), None, None)


def test_h5_shorter_than_its_table_says(tmp_path):
    (tmp_path / "metadata.csv").write_text("ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date\na,1,S,32,M,6000,x\n")
    fails(write_h5(tmp_path), "6000", "metadata.csv")


def test_h5_with_a_table_of_something_else(tmp_path):
    (tmp_path / "metadata.csv").write_text("id,label\n1,2\n")
    with pytest.raises(RecordError, match=r"metadata\.csv"):
        read_record(write_h5(tmp_path))


def test_h5_has_no_integers(tmp_path):
    with pytest.raises(RecordError, match="use read_record"):
        read_digital(write_h5(tmp_path))


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
    assert header.samples > 0 and header.sampling_rate_hz > 0 and header.signals
    assert all("/" not in s.file_name and "\\" not in s.file_name and s.gain != 0 for s in header.signals)
