"""Training as in the thesis: preparation against scipy, steps against Adam by hand, sources left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt
from sklearn.metrics import precision_score

from ecgbook.experiments.method import Splits
from ecgbook.experiments.thesis import ThesisSettings, source_parts, thesis
from ecgbook.runs import read_sweep
from ecgbook.runs.run import Run
from ecgkit import datasets, evaluation, models
from ecgkit.datasets.derived import pooled, scored_2021
from ecgkit.datasets.synthetic import make_synthetic
from ecgkit.models.light_resnet18 import metadata_features
from ecgkit.training import (
    Scaler,
    lightweight_scores,
    prepare_lightweight,
    to_device,
    train_lightweight,
)

SWEEPS = Path(__file__).parents[2] / "sweeps"
CPU = torch.device("cpu")
SMALL = ThesisSettings(epochs=1, batch_size=16, rate_hz=100, high_hz=40.0, seconds=2.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four sources of few records, and PTB-XL's stand-in loaded."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("data")
        patch.setenv("ECGKIT_CACHE", str(root / "cache"))
        patch.setenv("ECGKIT_DATA", str(root))
        for name in ("cpsc2018", "cpsc2018_extra", "georgia", "ptbxl"):
            make_synthetic(root / name, name, n=40, seed=0)
        yield datasets.load("ptbxl")


def test_precision_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    truth, score = generator.random((200, 4)) < 0.3, generator.random((200, 4))
    score[:, 3] *= 0.5  # never predicted
    for average in ("micro", "macro"):
        ours = getattr(evaluation, f"{average}_precision")(truth, score)
        assert ours == pytest.approx(precision_score(truth, score >= 0.5, average=average, zero_division=0))


def test_preparation_is_filter_then_spline_then_first_seconds(data) -> None:
    config = replace(SMALL, rate_hz=80, seconds=3.0)
    part = data.subset([0, 5])
    ours = prepare_lightweight(part, config)
    assert ours.signals.shape == (2, 12, 240) and ours.sampling_rate_hz == 80
    assert ours.lengths.tolist() == [240, 240]
    signal = part.signals[1].astype(np.float64) * part.mv_per_unit
    sections = butter(2, (0.5, 40.0), "bandpass", fs=100, output="sos")
    filtered = sosfiltfilt(sections, signal, padtype="even", padlen=200)
    expected = CubicSpline(np.arange(1000) / 100, filtered, axis=1)(np.arange(240) / 80)
    np.testing.assert_allclose(ours.signals[1] * ours.mv_per_unit, expected, atol=0.0006)


def test_short_records_are_filtered_alone_and_padded_with_zeros(data) -> None:
    part = data.subset([0, 1])
    lengths = np.array([150, 1000], np.int32)
    cut = replace(part, lengths=lengths)
    ours = prepare_lightweight(cut, SMALL)
    assert ours.lengths.tolist() == [150, 200] and not ours.signals[0, :, 150:].any()
    alone = replace(part.subset([0]), signals=part.signals[:1, :, :150], lengths=lengths[:1])
    assert np.array_equal(ours.signals[0, :, :150], prepare_lightweight(alone, SMALL).signals[0, :, :150])
    with pytest.raises(ValueError, match="lower high_hz"):
        prepare_lightweight(part, replace(SMALL, high_hz=50.0))


def test_one_epoch_is_adam_by_hand(data) -> None:
    """Two steps of the published update rule, written out, on a linear model that ignores the metadata."""

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(12, 5))

        def forward(self, x):
            return x.square().mean(dim=2) @ self.weight

    ready = prepare_lightweight(data.subset(slice(0, 32)), SMALL)
    part, scaler = to_device(ready, CPU), Scaler(0.0, 0.3)
    model = Linear()
    done = train_lightweight(model, part, part, scaler, SMALL, seed=3)
    features = (part.signals * 0.001 / 0.3).square().mean(dim=2).double()
    labels = part.labels.double()
    from ecgkit.training.loop import epoch_seed

    order = torch.randperm(32, generator=torch.Generator().manual_seed(epoch_seed(3, 1)))
    weight, m, v = torch.zeros(12, 5).double(), 0.0, 0.0
    norms = []
    for step, rows in enumerate(order.split(16), start=1):
        error = (features[rows] @ weight).sigmoid() - labels[rows]
        gradient = features[rows].T @ error / error.numel()
        norms.append(gradient.norm().item())
        gradient = gradient + 1e-5 * weight
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        weight = weight - 0.003 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    torch.testing.assert_close(model.weight.detach().double(), weight, rtol=1e-4, atol=1e-6)
    (entry,) = done.curve
    assert entry["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-4)
    assert entry["fitted_loss"] == pytest.approx(entry["validation_loss"])  # the same records here
    assert done.samples_backprop == 32


def test_scores_do_not_depend_on_the_batch_and_use_age_and_sex(data) -> None:
    ready = prepare_lightweight(data.subset(slice(0, 7)), SMALL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.create("light_resnet18/E18", leads=12, classes=5)
    told, scaler = to_device(ready, CPU, metadata=True), Scaler(0.0, 0.3)
    np.testing.assert_allclose(
        lightweight_scores(model, told, scaler),
        lightweight_scores(model, told, scaler, batch_size=2),
        atol=1e-5,
    )
    assert not np.allclose(
        lightweight_scores(model, told, scaler),
        lightweight_scores(model, replace(told, metadata=None), scaler),
    )
    assert torch.equal(told.metadata, metadata_features(ready.meta))


def test_other_networks_and_unknown_settings_are_errors(data) -> None:
    ready = prepare_lightweight(data, SMALL)
    parts = Splits(ready.subset(slice(0, 24)), ready.subset(slice(24, 34)), ready.subset(slice(34, 40)))
    params = {"rate_hz": 100, "high_hz": 40.0, "seconds": 1.0}
    run = Run("t", "ptbxl", "1", "superdiagnostic", "fcn_wang", "thesis", "quick", 0, params=params)
    with pytest.raises(ValueError, match="E1 to E18"):
        thesis(run, parts, CPU, Path("absent"), None)
    with pytest.raises(ValueError, match="unknown parameter epoch;"):
        ThesisSettings.of(replace(run, params={"epoch": 1}))


def test_the_sources_left_out_are_tested_on_and_no_other(data) -> None:
    run = Run("t", "cpsc2018", "1", "scored2021", "light_resnet18/E18", "thesis", "quick", 0, params={})
    parts, origins = source_parts(run, replace(SMALL, sources=("cpsc2018_extra", "georgia", "ptbxl")))
    assert set(origins) == {"cpsc2018", "cpsc2018_extra", "georgia", "ptbxl"}
    assert set(parts.test.meta["source"]) == {"cpsc2018", "cpsc2018_extra"}
    assert set(parts.train.meta["source"]) == {"georgia", "ptbxl"} >= set(parts.validation.meta["source"])
    assert set(parts.validation.meta["fold"]) == {9} and 9 not in set(parts.train.meta["fold"])
    assert {len(part.classes) for part in (parts.train, parts.validation, parts.test)} == {26}
    patients = [set(part.meta["patient"]) for part in (parts.train, parts.validation, parts.test)]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    with pytest.raises(ValueError, match="nothing is left"):
        source_parts(run, replace(SMALL, sources=("cpsc2018_extra",)))


def test_ptbxl_gets_the_labels_of_the_challenge(data) -> None:
    """Record by record with the map of codes, by way of the names of the classes."""
    from ecgkit.datasets.code_systems import scp_to_snomed

    scored = scored_2021(data)
    afib = scp_to_snomed()["AFIB"]
    has = np.array(['"AFIB"' in text for text in data.meta["scp_codes"]])
    assert has.any() and np.array_equal(scored.labels[:, scored.classes.index(afib)] == 1, has)
    georgia = datasets.load("georgia", task="scored2021")
    assert scored_2021(georgia) is georgia and georgia.classes == scored.classes
    with pytest.raises(ValueError, match="scored2021"):
        scored_2021(datasets.load("georgia", task="all"))
    with pytest.raises(ValueError, match="sph has no labels of the Challenge"):
        scored_2021(replace(data, name="sph", meta=data.meta.drop(columns="scp_codes")))
    with pytest.raises(ValueError, match="same classes"):
        pooled([data, georgia])


@pytest.mark.parametrize("name", ["light_resnet18", "light_explanations", "light_resnet18_sources"])
def test_the_sweeps_are_the_protocol_of_the_thesis(name: str) -> None:
    for run in read_sweep(SWEEPS / f"{name}.yaml"):
        config = ThesisSettings.of(run)
        assert (config.batch_size, config.weight_decay, config.metadata) == (256, 1e-5, True)  # Table 3.1
        assert config.lr == 0.003 or name == "light_explanations"
        assert (run.protocol == "paper") == (config.epochs == 30 and config.rate_hz == 250)
