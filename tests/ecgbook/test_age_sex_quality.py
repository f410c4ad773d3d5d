"""Metrics of numbers against scikit-learn and arithmetic; training on a number; who counts as healthy."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score
from torch import nn

from ecgbook.experiments.age_sex_quality import healthy_records
from ecgkit import evaluation
from ecgkit.training import Scaler, TrainConfig, predict, train_classifier
from ecgkit.training.data import DeviceData


@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_mae_and_r2_are_scikit_learns(shape) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(60, 16, shape)
    score = truth + rng.normal(2, 8, shape)
    assert evaluation.mae(truth, score) == pytest.approx(mean_absolute_error(truth, score), abs=1e-12)
    assert evaluation.r2(truth, score) == pytest.approx(r2_score(truth, score), abs=1e-12)


def test_the_mean_explains_nothing_and_the_truth_everything() -> None:
    truth = np.array([20.0, 30.0, 70.0])
    assert evaluation.r2(truth, np.full(3, 40.0)) == 0 and evaluation.r2(truth, truth) == 1
    for bad in (np.array([1.0, np.nan, 2.0]), np.zeros((3, 2))):
        with pytest.raises(ValueError, match="must"):
            evaluation.mae(bad, bad)
    with pytest.raises(ValueError, match="the same"):
        evaluation.r2([5, 5], [4, 6])


def test_the_bootstrap_resamples_a_number() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(60, 16, (300, 1)).astype(np.float32)
    error = rng.normal(0, 8, truth.shape)
    found = evaluation.bootstrap(evaluation.mae, truth, truth + error, n=500)
    standard_error = np.abs(error).std() / 300**0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)
    assert found.redrawn == 0 and found.low < found.point < found.high


def test_accuracy_at_half_counts_decisions() -> None:
    assert evaluation.accuracy_at_half([[1], [0], [1]], [[0.5], [0.49], [0.1]]) == pytest.approx(2 / 3)


def test_squared_error_finds_the_mean_of_a_signal() -> None:
    level = torch.randint(-50, 50, (64, 1, 1), generator=torch.Generator().manual_seed(0))
    signals = level.expand(64, 1, 20).to(torch.int16).contiguous()
    data = DeviceData(signals, level[:, :, 0] / 25, None, 1.0, 10)
    torch.manual_seed(0)
    model = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(1, 1))
    config = TrainConfig(60, 16, 1.0, 0.1, 0.0, validate_every=60, loss="mse", aggregate="mean")
    done = train_classifier(model, data, data, Scaler(0.0, 25.0), config, seed=0)
    scores = predict(model, data, Scaler(0.0, 25.0), 1.0, "mean", activation="none")
    np.testing.assert_allclose(scores, data.labels.numpy(), atol=0.02)
    assert done.curve[-1]["validation_mae"] == pytest.approx(evaluation.mae(data.labels, scores), abs=1e-6)


def test_settings_that_cannot_be_are_errors() -> None:
    with pytest.raises(ValueError, match="one of 'bce', 'mse' is wanted"):
        TrainConfig(loss="mae")
    with pytest.raises(ValueError, match="patience"):
        TrainConfig(loss="mse", patience=3)


def test_healthy_means_normal_and_nothing_else() -> None:
    labels = np.array([[0, 1], [1, 1], [1, 0], [0, 0]])
    assert healthy_records(labels, ("MI", "NORM")).tolist() == [True, False, False, False]
