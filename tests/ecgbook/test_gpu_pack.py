"""The pack for a GPU machine, run on a machine that has torch, numpy, scipy, pandas and scikit-learn only."""

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import numpy as np
import pytest
from cheap_runs import CHEAP
from fake_runner import fake_execute, make_run

from ecgbook.runs.results import load, read_record
from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.synthetic import GENERATOR_VERSION, make_synthetic

ROOT = Path(__file__).parents[2]
VERSION = f"synthetic-{GENERATOR_VERSION}"
THERE = ("torch", "numpy", "scipy", "pandas", "scikit-learn")
# Python imports a module of this name at every start, also in the processes of the runs.
BLOCKER = """
import sys
from importlib.machinery import PathFinder
class Bare(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        absent = fullname.split(".")[0] in BLOCKED
        return None if absent else super().find_spec(fullname, path, target)
sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
"""
SWEEP = f"""
experiment: packed
defaults:
  {{dataset: ptbxl, dataset_version: {VERSION}, protocol: quick, seed: 0, task: superdiagnostic}}
grid:
  - {{model: light_resnet18/E18, method: supervised, params.epochs: 1, params.window_s: 10.0}}
  - {{model: light_resnet18/E18, method: supervised, params.no_such_setting: 1}}
  - {{model: none, method: wavelet_nn}}
"""


def packages_there() -> set[str]:
    """The packages of `THERE`, with all that they need themselves."""
    found: set[str] = set()
    left = list(THERE)
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # for another system
            continue
        left += [plain(line) for line in lines if "extra ==" not in line]
    return found


