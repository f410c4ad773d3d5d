"""Unpack and run a GPU pack on a machine without a network.

    python run_here.py --minutes 50 --workers 4

All files of the pack lie in the folder of this script. Needs Python 3.11 with torch, numpy, scipy, pandas
and scikit-learn. Results are left in ``home/``, as zip files small enough to carry; run it again to go on.
Runs that failed are left alone then, unless ``--retry-failed`` asks for them.
"""

import argparse
import hashlib
import json
import lzma
import os
import shutil
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ZIP_BYTES = 15_000_000


class Lines:
    """Prints a line when a run starts or ends."""

    def __init__(self) -> None:
        self.begun = time.monotonic()

    def _say(self, what: str, run: Any) -> None:
        minutes = (time.monotonic() - self.begun) / 60
        model = run.method if run.model == "none" else run.model
        print(f"{minutes:6.1f} min  {what:9} {run.experiment} {run.task} {model} seed {run.seed}", flush=True)

    def started(self, run: Any) -> None:
        self._say("started", run)

    def progress(self, run: Any, event: tuple[Any, ...]) -> None: ...

    def ended(self, run: Any, outcome: str) -> None:
        self._say(outcome, run)

    def close(self) -> None: ...


def check(manifest: dict[str, Any], folder: Path) -> None:
    """Compare all files with their SHA-256."""
    absent = [name for name in manifest["sha256"] if not (folder / name).exists()]
    if absent:
        sys.exit(f"not here yet: {', '.join(absent)}")
    for name, expected in manifest["sha256"].items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                sys.exit(f"{name} is damaged: bring it again")


def limb_leads(signals: np.ndarray) -> np.ndarray:
    """III, aVR, aVL and aVF as they follow from I and II, int16 (N, 4, T); what is left of them is small."""
    one, two = signals[:, 0].astype(np.int32), signals[:, 1].astype(np.int32)
    leads = [two - one, -((one + two) >> 1), one - (two >> 1), two - (one >> 1)]
    return np.stack(leads, axis=1).astype(np.int16)


def decode(path: Path, out: np.ndarray) -> None:
    """Undo tools/gpu_pack.py's `encode` into `out`, int16 (N, 12, T)."""
    planes = np.frombuffer(lzma.decompress(path.read_bytes()), np.uint8).reshape(2, -1)
    difference = np.ascontiguousarray(planes.T).view("<i2").reshape(out.shape)
    np.cumsum(difference, axis=2, dtype=np.int16, out=out)
    out[:, 2:6] += limb_leads(out)


def unpack_data(entry: dict[str, Any], folder: Path, work: Path) -> None:
    """Lay out the tables of a data set and its store, and enter the store into the cache."""
    from ecgkit.datasets import SOURCES, store
    from ecgkit.files import atomic_write

    name, rate = entry["name"], entry["sampling_rate_hz"]
    root, made = work / "data" / name, work / "made" / name
    done = made.with_name(f"{name}-{rate}hz.done")
    if done.exists():
        return
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / entry["rest"]) as archive:
        for member in archive.namelist():
            kind, _, rest = member.partition("/")
            target = (made if kind == "store" else root) / rest
            content = archive.read(member)
            # Another rate of the set may have brought the table: a store is known by the times of its tables.
            if not target.exists() or target.read_bytes() != content:
                with atomic_write(target, "wb") as file:
                    file.write(content)
    signals = np.lib.format.open_memmap(
        made / "signals.npy", mode="w+", dtype=np.int16, shape=tuple(entry["shape"])
    )
    step = entry["part_records"]
    with ThreadPoolExecutor() as pool:
        jobs = [
            pool.submit(decode, folder / part, signals[number * step : (number + 1) * step])
            for number, part in enumerate(entry["parts"])
        ]
        for job in jobs:
            job.result()
    digest = hashlib.sha256()
    for start in range(0, len(signals), step):
        digest.update(np.ascontiguousarray(signals[start : start + step], "<i2").tobytes())
    if digest.hexdigest() != entry["sha256"]:
        sys.exit(f"the signals of {name} did not come out as they went in")
    signals.flush()
    del signals
    store.adopt(SOURCES[name], root, rate, made)
    done.touch()


def collect(results: Path, home: Path) -> int:
    """Zip the finished records with their predictions; list the failures. Returns the number of records."""
    home.mkdir(parents=True, exist_ok=True)
    for old in home.glob("results-*.zip"):
        old.unlink()
    count, number, failures = 0, 0, []
    archive = zipfile.ZipFile(home / "results-00.zip", "w")
    for path in sorted(results.glob("*/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["status"] != "finished":
            error = record["error"]
            failures.append(f"{path.parent.name}/{path.name}\n{error['traceback'] or error['message']}\n")
            continue
        files = [file for file in (path.with_suffix(".npz"), path) if file.exists()]
        if archive.start_dir + sum(file.stat().st_size for file in files) > ZIP_BYTES:
            archive.close()
            number += 1
            archive = zipfile.ZipFile(home / f"results-{number:02d}.zip", "w")
        for file in files:
            kind = zipfile.ZIP_DEFLATED if file.suffix == ".json" else zipfile.ZIP_STORED
            archive.write(file, str(file.relative_to(results)), kind)
        count += 1
    archive.close()
    (home / "failures.txt").write_text("\n".join(failures), encoding="utf-8")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, required=True, help="time limit, unpacking included")
    parser.add_argument("--workers", type=int, default=1, help="runs at the same time on the GPU")
    parser.add_argument("--threads", type=int, help="CPU threads per run; default: the cores shared out")
    parser.add_argument("--retry-failed", action="store_true", help="do runs again that failed before")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder to unpack to")
    parser.add_argument(
        "--home", type=Path, default=HERE / "home", help="folder for what is to be brought home"
    )
    arguments = parser.parse_args()
    begun = time.monotonic()
    manifest = json.loads((HERE / "pack.json").read_text(encoding="utf-8"))
    check(manifest, HERE)
    work = arguments.work.resolve()
    with zipfile.ZipFile(HERE / "source.zip") as archive:
        archive.extractall(work / "source")
    sys.path.insert(0, str(work / "source"))
    os.environ |= {
        "PYTHONPATH": os.pathsep.join([str(work / "source"), os.environ.get("PYTHONPATH", "")]),
        "ECGKIT_CACHE": str(work / "cache"),
        "ECGKIT_DATA": str(work / "data"),
        "ECGKIT_COMMIT": manifest["commit"],
    }
    for entry in manifest["data"]:
        unpack_data(entry, HERE, work)

    from ecgbook.experiments.runner import execute
    from ecgbook.runs.grids import read_sweep
    from ecgbook.runs.sweep import sweep

    results = work / "results"
    threads = arguments.threads or max(1, (os.cpu_count() or 1) // arguments.workers)
    summary = sweep(
        [run for name in manifest["sweeps"] for run in read_sweep(HERE / name)],
        results,
        run_one=execute,
        workers=arguments.workers,
        options={"device": arguments.device, "threads": threads},
        minutes=arguments.minutes - (time.monotonic() - begun) / 60,
        retry_failed=arguments.retry_failed,
        display=Lines(),
    )
    count = collect(results, arguments.home)
    print(f"{summary}\n{count} records to bring home: {arguments.home}", flush=True)


if __name__ == "__main__":
    main()
