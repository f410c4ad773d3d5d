"""Writing WFDB records: headers with right first values and checksums, signals as .dat or MATLAB 4 .mat."""

import struct
from pathlib import Path

import numpy as np

__all__ = ["dat_bytes", "header_text", "mat_bytes", "to_digital", "write_record"]


def to_digital(signal_mv: np.ndarray, units_per_mv: float = 1000.0) -> np.ndarray:
    """Round a signal in mV to int16 units; what does not fit is cut off, as a recorder does."""
    return np.clip(np.rint(signal_mv * units_per_mv), -32767, 32767).astype(np.int16)


def header_text(
    digital: np.ndarray,
    leads: tuple[str, ...],
    *,
    name: str,
    sampling_rate_hz: int,
    file_name: str,
    file_format: str,
    gain: str,
    date: str = "",
    comments: tuple[str, ...] = (),
    unsigned: bool = False,
) -> str:
    """Text of a .hea file.

    Args:
        digital: Signal in integer units, shape (leads, samples), int16.
        leads: Names of the leads.
        name: Name of the record in the first line.
        sampling_rate_hz: Samples per second.
        file_name: Name of the signal file.
        file_format: WFDB format, for example "16" or "16+24".
        gain: Gain as written, for example "1000/mV".
        date: Time and date at the end of the first line, or "".
        comments: Comment lines, without line ends.
        unsigned: Write checksums from 0 to 65535 rather than from -32768 to 32767.
    """
    lines = [f"{name} {len(leads)} {sampling_rate_hz} {digital.shape[1]} {date}".rstrip()]
    sums = digital.astype(np.int64).sum(axis=1) % 65536
    if not unsigned:
        sums = (sums + 32768) % 65536 - 32768
    for lead, first, total in zip(leads, digital[:, 0], sums, strict=True):
        lines.append(f"{file_name} {file_format} {gain} 16 0 {first} {total} 0 {lead}")
    return "\n".join([*lines, *comments]) + "\n"


def dat_bytes(digital: np.ndarray) -> bytes:
    """Signal (leads, samples) as WFDB format 16: little-endian, sample by sample."""
    return np.ascontiguousarray(digital.T, dtype="<i2").tobytes()


def mat_bytes(digital: np.ndarray) -> bytes:
    """Signal (leads, samples) as a MATLAB 4 file with the int16 matrix `val` after 24 bytes of header."""
    return struct.pack("<5i4s", 30, *digital.shape, 0, 4, b"val\0") + dat_bytes(digital)


def write_record(folder: Path, header: str, header_name: str, signal: bytes, signal_name: str) -> None:
    """Write the two files of a record."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / header_name).write_text(header, encoding="ascii", newline="\n")
    (folder / signal_name).write_bytes(signal)
