"""Where relevance falls: by hand, with made-up maps, and as a run."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ecgbook.experiments.execute import execute
from ecgbook.experiments.relevance import (
    CLASSES,
    PREMATURE,
    SEGMENTS,
    beats,
    early_ratio,
    enrichment,
    examples,
    randomised,
    summary,
    weighted_layers,
)
from ecgbook.runs.check import check_record
from ecgbook.runs.run import Run
from ecgkit import datasets, models
from ecgkit.datasets.synthetic import make_synthetic


def test_segments_do_not_overlap() -> None:
    ends = sorted(SEGMENTS.values())
    assert all(a[1] <= b[0] for a, b in pairwise(ends))


def test_enrichment_by_hand() -> None:
    # One lead, 100 samples, a beat at 50: the QRS is samples 50-59. Relevance 3 there and 1 on ten samples of
    # the T wave; what is negative does not count. Share in the QRS 30 / 40, share of the time 10 / 100.
    relevance = np.full((1, 100), -5.0)
    relevance[0, 50:60], relevance[0, 70:80] = 3.0, 1.0
    found = enrichment(relevance, np.array([50]))
    assert found["QRS"] == pytest.approx(0.75 / 0.10)
    assert found["T"] == pytest.approx(0.25 / 0.26)
    assert found["P"] == found["before the QRS"] == 0
    assert np.isnan(enrichment(-np.ones((1, 100)), np.array([50]))["QRS"])


def test_premature_beats_are_those_that_come_early() -> None:
    at = np.array([100, 200, 260, 400, 500])  # intervals 100, 60, 140, 100: the third beat is early
    relevance = np.zeros((2, 600))
    for beat, mass in zip(at, (1.0, 1.0, 6.0, 1.0, 1.0), strict=True):
        relevance[:, beat] = mass
    assert early_ratio(relevance, at) == pytest.approx(6)
    assert np.isnan(early_ratio(relevance, np.array([100, 200, 300, 400])))  # none is early
    assert np.isnan(early_ratio(relevance, np.array([100]))) and np.isnan(early_ratio(relevance, at[:0]))


def trained_like() -> nn.Module:
    torch.manual_seed(3)
    network = models.create("resnet18", leads=12, classes=2, width=8)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.weight.data.uniform_(2, 3)
            layer.bias.data.uniform_(-1, 1)
            layer.running_mean.uniform_(4, 5)
    return network.eval()


def test_random_weights_keep_nothing_and_leave_the_network_alone() -> None:
    network, signals = trained_like(), torch.randn(16, 12, 200)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    layers = weighted_layers(network)
    first, again, other = (randomised(network, len(layers), seed, signals) for seed in (1, 1, 2))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    for key, value in first.state_dict().items():
        if value.numel() > 1:
            assert not torch.equal(value, before[key]), key
        assert torch.equal(value, again.state_dict()[key])
    assert not torch.equal(first(signals), other(signals)) and not first.training
    norm = next(m for m in first.modules() if isinstance(m, nn.BatchNorm1d))
    assert (norm.weight == 1).all() and norm.momentum == 0.1
    stem = next(m for m in first.modules() if isinstance(m, nn.Conv1d))(
        signals
    )  # what the first norm measures
    torch.testing.assert_close(norm.running_mean, stem.mean((0, 2)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, stem.var((0, 2)), rtol=1e-4, atol=1e-5)


def test_layers_are_randomised_from_the_output() -> None:
    network, signals = trained_like(), torch.randn(4, 12, 100)
    none, two = (randomised(network, last, 0, signals) for last in (0, 2))
    assert torch.equal(none(signals), network(signals))
    old, new = weighted_layers(network), weighted_layers(two)
    same = [torch.equal(a.weight, b.weight) for a, b in zip(old, new, strict=True)]
    assert same == [True] * (len(old) - 2) + [False] * 2


def frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"QRS": values, PREMATURE: np.where(np.arange(len(values)) < 5, values, np.nan)})


def test_the_summary_has_means_differences_and_counts() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(40)
    at = [np.arange(4 + n % 3) for n in range(40)]
    rows = summary(frame(base + 3), [frame(base + 1), frame(base + 1.5)], np.arange(40), at)
    table = pd.DataFrame(rows)
    qrs = table[table["segment"] == "QRS"].set_index("network")
    assert qrs.loc["trained", "mean"] == pytest.approx(base.mean() + 3)
    assert list(qrs.loc["random weights", "draw"]) == [1, 2]
    assert qrs.loc["difference", "mean"] == pytest.approx(1.75)
    # All that varies in the difference is which of the two networks was drawn: 1.5, 1.75 or 2.
    assert (qrs.loc["difference", "low"], qrs.loc["difference", "high"]) == (
        pytest.approx(1.5),
        pytest.approx(2),
    )
    # Of a mean: as far from it as 1.96 standard errors, about.
    width = qrs.loc["trained", "high"] - qrs.loc["trained", "low"]
    assert width == pytest.approx(2 * 1.96 * base.std() / np.sqrt(40), rel=0.15)
    assert set(qrs["records"]) == {40} and set(qrs["beats"]) == {sum(len(b) for b in at)}
    assert set(table.loc[table["segment"] == PREMATURE, "records"]) == {5}


def test_records_of_one_patient_are_drawn_together() -> None:
    values = np.repeat([0.0, 1.0, 0.0, 1.0], 10)
    at = [np.arange(4)] * 40
    alone, together = (
        summary(frame(values), [frame(values)], patients, at)[0]
        for patients in (np.arange(40), np.repeat(np.arange(4), 10))
    )
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic(tmp_path_factory.mktemp("relevance") / "ptbxl", "ptbxl", n=200, seed=0)


def test_a_run_records_the_statistic(data: Path, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("wfdb")
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    whole = datasets.load("ptbxl", root=data, task="all")
    part = examples(whole, 3, seed=0)
    assert part.classes == CLASSES and len(part) <= 12
    found = beats(whole, 0)
    assert len(found) >= 4 and (np.diff(found) > 20).all()  # nobody's heart beats 300 times a minute
    params = {"epochs": 1, "most": 20, "draws": 2, "width": 8, "window_s": 10.0}
    run = Run("demo", "ptbxl", whole.version, "all", "resnet18", "relevance", "quick", 0, 100, params)
    path = execute(run, tmp_path / "results", data_root=data, device="cpu", threads=1)
    record = json.loads(path.read_text())
    assert check_record(path) == []
    table = pd.DataFrame(record["table"])
    assert set(table["class"]) <= set(CLASSES) and set(table["segment"]) <= {*SEGMENTS, PREMATURE}
    each = table.groupby(["class", "segment"])["network"].value_counts().unstack()
    assert (each["trained"] == 1).all() and (each["random weights"] == 2).all()
    assert record["per_class"][0]["class"] == "PVC" and record["config"]["draws"] == 2


def test_other_rates_and_tasks_are_refused(data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    pytest.importorskip("wfdb")
    with pytest.raises(ValueError, match="500 Hz"):
        beats(replace(datasets.load("ptbxl", root=data), sampling_rate_hz=500), 0)
    with pytest.raises(ValueError, match="has no class PACE, PVC"):
        examples(datasets.load("ptbxl", root=data, task="superdiagnostic"), 3, 0)
