"""Writing files so that a reader never sees half of one, and checksums."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ecgkit.errors import StoreError

__all__ = ["atomic_write", "sha256_file", "write_error"]

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or choose another folder",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "no permission to write there: choose another folder",
    errno.EPERM: "no permission to write there: choose another folder",
}


def write_error(path: Path, error: OSError) -> StoreError:
    """The error to raise when writing `path` failed: it names the file and the remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "check the folder and try again")
    return StoreError(error.errno, f"could not write {path} ({error.strerror or error}); {remedy}")


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` that takes its place when the block ends without an error.

    Args:
        path: The file to write. Its folder is made when it is missing.
        mode: ``"w"`` for text (UTF-8) or ``"wb"`` for bytes.

    Raises:
        StoreError: If the disk is full or the folder cannot be written. Nothing is left behind,
            and a file that stood there before is unchanged.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "a.txt") as file:
    ...     _ = file.write("whole or not at all")
    >>> (folder / "a.txt").read_text()
    'whole or not at all'
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise write_error(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, StoreError) and error.errno in _REMEDIES:
            raise write_error(path, error) from error
        raise


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
