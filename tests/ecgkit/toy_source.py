"""A tiny data set for the tests of the store: WFDB files and a table, written by hand.

As a script, ``python toy_source.py ROOT [SECONDS_PER_RECORD]`` loads it and prints its fingerprint.
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecgkit.datasets.base import Contents, DataSource, Labels
from ecgkit.datasets.store import open_or_convert, read_wfdb
from ecgkit.signals import STANDARD_LEADS


def write_record(stem: Path, signal: np.ndarray, gain: float = 1000.0, rate: int = 100) -> None:
    """Write int16 (12, samples) in WFDB format 16."""
    lines = [f"{stem.name} 12 {rate} {signal.shape[1]}"]
    for lead, row in zip(STANDARD_LEADS, signal.astype(np.int64), strict=True):
        lines.append(f"{stem.name}.dat 16 {gain}(0)/mV 16 0 {row[0]} {row.sum() % 65536} 0 {lead}")
    stem.with_suffix(".hea").write_text("\n".join(lines) + "\n")
    stem.with_suffix(".dat").write_bytes(signal.T.astype("<i2").tobytes())


def write_toy(root: Path, records: int = 5, samples: int = 50, seed: int = 0) -> np.ndarray:
    """Write the data set; returns its signals, int16 (records, 12, samples)."""
    root.mkdir(parents=True, exist_ok=True)
    signals = np.random.default_rng(seed).integers(-3000, 3000, (records, 12, samples)).astype(np.int16)
    for number, signal in enumerate(signals):
        write_record(root / f"r{number:04d}", signal)
    table = pd.DataFrame({"record_id": [f"r{number:04d}" for number in range(records)]})
    table.to_csv(root / "toy.csv", index=False)
    return signals


def toy_files(root: Path, sampling_rate_hz: int) -> list[Path]:
    return sorted(root.iterdir())


def toy_describe(root: Path, sampling_rate_hz: int, files: list[Path]) -> Contents:
    if log := os.environ.get("TOY_LOG"):
        with Path(log).open("a") as file:
            file.write("described\n")
    listed = pd.read_csv(root / "toy.csv")
    table = listed[[root / f"{name}.hea" in set(files) for name in listed["record_id"]]].reset_index(
        drop=True
    )
    n = len(table)
    meta = table.assign(patient=table["record_id"], fold=np.arange(n) % 10 + 1, age=50.0, sex="female")
    values = (np.arange(n) % 2).astype(np.uint8)[:, None]
    return Contents(
        version="1",
        records=tuple(root / name for name in table["record_id"]),
        meta=meta,
        tasks={"odd": Labels(("odd",), values), "age": Labels(("age",), np.full((n, 1), 50, np.float32))},
        max_samples=50,
        missing=len(listed) - n,
    )


def slow_read(path: Path, sampling_rate_hz: int) -> tuple[np.ndarray, float]:
    time.sleep(float(sys.argv[2]))
    return read_wfdb(path, sampling_rate_hz)


TOY = DataSource(
    name="toy",
    title="a toy",
    markers=("toy.csv",),
    tasks=("odd", "age"),
    sampling_rates_hz=(100,),
    mv_per_unit=0.001,
    files=toy_files,
    describe=toy_describe,
    remedy="Write it anew.",
)

if __name__ == "__main__":
    source = replace(TOY, read=slow_read) if len(sys.argv) > 2 else TOY
    print(open_or_convert(source, Path(sys.argv[1]), "odd", 100).fingerprint)
