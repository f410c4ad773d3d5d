"""Reading ECG records: WFDB, the Challenge's .hea with .mat, CPSC 2018's own .mat, and the SPH set's .h5."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgkit.errors import DamagedError, DataNotFoundError, FormatError, RecordError
from ecgkit.signals.formats import INVALID_SAMPLE, count_samples, data_file, read_samples
from ecgkit.signals.hdf5 import read_sph
from ecgkit.signals.header import Header, SignalLine, file_size, find_sibling, parse_header, read_file
from ecgkit.signals.matlab import read_val, read_variable
from ecgkit.signals.record import (
    MOST_MV,
    STANDARD_LEADS,
    Record,
    age_from_text,
    codes_from_text,
    comment_fields,
    sex_from_text,
    standard_order,
)

__all__ = [
    "INVALID_SAMPLE",
    "calibration",
    "lead_order",
    "read_digital",
    "read_header",
    "read_millivolts",
    "read_record",
    "to_millivolts",
]

CPSC2018_SAMPLING_RATE_HZ = 500.0

_MV_PER_UNIT = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}
_LARGEST_HEADER = 2**20  # bytes; a header of 12 leads has about 1,000
_GAINS_PER_MV = (0.1, 1e9)
_HDF5 = (".h5", ".hdf5")


def read_record(path: str | Path) -> Record:
    """Read one ECG with its leads in standard order and spelling, in mV.

    Args:
        path: A .hea, .dat, .mat or .h5 file, or the common stem of a header and its data file. A .mat
            without a header is one of CPSC 2018 as its organisers published it (500 Hz, no codes).

    Returns:
        The record. Age, sex and codes come from the header's comments (or the SPH set's
        ``metadata.csv`` beside the .h5 file or one folder up); extra leads such as vx are left out.

    Raises:
        DataNotFoundError: If a file is missing.
        DamagedError: If a file is cut off, contradicts itself or its checksum, or a sample is marked as
            invalid.
        FormatError: If it is of another kind: a lead is missing, unknown or in no unit of voltage.
        TableError: If ``metadata.csv`` does not list the record, or says something else of it.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> lines = [f"a.dat 16 1000/mV 16 0 {i} {2 * i} 0 {lead}" for i, lead in enumerate(STANDARD_LEADS)]
    >>> _ = (folder / "a.hea").write_text("\\n".join(["a 12 100 2", *lines, "#Age: 65", "#Sex: F"]))
    >>> np.tile(np.arange(12, dtype="<i2"), 2).tofile(folder / "a.dat")
    >>> record = read_record(folder / "a")
    >>> record.signal_mv.shape, float(record.signal_mv[11, 0]), record.age, record.sex
    ((12, 2), 0.010999999940395355, 65.0, 'female')
    """
    path = _find(Path(path))
    if path.suffix.lower() in _HDF5:
        return read_sph(path)
    if path.suffix.lower() == ".mat":
        return _read_cpsc2018(path)
    signal, header = read_millivolts(path)
    _require_valid(path, signal)
    fields = comment_fields(header.comments)
    codes, coding = codes_from_text(fields.get("dx", ""))
    return Record(
        name=header.name,
        signal_mv=signal,
        sampling_rate_hz=header.sampling_rate_hz,
        leads=STANDARD_LEADS,
        age=age_from_text(fields.get("age", "")),
        sex=sex_from_text(fields.get("sex", "")),
        codes=codes,
        coding=coding,
        path=path,
    )


def read_millivolts(path: str | Path) -> tuple[np.ndarray, Header]:
    """Read a record with a header in mV, samples that are marked as invalid being NaN.

    Args:
        path: A .hea, .dat or .mat file, or their common stem.

    Returns:
        The signal, float32, shape (12, samples), leads in standard order, and the header. Of leads with
        several samples per frame, each value is the mean of a frame.

    Raises:
        DataNotFoundError, DamagedError, FormatError: As `read_record`.
    """
    samples, header = _read_all(path)
    signal = np.empty((len(STANDARD_LEADS), header.samples), np.float32)
    for row, index in enumerate(lead_order(header)):
        try:
            values = to_millivolts(samples[index], header.signals[index])
        except RecordError as error:
            raise type(error)(f"{header.path}: {error}") from None
        signal[row] = values if len(values) == header.samples else values.reshape(header.samples, -1).mean(1)
    return signal, header


def read_header(path: str | Path) -> Header:
    """Read a header file. A number of samples that it leaves out is taken from the size of the data file.

    Raises:
        DataNotFoundError: If the header (or a file needed for what it leaves out) is not there.
        DamagedError, FormatError: As `parse_header`; or if it is no regular file, or larger than 1 MiB.
    """
    path = Path(path)
    header = _parsed(path)
    if header.segments:
        first = read_header(_segment_path(path, header.segments[0][0]))
        return replace(header, signals=first.signals)
    if header.samples == 0:
        return replace(header, samples=count_samples(path, header))
    return header


def _parsed(path: Path) -> Header:
    """A header as its file has it."""
    data = read_file(path, _LARGEST_HEADER)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:  # Such letters are for comments; other fields are checked one by one.
            text = data.decode("latin-1")
    return parse_header(text, path)


def _segment_path(path: Path, name: str) -> Path:
    """The header of a segment of the record whose header is `path`."""
    found = find_sibling(path.parent, f"{name}.hea")
    if found is None:
        raise DataNotFoundError(f"{path}: the header of its segment {name} is not there; download it too")
    if _parsed(found).segments:
        raise DamagedError(f"{path}: segment {name} consists of segments itself; download it again")
    return found


def read_digital(path: str | Path) -> tuple[np.ndarray, Header]:
    """Read the integers of the analogue-to-digital converter, as stored.

    Args:
        path: A .hea, .dat or .mat file, or their common stem.

    Returns:
        The samples, shape (leads, samples), int16 (int32 if the file holds more than 16 bits), and the
        header. Leads are in the order of the file (`ecgkit.signals.standard_order` of ``header.leads`` sorts
        them), and numbers that mark invalid samples stay as they are.

    Raises:
        DataNotFoundError: If a file is missing.
        DamagedError: If a file is truncated or damaged, or a first value or checksum differs from the
            header's.
        FormatError: If it has no such integers, or leads of unequal rate.
    """
    samples, header = _read_all(path)
    if any(len(row) != header.samples for row in samples):
        raise FormatError(f"{header.path}: leads have several samples per frame; use read_record")
    if isinstance(samples, np.ndarray):
        return samples, header
    kind = np.int32 if any(row.dtype.itemsize > 2 for row in samples) else np.int16
    return np.array(samples, kind), header


def calibration(line: SignalLine) -> tuple[float, int]:
    """ADC units per mV of a lead, and the ADC value of 0 mV.

    Raises:
        FormatError: If its unit is none of voltage.
        DamagedError: If gain or baseline cannot be those of an ECG.
    """
    factor = _MV_PER_UNIT.get(line.units.casefold())
    if factor is None:
        raise FormatError(
            f"lead {line.lead} is in {line.units[:40]!r}; V, mV, uV and nV are read, convert the record"
        )
    per_mv, (low, high) = line.gain / factor, _GAINS_PER_MV
    if not low <= abs(per_mv) <= high or abs(line.baseline) >= 2**31:
        raise DamagedError(
            f"lead {line.lead} has the impossible gain {line.gain:g}({line.baseline:.4g})/{line.units[:40]}; "
            "correct the header"
        )
    return per_mv, line.baseline


def to_millivolts(digital: np.ndarray, line: SignalLine) -> np.ndarray:
    """ADC integers of one lead in mV, float64, same shape; samples marked as invalid become NaN.

    Raises:
        FormatError, DamagedError: As `calibration`, or for a voltage beyond a kilovolt.
    """
    calibration(line)
    values: np.ndarray = (digital.astype(np.float64) - line.baseline) * _MV_PER_UNIT[line.units.casefold()]
    values /= line.gain
    invalid = INVALID_SAMPLE.get(line.format)
    if invalid is not None:
        values[digital == invalid] = np.nan
    if (np.abs(values) > MOST_MV).any():
        raise DamagedError(
            f"lead {line.lead} holds more than {MOST_MV:,.0f} mV; correct its gain or baseline"
        )
    return values


def lead_order(header: Header) -> list[int]:
    """Where the standard twelve leads lie among those of a record.

    Raises:
        FormatError: As `ecgkit.signals.standard_order`; the message names the header.
    """
    try:
        return standard_order(header.leads)
    except RecordError as error:
        raise type(error)(f"{header.path}: {error}") from None


def _find(path: Path) -> Path:
    """The header (or the .h5 or .mat file without one) that `path` means."""
    suffix = path.suffix.lower()
    if suffix in (".hea", *_HDF5):
        return find_sibling(path.parent, path.name) or path
    if suffix:
        header = find_sibling(path.parent, f"{path.stem}.hea")
        if header is not None and (suffix == ".mat" or not _exists(path.with_name(f"{path.name}.hea"))):
            return header
        if suffix == ".mat" and (file := find_sibling(path.parent, path.name)):
            return file
    for ending in (".hea", ".h5", ".mat"):
        found = find_sibling(path.parent, f"{path.name}{ending}") if path.name else None
        if found is not None:
            return found
    if _exists(path):
        file_size(path)
        if suffix in (".dat", ".xyz"):
            raise DataNotFoundError(f"{path}: the header {path.stem}.hea is not there; check the download")
        raise FormatError(
            f"{path}: a file of this kind is not read; convert it to WFDB (.hea and .dat), or name the header"
        )
    raise DataNotFoundError(
        f"{str(path)[:300]}: no record of this name (.hea, .h5 or .mat) is there; check the path"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL
        return False


def _require_valid(path: Path, signal: np.ndarray) -> None:
    """Refuse a signal of shape (12, samples) that holds NaN."""
    if math.isfinite(signal.sum(dtype=np.float64)):
        return
    for lead, row in zip(STANDARD_LEADS, signal, strict=True):
        count = int(np.count_nonzero(~np.isfinite(row)))
        if count:
            raise DamagedError(
                f"{path}: lead {lead} has {count} samples marked as invalid; leave the record out, or take "
                "the others with read_millivolts"
            )


def _read_all(path: str | Path) -> tuple[np.ndarray | list[np.ndarray], Header]:
    """The integers of every lead, verified; more than `header.samples` where a frame has several."""
    path = _find(Path(path))
    if path.suffix.lower() in (*_HDF5, ".mat"):
        raise FormatError(f"{path}: a record without a header holds no ADC integers; use read_record")
    header = read_header(path)
    if header.segments:
        return _join_segments(path, header), header
    if header.samples == 0:
        raise DamagedError(f"{path}: the record has zero samples; leave it out or download it again")
    first = data_file(path, header.signals[0])
    matlab = first.suffix.lower() == ".mat"
    samples = _read_mat(path, header, first) if matlab else read_samples(path, header)
    _verify(path, header, samples)
    return samples, header


def _read_mat(path: Path, header: Header, file: Path) -> np.ndarray:
    """Variable ``val`` of a MATLAB file, shape (leads, samples)."""
    if len({s.file_name for s in header.signals}) > 1:
        raise FormatError(f"{path}: the leads lie in several files; only one .mat file per record is read")
    if any(s.samples_per_frame != 1 or s.skew for s in header.signals):
        raise FormatError(f"{path}: leads of unequal rate or shifted in time are not read from a .mat file")
    shape = (len(header.signals), header.samples)
    value = read_val(file, min(2**28, max(2**24, 16 * shape[0] * shape[1])))
    if value.shape != shape:
        raise DamagedError(
            f"{file}: 'val' has the shape {value.shape} where the header announces {shape}; "
            "download both files again"
        )
    if value.dtype != np.int16 and value.min() >= -(2**15) and value.max() < 2**15:
        value = value.astype(np.int16)
    return np.ascontiguousarray(value)


def _join_segments(path: Path, header: Header) -> np.ndarray:
    """The samples of all segments, one behind the other, shape (leads, samples)."""
    pieces = []
    for name, length in header.segments:
        digital, part = read_digital(_segment_path(path, name))
        same = all(
            (a.lead, a.gain, a.baseline, a.units, a.format) == (b.lead, b.gain, b.baseline, b.units, b.format)
            for a, b in zip(part.signals, header.signals, strict=False)
        )
        if not same or len(part.signals) != len(header.signals):
            raise FormatError(f"{path}: its segments differ in leads or gain; join them first")
        if digital.shape[1] != length or part.sampling_rate_hz != header.sampling_rate_hz:
            raise DamagedError(
                f"{path}: length or rate of segment {name} is not as announced; download it again"
            )
        pieces.append(digital)
    return np.concatenate(pieces, axis=1)


def _verify(path: Path, header: Header, samples: np.ndarray | list[np.ndarray]) -> None:
    """Compare the first value and the checksum of every lead with the header's."""
    if isinstance(samples, np.ndarray):
        sums = (samples.sum(axis=1, dtype=np.int64) % 65536).tolist()
        firsts = samples[:, 0].tolist()
    else:
        sums = [int(row.sum(dtype=np.int64)) % 65536 for row in samples]
        firsts = [int(row[0]) for row in samples]
    for line, total, value in zip(header.signals, sums, firsts, strict=True):
        if line.checksum is not None and line.checksum % 65536 != total:
            raise DamagedError(
                f"{path}: wrong checksum of lead {line.lead} in {line.file_name}: {total}, "
                f"the header says {line.checksum % 65536}; the file is damaged, download it again"
            )
        if line.initial_value is not None and line.initial_value != value and line.format != 8:
            raise DamagedError(
                f"{path}: lead {line.lead} in {line.file_name} begins with {value}, the header says "
                f"{line.initial_value}; the file is damaged, download it again"
            )


