"""Fine-tuning in two phases: what stays still, how fast the rest may move, and going on after a stop."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ecgkit import models
from ecgkit.datasets.base import ECGDataset
from ecgkit.models.heads import Classifier
from ecgkit.training import TrainConfig, fit_scaler, to_device, train_classifier
from ecgkit.training.supervised import FrozenBody, discriminative_groups, fine_tune_in_phases

CPU = torch.device("cpu")
CONFIG = TrainConfig(epochs=2, batch_size=8, window_s=0.5, validate_every=1)


@pytest.fixture
def toy() -> ECGDataset:
    rng = np.random.default_rng(0)
    meta = pd.DataFrame(
        {"record_id": range(24), "patient": range(24), "fold": 1, "age": 50.0, "sex": "female"}
    )
    labels = (np.arange(48).reshape(24, 2) % 3 == 0).astype(np.uint8)
    signals = (rng.normal(size=(24, 12, 100)) * 1000).astype(np.int16)
    return ECGDataset("toy", "1", "t", 100, signals, 0.001, labels, ("a", "b"), meta)


def network(name: str = "resnet18") -> Classifier:
    torch.manual_seed(0)
    model = models.create(name, 12, 2, **({"width": 4} if name == "resnet18" else {}))
    assert isinstance(model, Classifier)
    return model


def snapshot(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_a_frozen_body_does_not_move_not_even_its_batch_normalisation(toy: ECGDataset) -> None:
    model, data = network(), to_device(toy, CPU)
    body, head = snapshot(model.body), snapshot(model.head)
    groups = [{"params": list(model.head.parameters()), "lr": 0.01}]
    frozen = Classifier(FrozenBody(model.body), model.head)
    train_classifier(frozen, data, data, fit_scaler(toy), CONFIG, 0, groups=groups)
    assert all(torch.equal(value, body[name]) for name, value in model.body.state_dict().items())
    assert any(not torch.equal(value, head[name]) for name, value in model.head.state_dict().items())


def test_after_both_phases_the_body_has_moved_and_every_group_learns_at_its_rate(toy: ECGDataset) -> None:
    model, data = network(), to_device(toy, CPU)
    body = snapshot(model.body)
    done = fine_tune_in_phases(model, data, data, fit_scaler(toy), CONFIG, 0)
    assert len(done.frozen.curve) == len(done.unfrozen.curve) == 2
    assert done.samples_backprop == 2 * 2 * 24
    moved = [not torch.equal(value, body[name]) for name, value in model.body.state_dict().items()]
    assert all(moved)


@pytest.mark.parametrize("name", ["fcn_wang", "resnet1d_wang", "inception1d", "lstm"])
def test_groups_hold_every_parameter_once_with_rates_in_equal_ratios(name: str) -> None:
    model = network(name)
    groups = discriminative_groups(model, 1e-5, 1e-3)
    held = [id(p) for group in groups for p in group["params"]]
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in model.parameters()}
    rates = np.array([group["lr"] for group in groups])
    assert rates[0] == pytest.approx(1e-5) and rates[-1] == pytest.approx(1e-3)
    assert np.allclose(rates[1:] / rates[:-1], rates[1] / rates[0])
    assert {id(p) for p in groups[-1]["params"]} == {id(p) for p in model.head.parameters()}


def test_a_group_with_rate_zero_stays_where_it_is(toy: ECGDataset) -> None:
    model, data = network("fcn_wang"), to_device(toy, CPU)
    groups = discriminative_groups(model, 1e-3, 1e-3)
    groups[0]["lr"] = 0.0
    before = [p.detach().clone() for group in groups[:3] for p in group["params"]]
    train_classifier(model, data, data, fit_scaler(toy), CONFIG, 0, groups=groups)
    after = [p for group in groups[:3] for p in group["params"]]
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


class Stop(Exception):
    """Made up: the machine goes down."""


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_stopped_fine_tuning_goes_on_to_the_same_weights(
    stop_after: int, toy: ECGDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecgkit.training import checkpoint

    data, scaler = to_device(toy, CPU), fit_scaler(toy)
    whole = network()
    fine_tune_in_phases(whole, data, data, scaler, CONFIG, 0)

    saves, save = [], checkpoint.save_checkpoint

    def save_then_stop(path: Path, state: dict) -> None:
        save(path, state)
        saves.append(path)
        if len(saves) == stop_after:
            raise Stop

    monkeypatch.setattr(checkpoint, "save_checkpoint", save_then_stop)
    with pytest.raises(Stop):
        fine_tune_in_phases(network(), data, data, scaler, CONFIG, 0, tmp_path / "c")
    resumed = network()
    fine_tune_in_phases(resumed, data, data, scaler, CONFIG, 0, tmp_path / "c")
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.state_dict().items())
