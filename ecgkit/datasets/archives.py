"""Names and archives that come from outside: nothing may be written outside the chosen folder."""

import bz2
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from ecgkit.errors import DownloadError, EcgkitError
from ecgkit.files import atomic_write

__all__ = ["safe_extract", "safe_relative_path"]

_ORDINARY = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
_RATIO_FLOOR_BYTES = 16 * 2**20  # below this size an archive may pack as well as it likes
_MOST_MEMBERS = 200_000
_TAR_HEADER_BYTES = 128 * 2**20  # all headers of a tar together
_PIECE_BYTES = 2**20  # what is read at once, and the longest header of a tar
_TAR_COMPRESSED: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_TAR_MAGIC = slice(257, 262)  # where "ustar" stands in a tar


class _Member(NamedTuple):
    name: str
    size: int
    folder: bool
    problem: str  # empty when it is a plain file or folder


def safe_relative_path(name: str) -> PurePosixPath:
    """Check a file name that a server or an archive gave, before anything is written under it.

    Args:
        name: A relative name with forward slashes, as in ``SHA256SUMS.txt`` or in an archive.

    Returns:
        The same name as a relative path without ``.`` parts.

    Raises:
        DownloadError: If the name is empty or absolute, climbs up with ``..``, or holds a drive letter,
            a backslash or a control character.

    >>> safe_relative_path("./records100/00000/00001_lr.dat").as_posix()
    'records100/00000/00001_lr.dat'
    >>> safe_relative_path("../../.bashrc")
    Traceback (most recent call last):
    ...
    ecgkit.errors.DownloadError: refused the unsafe file name '../../.bashrc': it leads outside the folder
    """

    def refuse(reason: str) -> DownloadError:
        return DownloadError(f"refused the unsafe file name {name!r}: {reason}")

    if _ORDINARY.fullmatch(name) and ".." not in name:  # quick: there are lists of 90,000 names
        return PurePosixPath(name)
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise refuse("it holds a control character")
    if "\\" in name or ":" in name:
        raise refuse("it holds a backslash or a drive letter")
    if name.startswith("/"):
        raise refuse("it is absolute")
    path = PurePosixPath(name)
    if ".." in path.parts:
        raise refuse("it leads outside the folder")
    if not path.parts:
        raise refuse("it is empty")
    return path


def safe_extract(
    archive: str | Path, out: str | Path, max_bytes: int = 50 * 2**30, max_ratio: float = 200.0
) -> list[Path]:
    """Unpack a zip or tar archive (also .gz, .bz2, .xz) that may be hostile.

    The whole table of contents is checked before the first byte is written, and so is the checksum of a
    compressed tar. Only plain files and folders are accepted, and each file takes its place when it is
    complete.

    Args:
        archive: The archive; its kind is found from its content, not from its name.
        out: Folder to unpack into, made when missing.
        max_bytes: Largest total size of the unpacked files in bytes.
        max_ratio: Largest total size of the unpacked files in units of the archive's own size.

    Returns:
        The files written, in the order of the archive.

    Raises:
        DownloadError: If the archive is damaged or encrypted, names a file outside `out`, holds a link or a
            device, names a file twice, or unpacks to more than the limits allow or to too many files.
        StoreError: If the disk is full or `out` cannot be written.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as file:
    ...     file.writestr("records/A00001.h5", b"1234")
    >>> [path.relative_to(folder).as_posix() for path in safe_extract(folder / "a.zip", folder / "sph")]
    ['sph/records/A00001.h5']
    """
    archive, out = Path(archive), Path(out)
    if not archive.is_file():
        raise DownloadError(f"no archive at {archive}: download it again")
    limit = min(max_bytes, max(max_ratio * archive.stat().st_size, _RATIO_FLOOR_BYTES))
    try:
        tar = _open_tar(archive)
        if tar is not None:
            with tar:
                return _extract_tar(archive, tar, out, limit)
        if zipfile.is_zipfile(archive):
            return _extract_zip(archive, out, limit)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        ValueError,
        NotImplementedError,  # a method of compression that zipfile does not know
        RecursionError,  # a tar's headers of headers
        OSError,  # without a number: from gzip or bz2
    ) as error:
        if isinstance(error, EcgkitError) or getattr(error, "errno", None) is not None:
            raise
        raise DownloadError(f"{archive} is damaged ({error}): delete it and download it again") from error
    raise DownloadError(f"{archive} is neither a zip nor a tar archive: delete it and download it again")


