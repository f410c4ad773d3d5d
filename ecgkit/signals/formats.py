"""The storage formats of WFDB: integers of a data file, from its bytes.

Source:
    WFDB Applications Guide, signal(5).
"""

from pathlib import Path
from typing import Any

import numpy as np

from ecgkit.errors import DamagedError, DataNotFoundError, FormatError
from ecgkit.signals.header import Header, SignalLine, file_size, find_sibling

__all__ = ["INVALID_SAMPLE", "count_samples", "data_file", "read_samples"]

INVALID_SAMPLE = {
    16: -(2**15), 61: -(2**15), 160: -(2**15), 516: -(2**15), 80: -(2**7), 508: -(2**7), 212: -(2**11),
    310: -(2**9), 311: -(2**9), 24: -(2**23), 524: -(2**23), 32: -(2**31),
}  # fmt: skip
"""The number that means "no valid sample", by storage format; format 8 has none."""

# Samples in a group of bytes, and the bytes of the group.
_GROUPS = {
    8: (1, 1), 80: (1, 1), 16: (1, 2), 61: (1, 2), 160: (1, 2), 24: (1, 3), 32: (1, 4), 212: (2, 3),
    310: (3, 4), 311: (3, 4),
}  # fmt: skip
_FLAC = (508, 516, 524)
_MOST_COMPRESSED = 2**27  # samples in a compressed file: 12 leads at 1,000 Hz for three hours


def data_file(path: Path, line: SignalLine) -> Path:
    """The file that a signal line means: its name in any case, or with ``.mat`` or ``.dat`` for its ending.

    Raises:
        DataNotFoundError: If there is none.
    """
    folder, name = path.parent, line.file_name
    stem = name[:-4] if name[-4:].casefold() in (".mat", ".dat") else name
    for candidate in (name, f"{stem}.mat", f"{stem}.dat"):
        found = find_sibling(folder, candidate)
        if found is not None:
            return found
    raise DataNotFoundError(
        f"{folder / name}: the data file of {path.name} is missing; check the path and the download"
    )


def count_samples(path: Path, header: Header) -> int:
    """Samples per lead by the size of the first data file, for headers that do not say."""
    from ecgkit.signals.matlab import read_val

    first = header.signals[0]
    file = data_file(path, first)
    if file.suffix.lower() == ".mat":
        return int(read_val(file).shape[-1])
    if first.format not in _GROUPS:
        raise FormatError(f"{path}: the number of samples is missing; add it to the record line")
    in_group, group_bytes = _GROUPS[first.format]
    values = max(0, file_size(file) - first.byte_offset) * in_group // group_bytes
    in_frame = sum(line.samples_per_frame for line in header.signals if line.file_name == first.file_name)
    if values < in_frame:
        raise DamagedError(f"{path}: the record has zero samples; leave it out or download it again")
    if values % in_frame >= in_group:
        raise DamagedError(
            f"{file}: {values} samples are no whole number of samples of each lead; download it again"
        )
    return values // in_frame


def read_samples(path: Path, header: Header) -> list[np.ndarray]:
    """The integers of every lead, as many as its samples per frame times the samples of the header.

    Args:
        path: The header file, for messages and the folder.
        header: Its content.

    Returns:
        One array of integers per lead, of the smallest type that holds its format.
    """
    lines = header.signals
    rows: list[np.ndarray] = [np.empty(0, np.int16)] * len(lines)
    for name in dict.fromkeys(line.file_name for line in lines):
        index = [i for i, line in enumerate(lines) if line.file_name == name]
        part = [lines[i] for i in index]
        if any(line.format != part[0].format for line in part):
            raise DamagedError(f"{path}: {name} is said to be in several formats; download the header again")
        if any(line.skew for line in part):
            raise FormatError(f"{path}: leads are shifted in time (skew); align and crop them first")
        file = data_file(path, part[0])
        per_frame = [line.samples_per_frame for line in part]
        values = _values(file, part, header.samples).reshape(header.samples, sum(per_frame))
        if max(per_frame) == 1:
            columns = np.ascontiguousarray(values.T)
            for row, i in enumerate(index):
                rows[i] = columns[row]
        else:
            for i, end, width in zip(index, np.cumsum(per_frame).tolist(), per_frame, strict=True):
                rows[i] = np.ascontiguousarray(values[:, end - width : end]).reshape(-1)
    return rows


