"""What a record says about the machine: whose commit it names, how much memory, work and energy were used."""

import mmap
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ecgkit
from ecgbook.runs import machine
from ecgbook.runs.machine import forward_multiply_adds, gpu_joules, training_multiply_adds
from ecgkit import models
from ecgkit.training.selection import compute_equivalent_epochs


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ecgkit that somebody has installed inside a project of their own."""
    package = tmp_path / "project" / ".venv" / "ecgkit"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    git(package.parents[1], "init", "-q")
    git(package.parents[1], "commit", "-q", "--allow-empty", "-m", "theirs")
    monkeypatch.setattr(ecgkit, "__file__", str(package / "__init__.py"))
    monkeypatch.delenv("ECGKIT_COMMIT", raising=False)
    return package


def test_the_commit_of_another_project_is_not_ours(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.commit() == "unknown"
    monkeypatch.setenv("ECGKIT_COMMIT", "said")
    assert machine.commit() == "said"


def test_the_commit_is_that_of_the_files_and_says_when_they_changed(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(installed, "add", "-f", ".")
    git(installed, "commit", "-q", "-m", "ours")
    head = git(installed, "rev-parse", "HEAD")
    assert machine.commit() == head
    (installed / "__init__.py").write_text("changed = True")
    assert machine.commit() == f"{head}+changes"
    monkeypatch.setenv("ECGKIT_COMMIT", "said")  # by whoever packed the source
    assert machine.commit() == "said"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget the peak of a process")
def test_the_memory_of_an_earlier_run_is_not_that_of_the_next() -> None:
    machine.reset_peak_memory("cpu")
    before = machine.peak_memory_mib("cpu")
    pages = mmap.mmap(-1, 2**27)  # 128 MiB of new pages: an array may get pages that an earlier test left
    pages.write(bytes(b"1" * 2**20) * 2**7)
    peak = machine.peak_memory_mib("cpu")
    pages.close()
    machine.reset_peak_memory("cpu")
    after = machine.peak_memory_mib("cpu")
    assert before is not None and peak is not None and after is not None
    assert peak - before > 100
    assert peak - after > 100


def test_a_peak_that_cannot_be_forgotten_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, text: str) -> int:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "write_text", refused)
    machine.reset_peak_memory("cpu")
    assert machine.peak_memory_mib("cpu") != 0


def test_multiply_adds_of_a_small_resnet18_counted_by_hand() -> None:
    # 12 leads x 64 samples, width 4. The stem halves time, the pooling halves it again.
    stem = 32 * 4 * 12 * 7
    first = 4 * (16 * 4 * 4 * 3)
    stages = 0
    for channels, length in ((8, 8), (16, 4), (32, 2)):
        into = channels // 2
        stages += length * channels * (into * 3 + 3 * channels * 3 + into)  # four convolutions and a shortcut
    network = models.create("resnet18", leads=12, classes=5, width=4)
    assert forward_multiply_adds(network, 12, 64) == stem + first + stages + 32 * 5


def test_a_training_costs_its_compute_equivalent_epochs() -> None:
    whole = training_multiply_adds(forward=7, backprop=400, scored=900)
    plain_epoch = training_multiply_adds(forward=7, backprop=100, scored=0)
    assert whole / plain_epoch == pytest.approx(compute_equivalent_epochs(400, 900, 100))


def test_joules_of_a_card_and_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    def read(card: str) -> int:
        if card != "card 0":
            raise NVMLError("no counter")
        return 12_345

    driver = ModuleType("pynvml")
    for name, value in {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: f"card {index}",
        "nvmlDeviceGetTotalEnergyConsumption": read,
    }.items():
        setattr(driver, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert gpu_joules() == 12.345
    assert gpu_joules(1) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    assert gpu_joules() is None