def _open_tar(archive: Path) -> IO[bytes] | None:
    """The tar without its compression; None when it is no tar."""
    with archive.open("rb") as file:
        start = file.read(_TAR_MAGIC.stop)
    for magic, opener in _TAR_COMPRESSED.items():
        if start.startswith(magic):
            opened: IO[bytes] = opener(archive)
            return opened
    return archive.open("rb") if start[_TAR_MAGIC] == b"ustar" else None


class _Budget:
    """A file of which only so much may be read: `tarfile` reads a header whole, however long it is."""

    def __init__(self, archive: Path, stream: IO[bytes], budget: int) -> None:
        self._archive, self._stream, self.left = archive, stream, float(budget)
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        self.left -= size
        if self.left < 0 or size > _PIECE_BYTES:
            raise DownloadError(f"refused {self._archive}: its table of contents is too long (a bomb?)")
        return self._stream.read(size)


def _extract_tar(archive: Path, stream: IO[bytes], out: Path, limit: float) -> list[Path]:
    def members(file: tarfile.TarFile) -> Iterator[_Member]:
        for info in file:
            problem = "" if info.isreg() or info.isdir() else "a link or a device"
            yield _Member(info.name, info.size, info.isdir(), problem)

    budget: Any = _Budget(archive, stream, _TAR_HEADER_BYTES)
    with tarfile.open(fileobj=budget, mode="r:") as file:
        _check(archive, members(file), limit)
        _check_end(archive, stream, file.offset)
        budget.left = float("inf")  # the table of contents has been read
        written = []
        for info in file.getmembers():
            content = file.extractfile(info) if info.isreg() else None
            if content is not None:
                written.append(_write(archive, out, info.name, content, info.size))
        return written


def _check_end(archive: Path, stream: IO[bytes], offset: int) -> None:
    """Read what follows the last member: only then is the checksum of a compressed file compared."""
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("a header cannot be read")
    while stream.read(_PIECE_BYTES):
        if stream.tell() - offset > _RATIO_FLOOR_BYTES:
            raise DownloadError(f"refused {archive}: there is more after its end")


def _extract_zip(archive: Path, out: Path, limit: float) -> list[Path]:
    def member(info: zipfile.ZipInfo) -> _Member:
        kind = stat.S_IFMT(info.external_attr >> 16)
        problem = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "a link or a device"
        if info.flag_bits & 1:
            problem = "an encrypted file"
        return _Member(info.filename, info.file_size, info.is_dir(), problem)

    with zipfile.ZipFile(archive) as file:
        _check(archive, (member(info) for info in file.infolist()), limit)
        written = []
        for info in file.infolist():
            if not info.is_dir():
                with file.open(info) as content:
                    written.append(_write(archive, out, info.filename, content, info.file_size))
        return written


def _check(archive: Path, members: Iterable[_Member], limit: float) -> None:
    total = 0
    seen: set[PurePosixPath] = set()
    for number, member in enumerate(members, start=1):
        if number > _MOST_MEMBERS:
            raise DownloadError(f"refused {archive}: it holds more than {_MOST_MEMBERS:,} files")
        if member.folder and member.name.strip("./") == "":
            continue
        path = safe_relative_path(member.name)
        if member.problem:
            raise DownloadError(f"refused {archive}: {member.name!r} is {member.problem}")
        if not member.folder:
            if path in seen:
                raise DownloadError(f"refused {archive}: it names {member.name!r} twice")
            seen.add(path)
            total += member.size
        if total > limit:
            raise DownloadError(
                f"refused {archive}: it would unpack to more than {limit / 2**20:,.0f} MiB (a zip bomb?)"
            )
    for path in seen:
        if not seen.isdisjoint(path.parents):
            raise DownloadError(f"refused {archive}: {str(path)!r} lies in a folder that is also a file")


def _write(archive: Path, out: Path, name: str, content: IO[bytes], size: int) -> Path:
    target = out / safe_relative_path(name)
    if not target.parent.resolve().is_relative_to(out.resolve()):
        raise DownloadError(f"refused {archive}: {name!r} would be written through a link out of {out}")
    with atomic_write(target, "wb") as file:
        shutil.copyfileobj(content, file, _PIECE_BYTES)
        if file.tell() != size:
            raise DownloadError(f"{archive} is damaged: {name!r} has {file.tell()} bytes instead of {size}")
    return target