def _read_cpsc2018(path: Path) -> Record:
    """A record as the organisers of CPSC 2018 published it: a struct ECG with sex, age and data in mV.

    Source:
        Liu et al., An open access database for evaluating the algorithms of electrocardiogram rhythm and
        morphology abnormality detection, JMIHI 8(7), 2018.
    """
    name, value = read_variable(path, ("ECG", "val"), 2**27) or ("", None)
    if name == "val":
        raise DataNotFoundError(f"{path}: the header {path.stem}.hea is not there; download it too")
    fields = value if isinstance(value, dict) else {}
    data = fields.get("data")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[0] != 12 or data.shape[1] == 0:
        raise FormatError(
            f"{path}: no header beside it, and no struct 'ECG' with data of 12 leads in it; only records of "
            "CPSC 2018 and of the Challenges are read from .mat files"
        )
    if not np.isfinite(data).all() or np.abs(data).max() > MOST_MV:
        raise DamagedError(f"{path}: samples that are no voltages of an ECG; leave the record out")
    age, sex = fields.get("age"), fields.get("sex")
    years = f"{float(age.flat[0]):g}" if isinstance(age, np.ndarray) and age.size == 1 else ""
    return Record(
        name=path.stem,
        signal_mv=np.ascontiguousarray(data, dtype=np.float32),
        sampling_rate_hz=CPSC2018_SAMPLING_RATE_HZ,
        age=age_from_text(years),
        sex=sex_from_text(sex) if isinstance(sex, str) else None,
        path=path,
    )
