"""Downloads against a local server that has the published layout and, as planned, the faults of real ones."""

import hashlib
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from http_server import Server, sums

from ecgkit.datasets import download as download_module
from ecgkit.datasets.download import STATE_NAME, download
from ecgkit.datasets.fetch import Fetcher, RetryPolicy, Stopped
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
        if path.is_file() and path.name not in ("SHA256SUMS.txt", STATE_NAME)
    }


def test_whole_set_arrives_as_published_and_in_parallel(tmp_path: Path) -> None:
    files = _ptbxl(8)
    with Server(_published(files)) as server:
        server.delay_s = 0.02
        folder = _get(server, tmp_path)
        assert server.most_at_once > 3
        assert all(request.user_agent.startswith("ecgkit/") for request in server.requests)
        assert all("(+http" in request.user_agent for request in server.requests)
    assert folder == tmp_path / "ptbxl"
    assert _tree(folder) == files
    listed = (folder / "SHA256SUMS.txt").read_text().splitlines()
    assert f"{hashlib.sha256(files[ONE]).hexdigest()}  {ONE}" in listed  # as `sha256sum -c` wants it


def test_one_worker_asks_for_one_file_at_a_time(tmp_path: Path) -> None:
    with Server(_published(_ptbxl())) as server:
        _get(server, tmp_path, workers=1)
        assert server.most_at_once == 1


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


