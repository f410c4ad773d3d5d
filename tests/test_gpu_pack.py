"""The pack for a GPU machine, run on a machine that has torch, numpy, scipy, pandas and scikit-learn only."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecgkit.datasets.synthetic import GENERATOR_VERSION, make_synthetic
from ecgkit.experiments.results import load, read_record

ROOT = Path(__file__).parent.parent
BLOCKED = (
    *("wfdb", "h5py", "yaml", "pywt", "requests", "matplotlib", "iterstrat", "typer", "click", "rich"),
    *("platformdirs", "distributed", "dask", "psutil", "tqdm", "jupytext", "nbformat", "pytest"),
)
# Python imports a module of this name at every start, also in the processes of the runs.
BLOCKER = f"""
import sys
from importlib.machinery import PathFinder
class Bare(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        absent = fullname.split(".")[0] in {BLOCKED!r}
        return None if absent else super().find_spec(fullname, path, target)
sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
"""
SWEEP = f"""
experiment: packed
defaults: {{dataset: ptbxl, dataset_version: synthetic-{GENERATOR_VERSION}, protocol: quick}}
grid:
  - {{seed: 0, task: superdiagnostic, model: fcn_wang, method: supervised, params.epochs: 1}}
"""


def test_decode_undoes_encode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    from gpu_pack import encode
    from run_here import decode

    extremes = np.array([-32768, 32767, 0, -1, 1, 32767, -32768, 5], np.int16)
    signals = np.random.default_rng(0).permuted(np.tile(extremes, (3, 12, 1)), axis=2)
    (tmp_path / "x").write_bytes(encode(signals))
    out = np.empty_like(signals)
    decode(tmp_path / "x", out)
    assert (out == signals).all()


@pytest.mark.parametrize("shape", [(21799, 12, 1000), (21799, 12, 5000), (516, 12, 60_000)])
def test_no_part_can_be_too_large_to_travel(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """At any rate and length: what cannot be packed at all grows by less than the room that is left."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    from gpu_pack import MAX_BYTES, PART_BYTES, encode, part_records

    assert 0.9 * PART_BYTES < part_records(shape) * 2 * shape[1] * shape[2] <= PART_BYTES
    noise = np.random.default_rng(0).integers(-32768, 32768, (20, 12, 1000)).astype(np.int16)
    assert len(encode(noise)) / noise.nbytes < MAX_BYTES / PART_BYTES
    with pytest.raises(ValueError, match="does not fit"):
        part_records((1, 12, 5_000_000))


@pytest.mark.slow
def test_a_pack_runs_on_a_bare_machine_and_its_results_come_home(tmp_path: Path) -> None:
    root = make_synthetic(tmp_path / "data" / "ptbxl", n=80, seed=1)
    (tmp_path / "packed.yaml").write_text(SWEEP)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ECGKIT_")}
    environment |= {"ECGKIT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    results = tmp_path / "results"
    tool = [sys.executable, str(ROOT / "tools" / "gpu_pack.py"), "--results", str(results)]
    pack = tmp_path / "pack"
    arguments = [str(tmp_path / "packed.yaml"), "--data-root", str(root.parent), "--out", str(pack)]
    subprocess.run([*tool, *arguments], check=True, env=environment)
    assert max(file.stat().st_size for file in pack.iterdir()) < 60e6
    assert not [file for file in pack.iterdir() if file.is_dir()]

    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(BLOCKER)
    there = {k: v for k, v in environment.items() if not k.startswith("ECGKIT_")}
    there["PYTHONPATH"] = str(tmp_path / "bare")
    command = [sys.executable, "run_here.py", "--minutes", "5", "--device", "cpu", "--threads", "1"]

    def run_there() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=pack, env=there, capture_output=True, text=True, timeout=300)

    bare = subprocess.run([sys.executable, "-c", "import yaml"], env=there, capture_output=True, text=True)
    assert "No module named 'yaml'" in bare.stderr
    damaged = pack / "source.zip"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1] + b"x")
    assert "source.zip is damaged" in run_there().stderr
    damaged.write_bytes(whole)
    done = run_there()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 finished, 0 failed" in done.stdout, done.stdout + (pack / "home" / "failures.txt").read_text()
    again = run_there()
    assert "0 finished, 0 failed, 1 done" in again.stdout, again.stdout + again.stderr

    home = subprocess.run([*tool, "--bring-home", str(pack / "home")], env=environment, capture_output=True)
    assert home.returncode == 0, home.stdout
    runs = load("packed", results)
    assert runs["seed"].tolist() == [0]
    assert runs["records_test"].iloc[0] > 5
    commit = read_record(next(results.glob("packed/*.json")))["commit"]
    assert commit == json.loads((pack / "pack.json").read_text())["commit"]


def test_runs_without_their_data_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gpu_pack import with_data

    from ecgkit.experiments.run import Run

    runs = [Run("x", "cpsc2018", "1.0.3", "cpsc9", "fcn_wang", "supervised", "paper", s) for s in (0, 1)]
    assert with_data(runs, tmp_path) == []
    assert "2 runs are left out" in capsys.readouterr().err


def test_a_run_needs_the_data_it_learns_from_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    from gpu_pack import data_sets, pack, with_data

    from ecgkit.experiments.run import Run

    make_synthetic(tmp_path / "ptbxl", n=40, seed=1)
    version = f"synthetic-{GENERATOR_VERSION}"

    def run(**params: object) -> Run:
        return Run("x", "ptbxl", version, "all", "fcn_wang", "transfer", "quick", 0, 100, params)

    alone, both = run(source="rhythm"), run(sources=["ptb", "ptbxl"])
    assert data_sets(alone) == ["ptbxl"]  # "rhythm" is a group of statements
    assert data_sets(both) == ["ptbxl", "ptb"]
    assert data_sets(run(source="cpsc2018")) == ["ptbxl", "cpsc2018"]
    assert with_data([alone, both], tmp_path) == [alone]
    assert "1 runs are left out" in capsys.readouterr().err

    entries = []
    monkeypatch.setattr("gpu_pack.with_data", lambda runs, root: list(runs))
    monkeypatch.setattr("gpu_pack.pack_data", lambda out, name, *rest: entries.append((name, *rest)))
    sweep = {"experiment": "x", "grid": [{**both.to_dict(), "params.sources": [["ptb", "ptbxl"]]}]}
    del sweep["grid"][0]["experiment"], sweep["grid"][0]["params"]
    (tmp_path / "x.json").write_text(json.dumps(sweep))
    assert pack([tmp_path / "x.json"], tmp_path / "pack", tmp_path, tmp_path / "results") == 1
    assert entries == [("ptbxl", {version}, tmp_path, 100), ("ptb", set(), tmp_path, 100)]
