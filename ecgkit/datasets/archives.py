"""Names and archives that come from outside: nothing may be written outside the chosen folder."""

import gzip
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ecgkit.errors import DownloadError, EcgkitError, StoreError
from ecgkit.files import write_error

__all__ = ["require_inside", "safe_extract", "safe_relative_path"]

_ORDINARY = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
_MOST_BYTES = 50 * 2**30
_MOST_RATIO = 200  # how much larger than the archive its content may be ...
_RATIO_FLOOR_BYTES = 16 * 2**20  # ... above this size
_MOST_MEMBERS = 200_000
_PIECE_BYTES = 2**20  # what is read at once, and the longest header of a tar


def safe_relative_path(name: str) -> PurePosixPath:
    """Check a file name that a server or an archive gave, before anything is written under it.

    Args:
        name: A relative name with forward slashes, as in ``SHA256SUMS.txt`` or in an archive.

    Returns:
        The same name as a relative path without ``.`` parts.

    Raises:
        DownloadError: If the name is empty or absolute, climbs up with ``..``, is too long, or holds a drive
            letter, a backslash or a control character.

    >>> safe_relative_path("./records100/00000/00001_lr.dat").as_posix()
    'records100/00000/00001_lr.dat'
    >>> safe_relative_path("../../.bashrc")
    Traceback (most recent call last):
    ...
    ecgkit.errors.DownloadError: refused the unsafe file name '../../.bashrc': it leads outside the folder
    """

    def refuse(reason: str) -> DownloadError:
        return DownloadError(f"refused the unsafe file name {name[:200]!r}: {reason}")

    path = PurePosixPath(name)
    if len(name) > 1000 or any(len(part.encode(errors="replace")) > 200 for part in path.parts):
        raise refuse("it is too long")
    if _ORDINARY.fullmatch(name) and ".." not in name:  # quick: there are lists of 90,000 names
        return path
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise refuse("it holds a control character")
    if "\\" in name or ":" in name:
        raise refuse("it holds a backslash or a drive letter")
    if name.startswith("/"):
        raise refuse("it is absolute")
    if ".." in path.parts:
        raise refuse("it leads outside the folder")
    if not path.parts:
        raise refuse("it is empty")
    return path


def require_inside(folder: Path, target: Path) -> None:
    """Check that writing `target` cannot reach anything outside `folder` through a link.

    Raises:
        StoreError: If a folder above `target` is a link that leads out, or `target` is a link or no file.
    """
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise StoreError(
            f"{target.parent} is a link that leads out of {folder}: remove the link and try again"
        )
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise StoreError(f"{target} is a link, a folder or a device where a file should go: move it away")


def safe_extract(archive: str | Path, out: str | Path) -> list[Path]:
    """Unpack a zip or tar archive (also .tar.gz) that may be hostile.

    Everything is unpacked beside its place first. Only when the whole archive has been read and checked do
    the files take their places.

    Args:
        archive: The archive; its kind is found from its content, not from its name.
        out: Folder to unpack into, made when missing.

    Returns:
        The files written, in the order of the archive.

    Raises:
        DownloadError: If the archive is damaged or encrypted, names a file outside `out`, holds a link or a
            device, names a file twice, or unpacks to too many files or to more than 200 times its own size.
        StoreError: If the disk is full, or `out` cannot be written or leads elsewhere through a link.

    >>> folder = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as file:
    ...     file.writestr("records/A00001.h5", b"1234")
    >>> [path.relative_to(folder).as_posix() for path in safe_extract(folder / "a.zip", folder / "sph")]
    ['sph/records/A00001.h5']
    """
    archive, out = Path(archive), Path(out)
    if not archive.is_file():
        raise DownloadError(f"no archive at {archive}: download it again")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".unpacking-") as aside:
            names = _unpack(archive, Path(aside))
            for name in names:
                require_inside(out, out / name)
            for name in names:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (Path(aside) / name).replace(out / name)
        return [out / name for name in names]
    except OSError as error:
        if isinstance(error, EcgkitError):
            raise
        raise write_error(out, error) from error


