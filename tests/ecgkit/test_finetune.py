"""A new head, fine-tuning, choosing a checkpoint, and the two experiments on a tiny data set."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import f1_score

from ecgbook.experiments.execute import execute
from ecgbook.experiments.melep_folds import FoldSettings
from ecgbook.experiments.melep_selection import SelectionSettings, f1_draws
from ecgbook.runs import check
from ecgbook.runs.grids import read_sweep
from ecgbook.runs.records import state_folder
from ecgbook.runs.results import load, load_tables
from ecgbook.runs.run import Run
from ecgkit import datasets, models
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.training import DeviceData, Scaler
from ecgkit.transfer import SCORES, choice, networks
from ecgkit.transfer.finetune import (
    FineTuneConfig,
    all_scores,
    fine_tune,
    new_head,
    select,
    source_outputs,
    weighted_f1,
)

SCALER = Scaler(0.0, 0.25)
QUICK = FineTuneConfig(epochs=3, batch_size=16, lr=0.01, window_s=1.0)


def toy(n: int = 48, seed: int = 0) -> DeviceData:
    """Noise; records with the first label carry a pulse, the second label is a coin."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 2)) < 0.4).astype(np.float32)
    signals = rng.normal(0, 50, size=(n, 12, 200))
    signals[labels[:, 0] == 1, :, ::20] += 800
    return DeviceData(torch.from_numpy(signals.astype(np.int16)), torch.from_numpy(labels), None, 0.001, 100)


