"""Pack the runs that are missing, with source and data, for a machine that has a GPU and little else.

    python tools/gpu_pack.py                       # all sweeps on real data; the pack is in dist/gpu-pack
    python tools/gpu_pack.py sweeps/x.yaml         # one sweep
    python tools/gpu_pack.py --bring-home FOLDER   # put the results that came back into results/

The pack is one flat folder of files below 60 MB, so that it can travel in several trips. There it needs
Python 3.11 with torch, numpy, scipy, pandas and scikit-learn, and no network::

    python run_here.py --minutes 50 --workers 4

Runs that need more than that (see `NEEDS`), or data that are not at hand, are left out with a message.
"""

import argparse
import hashlib
import json
import lzma
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from run_here import limb_leads

from ecgbook.runs.check import check_record
from ecgbook.runs.data import load_for
from ecgbook.runs.grids import read_sweep
from ecgbook.runs.results import read_record, results_folder
from ecgbook.runs.run import Run
from ecgbook.runs.sweep import plan
from ecgkit import datasets
from ecgkit.datasets import store
from ecgkit.datasets.archives import safe_extract
from ecgkit.errors import DataNotFoundError, EcgkitError, RecordError
from ecgkit.files import sha256_file

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 60_000_000  # of a file of the pack
PART_BYTES = 55_000_000  # of signals before they are packed, so that even noise stays below MAX_BYTES

# Methods, scorers and data sets that need more than a GPU machine may have, and which packages they need.
NEEDS: dict[str, tuple[str, ...]] = {
    "compressed": ("onnx", "onnxruntime"),
    "relevance": ("wfdb",),
    "synthetic": ("tqdm",),  # is made and converted where it is used
    "wavelet_nn": ("pywt",),
}


def encode(signals: np.ndarray) -> bytes:
    """int16 (N, 12, T) as xz of differences along time, first all low bytes, then all high bytes."""
    signals = signals.copy()
    signals[:, 2:6] -= limb_leads(signals)
    difference = np.diff(signals, axis=2, prepend=np.zeros((*signals.shape[:2], 1), np.int16))  # wraps around
    planes = difference.astype("<i2").view(np.uint8).reshape(-1, 2).T
    return lzma.compress(planes.tobytes(), preset=2)


def part_records(shape: tuple[int, ...]) -> int:
    """How many records of int16 signals (N, 12, T) make a part.

    Raises:
        ValueError: If a single record is larger than a part may be.
    """
    each = 2 * shape[1] * shape[2]
    if each > PART_BYTES:
        raise ValueError(f"a record of {each / 1e6:.0f} MB does not fit into a file of the pack")
    return PART_BYTES // each


