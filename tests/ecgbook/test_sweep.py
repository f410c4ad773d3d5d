"""Sweeps: nothing lost, nothing twice, whatever is killed."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fake_runner import fake_execute, make_run
from filelock import FileLock

from ecgbook.runs.grids import expand, read_sweep
from ecgbook.runs.one_run import do_run, lock, plan
from ecgbook.runs.records import read_record, record_path, state_folder
from ecgbook.runs.results import load
from ecgbook.runs.run import REAL_PARAMS, Run
from ecgbook.runs.sweep import sweep
from ecgkit.errors import StoreError

CODE = """
import json, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from fake_runner import fake_execute
from ecgbook.runs.run import Run
from ecgbook.runs.sweep import sweep
if __name__ == "__main__":
    runs = [Run.from_dict(values) for values in json.loads(Path({runs!r}).read_text())]
    print(sweep(runs, {results!r}, execute=fake_execute, workers=2, options={options!r}))
"""


def sweep_process(folder: Path, runs: list[Run], results: Path, **options: Any) -> subprocess.Popen[str]:
    """A sweep in a process of its own, to be killed."""
    listed, script = folder / "runs.json", folder / "sweep_script.py"
    listed.write_text(json.dumps([run.to_dict() for run in runs]))
    tests = str(Path(__file__).parent)
    script.write_text(CODE.format(tests=tests, runs=str(listed), results=str(results), options=options))
    command = [sys.executable, str(script)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=hear_sigint,
        start_new_session=True,
    )


def hear_sigint() -> None:
    """Ctrl-C counts, also where the tests themselves run in the background and ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def contents(results: Path, runs: list[Run]) -> list[dict[str, Any]]:
    """All records without what may differ between two equal sweeps."""
    records = [read_record(record_path(results, run)) for run in runs]
    return [{k: v for k, v in r.items() if k not in ("date", "content_sha256")} for r in records]


def epochs_computed(results: Path) -> Counter[tuple[str, str]]:
    log = results / "epochs.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter((line.split()[0], line.split()[1]) for line in lines)


