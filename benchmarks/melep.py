"""Time MELEP against double loops over label pairs, into benchmarks/melep.json.

Two sizes: 700 x 10 x 9 (records, target labels, source labels: a fold of the paper, pre-trained on CPSC2018)
and 100,000 x 71 x 94. Two loops: one goes through pairs and records in plain Python, as Eqs. (1)-(5) read;
the other goes through pairs in Python and does each pair with NumPy over all records. On the large case both
are timed on a few pairs, the first also on a part of the records, and scaled up. Times are processor seconds
of one thread, so that other work on the machine counts little, each the best of a few. The script stops if
values differ by more than 1e-6.

    OMP_NUM_THREADS=1 python benchmarks/melep.py
"""

import argparse
import math
import os
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from record import save

from ecgkit.transfer import melep

SIZES = {"paper_fold": (700, 10, 9), "large": (100_000, 71, 94)}


def made_up(n: int, y: int, z: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a source that knows a little, float32 (n, z), and labels, common to rare, (n, y)."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, y)) < np.geomspace(0.3, 0.01, y)
    labels[0], labels[1] = True, False
    logits = rng.normal(size=(n, z)) + labels @ rng.normal(size=(y, z)) - 1
    return (1 / (1 + np.exp(-logits))).astype(np.float32), labels.astype(np.uint8)


def pair_of_records(theta: np.ndarray, label: np.ndarray) -> float:
    """phi of one pair, Eqs. (1)-(4), record by record."""
    n = len(theta)
    truth, probability = label.tolist(), theta.tolist()
    joint = [[0.0, 0.0], [0.0, 0.0]]
    for t, p in zip(truth, probability, strict=True):
        joint[t][1] += p / n
        joint[t][0] += (1 - p) / n
    marginal = [joint[0][0] + joint[1][0], joint[0][1] + joint[1][1]]
    total = 0.0
    for t, p in zip(truth, probability, strict=True):
        total -= math.log(joint[t][1] / marginal[1] * p + joint[t][0] / marginal[0] * (1 - p))
    return total / n


def pair_of_arrays(theta: np.ndarray, label: np.ndarray) -> float:
    """phi of one pair, Eqs. (1)-(4), NumPy over the records."""
    probability = theta.astype(np.float64)
    outcomes = np.stack([1 - probability, probability])  # (s, n)
    joint = np.stack([outcomes[:, label == t].sum(1) for t in (0, 1)]) / len(label)  # (t, s)
    given = joint / joint.sum(0)
    return float(-np.log((given[label] * outcomes.T).sum(1)).mean())


def loop(pair: Callable[[np.ndarray, np.ndarray], float], theta: np.ndarray, labels: np.ndarray) -> float:
    """Eq. (5) by a double loop over label pairs."""
    total = 0.0
    for y in range(labels.shape[1]):
        positives = int(labels[:, y].sum())
        weight = positives / (len(labels) - positives)
        total += weight * sum(pair(theta[:, z], labels[:, y]) for z in range(theta.shape[1])) / theta.shape[1]
    return total / labels.shape[1]


def seconds_of(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Best time of a few calls, and the value."""
    best, value = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()
        value = function()
        best = min(best, time.process_time() - start)
    return best, value


def peak_mib(function: Callable[[], Any]) -> float:
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def measure(n: int, y: int, z: int, repeats: int, pairs: int, records: int) -> dict[str, Any]:
    """Times of one size; with more than `pairs` pairs the loops are timed on that many and scaled."""
    theta, labels = made_up(n, y, z)
    whole = y * z <= pairs
    ours, value = seconds_of(lambda: melep(theta, labels), repeats * (10 if whole else 1))
    few_y, few_z = (y, z) if whole else (2, max(1, pairs // 2))
    some = n if whole else min(n, records)
    by_array, array_value = seconds_of(
        lambda: loop(pair_of_arrays, theta[:, :few_z], labels[:, :few_y]), repeats
    )
    by_record, record_value = seconds_of(
        lambda: loop(pair_of_records, theta[:some, :few_z], labels[:some, :few_y]), repeats
    )
    gaps = [
        abs(array_value - melep(theta[:, :few_z], labels[:, :few_y])),
        abs(record_value - melep(theta[:some, :few_z], labels[:some, :few_y])),
    ]
    if max(gaps) > 1e-6:
        raise SystemExit(f"the loops and ecgkit disagree by {max(gaps)}")
    scale = y * z / (few_y * few_z)
    return {
        "records": n,
        "target_labels": y,
        "source_labels": z,
        "melep_seconds": round(ours, 5),
        "melep": round(value, 6),
        "memory_beside_input_mib": round(peak_mib(lambda: melep(theta, labels)), 1),
        "loop_over_pairs": {
            "pairs_timed": few_y * few_z,
            "records_timed": n,
            "seconds_timed": round(by_array, 4),
            "seconds_for_all": round(by_array * scale, 4),
            "scaled": not whole,
        },
        "loop_over_pairs_and_records": {
            "pairs_timed": few_y * few_z,
            "records_timed": some,
            "seconds_timed": round(by_record, 4),
            "seconds_for_all": round(by_record * scale * n / some, 4),
            "scaled": not whole,
        },
        "ratio_to_loop_over_pairs": round(by_array * scale / ours, 1),
        "ratio_to_loop_over_pairs_and_records": round(by_record * scale * n / some / ours, 1),
        "largest_difference": max(gaps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=100, help="most label pairs a loop is timed on")
    parser.add_argument("--records", type=int, default=5000, help="records of the slowest loop, large case")
    options = parser.parse_args()
    measured = {
        "what": "MELEP of made-up tables, processor seconds of one thread; loops scaled up where it says so",
        "sizes": {
            name: measure(*size, options.repeats, options.pairs, options.records)
            for name, size in SIZES.items()
        },
        "repeats": options.repeats,
    }
    save(__file__, measured, threads=os.environ.get("OMP_NUM_THREADS", "all"))


if __name__ == "__main__":
    main()