def _unpack(archive: Path, aside: Path) -> list[PurePosixPath]:
    """Unpack into a new folder."""
    names: dict[PurePosixPath, None] = {}
    left = min(_MOST_BYTES, max(_MOST_RATIO * archive.stat().st_size, _RATIO_FLOOR_BYTES))
    try:
        for number, (name, size, problem, content) in enumerate(_members(archive, left), start=1):
            if number > _MOST_MEMBERS:
                raise DownloadError(f"refused {archive}: it holds more than {_MOST_MEMBERS:,} files")
            if content is None and not problem and not name.strip("./"):
                continue  # the folder itself
            path = safe_relative_path(name)
            if problem:
                raise DownloadError(f"refused {archive}: {name!r} is {problem}")
            if content is None:
                continue
            if path in names:
                raise DownloadError(f"refused {archive}: it names {name!r} twice")
            if (left := left - size) < 0:
                raise DownloadError(f"refused {archive}: it would unpack to far more than its size (a bomb?)")
            names[path] = None
            target = aside / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(content, file, _PIECE_BYTES)
                if file.tell() != size:
                    raise DownloadError(f"{archive} is damaged: {name!r} is cut off; download it again")
    except (FileExistsError, NotADirectoryError) as error:
        raise DownloadError(f"refused {archive}: it names a folder that is also a file") from error
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        NotImplementedError,  # a method of compression that zipfile does not know
        RecursionError,  # a tar's headers of headers
        OSError,  # without a number: from gzip
    ) as error:
        if isinstance(error, EcgkitError) or getattr(error, "errno", None) is not None:
            raise
        raise DownloadError(f"{archive} is damaged ({error}): delete it and download it again") from error
    return list(names)


def _members(archive: Path, limit: int) -> Iterator[tuple[str, int, str, IO[bytes] | None]]:
    """Name, size, what is wrong with it, and content (None: a folder) of each member."""
    with archive.open("rb") as file:
        start = file.read(262)
    if zipfile.is_zipfile(archive) and not start.endswith(b"ustar"):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                problem = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "a link or a device"
                problem = "an encrypted file" if entry.flag_bits & 1 else problem
                content = None if problem or entry.is_dir() else packed.open(entry)
                yield entry.filename, entry.file_size, problem, content
    elif start.startswith(b"\x1f\x8b") or start.endswith(b"ustar"):
        opener: Any = gzip.open if start.startswith(b"\x1f\x8b") else Path.open
        with opener(archive, "rb") as opened:
            limited: Any = _Limited(archive, opened, limit)
            tar: Any
            with tarfile.open(fileobj=limited, mode="r:") as tar:
                for info in tar:
                    plain = info.isreg() and not info.issparse()
                    problem = "" if plain or info.isdir() else "no plain file (a link or a device)"
                    yield info.name, info.size, problem, tar.extractfile(info) if plain else None
                    tar.members = []  # it would remember them all
            if len(limited.last) < tarfile.BLOCKSIZE or limited.last.strip(b"\0"):
                raise tarfile.ReadError("a header cannot be read")
            for _ in range(_RATIO_FLOOR_BYTES // _PIECE_BYTES):
                if not opened.read(_PIECE_BYTES):  # only at its end is the checksum of a .gz compared
                    return
            raise DownloadError(f"refused {archive}: there is more after its end (a bomb?)")
    else:
        raise DownloadError(f"{archive} is neither a zip nor a tar archive: delete it and download it again")


class _Limited:
    """A file of which only so much may be read: `tarfile` reads a header whole, however long it is."""

    def __init__(self, archive: Path, file: IO[bytes], limit: int) -> None:
        self._archive, self._file, self._left = archive, file, 2 * limit
        self.seek, self.tell = file.seek, file.tell
        self.last = b""

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0 or size > _PIECE_BYTES:
            raise DownloadError(f"refused {self._archive}: its headers are too long (a bomb?)")
        self.last = self._file.read(size)
        return self.last