def plain(text: str) -> str:
    """The name of a package, spelled in one way, from the name or from a line that requires it."""
    return re.sub(r"[-_.]+", "-", re.findall(r"[\w.-]+", text)[0]).lower()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH that hides every installed package but those of the bare machine."""
    there = packages_there() | {"ecgkit"}
    modules = packages_distributions().items()
    blocked = {module for module, names in modules if not there & set(map(plain, names))}
    assert {"yaml", "tqdm", "wfdb", "pywt"} <= blocked
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(f"BLOCKED = {blocked!r}{BLOCKER}")
    return folder


@pytest.fixture(autouse=True)
def tools_and_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))


def test_decode_undoes_encode(tmp_path: Path) -> None:
    from gpu_pack import encode
    from run_here import decode

    extremes = np.array([-32768, 32767, 0, -1, 1, 32767, -32768, 5], np.int16)
    signals = np.random.default_rng(0).permuted(np.tile(extremes, (3, 12, 1)), axis=2)
    (tmp_path / "x").write_bytes(encode(signals))
    out = np.empty_like(signals)
    decode(tmp_path / "x", out)
    assert (out == signals).all()


@pytest.mark.parametrize("shape", [(21799, 12, 1000), (21799, 12, 5000), (516, 12, 60_000)])
def test_no_part_can_be_too_large_to_travel(shape: tuple[int, ...]) -> None:
    """At any rate and length: what cannot be packed at all grows by less than the room that is left."""
    from gpu_pack import MAX_BYTES, PART_BYTES, encode, part_records

    assert 0.9 * PART_BYTES < part_records(shape) * 2 * shape[1] * shape[2] <= PART_BYTES
    noise = np.random.default_rng(0).integers(-32768, 32768, (20, 12, 1000)).astype(np.int16)
    assert len(encode(noise)) / noise.nbytes < MAX_BYTES / PART_BYTES
    with pytest.raises(ValueError, match="does not fit"):
        part_records((1, 12, 5_000_000))


def test_a_folder_without_results_is_no_success(tmp_path: Path) -> None:
    from gpu_pack import bring_home

    taken, (problem,) = bring_home(tmp_path / "wrong", tmp_path / "results")
    assert taken == 0 and "wrong holds no results" in problem


@pytest.mark.slow
def test_a_pack_runs_on_a_bare_machine_and_its_results_come_home(tmp_path: Path, bare: Path) -> None:
    root = make_synthetic(tmp_path / "data" / "ptbxl", n=80, seed=1)
    (tmp_path / "packed.yaml").write_text(SWEEP)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ECGKIT_")}
    environment |= {"ECGKIT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    results = tmp_path / "results"
    tool = [sys.executable, str(ROOT / "tools" / "gpu_pack.py"), "--results", str(results)]
    pack = tmp_path / "pack"
    arguments = [str(tmp_path / "packed.yaml"), "--data-root", str(root.parent), "--out", str(pack)]
    packed = subprocess.run([*tool, *arguments], env=environment, capture_output=True, text=True)
    assert packed.returncode == 0, packed.stderr
    assert "1 runs are left out: wavelet_nn needs pywt" in packed.stderr
    assert max(file.stat().st_size for file in pack.iterdir()) < 60e6
    assert not [file for file in pack.iterdir() if file.is_dir()]

    there = {k: v for k, v in environment.items() if not k.startswith("ECGKIT_")}
    there["PYTHONPATH"] = str(bare)
    command = [sys.executable, "run_here.py", "--minutes", "10", "--device", "cpu", "--threads", "1"]

    def run_there(*more: str) -> subprocess.CompletedProcess[str]:
        whole = [*command, *more]
        return subprocess.run(whole, cwd=pack, env=there, capture_output=True, text=True, timeout=600)

    blocked = subprocess.run([sys.executable, "-c", "import yaml"], env=there, capture_output=True, text=True)
    assert "No module named 'yaml'" in blocked.stderr
    damaged = pack / "source.zip"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1] + b"x")
    assert "source.zip is damaged" in run_there().stderr
    damaged.write_bytes(whole)
    done = run_there()
    assert done.returncode == 0, done.stdout + done.stderr
    failures = (pack / "home" / "failures.txt").read_text()
    assert "1 finished, 1 failed" in done.stdout, done.stdout + failures
    assert "no_such_setting" in failures
    (pack / "home" / "mine.txt").write_text("kept")
    again = run_there()
    assert "0 finished, 0 failed, 2 done" in again.stdout, again.stdout + again.stderr
    again = run_there("--retry-failed")
    assert "0 finished, 1 failed, 1 done" in again.stdout, again.stdout + again.stderr
    assert (pack / "home" / "mine.txt").exists()

    home = subprocess.run([*tool, "--bring-home", str(pack / "home")], env=environment, capture_output=True)
    assert home.returncode == 0, home.stdout
    runs = load("packed", results)
    assert runs["seed"].tolist() == [0]
    assert runs["records_test"].iloc[0] > 5
    commit = read_record(next(results.glob("packed/*.json")))["commit"]
    assert commit == json.loads((pack / "pack.json").read_text())["commit"]


def test_a_damaged_file_does_not_keep_the_others_from_coming_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from gpu_pack import bring_home

    there, home, results = tmp_path / "there", tmp_path / "home", tmp_path / "results"
    home.mkdir()
    for seed in range(2):
        path = fake_execute(make_run(seed), there)
        with zipfile.ZipFile(home / f"results-{seed:02d}.zip", "w") as archive:
            for file in (path, path.with_suffix(".npz")):
                archive.write(file, file.relative_to(there))
    damaged = home / "results-00.zip"
    damaged.write_bytes(damaged.read_bytes()[:-100])  # its table of contents is cut
    target = results / path.relative_to(there)
    target.parent.mkdir(parents=True)
    target.write_text("{ torn")
    taken, problems = bring_home(home, results)
    assert taken == 1 and read_record(target)["status"] == "finished"
    assert len(problems) == 1 and "results-00.zip" in problems[0]


NAMES = tuple(name for name in datasets.names() if name != "synthetic")  # see test_what_needs_more
OPEN = """
import json, sys
from pathlib import Path
from run_here import unpack_data
from ecgkit import datasets
folder, work, *entries = sys.argv[1:]
entries = [json.loads(entry) for entry in entries]
for entry in entries:
    unpack_data(entry, Path(folder), Path(work))
for entry in entries:
    print(datasets.load(entry["name"], sampling_rate_hz=entry["sampling_rate_hz"]).fingerprint)
