"""Decisions with thresholds from other records: against arithmetic, slow loops and the plain training."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ecgbook.experiments import execute as execute_module
from ecgbook.experiments.decisions import judge
from ecgbook.experiments.execute import execute
from ecgbook.runs.check import check_record
from ecgbook.runs.records import load_predictions, write_record
from ecgbook.runs.results import load, load_tables
from ecgbook.runs.run import Run
from ecgkit import datasets, models
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.training import TrainConfig, fit_scaler, predict, to_device, train_classifier

PARAMS = {"epochs": 1, "window_s": 1.0, "batch_size": 32}
CPU = torch.device("cpu")
NAMES = ("f_beta_train", "g_beta_train", "f_beta_validation", "g_beta_validation")


def small(name: str, leads: int, classes: int) -> nn.Module:
    """A network that takes next to no time."""
    layers = nn.Conv1d(leads, 8, 9, stride=5), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8, classes))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(folder / "cache"))
        patch.setattr(models, "create", small)
        yield make_synthetic(folder / "cpsc2018", "cpsc2018", n=160, seed=0)


def a_run(data: Path, model: str = "small", params: dict | None = None) -> Run:
    version = datasets.load("cpsc2018", root=data).version
    return Run("test", "cpsc2018", version, "cpsc9", model, "decisions", "quick", 0, 100, params or PARAMS)


def do(run: Run, results: Path, data: Path) -> Path:
    return execute(run, results, data_root=data, device="cpu", threads=1)


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return do(a_run(data), tmp_path_factory.mktemp("results"), data)


def by_hand(metric: str, truth: np.ndarray, decided: np.ndarray, weights: np.ndarray) -> float | None:
    """F or G (beta 2) of one class, record by record; None where the class is neither true nor predicted."""
    tp = fp = fn = 0.0
    for t, d, w in zip(truth, decided, weights, strict=True):
        tp, fp, fn = tp + w * (t and d), fp + w * (d and not t), fn + w * (t and not d)
    if tp + fp + fn == 0:
        return None
    return 5 * tp / (5 * tp + fp + 4 * fn) if metric == "f_beta" else tp / (tp + fp + 2 * fn)


def weights_of(labels: np.ndarray) -> np.ndarray:
    return 1 / np.maximum(labels.sum(axis=1), 1)


def macro_by_hand(metric: str, truth: np.ndarray, scores: np.ndarray, thresholds: list) -> float:
    weights = weights_of(truth)
    classes = [
        by_hand(metric, truth[:, k], [t is not None and s >= t for s in scores[:, k]], weights)
        for k, t in enumerate(thresholds)
    ]
    return float(np.mean([value for value in classes if value is not None]))


def test_two_classes_worked_out_on_paper() -> None:
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])  # weights 1, 1/2, 1, 1
    scores = np.array([[0.9, 0.2], [0.6, 0.3], [0.7, 0.8], [0.1, 0.4]])
    # Class 1: at 0.9 TP 1 and FN 1/2: F 5/7, G 1/2. At 0.6 TP 3/2 and FP 1: F 15/17, G 3/5. So 0.6.
    # Class 2: at 0.8 TP 1 and FN 1/2: F 5/7, G 1/2. At 0.3 TP 3/2 and FP 1: F 15/17, G 3/5. So 0.3.
    test_labels = np.array([[1, 1], [0, 1], [1, 0]])  # weights 1/2, 1, 1
    test_scores = np.array([[0.5, 0.3], [0.6, 0.2], [0.8, 0.1]])  # decided: 0 1, 1 0, 1 0
    # Class 1: TP 1, FP 1, FN 1/2: F 5/(5 + 1 + 2), G 1/(1 + 1 + 1). Class 2: TP 1/2, FN 1: F 5/13, G 1/5.
    for metric, expected in (("f_beta", (5 / 8 + 5 / 13) / 2), ("g_beta", (1 / 3 + 1 / 5) / 2)):
        value, thresholds = judge(metric, (labels, scores), (test_labels, test_scores), n=50)
        assert thresholds.tolist() == [0.6, 0.3]
        assert value["point"] == pytest.approx(expected)
        assert value["low"] <= value["point"] <= value["high"]


def test_a_class_without_positives_to_choose_on_is_never_predicted() -> None:
    labels, scores = np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.9], [0.1, 0.8]])
    value, thresholds = judge("f_beta", (labels, scores), (np.array([[1, 1], [0, 0]]), scores), n=20)
    assert thresholds.tolist() == [0.9, np.inf] and value["point"] == 0.5


def test_the_metrics_follow_from_the_stored_predictions_and_thresholds(done: Path) -> None:
    record = json.loads(done.read_text())
    assert check_record(done) == []
    assert set(record["metrics"]) == {"macro_auc", "fmax", *NAMES}
    runs = load("test", done.parent.parent)
    table = load_tables(runs, done.parent.parent)
    stored = load_predictions(record["hash"], done.parent.parent)
    assert len(table) == 4 * stored.y_true.shape[1]
    for name in NAMES:
        metric, source = name.rsplit("_", 1)
        rows = table[(table["metric"] == metric) & (table["chosen_on"] == source)]
        thresholds = [None if np.isnan(t) else t for t in rows["threshold"].astype(float)]
        value = record["metrics"][name]
        expected = macro_by_hand(metric, stored.y_true, stored.y_score, thresholds)
        assert value["point"] == pytest.approx(expected) == runs[name].item()
        assert value["low"] <= value["point"] <= value["high"]


def test_it_is_the_plain_training_and_no_threshold_would_have_been_better(done: Path, data: Path) -> None:
    record = json.loads(done.read_text())
    parts = datasets.load("cpsc2018", root=data).labelled().split()
    scaler, config = fit_scaler(parts[0]), TrainConfig(**PARAMS, validate_every=1)
    train, validation, test = (to_device(part, CPU) for part in parts)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = small("small", 12, 9)
    train_classifier(model, train, validation, scaler, config, seed=0)
    scores = [predict(model, part, scaler, 1.0).astype(np.float16) for part in (train, validation, test)]
    stored = load_predictions(record["hash"], done.parent.parent)
    np.testing.assert_allclose(stored.y_score, scores[2].astype(np.float32), rtol=2e-3, atol=1e-6)
    found = {(r["chosen_on"], r["metric"], r["class"]): r["threshold"] for r in record["table"]}
    for source, part, score in zip(("train", "validation"), parts, scores, strict=False):
        weights = weights_of(part.labels)
        for k, name in enumerate(part.classes):
            truth, column = part.labels[:, k], score[:, k].astype(np.float64)
            for metric in ("f_beta", "g_beta"):
                chosen = found[source, metric, name]
                if not truth.any():
                    assert chosen is None
                    continue
                every = [by_hand(metric, truth, column >= t, weights) for t in np.unique(column)]
                at_chosen = by_hand(metric, truth, column >= chosen * (1 - 1e-6), weights)
                assert at_chosen == pytest.approx(max(v for v in every if v is not None), abs=0.02)


def test_test_labels_influence_neither_scores_nor_thresholds(
    done: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = execute_module._parts

    def flipped(*arguments):
        parts = original(*arguments)
        return replace(parts, test=replace(parts.test, labels=1 - parts.test.labels))

    monkeypatch.setattr(execute_module, "_parts", flipped)
    other = json.loads(do(a_run(data), tmp_path, data).read_text())
    honest = json.loads(done.read_text())
    assert other["table"] == honest["table"] and other["curve"] == honest["curve"]
    assert other["metrics"]["f_beta_train"] != honest["metrics"]["f_beta_train"]
    a, b = load_predictions(done.stem, done.parent.parent), load_predictions(done.stem, tmp_path)
    assert np.array_equal(a.y_score, b.y_score)


@pytest.mark.parametrize(("scorer", "params"), [("naive", {}), ("wavelet_nn", {"epochs": 2})])
def test_methods_without_a_network_decide_too(scorer, params, data: Path, tmp_path: Path) -> None:
    run = a_run(data, "none", {"scorer": scorer, **params})
    path = do(run, tmp_path, data)
    assert check_record(path) == []
    plain = do(
        replace(run, method=scorer, params=params), tmp_path, data
    )  # the same scores as without decisions
    stored, expected = (load_predictions(p.stem, tmp_path) for p in (path, plain))
    np.testing.assert_allclose(stored.y_score, expected.y_score, atol=1e-3)
    metrics = json.loads(path.read_text())["metrics"]
    assert {"macro_auc", "fmax", *NAMES} == set(metrics)
    if scorer == "naive":  # the same scores for all: each class is decided for every record, or for none
        train, test = (load_predictions(path.stem, tmp_path, part) for part in ("train", "test"))
        assert metrics["f_beta_train"]["point"] == pytest.approx(
            macro_by_hand("f_beta", test.y_true, test.y_score, [train.y_score[0, k] for k in range(9)])
        )


def test_scores_of_all_three_parts_are_kept(done: Path, data: Path) -> None:
    for part, expected in zip(
        ("train", "validation", "test"), datasets.load("cpsc2018", root=data).labelled().split(), strict=True
    ):
        stored = load_predictions(done.stem, done.parent.parent, part)
        assert stored.record_ids.tolist() == expected.meta["record_id"].tolist()
        assert np.array_equal(stored.y_true, expected.labels)


def test_f_and_g_are_checked_against_the_stored_scores(done: Path, tmp_path: Path) -> None:
    record = json.loads(done.read_text())
    record["metrics"]["g_beta_validation"]["point"] += 1e-3
    record["metrics"]["g_beta_validation"]["high"] += 1e-3
    (tmp_path / "test").mkdir()
    shutil.copy(done.with_suffix(".npz"), tmp_path / "test")
    assert any("g_beta_validation" in problem for problem in check_record(write_record(tmp_path, record)))
    del record["metrics"]["g_beta_validation"]
    assert any("is missing" in problem for problem in check_record(write_record(tmp_path, record)))
    with np.load(done.with_suffix(".npz")) as file:
        np.savez(
            tmp_path / "test" / f"{done.stem}.npz",
            **{k: file[k] for k in ("record_ids", "y_true", "y_score")},
        )
    assert any("no scores of train" in problem for problem in check_record(write_record(tmp_path, record)))


@pytest.mark.parametrize("params", [{}, {"scorer": "supervised"}, {"scorer": "magic"}])
def test_no_network_and_no_scorer_is_an_error(params, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name a network, or"):
        do(a_run(data, "none", {"epochs": 1, **params}), tmp_path, data)
