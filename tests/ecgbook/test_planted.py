"""Planting bad records, finding them again, and the method that records how well each score does."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from ecgbook.experiments.execute import execute
from ecgbook.experiments.planted import detection_table, flags, removal
from ecgbook.experiments.planting import KINDS, Planting, add_noise, flip_labels, plant
from ecgbook.experiments.training_dynamics import SUSPECT, TrainingDynamics
from ecgbook.runs.check import check_record
from ecgbook.runs.results import load, load_tables
from ecgbook.runs.run import Run
from ecgkit import datasets
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.derived import single_label
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.evaluation import bootstrap, class_aucs, macro_auc
from ecgkit.explain import grad_cam
from ecgkit.models import create
from ecgkit.training import Scaler, to_device
from ecgkit.training.selection import focus_score, scale


def toy(n: int = 200, samples: int = 500, classes: int = 4) -> ECGDataset:
    rng = np.random.default_rng(0)
    meta = pd.DataFrame(
        {
            "record_id": range(n),
            "patient": range(n),
            "fold": 1 + np.arange(n) % 10,
            "age": 50.0,
            "sex": "female",
        }
    )
    return ECGDataset(
        name="toy",
        version="1",
        task="toy",
        sampling_rate_hz=100,
        signals=rng.integers(-300, 300, (n, 12, samples)).astype(np.int16),
        mv_per_unit=0.001,
        labels=np.eye(classes, dtype=np.uint8)[rng.integers(0, classes, n)],
        classes=tuple("abcdefg"[:classes]),
        meta=meta,
        lengths=np.where(np.arange(n) % 2, samples, samples - 100).astype(np.int32),
    )


def test_what_is_planted_is_what_is_said() -> None:
    ds = toy()
    planting = plant(ds, 0.1, 0.2, seed=3)
    new = planting.dataset
    other_label = (new.labels != ds.labels).any(axis=1)
    other_signal = (new.signals != ds.signals).any(axis=(1, 2))
    assert np.array_equal(other_label, planting.has("wrong label")) and other_label.sum() == 20
    assert np.array_equal(other_signal, planting.has("noise")) and other_signal.sum() == 40
    assert (new.labels.sum(axis=1) == 1).all() and new.labels.dtype == ds.labels.dtype
    again, others = plant(ds, 0.1, 0.2, seed=3), plant(ds, 0.1, 0.2, seed=4)
    assert np.array_equal(again.kind, planting.kind) and np.array_equal(again.dataset.signals, new.signals)
    assert not np.array_equal(others.kind, planting.kind)
    assert not plant(ds, 0, 0).kind.any()


def test_every_other_class_is_as_likely() -> None:
    ds = toy(3000)
    new = flip_labels(ds, np.ones(3000, bool), np.random.default_rng(0)).labels.argmax(axis=1)
    counts = np.zeros((4, 4), int)
    np.add.at(counts, (ds.labels.argmax(axis=1), new), 1)
    assert not counts.diagonal().any()
    assert (counts[~np.eye(4, dtype=bool)] > 200).all()  # 250 expected


def test_noise_obeys_the_leads_and_spares_the_padding() -> None:
    ds = toy(40)
    rows = np.arange(40) < 20
    added = {
        size: add_noise(ds, rows, np.random.default_rng(0), size).signals.astype(int) - ds.signals
        for size in (1.0, 4.0)
    }
    assert not added[1.0][20:].any() and not added[1.0][0, :, 400:].any()
    i, ii, iii, avr, avl, avf = added[4.0][:20, :6].transpose(1, 0, 2)
    for rest in (i + iii - ii, avr + (i + ii) / 2, avl - i + ii / 2, avf - ii + i / 2):
        assert np.abs(rest).max() <= 2  # rounding
    assert np.abs(added[4.0] - 4 * added[1.0]).max() <= 4
    loud = add_noise(ds, rows, np.random.default_rng(0), 1e4).signals
    assert loud.max() == 32767 and loud.min() == -32768


def test_wrong_plantings_are_errors() -> None:
    ds = toy()
    with pytest.raises(ValueError, match="together at most 1"):
        plant(ds, 0.6, 0.5)
    several = ECGDataset(**{**vars(ds), "labels": np.ones_like(ds.labels)})
    with pytest.raises(ValueError, match="exactly one label"):
        plant(several)


def test_detection_is_the_auc_of_suspicion() -> None:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 300)
    planting = Planting(toy(300, 10), kind)
    scores = {"loss": rng.random(300) + (kind == 1), "focus": rng.random(300)}
    scores["focus"][:50] = np.nan
    uncertain = rng.random(300) < 0.5
    noted = {"drift": rng.random(300) < 0.3, "rare": np.arange(300) == 0}
    table = pd.DataFrame(detection_table(scores, planting, noted, uncertain, draws=50))
    cell = table.set_index(["score", "target", "among"])
    assert set(table["target"]) == {"anything planted", "wrong label", "noise", "noted: drift"}
    use = (kind < 2) & uncertain
    expected = class_aucs((kind == 1)[use][:, None], scores["loss"][use][:, None])[0]
    assert cell.loc[("loss", "wrong label", "uncertain"), "auc"] == pytest.approx(expected)
    truth, suspicion = (kind == 1)[use][:, None], scores["loss"][use][:, None]
    drawn = bootstrap(macro_auc, truth, suspicion, n=50, seed=0)
    ends = cell.loc[("loss", "wrong label", "uncertain"), ["low", "high"]]
    assert ends.tolist() == pytest.approx([drawn.low, drawn.high])
    use = (kind == 0) & (np.arange(300) >= 50)  # notes count where nothing was planted
    expected = class_aucs(noted["drift"][use][:, None], -scores["focus"][use][:, None])[0]
    assert cell.loc[("focus", "noted: drift", "all"), "auc"] == pytest.approx(expected)
    assert (table["low"] <= table["auc"]).all() and (table["auc"] <= table["high"]).all()
    assert cell.loc[("loss", "wrong label", "all"), "auc"] == 1.0


def test_removal_by_hand() -> None:
    candidates, bad = np.array([2, 2, 1, 1] * 50), np.array([True, False, False, True] * 50)
    removed = np.array([2, 0, 1, 0] * 50)
    found = removal(candidates, removed, bad)
    assert found["bad_candidates"]["point"] == pytest.approx(3 / 6)
    assert found["bad_removed"]["point"] == pytest.approx(2 / 3)
    assert found["lift"]["point"] == pytest.approx(4 / 3)
    assert found["lift"]["low"] < 4 / 3 < found["lift"]["high"]
    assert removal(candidates, 0 * removed, bad) == {}


def test_the_watch_sees_what_the_network_says() -> None:
    data, scaler = to_device(toy(20), torch.device("cpu")), Scaler(0.0, 0.2)
    torch.manual_seed(0)
    model = create("resnet18", leads=12, classes=4, width=4)
    watch = TrainingDynamics(data, scaler)
    model.train()
    watch.look(model, batch_size=7)
    watch.look(model, batch_size=20)
    assert model.training
    model.eval()
    x = scaler(data.signals, data.mv_per_unit)
    np.testing.assert_allclose(watch.logits[0], model(x).detach(), atol=1e-5)
    np.testing.assert_allclose(watch.logits[0], watch.logits[1], atol=1e-5)
    scores = watch.scores()
    assert set(scores) == set(SUSPECT) - {"focus, Integrated Gradients"}
    np.testing.assert_allclose(scores["focus"], focus_score(scale(grad_cam(model, x))), atol=1e-4)
    labelled = grad_cam(model, x, data.labels.argmax(dim=1))
    np.testing.assert_allclose(scores["focus, labelled class"], focus_score(scale(labelled)), atol=1e-4)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(folder / "cache"))
        yield make_synthetic(folder / "ptbxl", "ptbxl", n=160, seed=0)


def test_flags_are_the_annotators_notes(data) -> None:
    ds = single_label(datasets.load("ptbxl", root=data).labelled())
    noted = flags(ds)
    assert set(noted) >= {"baseline_drift", "static_noise", "unsure statement"}
    assert noted["baseline_drift"].sum() == ds.meta["baseline_drift"].notna().sum()
    codes = [json.loads(text) for text in ds.meta["scp_codes"]]
    for row in np.flatnonzero(noted["unsure statement"]):
        assert min(v for v in codes[row].values() if v > 0) < 100
    sure = [all(v in (0, 100) for v in one.values()) for one in codes]
    assert not noted["unsure statement"][sure].any()
    assert flags(toy()) == {}


def test_a_run_records_table_values_and_clean_test_scores(data, tmp_path) -> None:
    version = datasets.load("ptbxl", root=data).version
    params = {
        "width": 4,
        "epochs": 2,
        "lr": 0.01,
        "wrong_labels": 0.2,
        "selector": "erts_dbpd",
        "phi": 0.5,
        "rule": "share",
        "ig_records": 30,
    }
    run = Run("test", "ptbxl", version, "superdiagnostic", "resnet18", "planted", "quick", 0, 100, params)
    path = execute(run, tmp_path / "a", data_root=data, device="cpu")
    assert check_record(path) == []
    record = json.loads(path.read_text())
    table = load_tables(load("test", tmp_path / "a"), tmp_path / "a")
    assert set(table["score"]) == set(SUSPECT)
    first = table[(table["score"] == "focus") & (table["target"] == "anything planted")].set_index("among")
    assert record["metrics"]["noise_auc"]["point"] == first.loc["uncertain", "auc"]
    assert {"single_label_f1", "macro_auc", "lift", "confidence_auc"} <= set(record["metrics"])
    again = execute(run, tmp_path / "b", data_root=data, device="cpu")
    assert json.loads(again.read_text())["metrics"] == record["metrics"]
    assert KINDS[0] == "none"
