"""Downloads against a local server that has the published layout and, as planned, the faults of real ones."""

import hashlib
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from http_server import Server, sums

from ecgkit.datasets import download as download_module
from ecgkit.datasets.download import STATE_NAME, RetryPolicy, download
from ecgkit.datasets.published import MIRRORS, PUBLISHED, by_hand, parse_sums
from ecgkit.errors import DataNotFoundError, DownloadError, StoreError

QUICK = RetryPolicy(tries=3, backoff_s=0.01, timeout_s=10, longest_wait_s=5)
IMPATIENT = replace(QUICK, timeout_s=1.5)
BASE = "ptb-xl/1.0.3/"
ONE = "records100/00000/00001_lr.dat"


def _content(name: str, size: int = 3000) -> bytes:
    return (hashlib.sha256(name.encode()).digest() * (size // 32 + 1))[:size]


def _ptbxl(records: int = 4) -> dict[str, bytes]:
    """PTB-XL's layout with made-up bytes."""
    names = ["LICENSE.txt", "RECORDS", "ptbxl_database.csv", "scp_statements.csv"]
    for number in range(1, records + 1):
        for rate, end in (("100", "lr"), ("500", "hr")):
            names += [f"records{rate}/00000/{number:05d}_{end}{kind}" for kind in (".dat", ".hea")]
    return {name: _content(name) for name in names}


def _published(files: dict[str, bytes], base: str = BASE) -> dict[str, bytes]:
    return {base + name: content for name, content in {**files, "SHA256SUMS.txt": sums(files)}.items()}


def _get(server: Server, out: Path, name: str = "ptbxl", **options: Any) -> Path:
    return download(name, out, mirror=server.url, progress=False, **{"retry": QUICK, **options})


def _tree(folder: Path) -> dict[str, bytes]:
    """The files of a folder, but for the list and the state."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS.txt" and not path.name.startswith(".ecgkit")
    }


def test_whole_set_arrives_as_published_and_in_parallel(tmp_path: Path) -> None:
    files = _ptbxl(8)
    with Server(_published(files)) as server:
        server.delay_s = 0.02
        _get(server, tmp_path / "one", workers=1)
        assert server.most_at_once == 1
        folder = _get(server, tmp_path)
        assert server.most_at_once > 3
        assert all(request.user_agent.startswith("ecgkit/") for request in server.requests)
        assert all("(+http" in request.user_agent for request in server.requests)
    assert folder == tmp_path / "ptbxl"
    assert _tree(folder) == files
    listed = (folder / "SHA256SUMS.txt").read_text().splitlines()
    assert f"{hashlib.sha256(files[ONE]).hexdigest()}  {ONE}" in listed  # as `sha256sum -c` wants it


def test_second_call_asks_for_nothing_and_does_not_hash(tmp_path: Path, monkeypatch: Any) -> None:
    with Server(_published(_ptbxl())) as server:
        folder = _get(server, tmp_path)
        before = len(server.requests)
        monkeypatch.setattr(download_module, "sha256_file", lambda path: pytest.fail("hashed again"))
        assert _get(server, tmp_path) == folder
        assert len(server.requests) == before


def test_files_from_elsewhere_are_hashed_once_and_not_fetched(tmp_path: Path) -> None:
    files = _ptbxl()
    for name, content in files.items():
        path = tmp_path / "ptbxl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with Server(_published(files)) as server:
        _get(server, tmp_path)
        assert [request.path for request in server.requests] == [BASE + "SHA256SUMS.txt"]


def test_changed_and_missing_files_are_fetched_again(tmp_path: Path) -> None:
    files = _ptbxl()
    with Server(_published(files)) as server:
        folder = _get(server, tmp_path)
        (folder / ONE).write_bytes(b"damaged")
        (folder / "RECORDS").unlink()
        server.requests.clear()
        _get(server, tmp_path)
        assert {request.path for request in server.requests} == {BASE + ONE, BASE + "RECORDS"}
    assert _tree(folder) == files


def test_first_records_and_one_rate(tmp_path: Path) -> None:
    files = _ptbxl(4)
    with Server(_published(files)) as server:
        folder = _get(server, tmp_path, records=2, sampling_rate_hz=100)
        got = {name for name in _tree(folder) if "/" in name}
        assert got == {f"records100/00000/0000{n}_lr{end}" for n in (1, 2) for end in (".dat", ".hea")}
        assert {"ptbxl_database.csv", "LICENSE.txt"} <= set(_tree(folder))
        server.requests.clear()
        _get(server, tmp_path, records=3)  # both rates: only what is missing
        assert len(server.requests) == 2 * 3 + 2 * 1
        _get(server, tmp_path)
    assert _tree(folder) == files


def test_challenge_set_is_cut_out_of_the_release(tmp_path: Path) -> None:
    own = {f"training/georgia/g{g}/E0000{g}{end}": b"x" * g for g in (1, 2) for end in (".hea", ".mat")}
    own |= {f"training/georgia/g{g}/RECORDS": b"E" for g in (1, 2)}
    others = {"training/ptb/g1/S0001.hea": b"s", "evaluate.py": b"p"}
    files = {**own, **others, "LICENSE.txt": b"licence"}
    with Server(_published(files, "challenge-2021/1.0.3/")) as server:
        folder = _get(server, tmp_path, "georgia", records=1)
        assert set(_tree(folder)) == {"LICENSE.txt", "g1/E00001.hea", "g1/E00001.mat", "g1/RECORDS"}
        _get(server, tmp_path, "georgia")
    expected = {name.removeprefix("training/georgia/"): content for name, content in own.items()}
    assert _tree(folder) == {**expected, "LICENSE.txt": b"licence"}


@pytest.mark.parametrize("fault", ["drop", "drop-chunked", "stall"])
def test_broken_transfer_is_resumed_with_only_the_rest(tmp_path: Path, fault: str) -> None:
    files = _ptbxl(1)
    with Server(_published(files), {BASE + ONE: [fault]}) as server:
        folder = _get(server, tmp_path, retry=IMPATIENT)
        sent = server.sent(BASE + ONE)
        resumed = [request for request in server.requests if request.path == BASE + ONE][-1]
    assert _tree(folder) == files
    assert sent[0] == 1500 and resumed.status == 206
    assert sum(sent) == len(files[ONE]) + (1500 - int(resumed.range[6:-1]))  # no byte more than was lost
    if fault != "drop-chunked":
        assert sent == [1500, 1500]


@pytest.mark.parametrize("fault", ["ignore-range", "wrong-range"])
def test_server_that_cannot_resume_sends_the_file_anew(tmp_path: Path, fault: str) -> None:
    files = _ptbxl(1)
    with Server(_published(files), {BASE + ONE: ["drop", fault]}) as server:
        assert _tree(_get(server, tmp_path)) == files
        assert server.sent(BASE + ONE)[-1] == len(files[ONE])


def test_server_that_ignores_ranges_and_always_drops_is_given_up(tmp_path: Path) -> None:
    path = BASE + ONE
    with Server(_published(_ptbxl(1)), {path: ["*ignore-range-drop"]}) as server:
        with pytest.raises(DownloadError, match=r"broke off.*3 times in a row"):
            _get(server, tmp_path)
        assert server.sent(path) == [1500] * 3


@pytest.mark.parametrize("status", ["403", "404"])
def test_refusal_is_not_retried_but_the_second_mirror_is_asked(tmp_path: Path, status: str) -> None:
    files = _ptbxl(1)
    first = Server(_published(files), {BASE + ONE: [f"*{status}"]})
    with first, Server(_published(files)) as second:
        folder = download("ptbxl", tmp_path, mirror=[first.url, second.url], retry=QUICK, progress=False)
        assert len(first.sent(BASE + ONE)) == 1
        assert len(second.sent(BASE + ONE)) == 1
    assert _tree(folder) == files


def test_mirror_that_is_down_is_asked_first_only_once(tmp_path: Path) -> None:
    files = _ptbxl(3)
    words = {path: ["*500"] for path in _published(files)}
    with Server(_published(files), words) as first, Server(_published(files)) as second:
        folder = download("ptbxl", tmp_path, mirror=[first.url, second.url], retry=QUICK, progress=False)
        assert {request.path for request in first.requests} == {BASE + "SHA256SUMS.txt"}
    assert _tree(folder) == files


@pytest.mark.parametrize("status", ["403", "404"])
def test_refusal_by_all_says_what_to_do_by_hand(tmp_path: Path, status: str) -> None:
    with Server(_published(_ptbxl(2)), {BASE + ONE: [f"*{status}"]}) as server:
        with pytest.raises(DownloadError) as caught:
            _get(server, tmp_path)
        message = str(caught.value)
        assert f"{server.url}{BASE}{ONE}: HTTP {status}" in message
        assert "wget -r -N -c -np -nH --cut-dirs=3" in message
        assert f"-P {tmp_path / 'ptbxl'} https://physionet.org/files/ptb-xl/1.0.3/" in message
        assert not (tmp_path / "ptbxl" / ONE).exists()
        others = [name for name in _ptbxl(2) if name != ONE]
        assert all((tmp_path / "ptbxl" / name).exists() for name in others)


def test_server_that_refuses_everything_is_not_asked_for_all(tmp_path: Path) -> None:
    files = _ptbxl(40)
    words = {path: ["*403"] for path in _published(files) if "SHA256SUMS" not in path}
    with Server(_published(files), words) as server, pytest.raises(DownloadError, match="stopped after 5"):
        _get(server, tmp_path, workers=2)
    assert len(server.requests) < 20


def test_no_server_at_all(tmp_path: Path) -> None:
    with Server({}) as server:
        address = server.url
    with pytest.raises(DownloadError, match="connection failed"):
        download("ptbxl", tmp_path, mirror=address, retry=QUICK, progress=False)


def test_good_file_survives_a_failed_replacement(tmp_path: Path) -> None:
    """A file that does not match the list is replaced only by one that does."""
    mine = tmp_path / "ptbxl" / ONE
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with Server(_published(_ptbxl(1)), {BASE + ONE: ["*wrong"]}) as server, pytest.raises(DownloadError):
        _get(server, tmp_path)
    assert mine.read_bytes() == b"mine"


def test_error_page_instead_of_the_list(tmp_path: Path) -> None:
    page = {BASE + "SHA256SUMS.txt": b"<html>Please log in</html>"}
    with Server(page) as server, pytest.raises(DownloadError, match="not a list of checksums"):
        _get(server, tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/passwd", "a/../../evil", "C:/evil", "a\\..\\evil", "a\x01b", ".ecgkit-download.json"],
)
def test_unsafe_names_in_the_list_are_refused(tmp_path: Path, name: str) -> None:
    listing = sums({name: b"evil", "RECORDS": b"ok"})
    served = {BASE + "SHA256SUMS.txt": listing, BASE + name: b"evil", BASE + "RECORDS": b"ok"}
    with Server(served) as server, pytest.raises(DownloadError, match="unsafe file name"):
        _get(server, tmp_path / "data")
    assert not list(tmp_path.rglob("*evil*"))


def test_list_with_doubled_or_foreign_names() -> None:
    twice = sums({"a": b"1"}) + sums({"./a": b"2"})
    with pytest.raises(DownloadError, match="twice"):
        parse_sums(twice.decode())
    assert parse_sums(sums({"other/a.hea": b""}).decode(), prefix="training/") == []


def test_ctrl_c_keeps_what_arrived(tmp_path: Path, monkeypatch: Any) -> None:
    files = _ptbxl(6)

    def interrupted(futures: list[Any]) -> Any:
        futures[0].result()
        raise KeyboardInterrupt

    with Server(_published(files)) as server:
        server.delay_s = 0.05  # so that it cannot finish while it is being stopped
        monkeypatch.setattr(download_module, "as_completed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _get(server, tmp_path, workers=1)
        monkeypatch.undo()
        server.delay_s = 0.0
        kept = _tree(tmp_path / "ptbxl")
        assert 0 < len(kept) < len(files)
        assert all(files[name] == content for name, content in kept.items() if not name.endswith(".part"))
        server.requests.clear()
        assert _tree(_get(server, tmp_path)) == files
        assert len(server.requests) <= len(files) - len(kept) + 1


def test_full_disk_is_told_before_the_start(tmp_path: Path, monkeypatch: Any) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda path: usage)
    with Server(_published(_ptbxl(4))) as server:
        with pytest.raises(
            DownloadError, match=r"not enough room.*bytes\) needed but only .*1,000 bytes\) free"
        ):
            _get(server, tmp_path)
        assert len(server.requests) == 1  # the list


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "ptbxl").write_text("a file where the folder should be")
    with Server(_published(_ptbxl(1))) as server, pytest.raises(StoreError, match="ptbxl"):
        _get(server, tmp_path)


def test_default_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ECGKIT_DATA", str(tmp_path / "elsewhere"))
    with Server(_published(_ptbxl(1))) as server:
        folder = download("ptbxl", mirror=server.url, retry=QUICK, progress=False)
    assert folder == tmp_path / "elsewhere" / "ptbxl"


def test_published_addresses() -> None:
    assert (
        MIRRORS["physionet"] + PUBLISHED["ptbxl"].base("1.0.3") == "https://physionet.org/files/ptb-xl/1.0.3/"
    )
    aws = MIRRORS["aws"] + PUBLISHED["ptbxl"].base("1.0.1")
    assert aws == "https://physionet-open.s3.amazonaws.com/ptb-xl/1.0.1/"
    command = by_hand(PUBLISHED["cpsc2018"], "1.0.3", Path("data/cpsc2018"))
    assert "--cut-dirs=5" in command
    assert command.endswith("https://physionet.org/files/challenge-2021/1.0.3/training/cpsc_2018/")


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (lambda c: c[:2900], [100]),
        (lambda c: c, [0]),
        (lambda c: b"another", None),
        (lambda c: b"z" * 5000, None),
    ],
)
def test_part_of_an_earlier_run(tmp_path: Path, part: Any, sent: list[int] | None) -> None:
    """It is resumed when it is of this file, costs no byte when it is complete, and is dropped otherwise."""
    files = _ptbxl(1)
    path = tmp_path / "ptbxl" / (ONE + ".part")
    path.parent.mkdir(parents=True)
    path.write_bytes(part(files[ONE]))
    with Server(_published(files)) as server:
        assert _tree(_get(server, tmp_path)) == files
        assert sent is None or server.sent(BASE + ONE) == sent


@pytest.mark.parametrize(
    "words", [["503"], ["503", "drop"], ["429:0"], ["503:Wed, 21 Oct 2015 07:28:00 GMT"], ["503:soon"]]
)
def test_passing_trouble_is_waited_out(tmp_path: Path, words: list[str]) -> None:
    files = _ptbxl(1)
    with Server(_published(files), {BASE + ONE: words}) as server:
        assert _tree(_get(server, tmp_path)) == files
        assert len(server.sent(BASE + ONE)) >= len(words) + 1


def test_waits_double_and_an_asked_one_is_kept(tmp_path: Path, monkeypatch: Any) -> None:
    waits: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", lambda self, timeout=None: waits.append(timeout) or False)
    policy = RetryPolicy(tries=6)
    fetcher = download_module._Fetcher(["http://nowhere.invalid/"], policy)
    answers = iter([None, None, None, 7.0, None])

    def request(url: str, part: Any) -> None:
        raise download_module._Trouble("HTTP 503", next(answers, None))

    monkeypatch.setattr(fetcher, "_request", request)
    with pytest.raises(DownloadError, match="503, 6 times in a row"):
        fetcher.fetch("a", download_module._Part(tmp_path / "a.part", 100, True))
    assert len(waits) == 5 and waits[3] == 7.0
    assert all(0.5 * 2**n <= wait <= 1.5 * 2**n for n, wait in enumerate(waits) if n != 3)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("*503:3600", "HTTP 503 .*in 3600 s"),
        ("*endless", "longer than the .* bytes that such a file may have"),
        ("*drip", r"sent only \d+ bytes"),
        ("*drip-head", "did not begin to answer"),
        ("*wrong", "wrong checksum"),
    ],
)
@pytest.mark.parametrize("name", [ONE, "SHA256SUMS.txt"])
def test_server_that_never_gives_the_file(
    tmp_path: Path, monkeypatch: Any, word: str, message: str, name: str
) -> None:
    if name == "SHA256SUMS.txt" and word == "*wrong":
        message = "not a list of checksums"
    monkeypatch.setattr(type(PUBLISHED["ptbxl"]), "most_bytes", lambda self, name: 2**21)
    policy = replace(QUICK, tries=2, timeout_s=0.3)
    served = Server(_published(_ptbxl(1)), {BASE + name: [word]})
    with served as server, pytest.raises(DownloadError, match=message):
        _get(server, tmp_path, retry=policy)
    assert not (tmp_path / "ptbxl" / name).exists()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.part")) < 3000


def test_announced_length_beyond_the_limit_is_refused_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(PUBLISHED["ptbxl"]), "most_bytes", lambda self, name: 2999)
    files = {name: content for name, content in _ptbxl(1).items() if name == ONE}
    with (
        Server(_published(files)) as server,
        pytest.raises(DownloadError, match="longer than the 2,999 bytes"),
    ):
        _get(server, tmp_path)
    real = PUBLISHED["ptbxl"]
    monkeypatch.undo()
    assert real.most_bytes("x_hr.dat") > 120_000 and real.most_bytes("a.hea") < 2**21 < real.most_bytes(
        "SHA256SUMS.txt"
    )


def test_wrong_file_is_fetched_again_then_from_the_second_mirror(tmp_path: Path) -> None:
    files = _ptbxl(1)
    with Server(_published(files), {BASE + ONE: ["wrong"]}) as server:
        assert _tree(_get(server, tmp_path / "a")) == files
        assert server.sent(BASE + ONE) == [3000, 3000]
    with Server(_published(files), {BASE + ONE: ["*wrong"]}) as first, Server(_published(files)) as second:
        folder = download(
            "ptbxl", tmp_path / "b", mirror=[first.url, second.url], retry=QUICK, progress=False
        )
        assert (len(first.sent(BASE + ONE)), len(second.sent(BASE + ONE))) == (2, 1)
    assert _tree(folder) == files


def test_disk_that_fills_up_on_the_way(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(download_module, "_open_part", lambda path, mode: Path.open(Path("/dev/full"), mode))
    with Server(_published(_ptbxl(1))) as server:
        with pytest.raises(StoreError, match=r"\.part.*the disk is full: free some space"):
            _get(server, tmp_path)
        monkeypatch.undo()
        assert _tree(_get(server, tmp_path)) == _ptbxl(1)


@pytest.mark.parametrize(
    "damage",
    ["{", "[]", '{"version": "1.0.3", "files": {"a": 1}}',
     '{"version": "1.0.3", "files": {"a": [Infinity, 1, "a"]}}',
     "[" * 100_000, "\x00", None],
)  # fmt: skip
def test_damaged_state_only_costs_time(tmp_path: Path, damage: str | None) -> None:
    files = _ptbxl(1)
    with Server(_published(files)) as server:
        folder = _get(server, tmp_path)
        (folder / STATE_NAME).unlink()
        if damage is None:
            os.mkfifo(folder / STATE_NAME)  # to read it would wait for ever
        else:
            (folder / STATE_NAME).write_text(damage)
        assert _tree(_get(server, tmp_path)) == files


def test_another_version_takes_over_the_folder(tmp_path: Path) -> None:
    new = _ptbxl(2)
    old = {**_ptbxl(3), "ptbxl_database.csv": b"older"}
    with Server(_published(new) | _published(old, "ptb-xl/1.0.1/")) as server:
        folder = _get(server, tmp_path, version="1.0.1")
        assert (folder / "ptbxl_database.csv").read_bytes() == b"older"
        (folder / "SHA256SUMS.txt.part").write_bytes(sums(old)[:100])  # of an interrupted call
        server.requests.clear()
        _get(server, tmp_path)
        fetched = {request.path for request in server.requests}
        assert fetched == {BASE + "SHA256SUMS.txt", BASE + "ptbxl_database.csv"}
        assert (folder / "ptbxl_database.csv").read_bytes() == new["ptbxl_database.csv"]
        assert not list(folder.glob("*.old"))  # it was as we wrote it
        with pytest.raises(DownloadError, match=r"ptb-xl/9\.9/.*HTTP 404"):
            _get(server, tmp_path, version="9.9")


def test_table_that_somebody_corrected_is_kept(tmp_path: Path) -> None:
    files = _ptbxl(1)
    with Server(_published(files)) as server:
        folder = _get(server, tmp_path)
        for number in ("", "1"):
            (folder / "ptbxl_database.csv").write_bytes(b"corrected" + number.encode())
            _get(server, tmp_path)
            assert (folder / "ptbxl_database.csv").read_bytes() == files["ptbxl_database.csv"]
            assert (folder / f"ptbxl_database.csv.old{number}").read_bytes() == b"corrected" + number.encode()


@pytest.mark.parametrize(
    "what", ["part", "part of the list", "folder", "lock", "pipe", "folder in its place"]
)
def test_nothing_is_written_through_a_link_that_leads_out(tmp_path: Path, what: str) -> None:
    folder, outside = tmp_path / "data" / "ptbxl", tmp_path / "outside"
    (folder / ONE).parent.mkdir(parents=True)
    outside.write_bytes(b"mine")
    if what == "folder":
        (folder / ONE).parent.rmdir()
        (tmp_path / "elsewhere").mkdir()
        (folder / ONE).parent.symlink_to(tmp_path / "elsewhere")
    elif what == "folder in its place":
        (folder / ONE).mkdir()
    elif what == "pipe":
        os.mkfifo(folder / f"{ONE}.part")
    else:
        names = {
            "part": f"{ONE}.part",
            "part of the list": "SHA256SUMS.txt.part",
            "lock": ".ecgkit-download.lock",
        }
        (folder / names[what]).symlink_to(outside)
    with Server(_published(_ptbxl(1))) as server, pytest.raises(StoreError, match=r"is a link|is a folder"):
        _get(server, tmp_path / "data")
    assert outside.read_bytes() == b"mine"
    assert not list(tmp_path.glob("elsewhere/*"))


def test_links_that_are_safe(tmp_path: Path) -> None:
    """The set's own folder may lie elsewhere; other names of a file are replaced, not written through."""
    files, outside = _ptbxl(1), tmp_path / "outside"
    (tmp_path / "disk").mkdir()
    (tmp_path / "ptbxl").symlink_to(tmp_path / "disk")
    outside.write_bytes(b"mine")
    (tmp_path / "disk" / ONE).parent.mkdir(parents=True)
    (tmp_path / "disk" / ONE).symlink_to(outside)
    (tmp_path / "disk" / f"{ONE}.part").hardlink_to(outside)
    with Server(_published(files)) as server:
        assert _tree(_get(server, tmp_path)) == files
    assert outside.read_bytes() == b"mine" and (tmp_path / "disk" / ONE).is_file()


def test_two_downloads_at_once(tmp_path: Path) -> None:
    (tmp_path / "ptbxl").mkdir()
    with FileLock(tmp_path / "ptbxl" / ".ecgkit-download.lock"), Server(_published(_ptbxl(1))) as server:
        with pytest.raises(StoreError, match="another download into"):
            _get(server, tmp_path)
        assert server.requests == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ptbxl", {"records": 0}, "from 1"),
        ("ptbxl", {"records": 2.5}, "from 1"),
        ("ptbxl", {"workers": 0}, "from 1"),
        ("ptbxl", {"sampling_rate_hz": 250}, "100, 500"),
        ("ptbxl", {"mirror": "ftp://example.org"}, "http"),
        ("ptbxl", {"mirror": []}, "empty"),
        ("sph", {"records": 3}, "one archive"),
        ("sph", {"version": "2"}, "one version"),
    ],
)
def test_wrong_arguments(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        download(name, tmp_path, **options)
    with pytest.raises(DataNotFoundError, match="choose one of ptbxl"):
        download("ptb-xl", tmp_path)


@pytest.mark.parametrize("address", ["http://", "http://[", "http://" + "a" * 70 + ".invalid", "http://:0"])
def test_mirror_that_is_no_address(tmp_path: Path, address: str) -> None:
    with pytest.raises(DownloadError, match="could not download"):
        download("ptbxl", tmp_path, mirror=address, retry=replace(QUICK, tries=1), progress=False)
