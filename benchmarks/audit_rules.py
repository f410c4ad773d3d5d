"""How often the rules for any table object to honest tables, into ecgbook/papers/false_alarms.json.

Each table is simulated from true values that are rounded to print: accuracies of n records, F1, samples and
effective epochs, gains over the first row, percentages saved, parts and totals. Seeds are fixed.

    python benchmarks/audit_rules.py
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from record import save

import ecgbook.papers
from ecgbook.papers.reader_table import EXPLANATIONS, audit_table

__all__ = ["honest_table", "main"]


def honest_table(seed: int) -> tuple[pd.DataFrame, int]:
    """A table of true values, rounded as papers round them, and its number of test records."""
    rng = np.random.default_rng(seed)
    rows, n, records = int(rng.integers(6, 25)), int(rng.integers(200, 5000)), int(rng.integers(2000, 20000))
    digits = int(rng.integers(3, 5))
    names = [f"method {i}" for i in range(rows)]
    rate = np.clip(rng.normal(rng.uniform(0.6, 0.9), 0.03, rows), 0.3, 0.98)
    hits = rng.binomial(n, rate)
    spread = 1.96 * np.sqrt(rate * (1 - rate) / n) * rng.uniform(0.95, 1.05, rows)
    f1, auc = (np.clip(rng.normal(rng.uniform(0.5, 0.9), 0.03, rows), 0.1, 0.99) for _ in range(2))
    samples = rng.uniform(0.15, 1.0, rows) * records * 100
    samples[0] = records * 100
    removed = rng.uniform(0.02, 0.3, rows) * samples
    unit = 1e6 if rng.random() < 0.3 else 1e3
    letter, places = ("M", 2) if unit == 1e6 else ("K", 0)
    accuracy = [f"{100 * h / n:.2f}({round(100 * s * 100):d})" for h, s in zip(hits, spread, strict=True)]
    return pd.DataFrame(
        {
            "accuracy": accuracy,
            "F1": [f"{x:.{digits}f}" for x in f1],
            "AUC": [f"{x:.{digits}f}" for x in auc],
            "base": [f"{f1[0]:.{digits}f}"] * rows,
            "gain": [f"{x - f1[0]:+.{digits}f}" for x in f1],
            "samples": [f"{x / unit:.{places}f}{letter}" for x in samples],
            "EE": [f"{x / records:.2f}" for x in samples],
            "removed": [f"{x / unit:.{places}f}{letter}" for x in removed],
            "offered": [
                f"{(x + y) / unit:.{places}f}{letter}" for x, y in zip(samples, removed, strict=True)
            ],
            "saved, %": [f"{100 * (1 - x / samples[0]):.1f}%" for x in samples],
            "of": [f"{samples[0] / unit:.{places}f}{letter}"] * rows,
        },
        index=pd.Index(names, name="method"),
    ), n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=1000)
    tables = parser.parse_args().tables
    alarms: Counter[str] = Counter()
    for seed in range(tables):
        table, n = honest_table(seed)
        alarms.update(set(audit_table(table, n=n, percent=["accuracy"])["rule"]))
    measured = {
        "what": "share of simulated honest tables to which a rule objects",
        "tables": tables,
        "alarms": {rule: alarms[rule] / tables for rule in EXPLANATIONS},
    }
    save(str(Path(ecgbook.papers.__file__).with_name("false_alarms")), measured, threads=1)


if __name__ == "__main__":
    main()