def network(classes: int = 5, seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.create("resnet18", leads=12, classes=classes, width=4)


def test_a_new_head_changes_the_last_layer_of_a_copy_alone() -> None:
    source = network()
    before = {name: value.clone() for name, value in source.state_dict().items()}
    target = new_head(source, 3, seed=1)
    after = target.state_dict()
    assert after["head.1.weight"].shape == (3, 32) and after["head.1.bias"].shape == (3,)
    assert all(torch.equal(after[name], before[name]) for name in before if not name.startswith("head.1"))
    fine_tune(new_head(source, 2, seed=1), toy(), None, toy(20, seed=1), SCALER, QUICK, seed=0)
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
    assert torch.equal(new_head(source, 3, 1).head[-1].weight, new_head(source, 3, 1).head[-1].weight)
    assert not torch.equal(new_head(source, 3, 1).head[-1].weight, new_head(source, 3, 2).head[-1].weight)
    with pytest.raises(ValueError, match="does not end in a linear layer"):
        new_head(models.create("light_resnet18/E18", leads=12, classes=3), 3, 0)


def test_source_outputs_are_those_of_the_whole_network() -> None:
    model, data = network(), toy(70)
    probabilities, features = source_outputs(model, data, SCALER)
    assert model.training and features.shape == (70, 32)
    model.eval()
    with torch.no_grad():
        logits = model(SCALER(data.signals, data.mv_per_unit))
        again = model.head[-1](torch.from_numpy(features))
    np.testing.assert_allclose(probabilities, logits.sigmoid().numpy(), atol=1e-6)
    np.testing.assert_allclose(again.numpy(), logits.numpy(), atol=1e-5)
    found = all_scores(probabilities, features, data.labels.numpy())
    assert set(found) == set(SCORES) and np.isfinite(list(found.values())).all()


def test_fine_tuning_learns_repeats_and_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    config = replace(QUICK, epochs=12)
    first, second = (
        fine_tune(new_head(network(), 2, 0), toy(), toy(30, 2), toy(40, 1), SCALER, config, seed=3)
        for _ in range(2)
    )
    assert torch.equal(torch.rand(1), expected)
    assert first.f1_test == second.f1_test and len(first.f1_validation) == 12
    assert first.samples_backprop == 12 * 48
    test = toy(40, 1).labels.numpy().astype(int)
    shown = first.predictions[-1][:, 0]
    assert stats.rankdata(shown)[test[:, 0] == 1].min() > stats.rankdata(shown)[test[:, 0] == 0].mean()
    assert first.f1_test[-1] == weighted_f1(test, first.predictions[-1])
    assert first.best == int(np.argmax(first.f1_test))
    assert first.validated == int(np.argmax(first.f1_validation))


def test_test_labels_change_nothing_but_the_test_f1() -> None:
    test = toy(40, 1)
    honest = fine_tune(new_head(network(), 2, 0), toy(), toy(30, 2), test, SCALER, QUICK, seed=3)
    flipped = replace(test, labels=1 - test.labels)
    other = fine_tune(new_head(network(), 2, 0), toy(), toy(30, 2), flipped, SCALER, QUICK, seed=3)
    assert honest.f1_validation == other.f1_validation and honest.validated == other.validated
    assert all(np.array_equal(a, b) for a, b in zip(honest.predictions, other.predictions, strict=True))
    without = fine_tune(new_head(network(), 2, 0), toy(), None, test, SCALER, QUICK, seed=3)
    with pytest.raises(ValueError, match="no validation part"):
        _ = without.validated


def test_a_fine_tuning_that_diverges_is_an_error_and_no_f1_of_zero() -> None:
    for lr in (1e3, 1e30):
        with pytest.raises(FloatingPointError, match=r"loss of epoch \d is .*: lower lr"):
            fine_tune(new_head(network(), 2, 0), toy(), None, toy(9), SCALER, replace(QUICK, lr=lr), seed=0)
    with pytest.raises(ValueError, match="2 NaN"):
        weighted_f1(np.ones((3, 1)), np.array([[np.nan], [0.2], [np.nan]]))
    with pytest.raises(ValueError, match=r"\(2, 1\)"):
        weighted_f1(np.ones((3, 1)), np.ones((2, 1)))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (toy(1), toy(9), "1 training record"),
        (replace(toy(), labels=toy().labels * 2), toy(9), r"outside \[0, 1\]"),
        (toy(), replace(toy(9), labels=toy(9).labels[:, :1]), "2 labels, the others 1"),
        (toy(), replace(toy(9), labels=toy(9).labels * 0.7), "only 0 and 1"),
        (select(toy(), np.arange(9), (0,)), select(toy(), np.arange(9), (0,)), r"outputs \(9, 2\)"),
    ],
)
def test_targets_that_do_not_fit_are_errors(train: DeviceData, test: DeviceData, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fine_tune(new_head(network(), 2, 0), train, None, test, SCALER, QUICK, seed=0)


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"lr": -1}, {"lr": np.nan}, {"batch_size": 1}, {"bf16": 1}])
def test_settings_that_make_no_sense_are_errors(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        replace(QUICK, **bad)


def test_weighted_f1_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth, scores = (rng.random((50, 4)) < 0.3).astype(int), rng.random((50, 4))
    expected = f1_score(truth, scores >= 0.5, average="weighted", zero_division=0)
    assert weighted_f1(truth, scores) == pytest.approx(expected)
    assert f1_draws(truth, (scores >= 0.5).astype(int), np.ones((1, 50)))[0] == pytest.approx(expected)
    rows = rng.integers(0, 50, 50)
    weights = np.bincount(rows, minlength=50)[None].astype(float)
    drawn = f1_score(truth[rows], scores[rows] >= 0.5, average="weighted", zero_division=0)
    assert f1_draws(truth, (scores >= 0.5).astype(int), weights)[0] == pytest.approx(drawn)


def test_select_takes_rows_and_columns() -> None:
    data = toy()
    part = select(data, np.array([5, 2]), (1,))
    assert torch.equal(part.signals, data.signals[[5, 2]])
    assert torch.equal(part.labels, data.labels[[5, 2]][:, [1]])
    known = torch.rand(len(data), 3)
    assert torch.equal(select(replace(data, metadata=known), [5, 2], (1,)).metadata, known[[5, 2]])
    for rows, columns, message in (([99], [0], "rows"), ([0.5], [0], "rows"), ([0], [7], "columns")):
        with pytest.raises(ValueError, match=f"{message} must be some of 0 to"):
            select(data, np.array(rows), columns)


def test_correlations_are_those_of_scipy_and_of_residuals() -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=40), rng.normal(size=(40, 2))
    y = 0.5 * x + z @ [1.0, -1.0] + rng.normal(size=40)
    found, expected = choice.correlation(x, y), stats.pearsonr(x, y)
    interval = expected.confidence_interval(0.95)
    assert found.r == pytest.approx(expected.statistic) and found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    partial = choice.partial_correlation(x, y, z)
    left = [v - LinearRegression().fit(z, v).predict(z) for v in (x, y)]
    assert partial.r == pytest.approx(stats.pearsonr(*left).statistic)
    # The partial correlation's p-value is that of x's coefficient in the regression of y on x and z.
    table = np.column_stack([np.ones(40), x, z])
    beta, residue, *_ = np.linalg.lstsq(table, y, rcond=None)
    error = np.sqrt(residue[0] / 36 * np.linalg.inv(table.T @ table)[1, 1])
    assert partial.p_value == pytest.approx(2 * stats.t.sf(abs(beta[1] / error), 36))
    assert np.isnan(choice.correlation([1, 1, 1, 1], [1, 2, 3, 4]).r)
    with pytest.raises(ValueError, match="same length"):
        choice.correlation([1, 2, 3], [1, 2])