def _values(file: Path, lines: list[SignalLine], samples: int) -> np.ndarray:
    """All samples of one file in the order of the file, shape (samples x sum of samples per frame,)."""
    form, offset = lines[0].format, lines[0].byte_offset
    count = samples * sum(line.samples_per_frame for line in lines)
    if form in _FLAC:
        return _flac(file, lines, samples)
    if form not in _GROUPS:
        known = ", ".join(map(str, sorted([*_GROUPS, *_FLAC])))
        raise FormatError(f"{file}: storage format {form} is none of WFDB's ({known}); convert the record")
    in_group, group_bytes = _GROUPS[form]
    size = file_size(file) - offset
    whole_groups = -(-count // in_group) * group_bytes
    least = -(-count * group_bytes // in_group)  # The last group may be cut after the last sample.
    if not least <= size <= whole_groups:
        kind = "truncated" if size < least else "too long"
        raise DamagedError(
            f"{file}: the file is {kind}: {max(0, size):,} bytes of samples where the header announces "
            f"{least:,} ({len(lines)} leads x {samples} samples in format {form}); download it again"
        )
    try:
        data = np.fromfile(file, np.uint8, offset=offset)
    except OSError as error:
        raise DataNotFoundError(
            f"{file}: cannot be opened ({error.strerror}); check its permissions"
        ) from error
    if data.size != size:
        raise DamagedError(f"{file}: changed while it was read; read it again")
    if data.size < whole_groups:
        data = np.concatenate([data, np.zeros(whole_groups - data.size, np.uint8)])
    if form == 8:
        return _differences(data.view(np.int8), lines, samples)
    return _decode(data, form)[:count]


def _decode(data: np.ndarray, form: int) -> np.ndarray:
    """Whole groups of bytes as integers."""
    if form == 16:
        return data.view("<i2")
    if form == 61:
        return data.view(">i2").astype(np.int16)
    if form == 160:
        return (data.view("<u2").astype(np.int32) - 2**15).astype(np.int16)
    if form == 80:
        return data.astype(np.int16) - 2**7
    if form == 32:
        return data.view("<i4")
    groups = data.reshape(-1, _GROUPS[form][1]).astype(np.int32)
    if form == 24:
        return _signed(groups[:, 0] | groups[:, 1] << 8 | groups[:, 2] << 16, 24)
    if form == 212:
        pair = [groups[:, 0] | (groups[:, 1] & 0x0F) << 8, groups[:, 2] | (groups[:, 1] & 0xF0) << 4]
        return _signed(np.stack(pair, axis=1).reshape(-1), 12).astype(np.int16)
    low, high = groups[:, 0] | groups[:, 1] << 8, groups[:, 2] | groups[:, 3] << 8
    if form == 310:
        three = [low >> 1, high >> 1, low >> 11 | high >> 11 << 5]
    else:  # 311
        three = [low, low >> 10 | high << 6, high >> 4]
    return _signed(np.stack(three, axis=1).reshape(-1) & 0x3FF, 10).astype(np.int16)


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement of `bits` bits."""
    return np.where(values >= 1 << (bits - 1), values - (1 << bits), values)


def _differences(steps: np.ndarray, lines: list[SignalLine], samples: int) -> np.ndarray:
    """Format 8: each sample is the one before it in its lead and a step of 8 bits."""
    frames = steps.reshape(samples, -1)
    values = np.empty(frames.shape, np.int64)
    column = 0
    for line in lines:
        part = slice(column, column + line.samples_per_frame)
        start = line.initial_value if line.initial_value is not None else line.adc_zero
        values[:, part] = (start + frames[:, part].reshape(-1).cumsum(dtype=np.int64)).reshape(samples, -1)
        column += line.samples_per_frame
    if abs(values).max(initial=0) >= 2**31:
        raise DamagedError(f"{lines[0].file_name}: its first value cannot be; download the header again")
    return values.reshape(-1).astype(np.int32)


def _flac(file: Path, lines: list[SignalLine], samples: int) -> np.ndarray:
    """Formats 508, 516 and 524: one FLAC stream, a channel per lead."""
    import soundfile

    width = lines[0].samples_per_frame
    count = samples * width
    if any(line.samples_per_frame != width for line in lines):
        raise FormatError(f"{file}: leads of unequal rate in one FLAC file are not read; resample them")
    if count * len(lines) > _MOST_COMPRESSED:
        raise FormatError(f"{file}: more than {_MOST_COMPRESSED:,} compressed samples; split the record")
    file_size(file)
    try:
        with soundfile.SoundFile(str(file)) as stream:
            bits = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}.get(stream.subtype, 99)
            start = lines[0].byte_offset
            if stream.format != "FLAC" or bits > lines[0].format - 500 or stream.channels != len(lines):
                raise DamagedError(
                    f"{file}: {stream.format} {stream.subtype} of {stream.channels} channels, not the FLAC "
                    f"file of {len(lines)} leads that the header announces; download it again"
                )
            if stream.frames != start + count:
                raise DamagedError(
                    f"{file}: {stream.frames} samples where the header announces {start + count}; "
                    "download it again"
                )
            stream.seek(start)
            data = _blocks(stream, count, bits)
    except (RuntimeError, OSError) as error:  # soundfile's own error is a RuntimeError
        raise DamagedError(f"{file}: not a readable FLAC file ({error}); download it again") from error
    if len(data) != count:
        raise DamagedError(f"{file}: the file is truncated; download it again")
    if bits != 16:  # soundfile shifts 8 and 24 bits up to 16 and 32.
        data = data >> 8
    return data.reshape(samples, width, len(lines)).transpose(0, 2, 1).reshape(-1)


def _blocks(stream: Any, count: int, bits: int) -> np.ndarray:
    """Up to `count` samples of all channels, in blocks: memory grows with what is there, not with `count`."""
    kind = "int32" if bits == 24 else "int16"
    blocks = [np.empty((0, stream.channels), kind)]
    while count > 0 and len(block := stream.read(min(count, 2**16), dtype=kind, always_2d=True)):
        blocks.append(block)
        count -= len(block)
    return np.concatenate(blocks)
