"""The spread of an ensemble: against loops and scipy, and as a run."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from ecgbook.experiments.execute import execute
from ecgbook.experiments.uncertainty import correlations, spread_by_likelihood, spread_pairs
from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.synthetic import make_synthetic


def example() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    likelihood = rng.choice([np.nan, 0.0, 0.15, 0.5, 0.8, 1.0], (60, 4))
    return rng.random((5, 60, 4)), likelihood


def test_pairs_are_the_statements_with_a_likelihood() -> None:
    scores, likelihood = example()
    pairs = spread_pairs(scores, likelihood)
    wanted = [(n, k) for n in range(60) for k in range(4) if likelihood[n, k] > 0]
    assert list(zip(pairs["record"], pairs["statement"], strict=True)) == wanted
    for row, (n, k) in zip(pairs.itertuples(), wanted, strict=True):
        assert row.spread == pytest.approx(scores[:, n, k].std())
        assert row.score == pytest.approx(scores[:, n, k].mean())


def test_the_table_has_quantiles_by_likelihood() -> None:
    pairs = spread_pairs(*example())
    table = spread_by_likelihood(pairs)
    assert [row["likelihood"] for row in table] == [15, 50, 80, 100]
    half = pairs["spread"][np.isclose(pairs["likelihood"], 0.5)]
    assert table[1]["statements"] == len(half) and table[1]["q50"] == pytest.approx(np.median(half))
    far = pairs.assign(spread=[9.0] + [0.01 * k for k in range(1, len(pairs))], likelihood=1.0)
    assert spread_by_likelihood(far)[0]["outliers"] == 1


def test_the_correlation_is_spearmans_and_sees_what_lies_within_statements() -> None:
    pairs = spread_pairs(*example())
    found = correlations(pairs, draws=50)
    assert found["correlation"]["point"] == pytest.approx(
        spearmanr(pairs["spread"], pairs["likelihood"]).statistic
    )
    # One statement is always sure and never doubted, the other the reverse; within each there is no relation.
    rng = np.random.default_rng(1)
    pairs = pairs.assign(statement=np.arange(len(pairs)) % 2)
    sure = pairs["statement"] == 1
    pairs["spread"] = np.where(sure, 0.1, 0.5) + rng.uniform(0, 0.1, len(pairs))
    pairs["likelihood"] = np.where(sure, 0.8, 0.15) + 0.2 * rng.integers(0, 2, len(pairs))
    found = correlations(pairs, draws=50)
    assert found["correlation"]["point"] < -0.6
    assert abs(found["correlation_within"]["point"]) < 0.2


def test_a_run_trains_members_and_keeps_table_and_mean(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    data = make_synthetic(tmp_path / "ptbxl", "ptbxl", n=200, seed=0)
    version = datasets.load("ptbxl", root=data).version
    params = {"members": 2, "epochs": 1, "batch_size": 64}
    run = Run("uncertainty", "ptbxl", version, "diagnostic", "fcn_wang", "ensemble", "quick", 0, 100, params)
    steps: list[tuple[int, int]] = []
    path = execute(
        run,
        tmp_path / "results",
        data_root=data,
        device="cpu",
        threads=1,
        progress=lambda *s: steps.append(s),
    )
    record = json.loads(path.read_text())
    assert steps == [(1, 2), (2, 2)] and record["config"]["members"] == 2
    assert {"macro_auc", "correlation"} <= set(record["metrics"])
    assert sum(row["statements"] for row in record["table"]) > 0
    assert record["effective_epochs"] == pytest.approx(2, abs=0.2)
