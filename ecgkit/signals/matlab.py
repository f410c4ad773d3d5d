"""MATLAB files of versions 4 to 7, as far as ECG data sets need them: numbers, texts, and structs of these.

`scipy.io.loadmat` believes what a file says of its own sizes: a damaged file ends Python, a small one may
unpack to gigabytes. Here every size is compared with the bytes that are there first.

Source:
    MathWorks, MAT-File Format, 2019 (levels 4 and 5).
"""

import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ecgkit.errors import DamagedError, FormatError
from ecgkit.signals.header import read_file

__all__ = ["read_val", "read_variable"]

_LARGEST = 2**28  # bytes of a file, and of a variable when it is unpacked
_MATRIX, _COMPRESSED, _STRUCT, _CHAR = 14, 15, 2, 4
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "i1", 2: "u1", 4: "u2", 16: "u1", 17: "u2"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_LEVEL_4 = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}


def read_variable(path: Path, names: tuple[str, ...], largest: int = _LARGEST) -> tuple[str, Any] | None:
    """The first variable of a .mat file that has one of `names`.

    Args:
        path: The file.
        names: Names of the variables wanted.
        largest: Bytes that a variable may have when it is unpacked.

    Returns:
        Its name, and its value: an array, a text, or a dictionary of these for a struct of size 1 x 1; None
        for what is none of these. None if there is no such variable.

    Raises:
        DataNotFoundError: If the file is not there.
        DamagedError: If it contradicts itself, or is no MATLAB file.
        FormatError: If it is of MATLAB 7.3, or too large.
    """
    data = read_file(path, _LARGEST)
    if data[:10] == b"MATLAB 7.3" or data[512:520] == b"\x89HDF\r\n\x1a\n":
        raise FormatError(f"{path}: a file of MATLAB 7.3; save it with the option -v7")
    try:
        if len(data) >= 128 and data[:6] == b"MATLAB" and data[126:128] in (b"IM", b"MI"):
            return _level_5(data, names, largest)
        if len(data) >= 20:
            return _level_4(data, names)
    except _TooLargeError:
        raise FormatError(
            f"{path}: unpacks to more than {largest:,} bytes; check that it is the right file"
        ) from None
    except (_BrokenError, ValueError, zlib.error) as error:
        raise DamagedError(f"{path}: not a readable MATLAB file ({error}); download it again") from error
    raise DamagedError(f"{path}: not a readable MATLAB file (too short); download it again")


def read_val(path: Path, largest: int = _LARGEST) -> np.ndarray:
    """Variable ``val`` of the Challenges' .mat files: ADC units, whole numbers of shape (leads, samples).

    Raises:
        DamagedError, FormatError: As `read_variable`, or if there is no such variable.
    """
    found = read_variable(path, ("val",), largest)
    value = found[1] if found else None
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.size == 0 or not _whole(value):
        raise FormatError(
            f"{path}: no variable 'val' with integers of shape (leads, samples); use the Challenge's file"
        )
    if value.dtype in (np.int8, np.int16, np.int32):
        return value
    if value.min() < -(2**31) or value.max() >= 2**31:
        raise DamagedError(f"{path}: samples do not fit into 32 bits; download it again")
    return value.astype(np.int32)


def _whole(values: np.ndarray) -> bool:
    return values.dtype.kind in "iu" or bool(np.isfinite(values).all() and (values == np.rint(values)).all())


class _BrokenError(Exception):
    """The file contradicts itself."""


class _TooLargeError(Exception):
    """More bytes than are wanted."""


@dataclass(frozen=True)
class _Element:
    """One data element: its type, its bytes, and where the next one begins."""

    kind: int
    body: memoryview
    end: int


def _level_4(data: bytes, names: tuple[str, ...]) -> tuple[str, Any] | None:
    """Level 4: matrices one behind the other, each with a header of 20 bytes and a name."""
    at = 0
    while at < len(data):
        if len(data) - at < 20:
            raise _BrokenError("the header of a matrix is cut off")
        order = "<" if np.frombuffer(data, "<u4", 1, at)[0] <= 5000 else ">"
        kind, rows, columns, imaginary, name_length = np.frombuffer(data, f"{order}u4", 5, at).tolist()
        machine, zero, stored, form = kind // 1000, kind // 100 % 10, kind // 10 % 10, kind % 10
        if machine != (order == ">") or zero or form > 2 or stored not in _LEVEL_4 or imaginary > 1:
            raise _BrokenError("no header of a matrix")
        start = at + 20 + name_length
        size = rows * columns * np.dtype(_LEVEL_4[stored]).itemsize
        at = start + size * (1 + imaginary)
        if at > len(data):
            raise _BrokenError("a matrix is cut off")
        name = data[start - name_length : start].rstrip(b"\0").decode("latin-1")
        if name in names:
            if form or imaginary:
                return name, None
            value = np.frombuffer(data, order + _LEVEL_4[stored], rows * columns, start)
            return name, _native(value).reshape((rows, columns), order="F")
    return None