def test_regret_and_rank_correlation() -> None:
    assert choice.regret([0.1, 0.9, 0.5], [0.8, 0.5, 0.7]) == pytest.approx(0.3)
    assert choice.regret([3, 1, 2], [0.8, 0.5, 0.7]) == 0
    outcome = np.random.default_rng(0).random(6)
    drawn = [choice.regret(np.eye(6)[k], outcome) for k in range(6)]
    assert choice.expected_regret(outcome) == pytest.approx(np.mean(drawn))
    assert choice.rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert np.isnan(choice.rank_correlation([1, 1], [1, 2]))


def test_the_papers_networks_have_their_layers() -> None:
    resnet = networks.create("resnet1d101", leads=12, classes=5)
    # Counted by hand: two numbers per channel for each normalisation, no bias in convolutions.
    count, channels = 12 * 64 * 7 + 2 * 64, 64
    for stage, blocks in enumerate((3, 4, 23, 3)):
        w = 64 * 2**stage
        for block in range(blocks):
            count += channels * w + 3 * w * w + w * 4 * w + 2 * (w + w + 4 * w)
            if block == 0:
                count += channels * 4 * w + 2 * 4 * w
            channels = 4 * w
    count += 2048 * 512 + 512 + 512 * 5 + 5
    assert sum(p.numel() for p in resnet.parameters()) == count
    assert resnet.eval()(torch.zeros(1, 12, 1000)).shape == (1, 5)
    lstm = networks.create("bilstm", leads=12, classes=5, samples=50)
    assert sum(p.numel() for p in lstm.body.parameters()) == 2 * 4 * 100 * (12 + 100 + 2)
    assert lstm(torch.zeros(2, 12, 50)).shape == (2, 5)
    assert type(networks.create("fcn_wang", 12, 5)) is type(models.create("fcn_wang", 12, 5))


# The experiments ----------------------------------------------------------------------------------------

FOLDS = {
    "width": 2,
    "source": "rhythm",
    "targets": "diagnostic",
    "folds": 4,
    "records": 40,
    "n_labels": [2, 3],
    "min_positives": 5,
    "epochs": 2,
    "batch_size": 16,
    "window_s": 1.0,
    "source_epochs": 1,
}
CHOICE = {
    "groups": ["rhythm", "form"],
    "widths": [2],
    "source_epochs": [0, 1],
    "records": 24,
    "min_positives": 10,
    "epochs": 2,
    "batch_size": 16,
    "window_s": 1.0,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(folder / "cache"))
        patch.setenv("ECGKIT_DATA", str(folder))
        yield make_synthetic(folder / "ptbxl", "ptbxl", n=200, seed=0)


def run_of(data: Path, method: str, params: dict) -> Run:
    version = datasets.load("ptbxl", root=data).version
    return Run("melep_test", "ptbxl", version, "all", "resnet18", method, "quick", 0, 100, params)


def do(run: Run, results: Path, data: Path, **options) -> dict:
    return json.loads(execute(run, results, data_root=data, device="cpu", threads=1, **options).read_text())


