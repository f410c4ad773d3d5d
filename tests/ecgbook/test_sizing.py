"""What grids cost: against the counts of recorded runs, torch's own counter, and sums by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_runner import fake_execute, make_run
from torch.utils.flop_counter import FlopCounterMode

from ecgbook.runs.gpus import GPUS, LAYER_S, MARGIN, gpu_seconds
from ecgbook.runs.grids import read_sweep
from ecgbook.runs.results import content_sha256
from ecgbook.runs.run import Run
from ecgbook.runs.sizing import (
    Measured,
    estimate_seconds,
    measured_runs,
    network_seconds,
    size_grid,
    size_run,
    sizes_markdown,
)
from ecgbook.runs.work import Work, network_size, work
from ecgkit import models

ROOT = Path(__file__).parents[2]
T4, H100 = (gpu.name for gpu in GPUS)
SPEEDS = {"fcn_wang": {"float32": 0.002, "bf16": 0.001}}
KNOWN = {("ptbxl", "superdiagnostic"): 1000}


def ptbxl(seed: int = 0, model: str = "fcn_wang", method: str = "supervised", **params: Any) -> Run:
    return Run("demo", "ptbxl", "1.0.3", "superdiagnostic", model, method, "reduced", seed, 100, params)


def recorded(run: Run, seconds: float, device: str = "a processor") -> Measured:
    return Measured(run, device, seconds, 1.0, 1000, work(run, KNOWN))


def test_training_windows_are_those_that_recorded_runs_counted() -> None:
    everything = (
        "supervised",
        "ensemble",
        "thesis",
        "compressed",
        "transfer",
        "melep_folds",
        "melep_selection",
        "full_data",
        "leakage",
        "age",
        "sex",
    )
    records = [json.loads(path.read_text()) for path in (ROOT / "results").glob("*/*.json")]
    known = {
        ("ptbxl", record["run"]["task"]): record["data"]["records"]["train"]
        for record in records
        if record["status"] == "finished" and record["run"]["method"] in ("naive", "supervised", "age", "sex")
    }
    compared = set()
    for record in records:
        run = Run.from_dict(record["run"])
        if record["status"] == "finished" and run.method in everything:
            off = 0.02 if run.method == "transfer" else 0.01  # how many records other sites hold is a guess
            assert work(run, known).windows == pytest.approx(record["samples_backprop"], rel=off), run
            compared.add(run.method)
    assert len(compared) >= 4


def test_training_takes_three_times_the_operations_of_a_forward_pass() -> None:
    model = models.create("resnet1d_wang", leads=12, classes=5)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, 12, 250)).sum().backward()
    counted = 3 * 2 * 2 * network_size("resnet1d_wang", 250)[0]
    # All but the gradient with respect to the signal, which the first layer does not compute.
    assert 0.9 * counted < counter.get_total_flops() <= counted


def test_work_grows_with_window_rate_epochs_and_folds() -> None:
    one = work(ptbxl(epochs=10), KNOWN)
    assert (one.windows, one.steps) == (10_000, 80)
    assert work(ptbxl(epochs=10, window_s=5.0), KNOWN).multiply_adds / one.multiply_adds == pytest.approx(
        2, rel=0.02
    )
    light = ptbxl(model="light_resnet18/E17", method="thesis", epochs=4, train_folds=2)
    assert work(light, KNOWN).windows == 4 * 1000 * 2 / 8
    small = {"model": "light_resnet18/E17", "method": "compressed", "epochs": 4}
    assert work(ptbxl(**small, teacher="light_resnet18/E17"), KNOWN).windows == (3 * 4 + 4) * 1000
    lean = work(ptbxl(**small), KNOWN)  # its teacher is another network
    assert (lean.windows, lean.steps) == ((4 * 4 + 4) * 1000, 20 * 4)  # batches of 256
    assert lean.multiply_adds == network_size("light_resnet18/E17", 2500)[0]  # 10 s at 250 Hz
    assert work(ptbxl(method="leakage", epochs=2), KNOWN).windows == 2 * 2 * 1000
    assert work(ptbxl(method="ensemble", epochs=2, members=3), KNOWN).windows == 3 * 2 * 1000
    assert work(ptbxl(epochs=1)).windows == round(0.8 * 21799)  # no run says how many: the card does
    assert work(ptbxl(model="none", method="naive")).windows == 0


def test_folds_and_rate_count() -> None:
    """A quarter of the folds takes a quarter of the time; at another rate nothing is known."""
    settings = {"epochs": 4, "seconds": 5.0, "rate_hz": 100}
    light = {"model": "light_resnet18/E17", "method": "thesis"}
    measured = [recorded(ptbxl(**light, **settings), 80.0)]
    assert estimate_seconds(ptbxl(**light, **settings, train_folds=2), measured) == pytest.approx(20)
    assert estimate_seconds(ptbxl(**light, **{**settings, "epochs": 8}), measured) == pytest.approx(160)
    assert estimate_seconds(ptbxl(**light, **{**settings, "rate_hz": 250}), measured) is None
    assert estimate_seconds(ptbxl(**light, **settings, bf16=True), measured) is None


def test_a_run_takes_what_it_took_else_what_its_experiment_takes() -> None:
    other = Run.from_dict({**ptbxl(epochs=10).to_dict(), "experiment": "other"})
    measured = [
        recorded(ptbxl(epochs=10), 100.0),
        recorded(ptbxl(1, epochs=10), 120.0),
        recorded(other, 999.0),
    ]
    assert estimate_seconds(ptbxl(epochs=10), measured) == 100
    assert estimate_seconds(ptbxl(2, epochs=5), measured) == pytest.approx(55)
    assert estimate_seconds(other, measured) == 999
    nothing = [recorded(ptbxl(model="none", method="naive"), 3.0)]
    assert estimate_seconds(ptbxl(5, model="none", method="naive"), nothing) == 3


def test_without_a_run_alike_the_benchmark_says(tmp_path: Path) -> None:
    around = [recorded(ptbxl(model="lstm"), 5.0)]  # of whose time one second is loading and bootstrap
    size = size_run(ptbxl(epochs=10), around, SPEEDS)
    assert size.basis == "the benchmark"
    assert size.processor == pytest.approx(10 * 1000 * 0.002 + 1)
    long = size_run(ptbxl(epochs=10, window_s=5.0, bf16=True), around, SPEEDS)
    assert long.processor == pytest.approx(10 * 1000 * 0.001 * 2 + 1, rel=0.02)
    assert size_run(ptbxl(model="lstm", window_s=5.0), around, SPEEDS).basis == "nothing"
    for name, seconds in (("", 17_084), ("_other", 3 * 17_084)):
        table = {"fcn_wang": {"float32": seconds, "bf16": seconds / 2}}
        (tmp_path / f"training_speed{name}.json").write_text(json.dumps({"seconds_per_ptbxl_epoch": table}))
    assert network_seconds(tmp_path) == {"fcn_wang": {"float32": 2, "bf16": 1}}


def test_the_range_of_a_card_by_hand() -> None:
    t4, h100 = GPUS
    found = Work(windows=1e6, steps=1e4, multiply_adds=10**8, activations=10**6, layers=20)
    low, high = gpu_seconds(found, t4)
    assert low == pytest.approx(6e14 / 8.1e12)
    assert high == pytest.approx(MARGIN * (low + 24e12 / 320e9) + 1e4 * 20 * LAYER_S)
    in_bf16 = Work(1e6, 1e4, 10**8, 10**6, 20, bf16=True)
    assert gpu_seconds(in_bf16, t4) == gpu_seconds(found, t4)  # a T4 has no arithmetic for it
    assert gpu_seconds(in_bf16, h100)[0] == pytest.approx(6e14 / 989.4e12)


def test_what_a_card_took_counts_more_than_its_data_sheet() -> None:
    measured = [recorded(ptbxl(epochs=10), 200.0), recorded(ptbxl(epochs=10), 7.0, T4)]
    table = size_grid([ptbxl(1, epochs=10)] * 2, measured, SPEEDS, {T4: 3.0}).set_index("device")
    assert table.loc["processor", ["runs", "known"]].tolist() == [2, 2]
    assert table.loc["processor", "hours_to"] == pytest.approx(400 / 3600)
    assert table.loc[T4, ["hours_from", "hours_to"]].tolist() == pytest.approx([14 / 3600] * 2)
    assert table.loc[T4, "usd_to"] == pytest.approx(3 * 14 / 3600)
    assert 0 < table.loc[H100, "hours_from"] < table.loc[H100, "hours_to"]


def test_of_a_run_that_was_resumed_all_parts_count(tmp_path: Path) -> None:
    path = fake_execute(make_run(), tmp_path, epoch_s=0.0)
    record = json.loads(path.read_text())
    record["seconds"] = {"load": 1.0, "train": 80.0, "other": -70.0, "bootstrap": 2.0}
    record["content_sha256"] = content_sha256(record)
    path.write_text(json.dumps(record))
    (found,) = measured_runs(tmp_path)
    assert (found.seconds, found.around) == (83, 3)


def test_the_page_sizes_every_sweep_and_the_whole_book(tmp_path: Path) -> None:
    sweep = """experiment: demo