def pack_data(out: Path, name: str, versions: set[str], root: Path | None, rate: int) -> dict[str, Any]:
    """Write the parts of one data set; returns its entry of the manifest."""
    source, folder = datasets.SOURCES[name], datasets.data_folder(name, root)
    dataset = datasets.load(name, root, sampling_rate_hz=rate)
    if versions - {dataset.version}:
        raise ValueError(f"the runs ask for {name} {', '.join(versions)}; {folder} holds {dataset.version}")
    made = store.store_folder(source, folder, rate)
    prefix = f"data-{name}-{rate}hz"
    parts: list[str] = []
    digest = hashlib.sha256()
    step = part_records(dataset.signals.shape)
    for start in range(0, len(dataset), step):
        signals = np.asarray(dataset.signals[start : start + step])
        digest.update(np.ascontiguousarray(signals, "<i2").tobytes())
        parts.append(f"{prefix}-part{len(parts):02d}.xz")
        (out / parts[-1]).write_bytes(encode(signals))
        print(f"{parts[-1]}: {(out / parts[-1]).stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    tables = [Path(file) for file in source.files(folder, rate) if Path(file).suffix in (".csv", ".txt")]
    # By one of its markers a data set is recognised. The first by name is the same at every rate.
    marks = [min(folder.glob(marker), default=None) for marker in source.markers]
    tables += [mark for mark in marks if mark is not None and mark not in tables]
    with zipfile.ZipFile(out / f"{prefix}.zip", "w", zipfile.ZIP_LZMA) as archive:
        for file in sorted(made.iterdir()):
            if file.name != "signals.npy":
                archive.write(file, f"store/{file.name}")
        for file in tables:
            archive.write(file, f"tables/{file.relative_to(folder)}")
    return {
        "name": name,
        "sampling_rate_hz": rate,
        "shape": list(dataset.signals.shape),
        "part_records": step,
        "parts": parts,
        "rest": f"{prefix}.zip",
        "sha256": digest.hexdigest(),
    }


def data_sets(run: Run) -> list[str]:
    """All data sets that a run needs: its own, and those it learns from (`source` and `sources`)."""
    others = [run.params.get("source"), *run.params.get("sources", [])]
    return [run.dataset, *(name for name in others if name in datasets.SOURCES and name != run.dataset)]


def needing(run: Run) -> list[str]:
    """What of a run is in `NEEDS`."""
    return [name for name in (run.method, run.params.get("scorer"), *data_sets(run)) if name in NEEDS]


def without_needs(runs: Sequence[Run]) -> list[Run]:
    """The runs that need nothing of `NEEDS`; says how many are left out, and why."""
    kept = [run for run in runs if not needing(run)]
    names = dict.fromkeys(name for run in runs for name in needing(run))
    say_left_out(len(runs) - len(kept), [f"{name} needs {', '.join(NEEDS[name])}" for name in names])
    return kept


def say_left_out(count: int, reasons: Iterable[str]) -> None:
    if count:
        print(f"{count} runs are left out: {'; '.join(reasons)}", file=sys.stderr)


def with_data(runs: Sequence[Run], root: Path | None) -> list[Run]:
    """The runs whose data are at hand as a whole; says how many are left out, and why."""
    problems: dict[tuple[str, int, bool], str] = {}
    kept = []
    for run in runs:
        keys = [(name, run.sampling_rate_hz, run.protocol == "quick") for name in data_sets(run)]
        for key in keys:
            if key not in problems:
                try:
                    load_for(run, key[0], None, root)
                    problems[key] = ""
                except DataNotFoundError as error:
                    problems[key] = str(error)
        if not any(problems[key] for key in keys):
            kept.append(run)
    say_left_out(len(runs) - len(kept), filter(None, problems.values()))
    return kept


def pack(sweeps: Sequence[Path], out: Path, root: Path | None, results: Path) -> int:
    """Write the whole pack into the folder `out`; returns the number of runs in it.

    A pack that is already in `out` is replaced.

    Raises:
        FileExistsError: If `out` holds something else.
        ValueError: If data are of another version than a run asks for, or a file is too large to travel.
    """
    if out.exists() and not (out.is_dir() and ((out / "pack.json").exists() or not any(out.iterdir()))):
        raise FileExistsError(
            f"{out} is not empty, and not a finished pack: delete it yourself, or choose another --out"
        )
    runs = {}
    for path in sweeps:
        missing = [p.run for p in plan(read_sweep(path), results) if p.state != "finished"]
        runs[path] = with_data(without_needs(missing), root)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    needed: dict[tuple[str, int], set[str]] = {}
    for run in (run for missing in runs.values() for run in missing):
        for name in data_sets(run):
            needed.setdefault((name, run.sampling_rate_hz), set())
        needed[run.dataset, run.sampling_rate_hz].add(run.dataset_version)
    data = [pack_data(out, name, versions, root, rate) for (name, rate), versions in needed.items()]
    order = []
    for path, missing in runs.items():
        if missing:
            order.append(f"sweep-{path.stem}.json")
            (out / order[-1]).write_text(json.dumps(as_sweep(missing), indent=1), encoding="utf-8")
    with zipfile.ZipFile(out / "source.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in package_files():
            archive.write(file, file.relative_to(ROOT))
    shutil.copy(ROOT / "tools" / "run_here.py", out)
    manifest = {
        "commit": commit(),
        "sweeps": order,
        "data": data,
        "sha256": {file.name: sha256_file(file) for file in sorted(out.iterdir())},
    }
    (out / "pack.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    if large := [file.name for file in sorted(out.iterdir()) if file.stat().st_size >= MAX_BYTES]:
        raise ValueError(f"{', '.join(large)}: larger than {MAX_BYTES / 1e6:.0f} MB")
    return sum(map(len, runs.values()))


def as_sweep(runs: Sequence[Run]) -> dict[str, Any]:
    """A sweep file with one block per run."""
    blocks = []
    for run in runs:
        fields = {key: value for key, value in run.to_dict().items() if key not in ("experiment", "params")}
        params = {f"params.{k}": [v] if isinstance(v, list) else v for k, v in run.params.items()}
        blocks.append({**fields, **params})
    return {"experiment": runs[0].experiment, "grid": blocks}


def package_files() -> Iterator[Path]:
    """All files of the package, without what Python compiled."""
    for path in sorted((ROOT / "ecgkit").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def commit() -> str:
    """The commit of the source; "+changes" where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "ecgkit"], capture_output=True, text=True, check=False
    )
    return (head.stdout.strip() or "unknown") + ("+changes" if changed.stdout.strip() else "")


def bring_home(folder: Path, results: Path) -> tuple[int, list[str]]:
    """Put results that came back into `results`; records that fail the check are left out and named."""
    archives = sorted(folder.glob("results*.zip"))
    problems = [] if archives else [f"{folder} holds no results*.zip: name the folder that came back"]
    taken = 0
    for path in archives:
        unpacked = results / ".state" / f"home-{os.getpid()}"
        try:
            # The end of a zip that was cut may be that of the predictions in it, which are a zip as well.
            if safe_extract(path, unpacked) and not list(unpacked.glob("*/*.json")):
                problems.append(f"{path} holds no record: copy it again")
        except EcgkitError as error:  # what came out of it before the damage is taken
            problems.append(str(error))
        for record in sorted(unpacked.glob("*/*.json")):
            target = results / record.relative_to(unpacked)
            if _finished(target):
                continue
            if found := check_record(record):
                problems += found
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            for file in (record.with_suffix(".npz"), record):  # the record last: it says that all is there
                if file.exists():
                    file.replace(target.with_suffix(file.suffix))
            taken += 1
        shutil.rmtree(unpacked, ignore_errors=True)
    return taken, problems


def _finished(path: Path) -> bool:
    """Whether a whole record of a finished run is there."""
    try:
        return path.exists() and bool(read_record(path)["status"] == "finished")
    except RecordError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("sweeps", nargs="*", type=Path, help="sweep files; default: all on real data")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "gpu-pack")
    parser.add_argument("--data-root", type=Path, help="folder of the data; default: $ECGKIT_DATA")
    parser.add_argument("--results", type=Path, help="results folder; default: $ECGKIT_RESULTS or ./results")
    parser.add_argument("--bring-home", type=Path, metavar="FOLDER", help="folder that came back")
    arguments = parser.parse_args()
    results = results_folder(arguments.results)
    if arguments.bring_home:
        taken, problems = bring_home(arguments.bring_home, results)
        print(*problems, f"{taken} new records in {results}", sep="\n")
        return 1 if problems else 0
    sweeps = arguments.sweeps or [
        path
        for path in sorted((ROOT / "sweeps").glob("*.yaml"))
        if all(run.dataset != "synthetic" for run in read_sweep(path))
    ]
    try:
        count = pack(sweeps, arguments.out, arguments.data_root, results)
    except (OSError, ValueError) as error:  # a missing sweep, other data, a full folder
        sys.exit(str(error))
    files = list(arguments.out.iterdir())
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"{count} runs in {len(files)} files, {size:.0f} MB: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
