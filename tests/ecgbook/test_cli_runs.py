"""The commands run, sweep and results."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from fake_runner import fake_execute, make_run
from typer.testing import CliRunner

from ecgbook.cli import app
from ecgbook.runs.records import content_sha256, failed_record, load_predictions, read_record, write_record
from ecgbook.runs.run import Run
from ecgkit.datasets.synthetic import GENERATOR_VERSION, make_synthetic
from ecgkit.evaluation import macro_auc


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three seeds of two models."""
    for seed in range(3):
        for model in ("fake", "other"):
            fake_execute(make_run(seed, model, width=[8, 16]), tmp_path / "results", epoch_s=0.0)
    (tmp_path / "results" / "epochs.log").unlink()
    return tmp_path / "results"


def test_the_commands_show_export_and_check(results: Path, tmp_path: Path) -> None:
    cli, where = CliRunner(), ["--results", str(results)]
    shown = cli.invoke(app, ["results", "demo", "--aggregate", "--csv", str(tmp_path / "t.csv"), *where])
    assert shown.exit_code == 0, shown.output
    assert len(pd.read_csv(tmp_path / "t.csv")) == 2
    assert "3 seeds per setting" in shown.output
    assert "demo: 6 finished, 0 failed" in cli.invoke(app, ["results", *where]).output
    assert cli.invoke(app, ["results", "nothing", *where]).exit_code == 1
    unnamed = cli.invoke(app, ["results", "--csv", str(tmp_path / "all.csv"), *where])
    assert (unnamed.exit_code, "need the name of an experiment" in unnamed.output) == (1, True)
    good = cli.invoke(app, ["results", "check", "--page", str(tmp_path), *where])
    assert (good.exit_code, "6 records checked, 0 problems" in good.output) == (0, True)
    path = next(results.glob("demo/*.json"))
    assert "note:" not in good.output
    write_record(results, {**read_record(path), "commit": "abc+changes"})
    noted = cli.invoke(app, ["results", "check", "--page", str(tmp_path), *where])
    assert (noted.exit_code, "note: 1 were made with" in noted.output) == (0, True)
    path.write_text(path.read_text().replace('"device": "cpu"', '"device": "better"'))
    assert cli.invoke(app, ["results", "check", "--page", str(tmp_path), *where]).exit_code == 1