defaults: {dataset: ptbxl, dataset_version: "1", task: superdiagnostic, protocol: paper, method: supervised}
grid: {seed: [0, 1], model: fcn_wang}
"""
    (tmp_path / "a.yaml").write_text(sweep)
    (tmp_path / "b.yaml").write_text(sweep.replace("[0, 1]", "[1, 2]"))
    (tmp_path / "speed").mkdir()
    table = {"seconds_per_ptbxl_epoch": {"fcn_wang": {"float32": 720 * 17_084 / 17_439, "bf16": 1.0}}}
    (tmp_path / "speed" / "training_speed.json").write_text(json.dumps(table))
    lines = sizes_markdown(tmp_path, tmp_path / "results", tmp_path / "speed").splitlines()
    assert [line.split(" | ")[:4] for line in lines[2:5]] == [
        ["| `a`", "2", "0", "20"],  # 50 epochs of 720 s
        ["| `b`", "2", "0", "20"],
        ["| **all**", "3", "0", "30"],  # the run that both have counts once
    ]
    assert lines[5].startswith("| **cost of all**")
    assert "3 from the benchmark" in lines[-3]


def test_the_page_on_speed_shows_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    from stage import training_speed

    measured = {
        "loops": {
            "linear": {"dataloader_windows_per_s": 1000.4, "ecgkit_windows_per_s": 2500, "ratio": 2.499}
        },
        "seconds_per_ptbxl_epoch": {"fcn_wang": {"float32": 30.0, "bf16": 20.0}},
        **{"records": 1024, "data": "synthetic 2", "repeats": 3, "device": "A processor", "threads": 2},
        **{"versions": {"torch": "2.9"}, "date": "2026-01-02T03:04:05+00:00"},
    }
    (tmp_path / "training_speed.json").write_text(json.dumps(measured))
    (tmp_path / "training_speed_new.json").write_text(json.dumps({**measured, "amx": True}))
    page = training_speed(tmp_path)
    assert page.count("| `linear` | 1,000 | 2,500 | 2.50 |") == 2
    assert page.count("| `fcn_wang` | 30 s | 20 s | 1.50 |") == 2
    assert page.count("**A processor, 2 threads, torch 2.9, 2026-01-02.** 1,024 records") == 1
    assert page.count("**A processor, with AMX, 2 threads") == 1


def test_every_network_of_every_sweep_can_be_sized() -> None:
    speeds = network_seconds(ROOT / "benchmarks")
    seen = set()
    for path in (ROOT / "sweeps").glob("*.yaml"):
        for run in read_sweep(path):
            if run.model not in seen and run.model != "none":
                seen.add(run.model)
                assert size_run(run, [], speeds).processor is not None, run