def test_expand_keeps_the_order_of_the_file_and_drops_repeats(tmp_path: Path) -> None:
    sheet = {
        "experiment": "demo",
        "defaults": {
            "dataset": "synthetic",
            "dataset_version": "1",
            "method": "supervised",
            "protocol": "quick",
            "seed": [0, 1],
        },
        "grid": [
            {"task": "a", "model": ["m", "n"], "params.widths": [[8, 16], [4]]},
            {"task": "a", "model": "m", "params.widths": [[4]], "seed": [1, 2]},
        ],
    }
    runs = expand(sheet)
    assert [(r.model, r.params["widths"], r.seed) for r in runs] == [
        ("m", [8, 16], 0),
        ("m", [8, 16], 1),
        ("m", [4], 0),
        ("m", [4], 1),
        ("n", [8, 16], 0),
        ("n", [8, 16], 1),
        ("n", [4], 0),
        ("n", [4], 1),
        ("m", [4], 2),
    ]
    (tmp_path / "s.json").write_text(json.dumps(sheet))
    import yaml

    (tmp_path / "s.yaml").write_text(yaml.safe_dump(sheet, sort_keys=False))
    assert read_sweep(tmp_path / "s.json") == read_sweep(tmp_path / "s.yaml") == runs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment: x", "needs `experiment` and `grid`"),
        ("experiment: x\ngrid: {modell: a}", "unknown field modell"),
        ("experiment: x\ngrid: {model: a}", "is missing"),
        ("experiment: x\ngrid: [", "not valid YAML"),
        ("experiment: x\ngrid: {}\nfoo: 1", "unknown entry foo"),
        ("experiment: x\ngrid:", "`grid` holds None"),
        ("experiment: x\ngrid: []", "`grid` is empty"),
        ("experiment: x\ngrid: {seed: []}", "no value for seed"),
        ("experiment: x\ngrid: {1: 2}", "fields with their values are wanted"),
        ("experiment: x\ndefaults: [a]\ngrid: {seed: 0}", "`defaults` holds"),
    ],
)
def test_a_wrong_sweep_file_is_named_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_sweep(tmp_path / "s.yaml")
    assert "s.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("experiment: 2024", 'experiment is 2024, not a text: write it in quotes, "2024"'),
        ("experiment: my runs", "cannot name a folder"),
        ("dataset_version: 1.0", "dataset_version is 1.0, not a text"),
        ("seed: '0'", "seed is '0'; a whole number"),
        ("seed: -1", "seed is -1; a whole number"),
        ("params.max_lr: 1e-3", "params.max_lr is the text '1e-3', not a number: write 0.001"),
    ],
)
def test_what_yaml_takes_for_another_type_is_an_error(tmp_path: Path, line: str, message: str) -> None:
    """Before training: a version that is a number would never equal the one of the data."""
    fields = {
        name: value
        for name, value in make_run().to_dict().items()
        if name not in ("params", line.split(":")[0])
    }
    name = fields.pop("experiment", "demo")
    head = [line] if line.startswith("experiment") else [f"experiment: {name}"]
    rows = [f"  {key}: {json.dumps(value)}" for key, value in fields.items()]
    rows += [] if line.startswith("experiment") else [f"  {line}"]
    (tmp_path / "s.yaml").write_text("\n".join([*head, "grid:", *rows]))
    with pytest.raises(ValueError, match=message):
        read_sweep(tmp_path / "s.yaml")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]\n" for below, name in pairwise("abcdefgh")
)
MERGED = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{below}'] * 9)}]}}\n" for below, name in pairwise("abcdefgh")
)
GRID = "experiment: x\ngrid: {seed: 0, dataset: d, dataset_version: v, task: t, model: m, method: n"
GRID += ", protocol: quick"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.yaml", "experiment: d\xe9mo".encode("latin-1"), "not a text in UTF-8"),
        ("s.json", b'{"experiment": "\xff"}', "not a text in UTF-8"),
        ("s.json", b'{"experiment": ', "not valid JSON"),
        ("s.json", b"[" * 100_000, "nested too deeply"),
        ("s.json", b"[" * 30 + b"]" * 30, "nested more than 20 deep"),
        ("s.yaml", b"[" * 20_000, "nested too deeply"),
        ("s.yaml", BOMB.encode(), "more than 50,000 values"),
        ("s.yaml", MERGED.encode(), "more than 50,000 entries|a sweep needs"),
        ("s.yaml", b"&a [*a]", "nested more than 20 deep"),
        ("s.yaml", b" " * 2**21, "that is no sweep file"),
        ("s.json", b'{"experiment": "x", "experiment": "y"}', "experiment stands twice"),
        ("s.yaml", f"{GRID}, params.lr: 0.1, params.lr: 0.2}}".encode(), "params.lr stands twice"),
        ("s.yaml", f"{GRID}, params.lr: .nan}}".encode(), "not made of finite"),
        ("s.yaml", f"{GRID}, params.day: 2024-01-01}}".encode(), "not made of finite numbers"),
        ("s.yaml", f"{GRID}, params: {{lr: 1}}}}".encode(), "params.epochs: 5"),
        (
            "s.yaml",
            f"{GRID}, params.a: {[*range(400)]}, params.b: {[*range(400)]}}}".encode(),
            "100,000 runs",
        ),
        ("s.yaml", GRID.replace(": x", ": check", 1).encode() + b"}", "results check"),
        ("s.json", b"1" * 5000, "digits"),
    ],
)
def test_a_file_that_is_no_sweep_ends_in_one_sentence(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_sweep(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))


