"""Loading PTB-XL: ecgkit's store beside a loop of wfdb.rdsamp, measured in one run on the same records.

    python benchmarks/convert_ptbxl.py --data-root data/ptbxl --records 2000

Three things are timed, each on files that are in the system's file cache already: the usual loop
(``[wfdb.rdsamp(path) for path in paths]``, put into one array), the same loop shared out to as many
processes as there are processors, and `datasets.load` with an empty cache; then `datasets.load` again, which
only opens. All times and the ratios of their medians are written to convert_ptbxl.json beside this file.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb
from record import save

from ecgkit import datasets


def link_records(root: Path, target: Path, records: int) -> list[str]:
    """A folder in PTB-XL's layout with the first records only; returns their stems."""
    table = pd.read_csv(root / "ptbxl_database.csv").head(records)
    table.to_csv(target / "ptbxl_database.csv", index=False)
    (target / "scp_statements.csv").symlink_to(root / "scp_statements.csv")
    stems = []
    for name in table["filename_lr"]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        for ending in (".hea", ".dat"):
            (target / (name + ending)).symlink_to(root / (name + ending))
        stems.append(str(target / name))
    return stems


def read_one(stem: str) -> np.ndarray:
    """One record as the loops read it, mV, shape (samples, 12)."""
    return wfdb.rdsamp(stem)[0]


def timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, required=True, help="folder of PTB-XL")
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    root = arguments.data_root.resolve()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    seconds: dict[str, list[float]] = {"wfdb_loop": [], "wfdb_pool": [], "convert": [], "open": []}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "ptbxl"
        target.mkdir()
        stems = link_records(root, target, arguments.records)
        for stem in stems:  # into the system's file cache
            Path(stem + ".dat").read_bytes()
            Path(stem + ".hea").read_bytes()
        for repeat in range(arguments.repeats):
            os.environ["ECGKIT_CACHE"] = str(Path(folder) / f"cache{repeat}")
            elapsed, converted = timed(lambda: datasets.load("ptbxl", target))
            seconds["convert"].append(elapsed)
            elapsed, opened = timed(lambda: datasets.load("ptbxl", target))
            seconds["open"].append(elapsed)
            elapsed, loop = timed(lambda: np.stack([read_one(stem) for stem in stems]))
            seconds["wfdb_loop"].append(elapsed)
            with ProcessPoolExecutor(cores) as pool:
                elapsed, _ = timed(lambda pool=pool: np.stack(list(pool.map(read_one, stems, chunksize=128))))
            seconds["wfdb_pool"].append(elapsed)
        same = bool(np.array_equal(np.rint(loop.transpose(0, 2, 1) * 1000), opened.signals))
        assert same and converted.fingerprint == opened.fingerprint
    median = {name: statistics.median(values) for name, values in seconds.items()}
    measured = {
        "what": "loading PTB-XL at 100 Hz",
        "wfdb": wfdb.__version__,
        "records": len(stems),
        "repeats": arguments.repeats,
        "seconds": {name: [round(value, 4) for value in values] for name, values in seconds.items()},
        "median_seconds": {name: round(value, 4) for name, value in median.items()},
        "same_signals": same,
        "ratio": {
            "wfdb_loop_to_convert": round(median["wfdb_loop"] / median["convert"], 2),
            "wfdb_pool_to_convert": round(median["wfdb_pool"] / median["convert"], 2),
            "wfdb_loop_to_open": round(median["wfdb_loop"] / median["open"], 1),
        },
    }
    save(__file__, measured, threads=cores)


if __name__ == "__main__":
    main()
