"""The loop against plain reference code, and its promises: same seed same numbers, no loss when killed."""

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import StoreError
from ecgkit.training import (
    DeviceData,
    LightweightConfig,
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
from ecgkit.training.supervised import one_cycle

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


SCALER = Scaler(0.0, 0.3)
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
    flat = DeviceData.from_arrays(np.full((4, 12, 60), 0.1), np.eye(4), 20)  # rounding leaves a variance
    with pytest.raises(ValueError, match="do not vary"):
        fit_scaler(flat)
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


@pytest.mark.parametrize(
    ("settings", "scaler"),
    [({}, Scaler(0.0, 1e-30)), ({"max_lr": 1e3}, Scaler(0.0, 0.3)), ({"max_lr": 1e30}, Scaler(0.0, 0.3))],
)
def test_a_loss_that_explodes_is_an_error_with_a_remedy(settings: dict, scaler: Scaler) -> None:
    data = to_device(toy(), CPU)
    with pytest.raises(
        FloatingPointError, match=r"loss of epoch \d is .*lower max_lr .* or clip the gradient"
    ):
        train_classifier(tiny(), data, data, scaler, replace(CONFIG, **settings), seed=0)


def test_one_record_none_and_parts_that_do_not_fit_are_errors() -> None:
    data, one = to_device(toy(), CPU), to_device(toy(n=1), CPU)
    numbers = replace(data, labels=data.labels * 60)
    two_labels = replace(data, labels=data.labels.repeat(1, 2))
    mse = replace(CONFIG, loss="mse")
    for train_data, validation, config, message in (
        (one, data, CONFIG, "1 training record; batch normalisation needs"),
        (data, two_labels, CONFIG, "1 labels, the others 2"),
        (data, replace(data, signals=data.signals[:, :6]), CONFIG, "12 leads, the others 6"),
        (data, replace(data, sampling_rate_hz=100), CONFIG, "20 Hz, the others 100"),
        (numbers, numbers, CONFIG, "take loss='mse'"),
        (two_labels, two_labels, CONFIG, r"outputs \(8, 1\); the labels are \(8, 2\)"),
        (two_labels, two_labels, mse, r"outputs \(8, 1\); the labels are \(8, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            train_classifier(tiny(), train_data, validation, Scaler(0.0, 0.3), config, seed=0)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        *(
            (TrainConfig, {name: 0}, name)
            for name in ("epochs", "batch_size", "window_s", "max_lr", "patience")
        ),
        *((TrainConfig, {"epochs": value}, "whole number is wanted") for value in (2.5, True, "3", None)),
        *((TrainConfig, {"max_lr": value}, "finite number") for value in (float("nan"), float("inf"), True)),
        (TrainConfig, {"batch_size": 1}, "at least 2"),
        (TrainConfig, {"patience": -1}, "at least 1"),
        (TrainConfig, {"weight_decay": -1}, "at least 0"),
        (TrainConfig, {"clip_norm": 0}, "above 0"),
        (TrainConfig, {"bf16": 1}, "true or false"),
        (TrainConfig, {"loss": "hinge"}, "one of 'bce', 'mse'"),
        (TrainConfig, {"aggregate": "median"}, "one of"),
        (TrainConfig, {"loss": "mse", "patience": 2}, "macro AUC"),
        (LightweightConfig, {"lr": -1e-3}, "above 0"),
        (LightweightConfig, {"rate_hz": 2.5}, "whole number"),
        (LightweightConfig, {"high_hz": 0.1}, "above 0.5"),
        (LightweightConfig, {"seconds": 1e-5}, "no sample"),
    ],
)
def test_settings_that_make_no_sense_are_errors(kind: type, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.full((40, 1), torch.nan)}, "labels hold NaN"),
        ({"labels": torch.ones(40)}, "labels have the shape"),
        ({"labels": torch.ones(39, 1)}, "labels have the shape"),
        ({"labels": torch.ones(40, 1, dtype=torch.uint8)}, "float is wanted"),
        ({"signals": torch.full((40, 12, 60), torch.inf)}, "signals hold NaN or infinity"),
        ({"signals": torch.zeros(40, 12)}, "signals have the shape"),
        ({"signals": torch.zeros(0, 12, 60), "labels": torch.zeros(0, 1)}, "at least one"),
        ({"lengths": torch.ones(3)}, "lengths have the shape"),
        ({"metadata": torch.full((40, 3), torch.nan)}, "metadata hold NaN"),
        ({"mv_per_unit": 0.0}, "must be above 0"),
        ({"sampling_rate_hz": np.inf}, "must be above 0"),
        ({"sampling_rate_hz": "100"}, "must be above 0"),
        *(({"lengths": torch.full((40,), n)}, "whole numbers from 1 to 60") for n in (0, -3, 61, 50.5)),
    ],
)
def test_data_that_cannot_be_learned_from_are_errors(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(to_device(toy(), CPU), **changes)


RANDOM = np.random.default_rng(0).normal(size=(4, 12, 60)).astype(np.float32)
FORMS = {
    "reversed": lambda x: x[:, :, ::-1][:, :, ::-1],
    "big-endian": lambda x: x.astype(">f4"),
    "objects": lambda x: x.astype(object),
    "gradient": lambda x: torch.tensor(x, requires_grad=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_every_form_are_taken(form: str) -> None:
    data = DeviceData.from_arrays(FORMS[form](RANDOM), np.eye(4), 20)
    assert np.array_equal(data.signals.numpy(), RANDOM)
    short = DeviceData.from_arrays(RANDOM.astype(">i2"), np.eye(4), 20)
    assert short.signals.dtype == torch.int16 and np.array_equal(short.signals, RANDOM.astype(np.int16))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signals": RANDOM + 1j}, "signals must hold real numbers"),
        ({"signals": np.ma.masked_greater(RANDOM, 1)}, "signals has masked entries"),
        ({"signals": RANDOM.astype(float) * 1e300}, "signals hold NaN or infinity"),
        ({"labels": [["a"]] * 4}, "labels must hold real numbers"),
        ({"lengths": [50.7] * 4}, "lengths must be whole numbers"),
        ({"lengths": [np.nan] * 4}, "lengths must be whole numbers"),
    ],
)
def test_arrays_that_would_be_read_wrongly_are_errors(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeviceData.from_arrays(**{"signals": RANDOM, "labels": np.eye(4), "sampling_rate_hz": 20, **changes})


def test_what_cannot_learn_is_said_before_the_first_step() -> None:
    data = to_device(toy(), CPU)
    with torch.inference_mode():
        made_inside = tiny()
    told = replace(data, metadata=torch.zeros(40, 3))
    for model, part, options, message in (
        (tiny().requires_grad_(False), data, {}, "no weight of the network can learn"),
        (made_inside, data, {}, "made under torch.inference_mode"),
        (tiny(), data, {"groups": [{"params": list(tiny().parameters())}]}, "weights of another network"),
        (tiny(), told, {}, "takes no metadata"),
        (tiny(), data, {"seed": 1.5}, "seed is 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            train_classifier(model, part, part, Scaler(0.0, 0.3), CONFIG, **{"seed": 0, **options})
    with pytest.raises(ValueError, match="takes no metadata"):
        predict(tiny(), told, Scaler(0.0, 0.3))
    with pytest.raises(ValueError, match="batch_size is 0"):
        predict(tiny(), data, Scaler(0.0, 0.3), batch_size=0)


def test_gradients_are_taken_where_the_caller_takes_none(tmp_path: Path) -> None:
    data, here, there = to_device(toy(), CPU), tiny(), tiny()
    expected = train_classifier(here, data, data, Scaler(0.0, 0.3), CONFIG, seed=0).curve
    with torch.inference_mode():
        curve = train_classifier(
            there, data, data, Scaler(0.0, 0.3), CONFIG, seed=0, checkpoint=str(tmp_path / "a.pt")
        ).curve
    assert curve == expected and (tmp_path / "a.pt").is_file()


@pytest.mark.parametrize(("mean", "std"), [(0, 0), (0, -1), (np.nan, 1), (0, np.nan), (0, np.inf)])
def test_a_scaler_that_scales_nothing_is_an_error(mean: float, std: float) -> None:
    with pytest.raises(ValueError, match="scales nothing"):
        Scaler(mean, std)


def test_arrays_train_as_data_sets_do() -> None:
    lengths = np.random.default_rng(0).integers(20, 61, 40)
    data = toy(lengths=lengths)
    stored = to_device(data, CPU)
    ours = DeviceData.from_arrays(data.signals, data.labels, 20, 0.001, lengths)
    assert ours.signals.dtype == torch.int16 and fit_scaler(ours) == fit_scaler(data)
    curves = [
        train_classifier(tiny(), part, part, fit_scaler(data), replace(CONFIG, epochs=2), 0).curve
        for part in (stored, ours)
    ]
    assert curves[0] == curves[1]
    in_mv = DeviceData.from_arrays(data.signals * 0.001, data.labels, 20, lengths=lengths)
    assert fit_scaler(in_mv).std_mv == pytest.approx(fit_scaler(data).std_mv, rel=1e-5)


def test_training_on_arrays_loads_torch_and_numpy_only() -> None:
    code = """
import sys, numpy as np, ecgkit.training
heavy = {"pandas", "scipy", "sklearn", "wfdb", "h5py", "matplotlib", "yaml", "requests"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


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


def test_predict_leaves_the_mode_of_each_part_as_it_was_also_after_an_error() -> None:
    model = tiny().train()
    model.drop.eval()  # a part that someone froze
    data = to_device(toy(), CPU)
    predict(model, data, Scaler(0.0, 0.3), 1.0)
    with pytest.raises(RuntimeError):
        predict(model, replace(data, signals=data.signals[:, :6]), Scaler(0.0, 0.3), 1.0)
    assert model.training and model.norm.training and not model.drop.training
    with pytest.raises(ValueError, match="window_s is -1"):
        predict(model, data, Scaler(0.0, 0.3), -1)
    with pytest.raises(ValueError, match="choose 'max' or 'mean'"):
        predict(model, data, Scaler(0.0, 0.3), 1.0, how="median")


def test_an_empty_part_is_an_error() -> None:
    with pytest.raises(ValueError, match="no record in this part"):
        to_device(toy().subset([]), CPU)


def test_devices() -> None:
    assert choose_device().type in ("cpu", "cuda", "mps")
    for absent in ("tpu", "cpu:1", "cuda:99", ""):
        with pytest.raises(ValueError, match="at hand"):
            choose_device(absent)


def test_checkpoints_run_no_code(tmp_path) -> None:
    class Hostile:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"weights": Hostile()}, tmp_path / "hostile.pt")
    with pytest.raises(StoreError, match=r"hostile\.pt is damaged"):
        load_checkpoint(tmp_path / "hostile.pt")


@pytest.mark.parametrize("damage", ["a bit", "cut", "empty", "no seal", "longer"])
def test_every_damage_to_a_checkpoint_is_seen(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"weights": torch.ones(100)})
    whole = path.read_bytes()
    places = np.random.default_rng(0).integers(0, len(whole), 60)
    broken = {
        "a bit": [whole[:k] + bytes([whole[k] ^ 1 << k % 8]) + whole[k + 1 :] for k in places],
        "cut": [whole[:k] for k in (*places, len(whole) - 1)],
        "empty": [b""],
        "no seal": [whole[:-78]],
        "longer": [whole + b"0", b"0" + whole],
    }
    for content in broken[damage]:
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"c\.pt is damaged or no checkpoint.*delete it to start anew"):
            load_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="absent"):
        load_checkpoint(tmp_path / "absent")
    with pytest.raises(StoreError, match="is no file"):
        load_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_kept_and_the_training_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    _, expected, scores = train(checkpoint=path)
    whole = path.read_bytes()
    for number, content in enumerate((whole[:300], b"my own file"), start=1):
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=rf"c\.pt is damaged .* kept as c\.pt\.set-aside-{number}"):
            _, done, again = train(checkpoint=path)
        assert done.curve == expected.curve and np.array_equal(again, scores)
        assert (tmp_path / f"c.pt.set-aside-{number}").read_bytes() == content
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the new one is whole, and of this training
        _, done, _ = train(checkpoint=path)
    assert done.curve == expected.curve


OTHERS = {
    "training records": {"labels": lambda data: replace(data, labels=1 - data.labels)},
    "validation records": {"validation": 2},
    "scaling": {"scaler": Scaler(0.0, 0.31)},
    "settings": {"config": replace(CONFIG, max_lr=0.05)},
    "seed": {"seed": 4},
    "weights to begin with": {"model_seed": 1},
}


@pytest.mark.parametrize("other", OTHERS)
def test_no_training_goes_on_from_the_checkpoint_of_another(other: str, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(entry: dict[str, float]) -> None:
        if entry["epoch"] == 2:
            raise Killed

    def go(**given):
        model, labels = tiny(given.pop("model_seed", 0)), given.pop("labels", lambda data: data)
        held_out, scaler = to_device(toy(seed=given.pop("validation", 1)), CPU), given.pop("scaler", SCALER)
        config, seed = given.pop("config", CONFIG), given.pop("seed", 3)
        data = labels(to_device(toy(), CPU))
        return train_classifier(model, data, held_out, scaler, config, seed, **given).curve

    with pytest.raises(Killed):
        go(checkpoint=tmp_path / "c.pt", on_epoch=kill)
    with pytest.warns(UserWarning, match=rf"belongs to another training \({other}\): it is kept as"):
        curve = go(checkpoint=tmp_path / "c.pt", **OTHERS[other])
    assert curve == go(**OTHERS[other])
    assert len(list(tmp_path.glob("c.pt.set-aside-1"))) == 1


def test_device_data_of_equal_lengths_needs_no_lengths() -> None:
    assert isinstance(to_device(toy(), CPU), DeviceData)
    assert to_device(toy(), CPU).lengths is None
