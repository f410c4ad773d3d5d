"""The loop against plain reference code, and its promises: same seed same numbers, no loss when killed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import StoreError
from ecgkit.training import (
    DeviceData,
    Scaler,
    TrainConfig,
    choose_device,
    fit_scaler,
    load_checkpoint,
    predict,
    save_checkpoint,
    to_device,
    train_classifier,
)
from ecgkit.training.loop import one_cycle

CPU = torch.device("cpu")


def toy(n: int = 40, samples: int = 60, seed: int = 0, lengths: np.ndarray | None = None) -> ECGDataset:
    """Class 1 has a larger second lead, so it can be learned."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 2).astype(np.uint8)[:, None]
    signals = rng.normal(0, 300, (n, 12, samples))
    signals[:, 1] *= 1 + 2 * labels
    if lengths is not None:
        signals *= np.arange(samples) < lengths[:, None, None]
    meta = pd.DataFrame(
        {"record_id": np.arange(n), "patient": np.arange(n), "fold": 1, "age": 50.0, "sex": "male"}
    )
    extra = {} if lengths is None else {"lengths": lengths.astype(np.int32)}
    return ECGDataset(
        "toy", "1", "class", 20, signals.astype(np.int16), 0.001, labels, ("big",), meta, **extra
    )


class Tiny(nn.Module):
    """Power per lead, normalised, then one linear layer with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop, self.out = nn.BatchNorm1d(12), nn.Dropout(0.2), nn.Linear(12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(self.norm(x.square().mean(-1))))


def tiny(seed: int = 0) -> Tiny:
    torch.manual_seed(seed)
    return Tiny()


CONFIG = TrainConfig(epochs=6, batch_size=8, window_s=1.0, max_lr=0.1, validate_every=2)


def train(config: TrainConfig = CONFIG, seed: int = 3, **options):
    model, data = tiny(), toy()
    scaler = fit_scaler(data)
    train_data, validation = to_device(data, CPU), to_device(toy(seed=1), CPU)
    done = train_classifier(model, train_data, validation, scaler, config, seed, **options)
    return model, done, predict(model, validation, scaler, config.window_s)


def test_scaler_is_the_global_mean_and_deviation_in_mv() -> None:
    data = toy(n=300, samples=77)
    scaler = fit_scaler(data)
    values = data.signals.astype(np.float64) * 0.001
    assert scaler.mean_mv == pytest.approx(values.mean(), rel=1e-9, abs=1e-12)
    assert scaler.std_mv == pytest.approx(values.std(), rel=1e-9)
    windows = scaler(torch.from_numpy(data.signals), data.mv_per_unit)
    assert float(windows.mean()) == pytest.approx(0, abs=1e-5)
    assert float(windows.std()) == pytest.approx(1, abs=1e-4)


def test_scaler_leaves_padding_out() -> None:
    lengths = np.random.default_rng(0).integers(20, 60, 40)
    data = toy(lengths=lengths)
    values = np.concatenate([x[:, :n].ravel() for x, n in zip(data.signals, lengths, strict=True)]) * 0.001
    scaler = fit_scaler(data)
    assert (scaler.mean_mv, scaler.std_mv) == pytest.approx((values.mean(), values.std()), rel=1e-9)


def test_scaler_refuses_flat_signals() -> None:
    data = toy()
    with pytest.raises(ValueError, match="do not vary"):
        fit_scaler(replace(data, signals=np.zeros_like(data.signals)))


def test_learns_and_generalises() -> None:
    _, done, scores = train(replace(CONFIG, epochs=20))
    assert done.curve[-1]["validation_macro_auc"] > 0.95
    assert done.curve[-1]["train_loss"] < done.curve[0]["train_loss"]
    assert scores.shape == (40, 1)


def test_same_seed_same_bits_and_another_seed_others() -> None:
    (_, first, a), (_, second, b), (_, _, c) = train(), train(), train(seed=4)
    assert first.curve == second.curve
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_global_random_state_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    data = to_device(toy(), CPU)
    model = Tiny()
    torch.set_rng_state(before)
    train_classifier(model, data, data, Scaler(0.0, 0.3), CONFIG, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("stop_after", [1, 2, 5])
def test_a_stopped_training_goes_on_with_the_same_numbers(stop_after: int, tmp_path) -> None:
    class Killed(Exception):
        pass

    def kill(entry: dict[str, float]) -> None:
        if entry["epoch"] == stop_after:
            raise Killed

    _, undisturbed, expected = train()
    with pytest.raises(Killed):
        train(checkpoint=tmp_path / "c.pt", on_epoch=kill)
    _, resumed, scores = train(checkpoint=tmp_path / "c.pt")
    assert resumed.curve == undisturbed.curve
    assert resumed.samples_backprop == undisturbed.samples_backprop == 6 * 40
    assert np.array_equal(scores, expected)


def test_patience_stops_and_brings_the_best_weights_back(tmp_path) -> None:
    config = replace(CONFIG, epochs=200, validate_every=1, patience=3)
    _, done, scores = train(config, checkpoint=tmp_path / "c.pt")
    aucs = [entry["validation_macro_auc"] for entry in done.curve]
    best = int(np.argmax(aucs))
    assert len(aucs) == best + 1 + 3 < 200
    assert (done.best_epoch, done.best_auc) == (best + 1, aucs[best])
    from ecgkit.evaluation import macro_auc

    assert macro_auc(toy(seed=1).labels, scores) == pytest.approx(aucs[best])


def test_learning_rate_follows_one_cycle() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=0.01, betas=(0.95, 0.99))
    schedule = one_cycle(optimizer, steps=100)
    rates, momenta = [], []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        schedule.step()
    peak = int(np.argmax(rates))
    assert peak in (29, 30) and rates[peak] == pytest.approx(0.01)
    assert rates[0] == pytest.approx(0.01 / 25) and rates[-1] == pytest.approx(0.01 / 25 / 1e4)
    assert momenta[0] == pytest.approx(0.95) and momenta[peak] == pytest.approx(0.85)


def test_a_last_batch_of_one_record_is_left_out() -> None:
    data = to_device(toy(n=17), CPU)  # 8 + 8 + 1
    done = train_classifier(tiny(), data, data, Scaler(0.0, 0.3), replace(CONFIG, epochs=2), seed=0)
    assert done.samples_backprop == 2 * 16


def test_a_loss_that_explodes_is_an_error_with_a_remedy() -> None:
    data = to_device(toy(), CPU)
    with pytest.raises(FloatingPointError, match="lower max_lr"):
        train_classifier(tiny(), data, data, Scaler(0.0, 1e-30), CONFIG, seed=0)


@pytest.mark.parametrize("how", ["max", "mean"])
def test_predictions_equal_a_loop_over_records_and_windows(how) -> None:
    lengths = np.random.default_rng(1).integers(10, 61, 40)
    data, scaler, model = toy(lengths=lengths), Scaler(0.01, 0.3), tiny().eval()
    scores = predict(model, to_device(data, CPU), scaler, window_s=1.0, how=how, batch_size=7)
    for i, (record, length) in enumerate(zip(data.signals, lengths, strict=True)):
        per_window = []
        for start in (0, 10, 20, 30, 40):  # windows of 20 samples that overlap by half
            if start == 0 or start + 10 < length:
                x = torch.from_numpy((record[:, start : start + 20] * 0.001 - 0.01) / 0.3).float()
                per_window.append(float(model(x[None]).sigmoid()))
        assert scores[i, 0] == pytest.approx(getattr(np, how)(per_window), abs=1e-5)


def test_bf16_stays_close_to_float32() -> None:
    data, scaler, model = to_device(toy(), CPU), Scaler(0.0, 0.3), tiny()
    exact, fast = predict(model, data, scaler, 1.0), predict(model, data, scaler, 1.0, bf16=True)
    assert 0 < np.abs(exact - fast).max() < 0.02


def test_predict_leaves_the_mode_of_the_model_as_it_was() -> None:
    model = tiny().train()
    predict(model, to_device(toy(), CPU), Scaler(0.0, 0.3), 1.0)
    assert model.training


def test_an_empty_part_is_an_error() -> None:
    with pytest.raises(ValueError, match="no record in this part"):
        to_device(toy().subset([]), CPU)


def test_devices() -> None:
    assert choose_device().type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="at hand"):
        choose_device("tpu")


def test_checkpoints_run_no_code(tmp_path) -> None:
    class Hostile:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"weights": Hostile()}, tmp_path / "hostile.pt")
    with pytest.raises(StoreError, match=r"hostile\.pt is damaged"):
        load_checkpoint(tmp_path / "hostile.pt")


def test_a_truncated_checkpoint_says_what_to_do(tmp_path) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"weights": torch.ones(1000)})
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(StoreError, match="delete it to start anew"):
        load_checkpoint(path)


def test_device_data_of_equal_lengths_needs_no_lengths() -> None:
    assert isinstance(to_device(toy(), CPU), DeviceData)
    assert to_device(toy(), CPU).lengths is None