"""


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_opens_on_a_bare_machine_at_two_rates(name: str, tmp_path: Path, bare: Path) -> None:
    from gpu_pack import pack_data

    rates = datasets.SOURCES[name].sampling_rates_hz[:2]
    own = {"sampling_rates_hz": rates} if name == "ptbxl" else {}
    data = make_synthetic(tmp_path / "data" / name, name, n=4, **own).parent
    entries = [pack_data(tmp_path, name, {VERSION}, data, rate) for rate in rates]
    work = tmp_path / "work"
    there = {"ECGKIT_CACHE": work / "cache", "ECGKIT_DATA": work / "data"}
    found = python_there(bare, there, OPEN, tmp_path, work, *map(json.dumps, entries))
    here = [datasets.load(name, data, sampling_rate_hz=rate).fingerprint for rate in rates]
    assert found.split() == here


def python_there(bare: Path, environment: dict[str, Path], script: str, *arguments: object) -> str:
    """What a script prints on the bare machine."""
    path = os.pathsep.join(map(str, (bare, ROOT, ROOT / "tools")))
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {key: str(value) for key, value in environment.items()} | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


MISSING = """
import functools, json, sys, warnings
from pathlib import Path
from ecgkit.datasets import synthetic
from ecgbook.runs.run import Run
from ecgbook.experiments.runner import execute
warnings.simplefilter("ignore")
synthetic.make_synthetic = functools.partial(synthetic.make_synthetic, n=4)
missing = []
for run in json.loads(sys.argv[1]):
    try:
        execute(Run.from_dict(run), Path(sys.argv[2]), device="cpu", threads=1)
        missing.append("")
    except ImportError as error:
        missing.append(error.name or error.__cause__.name)
print(json.dumps(missing))
"""


@pytest.mark.slow
def test_what_needs_more_than_a_bare_machine_has(tmp_path: Path, bare: Path) -> None:
    from gpu_pack import NEEDS, needing

    data = make_synthetic(tmp_path / "ptbxl", n=200).parent
    datasets.load("ptbxl", data)
    runs = [*CHEAP, Run("x", "synthetic", VERSION, "superdiagnostic", "none", "naive", "quick", 0)]
    assert {name for run in runs for name in needing(run)} == set(NEEDS)
    arguments = json.dumps([run.to_dict() for run in runs]), tmp_path / "results"
    found = json.loads(python_there(bare, {"ECGKIT_DATA": data}, MISSING, *arguments))
    for run, missing in zip(runs, found, strict=True):
        packages = [package for name in needing(run) for package in NEEDS[name]]
        assert missing in (packages or [""]), f"{run.method} on {run.dataset} needs {missing}"


def test_nothing_but_a_pack_is_deleted(tmp_path: Path) -> None:
    from gpu_pack import pack

    out = tmp_path / "out"
    pack([], out, None, tmp_path / "results")
    (out / "old.xz").touch()
    pack([], out, None, tmp_path / "results")
    assert not (out / "old.xz").exists()
    (out / "pack.json").unlink()
    with pytest.raises(FileExistsError, match=r"out is not empty.*delete it yourself.*--out"):
        pack([], out, None, tmp_path / "results")
    assert (out / "source.zip").exists()


def test_runs_without_their_data_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gpu_pack import with_data

    runs = [Run("x", "cpsc2018", "1.0.3", "cpsc9", "fcn_wang", "supervised", "paper", s) for s in (0, 1)]
    assert with_data(runs, tmp_path) == []
    assert "2 runs are left out" in capsys.readouterr().err


def test_a_run_needs_the_data_it_learns_from_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpu_pack import data_sets, pack, with_data

    make_synthetic(tmp_path / "ptbxl", n=40, seed=1)

    def run(**params: object) -> Run:
        return Run("x", "ptbxl", VERSION, "all", "fcn_wang", "transfer", "quick", 0, 100, params)

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
    assert entries == [("ptbxl", {VERSION}, tmp_path, 100), ("ptb", set(), tmp_path, 100)]