def test_what_is_no_file_is_no_sweep(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")  # reading it would wait for ever
    for path in (tmp_path, tmp_path / "pipe.yaml", Path("/dev/zero")):
        with pytest.raises(ValueError, match="is no file"):
            read_sweep(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_windows_editors_are_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(f"{GRID}}}", encoding=encoding)
    sheet = {"experiment": "x", "grid": {**make_run().to_dict(), "experiment": "x"}}
    del sheet["grid"]["params"], sheet["grid"]["experiment"]  # type: ignore[attr-defined]
    (tmp_path / "S.JSON").write_text(json.dumps(sheet), encoding=encoding)
    assert [len(read_sweep(tmp_path / name)) for name in ("s.yaml", "S.JSON")] == [1, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"weight_decay": 1}, {"weight_decay": 1.0}),
        ({"weight_decay": 0}, {"weight_decay": -0.0}),
        ({"epochs": 5}, {"epochs": 5e0}),
        ({"sites": [1, [2, 3]]}, {"sites": (1.0, (2, 3.0))}),
        ({"any": {"deep": 2}}, {"any": {"deep": 2.0}}),
        ({"window_s": [5, 10]}, {"window_s": [5.0, 10.0]}),
    ],
)
def test_a_number_is_the_same_however_it_is_written(one: dict[str, Any], other: dict[str, Any]) -> None:
    a, b = make_run(**one), make_run(**other)
    assert a == b and a.hash == b.hash and hash(a) == hash(b)
    assert record_path(Path(), a) == record_path(Path(), b)
    assert Run.from_dict(json.loads(json.dumps(b.to_dict()))) == a


@pytest.mark.parametrize(("one", "other"), [(True, 1), ("1", 1), (2.5, 2), (2**60, float(2**60)), ([1], 1)])
def test_runs_are_equal_only_if_they_share_a_file(one: Any, other: Any) -> None:
    a, b = make_run(x=one), make_run(x=other)
    assert a != b and a.hash != b.hash


def test_every_real_setting_has_one_form() -> None:
    """1 and 1.0 must be one run for every setting that is a real number: the list names them all."""
    from ecgbook.experiments import melep_folds, melep_selection, planted
    from ecgkit import training

    configs = [training.TrainConfig, training.selection.SelectionConfig, training.LightweightConfig]
    configs += [melep_folds.FoldSettings, melep_selection.SelectionSettings, planted._Settings]
    configs += [type(training.selection.create(name)) for name in training.selection.names()]
    real = {f.name for config in configs for f in fields(config) if f.type in (float, float | None)}
    assert real <= REAL_PARAMS
    whole = {f.name for config in configs for f in fields(config) if f.type is int}
    assert not whole & REAL_PARAMS


@pytest.mark.parametrize("params", [{"a": float("nan")}, {"a": {1: 2}}, {"a": {2}}, {"a": np.int64(1)}, [1]])
def test_what_cannot_be_recorded_is_refused_before_anything_runs(params: Any) -> None:
    with pytest.raises(ValueError):
        Run.from_dict({**make_run().to_dict(), "params": params})


def test_every_sweep_of_the_project_is_valid() -> None:
    files = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
    assert files
    for path in files:
        assert read_sweep(path), path


def test_the_quick_sweep_fits_the_present_generator_and_the_page() -> None:
    from ecgkit.datasets.synthetic import GENERATOR_VERSION

    root = Path(__file__).parents[2]
    versions = {run.dataset_version for run in read_sweep(root / "sweeps" / "quick.yaml")}
    assert versions == {f"synthetic-{GENERATOR_VERSION}"}
    shown = (root / "sweeps" / "quick.yaml").read_text().split("\n", 1)[1]
    assert shown in (root / "book" / "running-the-sweeps.md").read_text()


def test_a_sweep_runs_what_is_missing_and_a_failure_stops_nothing(tmp_path: Path) -> None:
    runs = [make_run(0), make_run(1, fails=True), make_run(2)]
    options = {"epoch_s": 0.0}
    assert [p.state for p in plan(runs, tmp_path)] == ["missing"] * 3
    first = sweep(runs[:2], tmp_path, execute=fake_execute, options=options)
    assert (first.finished, first.failed, first.done, first.remaining) == (1, 1, 0, 0)
    record = read_record(record_path(tmp_path, runs[1]))
    assert record["status"] == "failed"
    assert record["error"]["type"] == "ArithmeticError"
    assert "fake_execute" in record["error"]["traceback"]
    assert [p.state for p in plan(runs, tmp_path)] == ["finished", "failed", "missing"]

    again = sweep(runs, tmp_path, execute=fake_execute, options=options)
    assert (again.finished, again.failed, again.done, again.remaining) == (1, 0, 2, 0)
    retried = sweep(runs, tmp_path, execute=fake_execute, options=options, retry_failed=True)
    assert (retried.finished, retried.failed, retried.done) == (0, 1, 2)
    assert not state_folder(tmp_path, runs[0]).exists()
    assert len(load("demo", tmp_path)) == 2
    assert load("demo", tmp_path, status="failed")["error"].tolist() == ["the loss is NaN"]