@pytest.mark.parametrize("source", ["rhythm", "untrained", "ptbxl"])
def test_folds_give_a_table_and_correlations_that_follow_from_it(source, data, tmp_path) -> None:
    run = run_of(data, "melep_folds", {**FOLDS, "source": source})
    record = do(run, tmp_path, data)
    assert check.check(tmp_path) == []
    table = load_tables(load("melep_test", tmp_path), tmp_path)
    assert table["fold"].tolist() == [0, 1, 2, 3] and {*SCORES} <= set(table.columns)
    expected = choice.correlation(table["melep"], table["f1_validated"])
    assert record["metrics"]["correlation"]["point"] == pytest.approx(expected.r)
    assert (table["f1_best"] >= table["f1_validated"]).all()
    flattery = table["f1_best"] - table["f1_validated"]
    assert record["metrics"]["optimism"]["point"] == pytest.approx(flattery.mean())
    assert (record["curve"] == []) == (source == "untrained")
    for row in record["table"]:
        assert len(row["labels"].split()) == len(row["prevalences"]) == row["n_labels"]
        assert row["f1_curve"][row["epoch_best"] - 1] == round(row["f1_best"], 5)


def test_without_a_validation_part_the_test_part_chooses(data, tmp_path) -> None:
    record = do(run_of(data, "melep_folds", {**FOLDS, "validation_share": 0.0}), tmp_path, data)
    assert all(row["f1_validated"] is None for row in record["table"])
    assert record["metrics"]["correlation"] == record["metrics"]["correlation_best"]


@pytest.mark.parametrize(("method", "params"), [("melep_folds", FOLDS), ("melep_selection", CHOICE)])
def test_a_run_that_was_stopped_ends_with_the_same_record(method, params, data, tmp_path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, of: int) -> None:
        if done == 2:
            raise Killed

    run = run_of(data, method, params)
    expected = do(run, tmp_path / "a", data)
    with pytest.raises(Killed):
        do(run, tmp_path / "b", data, progress=kill)
    assert list(state_folder(tmp_path / "b", run).glob("*/checkpoint.pt"))
    resumed = do(run, tmp_path / "b", data)
    same = ("metrics", "table", "samples_backprop", "curve")
    assert {key: resumed[key] for key in same} == {key: expected[key] for key in same}


def test_selection_compares_every_choice_with_the_best(data, tmp_path) -> None:
    record = do(run_of(data, "melep_selection", CHOICE), tmp_path, data)
    assert check.check(tmp_path) == []
    table = load_tables(load("melep_test", tmp_path), tmp_path)
    assert (table["target"] != table["source"]).all() and len(table) == 4
    for name, score in SCORES.items():
        regrets = []
        for _, part in table.groupby("target"):
            goodness = part[name] * (1 if score.better == "higher" else -1)
            regrets.append(choice.regret(goodness, part["f1_validated"]))
        assert record["metrics"][f"regret_{name}"]["point"] == pytest.approx(np.mean(regrets))
    gain = record["metrics"]["gain_melep"]["point"]
    means = record["metrics"]["f1_melep"]["point"] - record["metrics"]["f1_random"]["point"]
    assert gain == pytest.approx(means)


def test_unknown_parameters_are_named() -> None:
    with pytest.raises(ValueError, match="unknown parameter fold;"):
        FoldSettings.of({"fold": 3})
    with pytest.raises(ValueError, match="unknown parameter width;"):
        SelectionSettings.of({"width": 3})
    assert len(list(SelectionSettings().candidates())) == 2 * (4 + 4 + 1)


@pytest.mark.parametrize("sheet", ["melep", "melep_paper", "melep_selection"])
def test_every_run_of_the_sweeps_is_one_that_can_be_made(sheet: str) -> None:
    runs = read_sweep(Path(__file__).parents[2] / "sweeps" / f"{sheet}.yaml")
    for run in runs:
        if run.method == "melep_selection":
            assert SelectionSettings.of(run.params).candidates()
            continue
        settings = FoldSettings.of(run.params)
        assert settings.folds == 100 and settings.records == 1000
        with torch.device("meta"):  # the layers without their weights
            assert networks.create(run.model, leads=12, classes=2, **settings.options)
        assert settings.source in ("form", "rhythm", "untrained", *datasets.names())
