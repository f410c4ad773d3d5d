"""Multiply-adds against counts by hand, joules against a driver that says what it is told."""

import sys
from types import ModuleType

import pytest

from ecgbook.runs.energy import forward_multiply_adds, gpu_joules, training_multiply_adds
from ecgkit import models
from ecgkit.training.selection import compute_equivalent_epochs


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