def _level_5(data: bytes, names: tuple[str, ...], largest: int) -> tuple[str, Any] | None:
    """Level 5: data elements, mostly compressed ones with a matrix inside."""
    order = "<" if data[126:128] == b"IM" else ">"
    view, at = memoryview(data), 128
    while at < len(view):
        element = _element(view, at, order)
        at = element.end
        if element.kind == _COMPRESSED:
            inside = _unpack(element.body, 512)  # Enough to see the name.
            if _name(inside, order) not in names:
                continue
            element = _element(memoryview(_unpack(element.body, largest, whole=True)), 0, order)
        if element.kind == _MATRIX:
            name, value = _matrix(element.body, order, 0)
            if name in names:
                return name, value
    return None


def _unpack(body: memoryview, largest: int, whole: bool = False) -> bytes:
    decoder = zlib.decompressobj()
    data = decoder.decompress(body, largest)
    if whole and not decoder.eof:
        raise _TooLargeError if decoder.unconsumed_tail else _BrokenError("the compressed data are cut off")
    return data


def _name(data: bytes, order: str) -> str | None:
    """Name of the matrix that begins `data`, which may be cut off behind it."""
    view = memoryview(data)
    at, parts = 8, []
    for _ in range(3):  # flags, shape, name
        part = _element(view, at, order)
        parts.append(part)
        at = part.end
    return bytes(parts[2].body).decode("latin-1")


def _element(view: memoryview, at: int, order: str) -> _Element:
    if len(view) - at < 8:
        raise _BrokenError("a data element is cut off")
    word, size = np.frombuffer(view, f"{order}u4", 2, at).tolist()
    if word >> 16:  # A small element: size and type in 4 bytes, the data in the next 4.
        kind, size, start = word & 0xFFFF, word >> 16, at + 4
        if size > 4:
            raise _BrokenError("a small data element has more than 4 bytes")
        return _Element(kind, view[start : start + size], at + 8)
    start, end = at + 8, at + 8 + size
    if end > len(view):
        raise _BrokenError("a data element is larger than the file")
    return _Element(word, view[start:end], min(len(view), end if word == _COMPRESSED else end + -end % 8))


def _matrix(view: memoryview, order: str, depth: int) -> tuple[str, Any]:
    """Name and value of a matrix; the value is None where it is of no kind that is wanted."""
    flags, shape_, name_ = (parts := _elements(view, order, 3))
    if flags.kind != 6 or len(flags.body) != 8 or shape_.kind != 5 or name_.kind != 1:
        raise _BrokenError("no header of a matrix")
    word = int(np.frombuffer(flags.body, f"{order}u4")[0])
    shape = np.frombuffer(shape_.body, f"{order}i4").tolist()
    if not 2 <= len(shape) <= 32 or min(shape) < 0:
        raise _BrokenError(f"a matrix of shape {shape[:4]}")
    name, at, kind = bytes(name_.body).decode("latin-1"), parts[-1].end, word & 0xFF
    if kind == _STRUCT:
        return name, _struct(view, at, order, depth) if prod(shape) == 1 and depth < 3 else None
    if word & 0x0800 or not (kind in _CLASSES or kind == _CHAR):
        return name, None
    content = _element(view, at, order)
    stored_as = _TEXTS.get(content.kind) if kind == _CHAR else _STORED.get(content.kind)
    if stored_as is None:
        raise _BrokenError(f"data of type {content.kind} in a matrix")
    stored = np.dtype(order + stored_as)
    if len(content.body) != prod(shape) * stored.itemsize:
        raise _BrokenError(f"{len(content.body)} bytes of data in a matrix of shape {shape[:4]}")
    values = _native(np.frombuffer(content.body, stored))
    if kind == _CHAR:
        return name, "".join(map(chr, values.tolist()))
    return name, values.astype(_CLASSES[kind], copy=False).reshape(shape, order="F")


def _struct(view: memoryview, at: int, order: str, depth: int) -> dict[str, Any]:
    length = _element(view, at, order)
    keys = _element(view, length.end, order)
    if length.kind != 5 or len(length.body) != 4 or keys.kind != 1:
        raise _BrokenError("no header of a struct")
    width, at = int(np.frombuffer(length.body, f"{order}i4")[0]), keys.end
    if not 1 <= width <= 1024 or len(keys.body) % width:
        raise _BrokenError("no names of fields in a struct")
    fields = {}
    for start in range(0, len(keys.body), width):
        key = bytes(keys.body[start : start + width]).split(b"\0")[0].decode("latin-1")
        part = _element(view, at, order)
        if part.kind != _MATRIX:
            raise _BrokenError("a field of a struct is no matrix")
        fields[key] = _matrix(part.body, order, depth + 1)[1] if len(part.body) else None
        at = part.end
    return fields


def _elements(view: memoryview, order: str, count: int) -> list[_Element]:
    found, at = [], 0
    for _ in range(count):
        found.append(_element(view, at, order))
        at = found[-1].end
    return found


def _native(values: np.ndarray) -> np.ndarray:
    """The same numbers in the byte order of this machine."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)