@pytest.mark.parametrize("how", ["os", "torch"])
def test_a_full_disk_stops_the_sweep_and_is_no_failure_of_its_runs(how: str, tmp_path: Path) -> None:
    runs = [make_run(0), make_run(1, full=how), make_run(2)]
    with pytest.raises(StoreError, match=rf"{tmp_path}.*the disk is full: free some space"):
        sweep(runs, tmp_path, execute=fake_execute, options={"epoch_s": 0.0})
    assert [p.state for p in plan(runs, tmp_path)] == ["finished", "missing", "missing"]


def test_results_that_cannot_be_written_are_an_error_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="could not write"):
        sweep([make_run()], tmp_path / "file" / "results", execute=None, workers=1)  # type: ignore[arg-type]
    for wrong in ({"workers": 0}, {"minutes": 0}, {"minutes": float("nan")}):
        with pytest.raises(ValueError, match="above 0"):
            sweep([make_run()], tmp_path, execute=fake_execute, **wrong)  # type: ignore[arg-type]


def test_data_that_are_not_there_are_no_failure_of_a_run(tmp_path: Path) -> None:
    runs = [make_run(0, absent=True), make_run(1, absent=True), make_run(2)]
    summary = sweep(runs, tmp_path, execute=fake_execute, options={"epoch_s": 0.0}, workers=2)
    assert (summary.finished, summary.failed, summary.remaining) == (1, 0, 2)
    assert summary.no_data == ("fetch them with `ecgkit data download`",)
    assert [p.state for p in plan(runs, tmp_path)] == ["missing", "missing", "finished"]


def test_a_run_whose_process_dies_is_recorded_after_three_attempts(tmp_path: Path) -> None:
    summary = sweep([make_run(0, dies=True)], tmp_path, execute=fake_execute)
    assert (summary.finished, summary.failed, summary.remaining) == (0, 1, 0)
    record = read_record(record_path(tmp_path, make_run(0, dies=True)))
    assert "SIGKILL" in record["error"]["message"]


def test_the_time_limit_stops_and_the_next_sweep_resumes(tmp_path: Path) -> None:
    runs = [make_run(0), make_run(1)]
    started = time.monotonic()
    sweep([make_run(2)], tmp_path, execute=fake_execute, options={"epoch_s": 0.0})
    limit_s = 3 + 4 * (time.monotonic() - started)  # enough to start a run, however slow the machine is
    slow = {"epoch_s": 1.0, "epochs": 300}
    started = time.monotonic()
    first = sweep(runs, tmp_path, execute=fake_execute, options=slow, minutes=limit_s / 60)
    assert limit_s <= time.monotonic() - started < 290
    assert (first.finished, first.failed, first.remaining, first.interrupted) == (0, 0, 2, False)
    assert [p.state for p in plan(runs, tmp_path)] == ["resumes", "missing"]
    second = sweep(runs, tmp_path, execute=fake_execute, options={"epoch_s": 0.0, "epochs": 300}, workers=2)
    assert second.finished == 2
    assert set(epochs_computed(tmp_path).values()) == {1}  # no epoch was computed twice


