"""What the choice among candidates costs: F1 of resamples by hand, and regret against one fixed best."""

import numpy as np
import pytest

from ecgbook.experiments.melep_selection import _values, f1_draws
from ecgkit.transfer.finetune import weighted_f1
from ecgkit.transfer.scores import SCORES


def test_f1_of_a_resample_is_that_of_its_records() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 2, (2, 30, 4))
    counts = rng.multinomial(30, np.full(30, 1 / 30), size=3)
    for count, found in zip(counts, f1_draws(truth, said, counts), strict=True):
        assert found == pytest.approx(weighted_f1(truth.repeat(count, 0), said.repeat(count, 0)))


def test_who_chooses_the_best_candidate_has_no_regret_in_any_draw() -> None:
    """Candidates that err equally often but elsewhere: in many draws another one than the best is ahead."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, (60, 3))
    hits = [np.where(rng.random(truth.shape) < 0.3, 1 - truth, truth) for _ in range(5)]
    f1 = [weighted_f1(truth, said) for said in hits]
    for right in (True, False):
        order = f1 if right else [-value for value in f1]
        rows = [
            {"target": "a", **{n: v if s.better == "higher" else -v for n, s in SCORES.items()}}
            for v in order
        ]
        values = _values(rows, hits, {"a": truth}, seed=0)
        assert values["f1_best"]["point"] == pytest.approx(max(f1))
        regret = values["regret_melep"]
        if right:
            assert regret == {"point": 0.0, "low": 0.0, "high": 0.0}
        else:
            assert regret["point"] == pytest.approx(max(f1) - min(f1))
            assert regret["low"] < regret["point"] < regret["high"]
