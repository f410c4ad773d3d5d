"""Reading ECG records: WFDB (.hea with .dat), the Challenge's .hea with .mat, and the SPH set's .h5."""

from pathlib import Path

import numpy as np

from ecgkit.errors import RecordError
from ecgkit.signals.header import Header, SignalLine, read_header
from ecgkit.signals.leads import standard_order
from ecgkit.signals.patient import age_from_text, codes_from_text, comment_fields, sex_from_text
from ecgkit.signals.record import STANDARD_LEADS, Record
from ecgkit.signals.sph import read_sph

__all__ = ["INVALID_SAMPLE", "lead_order", "read_digital", "read_record"]

# The number that means "no valid sample" in each storage format (WFDB Applications Guide, signal(5)).
INVALID_SAMPLE = {16: -32768, 61: -32768, 80: -128, 160: -32768, 212: -2048, 310: -512, 311: -512}

_MV_PER_UNIT = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3}
_HDF5 = (".h5", ".hdf5")


def read_record(path: str | Path) -> Record:
    """Read one ECG with its leads in standard order and spelling, in mV.

    Args:
        path: A .hea, .dat, .mat or .h5 file, or the common stem of a header and its data file.

    Returns:
        The record. Age, sex and codes come from the header's comments (or the SPH set's
        ``metadata.csv`` beside the .h5 file or one folder up); extra leads such as vx are left out.

    Raises:
        RecordError: If a file is missing, damaged or of an unknown kind, a checksum is wrong, a lead is
            missing, unknown or in another unit than mV or uV, or a sample is marked as invalid.

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
    digital, header = read_digital(path)
    try:
        order = standard_order(header.leads)
        signal = np.empty((len(order), header.samples), np.float32)
        for row, index in enumerate(order):
            signal[row] = _millivolts(digital[index], header.signals[index])
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None
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


def read_digital(path: str | Path) -> tuple[np.ndarray, Header]:
    """Read the integers of the analogue-to-digital converter, as stored.

    Args:
        path: A .hea, .dat or .mat file, or their common stem.

    Returns:
        The samples, int16, shape (leads, samples), and the header. Leads are in the order of the file
        (`ecgkit.signals.standard_order` of ``header.leads`` sorts them), and numbers that mark invalid
        samples stay as they are.

    Raises:
        RecordError: If a file is missing, truncated or damaged, or a first value or checksum differs
            from the header's.
    """
    path = _find(Path(path))
    if path.suffix.lower() in _HDF5:
        raise RecordError(f"{path}: an .h5 record holds mV, not ADC integers; use read_record")
    header = read_header(path)
    first = header.signals[0]
    if first.file_name.lower().endswith(".mat"):
        digital = _read_mat(path, header)
    elif all(s.format == 16 and s.samples_per_frame == 1 and s.skew == 0 for s in header.signals):
        digital = _read_format_16(path, header)
    else:
        digital = _read_with_wfdb(path, header)
    _verify(path, header, digital)
    return digital, header


def lead_order(header: Header) -> list[int]:
    """Where the standard twelve leads lie among those of a record.

    Raises:
        RecordError: As `ecgkit.signals.standard_order`; the message names the header.
    """
    try:
        return standard_order(header.leads)
    except RecordError as error:
        raise RecordError(f"{header.path}: {error}") from None


def _find(path: Path) -> Path:
    """The header (or .h5 file) that `path` means."""
    suffix = path.suffix.lower()
    if suffix == ".hea" or suffix in _HDF5:
        return path
    if suffix in (".dat", ".mat", ".xyz"):
        return path.with_suffix(".hea")
    for ending in (".hea", ".h5"):
        candidate = path.with_name(path.name + ending)
        if candidate.exists():
            return candidate
    raise RecordError(
        f"{path}: no record of this name (.hea or .h5) is there; check the path and the download"
    )


def _millivolts(digital: np.ndarray, line: SignalLine) -> np.ndarray:
    """One lead in mV (float64), shape (samples,)."""
    factor = _MV_PER_UNIT.get(line.units.casefold())
    if factor is None:
        raise RecordError(
            f"lead {line.lead} is in {line.units!r}; only mV and uV are read, convert the record"
        )
    invalid = INVALID_SAMPLE.get(line.format)
    if invalid is not None:
        count = int(np.count_nonzero(digital == invalid))
        if count:
            raise RecordError(
                f"lead {line.lead} has {count} samples marked as invalid ({invalid}); "
                "leave the record out, or take its raw numbers with read_digital"
            )
    millivolts: np.ndarray = (digital.astype(np.float64) - line.baseline) * factor / line.gain
    return millivolts


def _read_format_16(path: Path, header: Header) -> np.ndarray:
    """Samples of 16-bit little-endian files, interleaved by lead; shape (leads, samples)."""
    if all(s.file_name == header.signals[0].file_name for s in header.signals):
        rows = _interleaved(path.parent / header.signals[0].file_name, header, len(header.signals), 0)
        return np.ascontiguousarray(rows.T)
    digital = np.empty((len(header.signals), header.samples), np.int16)
    for name in dict.fromkeys(s.file_name for s in header.signals):
        index = [i for i, s in enumerate(header.signals) if s.file_name == name]
        digital[index] = _interleaved(path.parent / name, header, len(index), index[0]).T
    return digital


def _interleaved(file: Path, header: Header, leads: int, first: int) -> np.ndarray:
    """The samples of one 16-bit file, shape (samples, leads)."""
    offset = header.signals[first].byte_offset
    try:
        data = np.fromfile(file, "<i2") if offset == 0 else np.fromfile(file, "<i2", offset=offset)
    except OSError as error:
        raise RecordError(
            f"{file}: the data file cannot be read ({error.strerror or error}); download it again"
        ) from error
    expected = leads * header.samples
    if data.size != expected:
        kind = "truncated" if data.size < expected else "too long"
        raise RecordError(
            f"{file}: the file is {kind}: {data.size} samples where the header announces {expected} "
            f"({leads} leads x {header.samples}); download it again"
        )
    return data.reshape(header.samples, leads)


def _read_mat(path: Path, header: Header) -> np.ndarray:
    """Variable ``val`` of a MATLAB file, shape (leads, samples)."""
    import scipy.io

    names = {s.file_name for s in header.signals}
    file = path.parent / header.signals[0].file_name
    if len(names) > 1:
        raise RecordError(
            f"{path}: the leads lie in {len(names)} files; only one .mat file per record is read"
        )
    if not file.is_file():
        raise RecordError(f"{file}: the data file of {header.name} is missing; download it again")
    try:
        value = scipy.io.loadmat(str(file), variable_names=["val"]).get("val")
    except Exception as error:  # scipy raises many kinds for damaged files
        raise RecordError(f"{file}: not a readable MATLAB file ({error}); download it again") from error
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
        raise RecordError(
            f"{file}: no variable 'val' with integers in it; download the Challenge's file again"
        )
    if value.shape != (len(header.signals), header.samples):
        raise RecordError(
            f"{file}: 'val' has the shape {value.shape} where the header announces "
            f"{(len(header.signals), header.samples)}; download both files again"
        )
    return _as_int16(file, value)


def _read_with_wfdb(path: Path, header: Header) -> np.ndarray:
    """Samples of any other storage format, shape (leads, samples)."""
    if any(s.samples_per_frame != 1 or s.skew != 0 for s in header.signals):
        raise RecordError(
            f"{path}: leads of unequal rate or shifted in time are not supported; resample them"
        )
    import wfdb

    try:
        value = wfdb.rdrecord(str(path.with_suffix("")), physical=False).d_signal
    except Exception as error:  # wfdb raises many kinds for damaged files
        raise RecordError(
            f"{path}: wfdb cannot read the data ({error}); download the record again"
        ) from error
    if value is None or value.shape != (header.samples, len(header.signals)):
        raise RecordError(f"{path}: the data file is truncated; download it again")
    return _as_int16(path, value.T)


def _as_int16(file: Path, value: np.ndarray) -> np.ndarray:
    if value.dtype != np.int16 and (value.min() < -32768 or value.max() > 32767):
        raise RecordError(f"{file}: samples do not fit into 16 bits; only records of up to 16 bits are read")
    return np.ascontiguousarray(value, dtype=np.int16)


def _verify(path: Path, header: Header, digital: np.ndarray) -> None:
    """Compare the first value and the checksum of every lead with the header's."""
    sums = (digital.sum(axis=1, dtype=np.int64) % 65536).tolist()
    firsts = digital[:, 0].tolist()
    for line, total, value in zip(header.signals, sums, firsts, strict=True):
        if line.checksum is not None and line.checksum % 65536 != total:
            raise RecordError(
                f"{path}: wrong checksum of lead {line.lead} in {line.file_name}: {total}, "
                f"the header says {line.checksum % 65536}; the file is damaged, download it again"
            )
        if line.initial_value is not None and line.initial_value != value:
            raise RecordError(
                f"{path}: lead {line.lead} in {line.file_name} begins with {value}, the header says "
                f"{line.initial_value}; the file is damaged, download it again"
            )