def test_a_folder_without_records_and_a_page_that_is_missing_are_errors(
    results: Path, tmp_path: Path
) -> None:
    """Else a wrong path would pass for a good check."""
    cli, nowhere = CliRunner(), str(tmp_path / "nowhere")
    for command in (["results"], ["results", "check"], ["scoreboard"]):
        found = cli.invoke(app, [*command, "--results", nowhere])
        assert (found.exit_code, nowhere in found.output) == (1, True), command
    missing = ["results", "check", "--results", str(results), "--page", nowhere]
    assert cli.invoke(app, missing).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["results", ""], "experiment '' cannot name a folder"),
        (["results", "/abs"], "experiment '/abs' cannot name a folder"),
        (["results", "../x"], "cannot name a folder"),
        (["results", "nothing"], "no finished run of 'nothing'"),
        (["results", "demo"], "field metrics is missing"),
        (["results"], "field metrics is missing"),
        (["scoreboard", "--work", "x"], "there is no work 'x'"),
        (["sweep", "deep.json"], "deep.json: nested too deeply"),
        (["sweep", "deep.json", "--minutes", "1"], "deep.json: nested too deeply"),
        (["sweep", "one.json", "--minutes", "nan"], "must be above 0"),
        (["sweep", "one.json", "--device", "tpu"], "no device 'tpu'"),
        (["sweep", "bad.yaml"], "not valid YAML"),
        (["run", "--param", "lr=NaN"], "not made of finite numbers"),
        (["run", "--experiment", "check"], "choose another"),
        (["run", "--seed", "-1"], "seed is -1; a whole number from 0"),
    ],
)
def test_odd_input_ends_in_one_line(
    arguments: list[str],
    message: str,
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("deep.json").write_text("[" * 10**5)
    Path("bad.yaml").write_text("a: [\n")
    sheet = {"experiment": "x", "grid": {k: v for k, v in make_run().to_dict().items() if k != "params"}}
    sheet["grid"].pop("experiment")
    Path("one.json").write_text(json.dumps(sheet))
    if "is missing" in message:  # a record that lacks a field, under a seal of its own
        path = next(results.glob("demo/*.json"))
        record = {name: value for name, value in json.loads(path.read_text()).items() if name != "metrics"}
        path.write_text(json.dumps({**record, "content_sha256": content_sha256(record)}))
    outcome = CliRunner().invoke(app, [*arguments, "--results", str(results)])
    assert (outcome.exit_code, isinstance(outcome.exception, SystemExit)) == (1, True), outcome.exception
    assert message in outcome.output and outcome.output.count("\n") == 1


def test_results_that_cannot_be_written_are_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "s.yaml").write_text(
        "experiment: x\ngrid: {dataset: synthetic, dataset_version: '1', task: t, model: m, method: naive, "
        "protocol: quick, seed: 0}"
    )
    for command in (["run"], ["sweep", str(tmp_path / "s.yaml")]):
        outcome = CliRunner().invoke(app, [*command, "--results", str(tmp_path / "file" / "results")])
        assert outcome.exit_code == 1
        assert re.fullmatch(r"error: could not write .*file/results.*\n", outcome.output), outcome.output


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_every_terminal_can_show_every_table(encoding: str, tmp_path: Path) -> None:
    fake_execute(make_run(phi_of="φ"), tmp_path, epoch_s=0.0)
    command = [sys.executable, "-c", "from ecgbook.cli import main; main()", "results", "demo"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    fake_execute(make_run(1, phi_of="ψ"), tmp_path, epoch_s=0.0)
    shown = subprocess.run([*command, "--results", str(tmp_path)], capture_output=True, env=environment)
    assert shown.returncode == 0, shown.stderr
    assert "03c6" in shown.stdout.decode(encoding)


def test_a_check_without_pages_says_so(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["results", "check"])
    assert (found.exit_code, "no page was checked" in found.output) == (0, True)


def test_a_dry_run_lists_states_and_costs(results: Path, tmp_path: Path) -> None:
    fields = make_run().to_dict()
    defaults = {name: fields[name] for name in fields if name not in ("experiment", "params", "seed")}
    grid = [
        {"seed": 0, "params.width": [[8, 16]]},
        {"seed": 7, "params.width": [[8, 16]], "params.epochs": 4},
        {"seed": 8, "params.width": [[8, 16]]},
    ]
    sheet = {"experiment": "demo", "defaults": defaults, "grid": grid}
    (tmp_path / "s.json").write_text(json.dumps(sheet))
    command = ["sweep", str(tmp_path / "s.json"), "--dry-run", "--results", str(results)]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("finished")
    assert "missing" in shown.output
    assert "(about 0.0 min)" in shown.output and "3 runs, 2 to do" in shown.output
    assert "(time not known)" in shown.output
    failed = Run.from_dict({**fields, "seed": 7, "params": {"width": [8, 16], "epochs": 4}})
    write_record(results, failed_record(failed, "the loss is NaN"))
    assert "3 runs, 1 to do" in CliRunner().invoke(app, command).output
    again = CliRunner().invoke(app, [*command, "--retry-failed"]).output
    assert "failed    " + failed.hash in again and "3 runs, 2 to do" in again


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty records in the layout of PTB-XL."""
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    return make_synthetic(tmp_path / "data" / "ptbxl", n=60, seed=1).parent


def test_run_makes_a_record_and_a_second_time_returns_at_once(data: Path, tmp_path: Path) -> None:
    where = ["--data-root", str(data), "--results", str(tmp_path / "results")]
    command = ["run", "--dataset", "ptbxl", "--model", "none", "--method", "naive", *where]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    path = Path(first.output.split("record: ")[1].strip())
    record = read_record(path)
    assert record["run"]["dataset_version"] == f"synthetic-{GENERATOR_VERSION}"
    stored = load_predictions(path.stem, tmp_path / "results")
    assert record["metrics"]["macro_auc"]["point"] == pytest.approx(macro_auc(stored.y_true, stored.y_score))
    written = path.stat().st_mtime_ns
    assert CliRunner().invoke(app, command).exit_code == 0
    assert path.stat().st_mtime_ns == written
    checked = CliRunner().invoke(app, ["results", "check", "--page", str(data), *where[2:]])
    assert "1 records checked, 0 problems" in checked.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--param", "epochs"], "name=value"),
        (["--param", "eposch=3"], "unknown parameter eposch"),
        (["--experiment", "a/b"], "cannot name a folder"),
        (["--method", "magic"], "no method 'magic'"),
        (["--model", "resnet0"], "resnet0"),
        (["--param", "epochs=ten"], "parameter epochs is 'ten'; a whole number is wanted"),
        (["--param", "epochs=2.5"], "parameter epochs is 2.5; a whole number is wanted"),
        (["--param", "window_s=0"], "window_s is 0.0; it must be above 0"),
    ],
)
def test_a_mistake_ends_in_one_line(data: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    command = [
        "run",
        "--dataset",
        "ptbxl",
        "--data-root",
        str(data),
        "--results",
        str(tmp_path / "results"),
    ]
    outcome = CliRunner().invoke(app, [*command, *arguments])
    assert outcome.exit_code == 1
    assert message in outcome.output
    assert "Traceback" not in outcome.output
    assert not list((tmp_path / "results").glob("*/*.json"))


def test_ctrl_c_ends_run_with_130(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ecgbook.experiments.execute.execute", stop)
    where = ["--data-root", str(data), "--results", str(tmp_path / "results")]
    command = ["run", "--dataset", "ptbxl", "--model", "none", "--method", "naive", *where]
    outcome = CliRunner().invoke(app, command)
    assert (outcome.exit_code, "to go on" in outcome.output) == (130, True)


def test_sweep_says_how_it_ended(data: Path, tmp_path: Path) -> None:
    sheet = f"""
experiment: both
defaults: {{dataset: ptbxl, dataset_version: synthetic-{GENERATOR_VERSION}, protocol: quick, seed: 0}}
grid:
  - {{task: superdiagnostic, model: none, method: [naive, magic]}}
"""
    (tmp_path / "s.yaml").write_text(sheet)
    where = ["--data-root", str(data), "--results", str(tmp_path / "results")]
    outcome = CliRunner().invoke(app, ["sweep", str(tmp_path / "s.yaml"), *where])
    assert outcome.exit_code == 1
    assert "1 finished, 1 failed, 0 done before or elsewhere, 0 remaining" in outcome.output
    shown = CliRunner().invoke(app, ["results", "both", *where[2:]])
    for output in (outcome.output, shown.output):
        assert re.search(r"failed: \S+\.json: ValueError: no method 'magic'", output), output
    assert "--retry-failed does failed runs again" in outcome.output
    assert CliRunner().invoke(app, ["sweep", str(tmp_path / "s.yaml"), *where]).exit_code == 0
    (tmp_path / "bad.yaml").write_text("experiment: x")
    bad = CliRunner().invoke(app, ["sweep", str(tmp_path / "bad.yaml"), *where])
    assert (bad.exit_code, "bad.yaml" in bad.output) == (1, True)
