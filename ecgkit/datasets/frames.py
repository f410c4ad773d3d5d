"""Tables as .npz files: they open in milliseconds, need no further package, and have one canonical form."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.errors import StoreError

__all__ = ["frame_to_arrays", "frame_update", "read_arrays", "read_frame"]

# Strings are one UTF-8 text: values end with the first sign, the second stands for a missing value.
_END, _MISSING = "\x1f", "\x00"


def _canonical(column: pd.Series) -> tuple[str, np.ndarray]:
    """Kind of a column (one of b, i, f, s) and its values as a plain little-endian array."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return "b", column.to_numpy(dtype=np.uint8)
    if pd.api.types.is_integer_dtype(column.dtype):
        return "i", column.to_numpy(dtype="<i8")
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy(dtype="<f8").copy()
        values[np.isnan(values)] = np.nan  # one bit pattern for all of them
        return "f", values
    missing = column.isna().to_numpy()
    texts = [_MISSING if gone else str(value) for value, gone in zip(column, missing, strict=True)]
    joined = "".join(text + _END for text in texts)
    if joined.count(_END) != len(texts):
        raise ValueError(f"column {column.name!r} holds the control character U+001F")
    return "s", np.frombuffer(joined.encode(), np.uint8)


def frame_to_arrays(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns of a table as arrays for `np.savez`; :func:`read_frame` is the way back.

    >>> frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    >>> arrays = frame_to_arrays(frame)
    >>> sorted(arrays)
    ['000 i a', '001 s b']
    >>> read_frame(arrays)["b"].isna().tolist()
    [False, True]
    """
    arrays = {}
    for number, name in enumerate(frame.columns):
        kind, values = _canonical(frame[name])
        arrays[f"{number:03d} {kind} {name}"] = values
    return arrays


def read_frame(arrays: dict[str, np.ndarray]) -> pd.DataFrame:
    """The table that :func:`frame_to_arrays` took apart."""
    columns: dict[str, Any] = {}
    for key in sorted(arrays):
        _, kind, name = key.split(" ", 2)
        values = arrays[key]
        if kind == "s":
            texts = values.tobytes().decode().split(_END)[:-1]
            columns[name] = pd.Series([None if text == _MISSING else text for text in texts], dtype="str")
        else:
            columns[name] = values.astype(bool) if kind == "b" else values
    return pd.DataFrame(columns)


def frame_update(digest: "hashlib._Hash", frame: pd.DataFrame) -> None:
    """Add a table to a checksum, in a form that depends on no machine and on no version of pandas."""
    for name in sorted(frame.columns):
        kind, values = _canonical(frame[name])
        digest.update(f"{name} {kind} {len(frame)}\n".encode())
        digest.update(values.tobytes())


def read_arrays(path: Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """The named arrays of an .npz file; all of them by default.

    Raises:
        StoreError: If the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (file.files if names is None else names)}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise StoreError(f"{path} is damaged ({error}); delete its folder, it is made anew") from error