def test_part_of_an_earlier_run_is_resumed(tmp_path: Path) -> None:
    files = _ptbxl(1)
    part = tmp_path / "ptbxl" / (ONE + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(files[ONE][:2900])
    with Server(_published(files)) as server:
        folder = _get(server, tmp_path)
        assert server.sent(BASE + ONE) == [100]
    assert _tree(folder) == files


def test_part_that_is_complete_already_costs_no_byte(tmp_path: Path) -> None:
    files = _ptbxl(1)
    part = tmp_path / "ptbxl" / (ONE + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(files[ONE])
    with Server(_published(files)) as server:
        assert _tree(_get(server, tmp_path)) == files
        assert server.sent(BASE + ONE) == [0]


@pytest.mark.parametrize("rest", [b"another file altogether", b"z" * 5000])
def test_part_of_another_file_is_dropped(tmp_path: Path, rest: bytes) -> None:
    files = _ptbxl(1)
    part = tmp_path / "ptbxl" / (ONE + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(rest)
    with Server(_published(files)) as server:
        assert _tree(_get(server, tmp_path)) == files


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


@pytest.mark.parametrize(
    "words", [["503"], ["503", "500", "drop"], ["429:0"], ["503:1"], ["503:Wed, 21 Oct 2015 07:28:00 GMT"]]
)
def test_passing_trouble_is_waited_out(tmp_path: Path, words: list[str]) -> None:
    files = _ptbxl(1)
    start = time.monotonic()
    with Server(_published(files), {BASE + ONE: words}) as server:
        assert _tree(_get(server, tmp_path)) == files
        assert len(server.sent(BASE + ONE)) >= len(words) + 1
    assert time.monotonic() - start >= (1 if words == ["503:1"] else 0)


def test_wait_between_tries_doubles(monkeypatch: Any, tmp_path: Path) -> None:
    waits: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            return False

    policy = RetryPolicy(tries=6, backoff_s=1.0)
    with (
        Server({"a": b"a"}, {"a": ["*500"]}) as server,
        pytest.raises(DownloadError, match="6 times in a row"),
    ):
        Fetcher([server.url], policy, Stop()).fetch("a", tmp_path / "a")
    assert len(waits) == 5
    assert all(0.5 * 2**n <= wait <= 1.5 * 2**n for n, wait in enumerate(waits))


def test_overlong_retry_after_is_not_waited_for(tmp_path: Path) -> None:
    with Server({"a": b"a"}, {"a": ["*503:3600"]}) as server, pytest.raises(DownloadError, match="in 3600 s"):
        Fetcher([server.url], QUICK).fetch("a", tmp_path / "a")


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


def test_unknown_version_names_the_address(tmp_path: Path) -> None:
    with (
        Server(_published(_ptbxl(1))) as server,
        pytest.raises(DownloadError, match=r"ptb-xl/9\.9/.*HTTP 404"),
    ):
        _get(server, tmp_path, version="9.9")


def test_no_server_at_all(tmp_path: Path) -> None:
    with Server({}) as server:
        address = server.url
    with pytest.raises(DownloadError, match="connection failed"):
        download("ptbxl", tmp_path, mirror=address, retry=QUICK, progress=False)


def test_wrong_file_is_discarded_and_fetched_again(tmp_path: Path) -> None:
    files = _ptbxl(1)
    with Server(_published(files), {BASE + ONE: ["wrong"]}) as server:
        assert _tree(_get(server, tmp_path)) == files
        assert server.sent(BASE + ONE) == [3000, 3000]


def test_wrong_file_twice_goes_to_the_second_mirror(tmp_path: Path) -> None:
    files = _ptbxl(1)
    with Server(_published(files), {BASE + ONE: ["*wrong"]}) as first, Server(_published(files)) as second:
        folder = download("ptbxl", tmp_path, mirror=[first.url, second.url], retry=QUICK, progress=False)
        assert (len(first.sent(BASE + ONE)), len(second.sent(BASE + ONE))) == (2, 1)
    assert _tree(folder) == files


def test_wrong_file_everywhere_is_an_error_that_names_it_and_leaves_nothing(tmp_path: Path) -> None:
    message = f"{ONE}: .*wrong checksum"
    served = Server(_published(_ptbxl(1)), {BASE + ONE: ["*wrong"]})
    with served as server, pytest.raises(DownloadError, match=message):
        _get(server, tmp_path)
    assert not list((tmp_path / "ptbxl").rglob("00001_lr.dat*"))


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


def test_stopping_leaves_only_resumable_parts(tmp_path: Path) -> None:
    """What Ctrl-C does: it sets the stop event of the transfers."""
    stop = threading.Event()
    content = _content("big", 400_000)
    with Server({"big": content}) as server:
        fetcher = Fetcher([server.url], QUICK, stop, on_bytes=lambda count: stop.set())
        with pytest.raises(Stopped):
            fetcher.fetch("big", tmp_path / "big")
        assert [path.name for path in tmp_path.iterdir()] == ["big.part"]
        already = (tmp_path / "big.part").stat().st_size
        assert 0 < already < len(content)
        Fetcher([server.url], QUICK).fetch("big", tmp_path / "big")
        assert server.sent("big")[-1] == len(content) - already
    assert (tmp_path / "big").read_bytes() == content


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_disk_that_fills_up_on_the_way(tmp_path: Path) -> None:
    part = tmp_path / "ptbxl" / (ONE + ".part")
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with Server(_published(_ptbxl(1))) as server:
        with pytest.raises(StoreError, match=r"00001_lr\.dat\.part.*the disk is full: free some space"):
            _get(server, tmp_path)
        part.unlink()
        assert _tree(_get(server, tmp_path)) == _ptbxl(1)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "ptbxl").write_text("a file where the folder should be")
    with Server(_published(_ptbxl(1))) as server, pytest.raises(StoreError, match="ptbxl"):
        _get(server, tmp_path)


def test_damaged_state_only_costs_time(tmp_path: Path) -> None:
    files = _ptbxl(1)
    with Server(_published(files)) as server:
        folder = _get(server, tmp_path)
        for damage in ("{", "[]", '{"version": "1.0.3", "files": {"a": 1}}'):
            (folder / STATE_NAME).write_text(damage)
            assert _tree(_get(server, tmp_path)) == files


def test_another_version_takes_over_the_folder(tmp_path: Path) -> None:
    new = _ptbxl(2)
    old = {**_ptbxl(3), "ptbxl_database.csv": b"older"}
    with Server(_published(new) | _published(old, "ptb-xl/1.0.1/")) as server:
        folder = _get(server, tmp_path, version="1.0.1")
        assert (folder / "ptbxl_database.csv").read_bytes() == b"older"
        (folder / "SHA256SUMS.txt.new.part").write_bytes(sums(old)[:100])  # of an interrupted call
        server.requests.clear()
        _get(server, tmp_path)
        fetched = {request.path for request in server.requests}
        assert fetched == {BASE + "SHA256SUMS.txt", BASE + "ptbxl_database.csv"}
    assert (folder / "ptbxl_database.csv").read_bytes() == new["ptbxl_database.csv"]


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="ptbxl"):
        download("ptb-xl", tmp_path)
    for options in (
        {"records": 0},
        {"workers": 0},
        {"sampling_rate_hz": 250},
        {"mirror": "ftp://example.org"},
    ):
        with pytest.raises(ValueError):
            download("ptbxl", tmp_path, **options)
    with pytest.raises(ValueError, match="one archive"):
        download("sph", tmp_path, records=3)


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