def test_ctrl_c_stops_in_order(tmp_path: Path) -> None:
    results = tmp_path / "results"
    process = sweep_process(tmp_path, [make_run(s) for s in range(3)], results, epoch_s=0.3, epochs=40)
    wait_for(lambda: (results / "epochs.log").exists())
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "0 finished, 0 failed" in output
    assert "3 remaining" in output
    assert not list(results.rglob("*.tmp"))
    assert not list(results.glob("demo/*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_ctrl_c_in_a_terminal_is_for_the_sweep_alone(tmp_path: Path) -> None:
    """A terminal sends it to all processes, also to one that is still importing."""
    results = tmp_path / "results"
    process = sweep_process(tmp_path, [make_run(s) for s in range(3)], results, epoch_s=0.3, epochs=40)
    wait_for(lambda: len(runs_of(process)) == 2)
    if sys.platform == "linux":
        assert all(holds_back(run, signal.SIGINT) for run in runs_of(process))
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "0 finished, 0 failed" in output and "3 remaining" in output
    assert "KeyboardInterrupt" not in output


def holds_back(process: psutil.Process, number: signal.Signals) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    blocked = next(line for line in status.splitlines() if line.startswith("SigBlk"))
    return bool(int(blocked.split()[1], 16) >> (number - 1) & 1)


def runs_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of a sweep's runs; its other child keeps a list of resources."""
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_a_held_run_is_left_to_its_holder(tmp_path: Path) -> None:
    run = make_run()
    with lock(tmp_path, run) as held:
        assert held
        assert do_run(run, tmp_path, fake_execute, {}) == "busy"
    assert do_run(run, tmp_path, fake_execute, {"epoch_s": 0.0}) == "finished"
    assert do_run(run, tmp_path, fake_execute, {"epoch_s": 0.0}) == "done"


def test_a_file_system_without_locks_is_an_error_not_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    for code in (errno.ENOLCK, errno.EOPNOTSUPP):

        def refuse(self: FileLock, code: int = code, **options: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(FileLock, "acquire", refuse)
        error = do_run(run, tmp_path, fake_execute, {})
        assert isinstance(error, StoreError)
        assert re.search(rf"{run.hash}.lock cannot be locked .*with --results", str(error))
    (state_folder(tmp_path, run) / "lock").touch()
    with pytest.raises(StoreError, match="cannot be locked"):  # and the sweep does not poll for ever
        sweep([run], tmp_path, execute=fake_execute)


@pytest.mark.slow
def test_two_sweeps_on_one_folder_do_nothing_twice(tmp_path: Path) -> None:
    runs = [make_run(seed) for seed in range(5)]
    results = tmp_path / "results"
    both = [sweep_process(tmp_path, runs, results, epoch_s=0.02) for _ in range(2)]
    outputs = [process.communicate(timeout=600)[0] for process in both]
    assert all(process.returncode == 0 for process in both), outputs
    done = [int(output.split(" finished")[0].split()[-1]) for output in outputs]
    assert sum(done) == 5, outputs
    assert all("0 remaining" in output for output in outputs)
    assert len(epochs_computed(results)) == 5 * 5
    assert set(epochs_computed(results).values()) == {1}


@pytest.mark.slow
def test_ten_sigkills_at_random_moments_lose_and_double_nothing(tmp_path: Path) -> None:
    runs = [make_run(seed, model) for seed in range(4) for model in ("fake", "other")]
    runs.append(make_run(9, fails=True))
    results, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    rng = np.random.default_rng(0)
    for _ in range(10):  # each kill waits for a random number of epochs, so a slow machine changes nothing
        process = sweep_process(tmp_path, runs, results, epoch_s=0.05, epochs=30)
        target = sum(epochs_computed(results).values()) + int(rng.integers(0, 7))
        wait_for(lambda target=target: sum(epochs_computed(results).values()) >= target)
        time.sleep(rng.uniform(0, 0.1))
        assert process.poll() is None, "the sweep ended before it could be killed: give it more epochs"
        process.kill()
        process.communicate()
    assert 0 < len(epochs_computed(results)) < 8 * 30, "the kills met no run, or met them all finished"
    final = sweep_process(tmp_path, runs, results, epoch_s=0.0, epochs=30)
    output, _ = final.communicate(timeout=600)
    assert final.returncode == 0, output
    for run in runs:
        do_run(run, undisturbed, fake_execute, {"epoch_s": 0.0, "epochs": 30})
    assert len(list(results.glob("demo/*.json"))) == len(runs)
    assert not list(results.rglob("*.tmp"))
    ours, theirs = contents(results, runs), contents(undisturbed, runs)
    for mine, other in zip(ours, theirs, strict=True):
        if mine["status"] == "failed":
            assert mine["error"]["message"] == other["error"]["message"]
        else:
            assert mine == other
    for name in sorted(path.name for path in undisturbed.glob("demo/*.npz")):
        assert (results / "demo" / name).read_bytes() == (undisturbed / "demo" / name).read_bytes()


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)
