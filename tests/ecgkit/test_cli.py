"""The commands, as a reader types them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from http_server import Server, sums
from typer.testing import CliRunner

import ecgkit
from ecgkit import cli_train, datasets, models
from ecgkit.cli import app, main
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.training import Scaler, predict, to_device

COMMANDS = ("list", "info", "make-synthetic", "download", "convert", "check")


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one small synthetic set in PTB-XL's and one in Georgia's layout."""
    root = tmp_path_factory.mktemp("data")
    make_synthetic(root / "ptbxl", n=3)
    make_synthetic(root / "georgia", dataset="georgia", n=2)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that a test may damage, as ECGKIT_DATA."""
    root = tmp_path / "data"
    shutil.copytree(made, root)
    monkeypatch.setenv("ECGKIT_DATA", str(root))
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    return root


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Examples:\n    ecgkit data {command}" in result.stdout


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"ecgkit {ecgkit.__version__}\n")


def test_list_says_what_is_where(root: Path) -> None:
    result = run("list")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert set(lines) == {"name", *datasets.names()}
    assert lines["ptbxl"].endswith(str(root / "ptbxl"))
    assert "21,799" in lines["ptbxl"] and "CC" in lines["ptbxl"]
    assert lines["sph"].endswith("-") and lines["synthetic"].endswith("-")  # looking makes nothing
    assert "\x1b" not in result.stdout


def test_info_describes_and_locates(root: Path) -> None:
    result = run("info", "ptbxl")
    assert result.exit_code == 0
    assert "PTB-XL" in result.stdout and "10.13026" in result.stdout
    assert f"On disk: {root / 'ptbxl'}" in result.stdout
    assert "`ecgkit data download csn` gets it" in run("info", "csn").stdout
    assert "made when first loaded" in run("info", "synthetic").stdout


@pytest.mark.parametrize("command", ["info", "download", "convert", "check"])
def test_misspelt_name_exits_2_with_a_suggestion(command: str, root: Path) -> None:
    result = run(command, "PTB-XL")
    assert result.exit_code == 2
    assert "Did you mean 'ptbxl'?" in result.stderr and result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["download", "ptbxl", "--rate", "250"],
        ["download", "ptbxl", "--records", "0"],
        ["download", "ptbxl", "--mirror", "ftp://example.org"],
        ["download", "sph", "--records", "5"],
        ["convert", "ptbxl", "--rate", "123"],
        ["make-synthetic", "out", "--n", "0"],
        ["make-synthetic", "out", "--seed", "-1"],
        ["download", "sph", "--version", "2"],
        ["download", "ptbxl", "--out", "a\0b"],
        ["make-synthetic", "out", "--dataset", "gorgia"],
        ["chek", "ptbxl"],
        [],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], root: Path) -> None:
    assert run(*arguments).exit_code == 2


def test_mistyped_command_is_suggested() -> None:
    assert "Did you mean 'check'?" in run("chek").stderr


def test_make_synthetic_then_convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "made"
    assert run("make-synthetic", out, "--n", "3", "--seed", "5").exit_code == 0
    result = run("convert", "ptbxl", "--data-root", out)
    assert result.exit_code == 0
    ds = datasets.load("ptbxl", root=out)
    assert repr(ds) in result.stdout and ds.fingerprint in result.stdout
    assert len(ds) == 3


def test_make_synthetic_leaves_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = run("make-synthetic", tmp_path, "--n", "1")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and str(tmp_path) in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_data_that_are_not_there(tmp_path: Path) -> None:
    for command in ("convert", "check"):
        result = run(command, "georgia", "--data-root", tmp_path)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: georgia is not in ") and result.stderr.count("\n") == 1
        assert "ecgkit data download georgia" in result.stderr


def test_check_of_good_records(root: Path) -> None:
    for name, count in (("ptbxl", 3), ("georgia", 2)):
        result = run("check", name)
        assert result.exit_code == 0, result.stderr
        assert f"{name}: {count} records read in {root / name}: all good" in result.stdout


@pytest.mark.parametrize("dataset", ["ptbxl", "sph"])
def test_check_counts_listed_records_that_are_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    root = make_synthetic(tmp_path / dataset, dataset=dataset, n=3)
    records = sorted(path for path in root.rglob("*") if path.suffix in (".hea", ".dat", ".h5"))
    for path in records:
        if path.stem != records[0].stem:
            path.unlink()
    result = run("check", dataset, "--data-root", root)
    assert result.exit_code == 0
    assert result.stdout.endswith(
        f"1 records read in {root}: none damaged, 2 of 3 listed records are not here\n"
    )
    for path in records[:2]:
        path.unlink(missing_ok=True)
    result = run("check", dataset, "--data-root", root)
    assert result.exit_code == 1 and "all good" not in result.stdout
    if dataset == "ptbxl":  # SPH is found by its records alone
        assert result.stderr.startswith(
            f"error: none of its 3 records is in {root}. Get them with `ecgkit data"
        )


def test_check_of_headers_that_were_published_broken(tmp_path: Path) -> None:
    root = make_synthetic(tmp_path / "csn", dataset="csn", n=3)
    first, second, _ = sorted(root.rglob("*.hea"))
    broken = second.with_name("JS01052.hea")
    broken.write_text(second.read_text().replace("\n", "", 1))
    second.with_suffix(".mat").rename(broken.with_suffix(".mat"))
    second.unlink()
    result = run("check", "csn", "--data-root", root)
    assert result.exit_code == 0
    assert "JS01052.hea  published with a broken header, left out" in result.stdout
    assert result.stdout.endswith(f"csn: 2 records read in {root}: none damaged\n")
    first.write_text("not a header")
    result = run("check", "csn", "--data-root", root)
    assert result.exit_code == 1 and result.stdout.endswith(": 1 cannot be used\n")


def _first(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda dat, hea: dat.write_bytes(dat.read_bytes()[:-2]), "truncated|shorter|bytes|samples"),
        (lambda dat, hea: dat.write_bytes(dat.read_bytes()[:-2] + b"\x55\x55"), "checksum"),
        (lambda dat, hea: hea.unlink(), ""),
        (lambda dat, hea: dat.unlink(), ""),
        (lambda dat, hea: hea.write_text(hea.read_text().replace(" V3", " V99")), "V99"),
        (lambda dat, hea: hea.write_text("not a header"), ""),
    ],
)
def test_check_lists_damaged_records_and_exits_1(root: Path, damage: Any, named: str) -> None:
    dat, hea = _first(root / "ptbxl", "*.dat"), _first(root / "ptbxl", "*.hea")
    damage(dat, hea)
    result = run("check", "ptbxl")
    assert result.exit_code == 1
    table = result.stdout.splitlines()
    assert table[0].split() == ["file", "fault"]
    assert len(table) == 3 and table[1].startswith(f"records100/00000/{hea.stem}.")
    assert re.search(named, table[1], re.IGNORECASE)
    assert table[2].endswith("3 records read in " + str(root / "ptbxl") + ": 1 cannot be used")


def test_check_against_the_published_checksums(root: Path) -> None:
    folder = root / "georgia"
    missing = run("check", "georgia", "--sha256")
    assert missing.exit_code == 1 and "SHA256SUMS.txt is not there" in missing.stderr
    files = {
        f"training/georgia/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*.[hm]*")
    }
    files |= {"training/georgia/g9/E09999.hea": b"not fetched", "LICENSE.txt": b"nor this"}
    (folder / "SHA256SUMS.txt").write_bytes(sums(files))
    good = run("check", "georgia", "--sha256")
    assert good.exit_code == 0, good.stdout
    assert "4 files compared with SHA256SUMS.txt (2 of it are not here): all good" in good.stdout
    header = _first(folder, "*.hea")
    header.write_text(header.read_text() + "# a comment\n")
    bad = run("check", "georgia", "--sha256")
    assert bad.exit_code == 1
    assert f"{header.name}  SHA-256 differs" in bad.stdout and "1 cannot be used" in bad.stdout


def test_check_against_checksums_that_nobody_published(tmp_path: Path) -> None:
    make_synthetic(tmp_path / "sph", dataset="sph", n=1)
    assert run("check", "sph", "--data-root", tmp_path).exit_code == 0
    result = run("check", "sph", "--data-root", tmp_path, "--sha256")
    assert result.exit_code == 1 and "no list of checksums is published for sph" in result.stderr


def test_download_check_and_loss(root: Path, tmp_path: Path) -> None:
    source = root / "ptbxl"
    files = {path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*.*")}
    files = {name: content for name, content in files.items() if name != "synthetic.json"}
    served = {f"ptb-xl/1.0.3/{name}": body for name, body in {**files, "SHA256SUMS.txt": sums(files)}.items()}
    out = tmp_path / "fetched"
    with Server(served) as server:
        arguments = ["download", "ptbxl", "--out", out, "--mirror", server.url, "--rate", "100"]
        part = run(*arguments, "--records", "2")
        assert part.exit_code == 0, part.stderr
        assert part.stdout == f"ptbxl: complete and checked in {out / 'ptbxl'}\n"
        assert f"export ECGKIT_DATA={out}" in part.stderr
        assert "2 records read" in run("check", "ptbxl", "--data-root", out, "--sha256").stdout
        assert run(*arguments).exit_code == 0
        whole = run("check", "ptbxl", "--data-root", out, "--sha256")
        assert whole.exit_code == 0 and "(0 of it are not here): all good" in whole.stdout
    for path in (out / "ptbxl").rglob("00002_lr.*"):
        path.unlink()
    lost = run("check", "ptbxl", "--data-root", out, "--sha256")
    assert lost.exit_code == 1 and lost.stdout.count("was downloaded but is gone") == 2


def test_download_without_checksums_says_so(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        file.addfile(tarfile.TarInfo("records/A00001.h5"))
    tar = (tmp_path / "a.tar").read_bytes()
    served = {"34793152": b"ECG_ID,AHA_Code\n", "32630954": b"Code\n", "32630684": tar}
    with Server(served) as server:
        result = run("download", "sph", "--out", tmp_path, "--mirror", server.url)
    assert result.stdout == f"sph: complete in {tmp_path / 'sph'}; its publisher gives no checksums\n"


def test_failed_download_says_what_to_do(tmp_path: Path) -> None:
    with Server({}) as server:
        result = run("download", "ptbxl", "--out", tmp_path, "--mirror", server.url)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: could not download ptb-xl/1.0.3/SHA256SUMS.txt")
    assert "HTTP 404" in result.stderr and "wget -r -N -c" in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_exits_130_with_a_hint(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", interrupt)
    result = run("convert", "ptbxl")
    assert result.exit_code == 130 and "run the same command again" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_real_ctrl_c_during_a_download_then_resume(tmp_path: Path) -> None:
    files = {
        f"records100/00000/{i:05d}_lr{end}": bytes([i]) * 50 for i in range(40) for end in (".dat", ".hea")
    }
    served = {f"ptb-xl/1.0.3/{name}": body for name, body in {**files, "SHA256SUMS.txt": sums(files)}.items()}
    with Server(served) as server:
        server.delay_s = 0.1
        command = [sys.executable, "-m", "ecgkit.cli", "data", "download", "ptbxl"]
        command += ["--out", str(tmp_path), "--mirror", server.url, "--workers", "2"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
        )
        while len(server.requests) < 8:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, "")
        assert "run the same command again" in err and "Traceback" not in err
        there = {path.name for path in (tmp_path / "ptbxl").rglob("*_lr.*")}
        assert 4 < len(there) < 80
        server.delay_s, server.requests = 0.0, []
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
        assert len(server.requests) <= 80 - len(there) + 2
    assert all((tmp_path / "ptbxl" / name).read_bytes() == body for name, body in files.items())


def test_main_takes_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "info", "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("Usage: ecgkit data info")


def test_installed_script(root: Path) -> None:
    script = shutil.which("ecgkit", path=f"{Path(sys.executable).parent}:{sysconfig.get_path('scripts')}")
    assert script is not None, "the package is not installed: pip install -e ."
    good = subprocess.run([script, "data", "check", "georgia"], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")  # no progress bar in a pipe
    bad = subprocess.run([script, "data", "check", "sph"], capture_output=True, text=True, check=False)
    assert bad.returncode == 1 and bad.stderr.startswith("error: sph is not in ") and bad.stdout == ""


def _process(*arguments: str | Path, **environment: str) -> Any:
    command = [sys.executable, "-m", "ecgkit.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, env={**os.environ, **environment}, check=False, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_terminals_that_cannot_write_every_letter(encoding: str, tmp_path: Path) -> None:
    """What the encoding does not have becomes an escape."""
    result = _process(
        "data", "make-synthetic", tmp_path / "\u03c6\u2264", "--n", "1", PYTHONIOENCODING=encoding
    )
    assert result.returncode == 0 and b"\\u2264" in result.stdout and b"\\u2264" in result.stderr


def test_output_that_cannot_be_written() -> None:
    command = f"{sys.executable} -m ecgkit.cli data list > /dev/full"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        1,
        "error: cannot write the output: No space left on device\n",
    )


@pytest.mark.parametrize("package", ["typer", "requests", "pandas"])
def test_missing_packages_are_named_with_the_remedy(package: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(f"raise ModuleNotFoundError('no', name={package!r})")
    result = _process("data", "download", "georgia", "--out", tmp_path / "out", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1 and b"Traceback" not in result.stderr
    assert f"the package {package}: pip install 'ecgkit[data]'".encode() in result.stderr


@pytest.mark.parametrize("command", ["info", "convert", "check", "list"])
@pytest.mark.parametrize("place", ["file", "file/below", "missing", "a" * 300, "loop"])
def test_data_roots_that_are_no_folders(command: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    name = [] if command == "list" else ["georgia"]
    result = run(command, *name, "--data-root", tmp_path / place)
    assert result.exit_code == (command in ("convert", "check"))
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("command", ["sweep", "results", "scoreboard"])
def test_old_commands_say_where_they_went(command: str) -> None:
    result = CliRunner().invoke(app, [command, "x.yaml", "--workers", "2", "--help"])
    assert (result.exit_code, result.stderr) == (2, f"this is now `ecgbook {command}`\n")


TINY = ["--model", "light_resnet18/E18", "--task", "superdiagnostic", "--device", "cpu", "--batch-size", "8"]


def _train(out: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["train", "--out", str(out), *TINY, *options])


@pytest.fixture
def sixty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ECGKIT_DATA", str(make_synthetic(tmp_path / "data" / "ptbxl", n=60).parent))
    return tmp_path / "out"


def test_train_stopped_and_resumed_gives_the_same(sixty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, options = sixty.with_name("whole"), ("--dataset", "ptbxl", "--epochs", "2")
    assert _train(whole, *options).exit_code == 0
    real = cli_train.train_classifier

    def stopped(*arguments: Any) -> Any:
        def on_epoch(entry: Any) -> None:
            raise KeyboardInterrupt

        return real(*arguments[:-1], on_epoch)

    monkeypatch.setattr(cli_train, "train_classifier", stopped)
    assert _train(sixty, *options).exit_code == 130 and (sixty / "checkpoint.pt").exists()
    monkeypatch.undo()
    monkeypatch.setenv("ECGKIT_DATA", str(sixty.with_name("data")))
    monkeypatch.setenv("ECGKIT_CACHE", str(sixty.with_name("cache")))
    result = _train(sixty, *options)
    assert result.exit_code == 0 and "macro_auc" in result.stdout
    names = {"metrics.json", "predictions.csv", "settings.json", "weights.pt"}
    assert {path.name for path in sixty.iterdir()} == names
    assert (sixty / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    record = json.loads((sixty / "metrics.json").read_text())
    assert len(record["curve"]) == 2 and record["settings"]["data_version"].startswith("synthetic-")
    test = datasets.load("ptbxl", task="superdiagnostic").labelled().split()[2]
    table = pd.read_csv(sixty / "predictions.csv", index_col="record_id")
    assert table.index.tolist() == test.meta.record_id.tolist() and tuple(table.columns) == test.classes
    model = models.create("light_resnet18/E18", leads=12, classes=5)
    model.load_state_dict(torch.load(sixty / "weights.pt", weights_only=True))
    scores = predict(model, to_device(test, torch.device("cpu")), Scaler(**record["scaling"]))
    np.testing.assert_allclose(table.to_numpy(), scores, rtol=1e-5)
    monkeypatch.setattr(cli_train, "train_classifier", lambda *arguments: pytest.fail("trained again"))
    assert _train(sixty, *options).stdout == result.stdout  # a finished one is not repeated
    other = _train(sixty, "--dataset", "ptbxl", "--epochs", "3")
    assert other.exit_code == 1 and "holds another training (epochs 2, not 3)" in other.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--model", "resnet"], 2, "Did you mean 'resnet18'"),
        (["--dataset", "nothing"], 2, "There are: ptbxl"),
        (["--dataset", "ptbxl", "--task", "colour"], 2, "no task 'colour'"),
        (["--dataset", "ptbxl", "--task", "age"], 2, "is a number"),
        (["--dataset", "ptbxl", "--rate", "250"], 2, "at 100, 500 Hz"),
        (["--dataset", "ptbxl", "--max-lr", "nan"], 2, "max_lr"),
        (["--dataset", "ptbxl", "--window", "-1"], 2, "window_s"),
        (["--dataset", "ptbxl", "--device", "quantum"], 2, "no device 'quantum'"),
        (["--dataset", "georgia", "--task", "all"], 1, "error: georgia is not in"),
        (["--dataset", "ptbxl", "--epochs", "1", "--max-lr", "1e30"], 1, "error: the training loss"),
    ],
)
def test_trainings_that_cannot_be(sixty: Path, options: list[str], code: int, message: str) -> None:
    result = _train(sixty, *options)
    assert result.exit_code == code and message in re.sub(r"\s+", " ", result.stderr), result.stderr


def test_train_leaves_other_folders_alone(sixty: Path) -> None:
    sixty.mkdir()
    (sixty / "weights.pt").write_text("mine")
    for place in (sixty, sixty / "weights.pt", sixty / "weights.pt" / "below"):
        result = _train(place, "--dataset", "ptbxl", "--epochs", "1")
        assert result.exit_code == 1 and result.stderr.startswith("error: "), result.stderr
    assert (sixty / "weights.pt").read_text() == "mine" and len(list(sixty.iterdir())) == 1
