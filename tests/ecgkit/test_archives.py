"""Archives, honest and hostile, and the one data set that comes as an archive."""

import bz2
import gzip
import io
import random
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from http_server import Server

from ecgkit.datasets import archives
from ecgkit.datasets import download as download_module
from ecgkit.datasets.archives import safe_extract
from ecgkit.datasets.download import RetryPolicy, download
from ecgkit.errors import DownloadError, StoreError

FILES = {"records/A00001.h5": b"one" * 10**6, "records/deep/A00002.h5": b"two", "metadata.csv": b""}


def _tar(path: Path, members: list[tuple[str, bytes]], mode: str = "w", **fields: Any) -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in fields.items():
                setattr(info, key, value)
            file.addfile(info, io.BytesIO(content))
    return path


def _zip(path: Path, members: list[tuple[str, bytes]], kind: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (kind | 0o644) << 16
            file.writestr(info, content)
    return path


def _left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("mode", ["w", "w:gz", "zip"])
def test_honest_archives_of_all_kinds(tmp_path: Path, mode: str) -> None:
    members = list(FILES.items())
    archive = tmp_path / "archive.bin"  # the kind is not in the name
    _zip(archive, members) if mode == "zip" else _tar(archive, members, mode)
    written = safe_extract(archive, tmp_path / "out")
    assert {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in written} == FILES


def test_folders_and_dots_in_names(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as file:
        for name in (".", "./records"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            file.addfile(info)
        info = tarfile.TarInfo("./records/A.h5")
        info.size = 1
        file.addfile(info, io.BytesIO(b"x"))
    assert safe_extract(archive, tmp_path / "out") == [tmp_path / "out" / "records" / "A.h5"]


HOSTILE_NAMES = ["../evil", "a/../../evil", "/evil-ecgkit", "C:\\evil", "..\\evil", "a\\b", "evil\n"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("make", [_tar, _zip])
def test_names_that_lead_outside(tmp_path: Path, name: str, make: Any) -> None:
    archive = make(tmp_path / "a", [("good.txt", b"good"), (name, b"evil")])
    with pytest.raises(DownloadError, match="unsafe file name"):
        safe_extract(archive, tmp_path / "out")
    assert _left(tmp_path) == [archive]  # not even the good file: the list is checked first


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_tar_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    archive = _tar(tmp_path / "a.tar", [("link", b"")], type=kind, linkname="/etc/passwd")
    with pytest.raises(DownloadError, match="a link or a device"):
        safe_extract(archive, tmp_path / "out")
    assert _left(tmp_path) == [archive]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_zip_links_and_devices(tmp_path: Path, kind: int) -> None:
    archive = _zip(tmp_path / "a.zip", [("link", b"/etc/passwd")], kind)
    with pytest.raises(DownloadError, match="a link or a device"):
        safe_extract(archive, tmp_path / "out")


@pytest.mark.parametrize("make", [_zip, lambda path, members: _tar(path, members, "w:gz")])
def test_bombs_by_ratio_and_by_size(tmp_path: Path, make: Any, monkeypatch: Any) -> None:
    archive = make(tmp_path / "a", [("zeros", bytes(20 * 2**20))])
    assert archive.stat().st_size < 2**16
    with pytest.raises(DownloadError, match="bomb"):
        safe_extract(archive, tmp_path / "out")
    small = make(tmp_path / "b", [("zeros", bytes(5000))])
    monkeypatch.setattr(archives, "_MOST_BYTES", 4999)
    with pytest.raises(DownloadError, match="far more than its size"):
        safe_extract(small, tmp_path / "out")
    assert not _left(tmp_path / "out")
    monkeypatch.setattr(archives, "_MOST_BYTES", 5000)
    assert len(safe_extract(small, tmp_path / "out")) == 1


def test_existing_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / "records").symlink_to(tmp_path / "outside")
    archive = _tar(tmp_path / "a.tar", [("records/evil", b"evil")])
    with pytest.raises(StoreError, match="a link that leads out"):
        safe_extract(archive, tmp_path / "out")
    assert not list((tmp_path / "outside").iterdir())
    (tmp_path / "out" / "records").unlink()
    (tmp_path / "out" / "records").mkdir()
    (tmp_path / "out" / "records" / "evil").symlink_to(tmp_path / "outside" / "new")
    with pytest.raises(StoreError, match="is a link"):
        safe_extract(archive, tmp_path / "out")
    assert not list((tmp_path / "outside").iterdir())


def test_name_twice_and_file_as_folder(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="twice"):
        safe_extract(_tar(tmp_path / "a", [("x", b"1"), ("./x", b"2")]), tmp_path / "out")
    with pytest.raises(DownloadError, match="a folder that is also a file"):
        safe_extract(_tar(tmp_path / "b", [("x", b"1"), ("x/y", b"2")]), tmp_path / "out")


def test_damaged_archives(tmp_path: Path) -> None:
    good = _zip(tmp_path / "good.zip", [("a", bytes(range(256)) * 50)])
    content = bytearray(good.read_bytes())
    content[60] ^= 255
    (tmp_path / "flipped.zip").write_bytes(content)
    tar = _tar(tmp_path / "good.tar.gz", [("a", bytes(range(256)) * 50)], "w:gz")
    (tmp_path / "cut.tar.gz").write_bytes(tar.read_bytes()[:-40])
    (tmp_path / "page.zip").write_bytes(b"<html>not found</html>")
    content[8:10] = b"\x63\0"  # a method of compression, 99, that nobody knows
    content[content.index(b"PK\x01\x02") + 10] = 99
    (tmp_path / "method.zip").write_bytes(content)
    plain = bytearray(_tar(tmp_path / "good.tar", [("a", b"1"), ("b", b"2")]).read_bytes())
    plain[1024] ^= 1  # in the header of the second file
    (tmp_path / "header.tar").write_bytes(plain)
    (tmp_path / "ended.tar").write_bytes(_tar(tmp_path / "whole.tar", [("a", b"1")]).read_bytes()[:1024])
    (tmp_path / "a.tar.bz2").write_bytes(bz2.compress(b"no kind that is known"))
    for name in (
        "ended.tar",
        "a.tar.bz2",
        "flipped.zip",
        "cut.tar.gz",
        "page.zip",
        "missing.zip",
        "method.zip",
        "header.tar",
    ):
        with pytest.raises(DownloadError, match=f"{name}.*download it again"):
            safe_extract(tmp_path / name, tmp_path / "out")
    assert not _left(tmp_path / "out")


def test_one_wrong_byte_in_a_compressed_tar(tmp_path: Path) -> None:
    """The checksum stands at the end of the file, after all that `tarfile` reads."""
    content = random.Random(0).randbytes(200_000)
    archive = _tar(tmp_path / "a.tar.x", [("first", b"1"), ("second", content)], "w:gz")
    flipped = bytearray(archive.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    archive.write_bytes(flipped)
    with pytest.raises(DownloadError, match=r"a\.tar\.x is damaged .*download it again"):
        safe_extract(archive, tmp_path / "out")
    assert _left(tmp_path) == [archive]


def test_bombs_in_the_headers_of_a_tar(tmp_path: Path, monkeypatch: Any) -> None:
    long = _tar(tmp_path / "long.tar.gz", [("a", b"1")], "w:gz", pax_headers={"comment": "x" * 2**21})
    with pytest.raises(DownloadError, match=r"refused .*long\.tar\.gz: its headers are too long"):
        safe_extract(long, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_MOST_BYTES", 2000)
        many = _tar(tmp_path / "many.tar", [(str(number), b"") for number in range(8)])
        with pytest.raises(DownloadError, match=r"refused .*many\.tar: its headers are too long"):
            safe_extract(many, tmp_path / "out")
    tail = tmp_path / "tail.tar.gz"
    tar = _tar(tmp_path / "a.tar", [("a", b"1")]).read_bytes()
    tail.write_bytes(gzip.compress(tar + bytes(20 * 2**20)))
    with pytest.raises(DownloadError, match="more after its end"):
        safe_extract(tail, tmp_path / "out")
    nested = tmp_path / "nested.tar"
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    nested.write_bytes(info.tobuf() * 1500 + tar)
    with pytest.raises(DownloadError, match="damaged"):
        safe_extract(nested, tmp_path / "out")


@pytest.mark.parametrize("make", [_tar, _zip])
def test_too_many_files(tmp_path: Path, make: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(archives, "_MOST_MEMBERS", 3)
    three = [(str(number), b"") for number in range(3)]
    assert len(safe_extract(make(tmp_path / "three", three), tmp_path / "out")) == 3
    with pytest.raises(DownloadError, match="more than 3 files"):
        safe_extract(make(tmp_path / "four", [*three, ("3", b"")]), tmp_path / "out")


def test_encrypted_zip(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", [("a", b"secret")])
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag in the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the table of contents
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match="encrypted"):
        safe_extract(archive, tmp_path / "out")


def test_sph_comes_as_an_archive(tmp_path: Path) -> None:
    archive = _tar(tmp_path / "a.tar", [("records/A00001.h5", b"signal")]).read_bytes()
    served = {"34793152": b"ECG_ID,AHA_Code\n", "32630954": b"Code\n", "32630684": archive}
    quick = RetryPolicy(tries=2, backoff_s=0.01, timeout_s=1)
    with Server(served, {"32630684": ["drop"]}) as server:

        def get() -> Path:
            return download("sph", tmp_path, mirror=server.url, retry=quick, progress=False)

        folder = get()
        assert (folder / "records" / "A00001.h5").read_bytes() == b"signal"
        assert {path.name for path in folder.iterdir()} >= {"metadata.csv", "code.csv", "records"}
        assert not (folder / "records.tar").exists()
        server.requests.clear()
        get()
        assert server.requests == []
        for damage in (Path.unlink, lambda path: path.write_bytes(b"sig")):  # lost, cut
            damage(folder / "records" / "A00001.h5")
            server.requests.clear()
            get()
            assert [request.path for request in server.requests] == ["32630684"]
            assert (folder / "records" / "A00001.h5").read_bytes() == b"signal"


def test_error_page_instead_of_the_metadata_of_sph(tmp_path: Path) -> None:
    archive = _tar(tmp_path / "a.tar", [("records/A00001.h5", b"signal")]).read_bytes()
    served = {"34793152": b"<html>Sorry</html>", "32630954": b"Code\n", "32630684": archive}
    with Server(served) as server:
        with pytest.raises(DownloadError, match=r"is not the set's metadata\.csv from 34793152 .*<html>"):
            download("sph", tmp_path, mirror=server.url, progress=False)
        assert not (tmp_path / "sph" / "metadata.csv").exists()
        server.files["34793152"] = b"ECG_ID,AHA_Code\n"
        folder = download("sph", tmp_path, mirror=server.url, progress=False)
        assert server.sent("32630684") == [len(archive)]  # what was good is not fetched again
    assert (folder / "metadata.csv").read_bytes() == b"ECG_ID,AHA_Code\n"
    assert (folder / "records" / "A00001.h5").exists()


@pytest.mark.parametrize(("error", "fetched"), [(StoreError, 1), (DownloadError, 2)])
def test_archive_that_could_not_be_unpacked(
    tmp_path: Path, monkeypatch: Any, error: type[Exception], fetched: int
) -> None:
    """After a full disk the archive is still good; a damaged one is fetched anew."""
    archive = _tar(tmp_path / "a.tar", [("records/A00001.h5", b"signal")]).read_bytes()
    served = {"34793152": b"ECG_ID,AHA_Code\n", "32630954": b"Code\n", "32630684": archive}

    def fail(*arguments: Any) -> None:
        raise error("no")

    with Server(served) as server:
        monkeypatch.setattr(download_module, "safe_extract", fail)
        with pytest.raises(error):
            download("sph", tmp_path, mirror=server.url, progress=False)
        monkeypatch.undo()
        folder = download("sph", tmp_path, mirror=server.url, progress=False)
        assert len(server.sent("32630684")) == fetched
    assert (folder / "records" / "A00001.h5").read_bytes() == b"signal"


def test_sph_refused_by_hand(tmp_path: Path) -> None:
    quick = RetryPolicy(tries=1)
    with Server({}) as server, pytest.raises(DownloadError, match=r"By hand: open https://doi\.org/10\.6084"):
        download("sph", tmp_path, mirror=server.url, retry=quick, progress=False)


def test_sparse_member_is_refused(tmp_path: Path) -> None:
    """Its size costs nothing in the archive."""
    archive = _tar(tmp_path / "a.tar", [("big", b"")], pax_headers={"GNU.sparse.major": "1"})
    info = tarfile.TarInfo("big")
    info.type = tarfile.GNUTYPE_SPARSE
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + archive.read_bytes())
    with pytest.raises(DownloadError, match=r"no plain file|damaged"):
        safe_extract(archive, tmp_path / "out")


SPH = {"34793152": b"ECG_ID,AHA_Code\n", "32630954": b"Code\n"}
ONCE = RetryPolicy(tries=1, backoff_s=0.01)


@pytest.mark.parametrize(
    ("versions", "changed"), [(True, False), (True, True), (False, False), (False, True)]
)
def test_sph_resumed_is_of_one_version(tmp_path: Path, versions: bool, changed: bool) -> None:
    """No checksum would tell a mixture: the rest is only asked for where the server names the version."""
    old, new = (
        _tar(tmp_path / f"{letter}.tar", [("records/A00001.h5", letter.encode() * 300_000)]).read_bytes()
        for letter in "ab"
    )
    with Server({**SPH, "32630684": old}, {"32630684": ["drop"]}) as server:
        server.names_versions = versions
        with pytest.raises(DownloadError, match="broke off"):
            download("sph", tmp_path, mirror=server.url, retry=ONCE, progress=False)
        if changed:
            server.files["32630684"] = new
        folder = download("sph", tmp_path, mirror=server.url, retry=ONCE, progress=False)
        rest = len(old) - (len(old) + 1) // 2
        assert server.sent("32630684")[1:] == [rest if versions and not changed else len(new)]
    assert (folder / "records" / "A00001.h5").read_bytes() == (b"b" if changed else b"a") * 300_000


def test_sph_files_that_somebody_put_there_stay(tmp_path: Path) -> None:
    folder = tmp_path / "sph"
    folder.mkdir()
    archive = _tar(folder / "records.tar", [("records/A00001.h5", b"signal")])
    (folder / "metadata.csv").write_bytes(b"ECG_ID,mine\n")
    with Server(SPH) as server:
        for _ in range(2):
            download("sph", tmp_path, mirror=server.url, retry=ONCE, progress=False)
        assert [request.path for request in server.requests] == ["32630954"]
        assert archive.exists() and (folder / "metadata.csv").read_bytes() == b"ECG_ID,mine\n"
        assert (folder / "records" / "A00001.h5").read_bytes() == b"signal"
        (folder / "code.csv").write_bytes(b"corrected\n")
        download("sph", tmp_path, mirror=server.url, retry=ONCE, progress=False)
        assert (folder / "code.csv.old").read_bytes() == b"corrected\n"
        (folder / "metadata.csv").write_bytes(b"<html>")
        with pytest.raises(DownloadError, match="move it away"):
            download("sph", tmp_path, mirror=server.url, retry=ONCE, progress=False)
        assert (folder / "metadata.csv").read_bytes() == b"<html>"
