"""Selection methods: one contract for all, brute force for each, and whole trainings against plain loops."""

from dataclasses import replace
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor, nn
from torch.nn import functional as F

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.code_systems import MELEP_LABELS
from ecgkit.datasets.derived import RARE_FIRST, TIE_ORDER, primary_classes, single_label
from ecgkit.evaluation import single_label_accuracy, single_label_f1
from ecgkit.models.heads import AveragePool, Classifier, ConcatPool, classification_head
from ecgkit.training import DeviceData, Scaler, predict
from ecgkit.training.loop import batches, epoch_seed
from ecgkit.training.selection import (
    Decision,
    Scores,
    SelectionConfig,
    create,
    focus_score,
    names,
    sample_statistics,
    scale,
    srd_effective_epochs,
    train_with_selection,
)
from ecgkit.training.selection.steps import ScoreTable

N, SIZE = 42, 8
SCALER = Scaler(0.0, 0.3)
CONFIG = SelectionConfig(epochs=4, batch_size=SIZE, window_s=1.0, lr=0.01)
EVERY_METHOD = pytest.mark.parametrize("name", names())
GRANULARITIES = ("batch", "rebatch", "epoch", "stale")

# How many of 100 samples each method keeps in epoch 3 with the scores of `scores()`, worked out by hand.
# Confidence and focus are 0.005, 0.015, ..., 0.995; sample i is right where i >= 40; the loss falls with i.
KEPT = {
    "full_data": 100,
    "random_share": 20,
    "hardest": 20,
    "mistakes": 40,
    "uncertain": 20,
    "self_paced": 50,  # 0.3 + 2 x 0.1
    "dbpd": 70,
    "smrd": 70,
    "srd": 90,  # int(100 * 0.95 ** 2)
    "erts_dbpd": 0,  # the candidates are 0 ... 69 and the focus must be at least 0.70
    "erts_smrd": None,  # the draw decides
    "erts_srd": None,
    "control_dbpd": 0,
    "control_smrd": None,
    "control_srd": None,
    "filtered_dbpd": 49,  # round(0.7 * 70)
    "filtered_smrd": 49,
    "filtered_srd": 63,
}


def scores(size: int = 100, epoch: int = 3, seed: int = 0, low: float = 0.005, high: float = 0.995) -> Scores:
    confidence = torch.linspace(low, high, size) if size > 1 else torch.full((size,), low)
    focus = torch.linspace(0.005, 0.995, size)
    return Scores(
        size,
        epoch,
        torch.Generator().manual_seed(seed),
        confidence=confidence,
        loss=1 - confidence,
        correct=torch.arange(size) >= 0.4 * size,
        certainty=(2 * confidence - 1).abs(),
        score=lambda candidates: focus[candidates],
    )


def test_every_method_is_tested() -> None:
    assert set(KEPT) == set(names())


@EVERY_METHOD
def test_number_kept(name: str) -> None:
    mask = create(name)(scores())
    assert mask.dtype == torch.bool and mask.shape == (100,)
    if KEPT[name] is not None:
        assert int(mask.sum()) == KEPT[name]


@EVERY_METHOD
@pytest.mark.parametrize("size", [0, 1, 2, 64])
@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (0.0, 0.0), (0.0, 1.0)])
def test_batches_of_any_size_all_easy_all_hard(name: str, size: int, low: float, high: float) -> None:
    selector = create(name)
    mask = selector(scores(size, low=low, high=high))
    assert mask.shape == (size,)
    base = name.split("_", 1)[1] if selector.score is not None else name
    if base in ("dbpd", "smrd") and low == high == 1.0:
        assert not mask.any()
    if name in ("dbpd", "smrd", "full_data") and low == high == 0.0:
        assert mask.all()


@EVERY_METHOD
def test_same_seed_same_choice(name: str) -> None:
    selector = create(name)
    assert torch.equal(selector(scores(seed=1)), selector(scores(seed=1)))
    random = any(word in name for word in ("random", "smrd", "srd"))
    assert torch.equal(selector(scores(seed=1)), selector(scores(seed=2))) != random


@pytest.mark.parametrize("tau", [0.3, 0.5, 0.7])
def test_dbpd_equals_a_loop(tau: float) -> None:
    given = scores()
    assert create("dbpd", tau=tau)(given).tolist() == [float(p) < tau for p in given.confidence]


@pytest.mark.parametrize("base", ["dbpd", "smrd", "srd"])
@pytest.mark.parametrize("phi", [0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("rule", ["threshold", "share"])
def test_erts_equals_a_loop_and_its_control_keeps_as_many(base: str, phi: float, rule: str) -> None:
    candidates = create(base)(scores()).nonzero()[:, 0].tolist()
    focus = torch.linspace(0.005, 0.995, 100)
    if rule == "threshold":
        expected = [i for i in candidates if float(focus[i]) >= phi]
    else:
        expected = sorted(sorted(candidates, key=lambda i: -float(focus[i]))[: round(phi * len(candidates))])
    kept = create(f"erts_{base}", phi=phi, rule=rule)(scores())
    assert kept.nonzero()[:, 0].tolist() == expected
    control = create(f"control_{base}", phi=phi, rule=rule)(scores())
    assert int(control.sum()) == len(expected)
    assert set(control.nonzero()[:, 0].tolist()) <= set(candidates)


def test_the_two_rules_run_in_opposite_directions() -> None:
    """Eq. (5) removes more the higher phi is; the paper's tables say the opposite."""
    kept = {
        rule: [int(create("erts_dbpd", phi=phi, rule=rule)(scores()).sum()) for phi in (0.3, 0.5, 0.6)]
        for rule in ("threshold", "share")
    }
    assert kept == {"threshold": [40, 20, 10], "share": [21, 35, 42]}


@pytest.mark.parametrize(("epoch", "wanted"), [(1, 20), (4, 65), (9, 100)])  # 20 % and 15 % more each time
def test_curriculum_and_active_learning_equal_a_loop(epoch: int, wanted: int) -> None:
    given = scores(epoch=epoch)
    easiest = sorted(sorted(range(100), key=lambda i: float(given.loss[i]))[:wanted])
    assert create("self_paced", start=0.2, step=0.15)(given).nonzero()[:, 0].tolist() == easiest
    least = sorted(range(100), key=lambda i: float(given.certainty[i]))[:30]
    assert create("uncertain", share=0.3)(given).nonzero()[:, 0].tolist() == sorted(least)


def test_a_share_of_100_samples_is_its_percent() -> None:
    """0.29 * 100 is a little less than 29 in floating point."""
    for percent in range(1, 101):
        share, given = percent / 100, scores(epoch=1)
        for name in ("random_share", "hardest", "uncertain"):
            assert int(create(name, share=share)(given).sum()) == percent
        assert int(create("self_paced", start=share)(given).sum()) == percent
        assert int(create("srd", gamma=share)(replace(given, epoch=2)).sum()) == percent


def test_a_confidence_that_is_not_known_is_not_easy() -> None:
    given = replace(scores(4), confidence=torch.tensor([0.9, torch.nan, 0.1, torch.nan]))
    assert create("dbpd")(given).tolist() == [False, True, True, True]
    assert int(create("smrd")(given).sum()) == 3


def test_erts_keeps_at_least_one_candidate_by_share() -> None:
    assert int(create("erts_dbpd", phi=0.01, rule="share")(scores(2, high=0.1)).sum()) == 1


def test_a_method_that_is_unknown_or_set_wrongly_is_an_error() -> None:
    for call in (
        lambda: create("magic"),
        lambda: create("dbpd", phi=0.5),
        lambda: create("srd", gamma=1.5),
        lambda: create("erts_srd", rule="both"),
        lambda: create("erts_srd", by="aum"),
        lambda: create("filtered_srd", by="magic"),
        lambda: create("filtered_srd", by="focus", q=1.0),
        lambda: create("self_paced", step=0.0),
    ):
        with pytest.raises(ValueError, match=r"there are|has no setting|choose|wanted"):
            call()
    with pytest.raises(ValueError, match="needs the focus"):
        create("erts_srd")(Scores(3, 1, torch.Generator()))


# The focus score ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 8, 9, 10, 11, 250, 1000])
@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_focus_equals_numpy(length: int, q: float) -> None:
    cam = torch.rand(20, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = [a[a >= np.quantile(a, q)].mean() for a in cam.numpy()]
    np.testing.assert_allclose(focus_score(cam, q), expected, rtol=1e-12)


def test_focus_at_the_edges() -> None:
    assert focus_score(torch.zeros(2, 50)).tolist() == [0, 0]
    assert focus_score(torch.full((1, 50), 0.25)).tolist() == [0.25]
    assert focus_score(scale(torch.full((1, 50), 0.25))).tolist() == [1]  # flat scores highest
    spike = torch.zeros(1, 100)
    spike[0, 3] = 1
    assert float(focus_score(spike)) == pytest.approx(0.01)  # one position: Q90 = 0, so everything counts
    assert focus_score(spike[:, :8]).item() == 1  # in a short map Q90 lies between 0 and the peak
    assert focus_score(torch.tensor([[0.5]])).tolist() == [0.5]
    assert focus_score(torch.zeros(0, 10)).shape == (0,)
    for cam in ([[0.5]], np.array([[0.5]]), torch.zeros(2, 0), torch.ones(2, 3) * 1j):
        with pytest.raises(ValueError, match="cam is"):
            scale(cam)
        with pytest.raises(ValueError, match="cam is"):
            focus_score(cam)
    for gamma, epochs in ((0.9, 1.5), ("a", 2), (2, 2)):
        with pytest.raises(ValueError, match="gamma is"):
            srd_effective_epochs(gamma, epochs)
    for cam, q in ((torch.zeros(3), 0.9), (torch.zeros(1, 0), 0.9), (torch.ones(1, 3), 1.0)):
        with pytest.raises(ValueError, match=r"wanted|choose"):
            focus_score(cam, q)
    with pytest.raises(ValueError, match="scale the maps"):
        focus_score(torch.tensor([[0.0, 3.0]]))


# Confidence, metrics, primary classes ------------------------------------------------------------------


def test_confidence_equals_torch() -> None:
    logits = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    classes = torch.arange(30) % 4
    one = sample_statistics(logits, F.one_hot(classes, 4).float(), "single")
    torch.testing.assert_close(one.confidence, logits.softmax(1)[torch.arange(30), classes])
    torch.testing.assert_close(one.loss, F.cross_entropy(logits, classes, reduction="none"))
    assert torch.equal(one.correct, logits.argmax(1) == classes)
    labels = (torch.rand(30, 4, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    many = sample_statistics(logits, labels, "multi")
    p = logits.sigmoid()
    torch.testing.assert_close(many.confidence, torch.where(labels == 1, p, 1 - p).amin(1))
    torch.testing.assert_close(many.loss, F.binary_cross_entropy(p, labels, reduction="none").mean(1))
    assert torch.equal(many.correct, ((p > 0.5) == (labels == 1)).all(1))


def test_single_label_metrics_equal_those_of_class_numbers() -> None:
    rng = np.random.default_rng(0)
    truth, score = rng.integers(0, 5, 200), rng.random((200, 5))
    one_hot = np.eye(5, dtype=np.uint8)[truth]
    assert single_label_f1(one_hot, score) == pytest.approx(f1_score(truth, score.argmax(1), average="macro"))
    assert single_label_accuracy(one_hot, score) == pytest.approx(accuracy_score(truth, score.argmax(1)))
    with pytest.raises(ValueError, match="exactly one 1"):
        single_label_f1(np.ones((3, 2)), np.ones((3, 2)))
    score[7, 2] = np.nan
    for metric in (single_label_f1, single_label_accuracy):
        with pytest.raises(ValueError, match="1 NaN, the first for record 7, class 2"):
            metric(one_hot, score)


def test_primary_classes() -> None:
    classes = ("CD", "HYP", "MI", "NORM", "STTC")
    codes = ['{"NORM": 100, "IMI": 100}', '{"IMI": 15, "LVH": 50, "SR": 0}', '{"CLBBB": 0, "NDT": 0}']
    labels = np.array([[0, 0, 1, 1, 0], [0, 1, 1, 0, 0], [1, 0, 0, 0, 1]], np.uint8)
    meta = pd.DataFrame({"record_id": range(3), "patient": 1, "fold": 1, "age": 1.0, "sex": "male"})
    signals = np.zeros((3, 12, 10), np.int16)
    dataset = ECGDataset("x", "1", "superdiagnostic", 100, signals, 1.0, labels, classes, meta)
    with_codes = replace(dataset, meta=meta.assign(scp_codes=codes))
    assert [classes[k] for k in primary_classes(with_codes)] == ["MI", "HYP", "STTC"]
    assert [classes[k] for k in primary_classes(dataset)] == ["MI", "HYP", "CD"]  # no likelihoods
    assert single_label(with_codes).labels.sum(axis=1).tolist() == [1, 1, 1]
    assert set(TIE_ORDER) == set(classes)
    with pytest.raises(ValueError, match="no superdiagnostic label"):
        primary_classes(replace(dataset, labels=np.zeros_like(labels)))
    some = single_label(replace(with_codes, labels=labels * np.array([[1], [0], [1]], np.uint8)))
    assert some.meta["record_id"].tolist() == [0, 2]  # a record without a class cannot have one label


def test_the_rarest_class_is_primary_where_there_is_no_likelihood() -> None:
    from ecgkit.datasets.labels_challenge import published_counts

    for name, order in RARE_FIRST.items():
        counts = published_counts()[name]
        codes = MELEP_LABELS[name]
        assert order[-1] == "NORM" and set(order) == set(codes)
        rare_first = sorted(set(codes) - {"NORM"}, key=lambda label: counts[codes[label]])
        assert list(order[:-1]) == rare_first
    classes = tuple(MELEP_LABELS["cpsc2018"])
    labels = np.array([[c in ("NORM", "STE") for c in classes], [c in ("AF", "RBBB") for c in classes]])
    meta = pd.DataFrame({"record_id": range(2), "patient": 1, "fold": 1, "age": 1.0, "sex": "male"})
    dataset = ECGDataset(
        "cpsc2018", "1", "cpsc9", 100, np.zeros((2, 12, 9), np.int16), 1.0, labels, classes, meta
    )
    assert [classes[k] for k in primary_classes(dataset)] == ["STE", "AF"]


@pytest.mark.real_data
def test_primary_classes_of_ptbxl_are_labels_of_the_record(real_data) -> None:
    from ecgkit import datasets

    dataset = datasets.load("ptbxl", task="superdiagnostic").labelled()
    primary = primary_classes(dataset)
    assert dataset.labels[np.arange(len(primary)), primary].all()
    alone = dataset.labels.sum(axis=1) == 1
    assert np.array_equal(primary[alone], dataset.labels[alone].argmax(axis=1))


# Whole trainings ---------------------------------------------------------------------------------------


@cache
def toy(seed: int = 0, n: int = N, classes: int = 3) -> DeviceData:
    """The class is the lead with the largest signal."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(n) % classes
    signals = 300 * torch.randn(n, 12, 40, generator=generator)
    signals[torch.arange(n), truth] *= 3
    return DeviceData(signals.short(), F.one_hot(truth, classes).float(), None, 0.001, 20)


def tiny(classes: int = 3) -> Classifier:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv1d(12, 6, 5, padding=2), nn.BatchNorm1d(6), nn.ReLU())
    return Classifier(body, nn.Sequential(AveragePool(), nn.Linear(6, classes)))


def train(name: str, config: SelectionConfig = CONFIG, seed: int = 3, settings=None, **options):
    model = tiny()
    selector = create(name, **(settings or {}))
    done = train_with_selection(model, toy(), toy(seed=1), SCALER, config, selector, seed, **options)
    return model, done


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@EVERY_METHOD
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_no_update_is_empty_and_the_counts_add_up(name: str, granularity: str) -> None:
    sizes: list[int] = []

    def watched(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        if torch.is_grad_enabled() and module.training and inputs[0].ndim == 3:
            sizes.append(len(inputs[0]))

    model = tiny()
    model.body.register_forward_hook(watched)
    config = replace(CONFIG, granularity=granularity, rescore_every=2)
    decisions: list[Decision] = []
    selector = create(name)
    done = train_with_selection(
        model, toy(), toy(seed=1), SCALER, config, selector, 0, on_select=decisions.append
    )
    count = done.count
    assert sizes and min(sizes) >= 2
    assert count.backprop == sum(sizes) and count.updates == len(sizes)
    assert count.offered == count.dropped + count.filtered + count.skipped + count.backprop == 4 * N
    assert sum(int((~d.candidates).sum()) for d in decisions) == count.dropped
    assert sum(int((d.candidates & ~d.kept).sum()) for d in decisions) == count.filtered
    assert not any((d.kept & ~d.candidates).any() for d in decisions)
    for entry in done.curve:
        parts = ("dropped", "filtered", "skipped", "backprop")
        assert entry["offered"] == N == sum(entry[part] for part in parts)
    assert done.curve[-1]["backprop"] == N  # the revision
    assert done.curve[-1]["scored"] == 0
    assert (count.maps > 0) == (selector.score is not None and selector.score.draws_maps)
    if not selector.needs_scores and selector.score is None:
        assert count.scored == 0


# Every method is stopped once; one of each kind also later, and at every granularity.
STOPS = {(name, "batch", 1) for name in names()}
STOPS |= set(product(["erts_dbpd", "control_srd", "smrd"], GRANULARITIES, [1, 3]))


@pytest.mark.parametrize(("name", "granularity", "stop_after"), sorted(STOPS))
def test_same_seed_same_numbers_also_after_a_stop(name, granularity, stop_after, tmp_path) -> None:
    class Killed(Exception):
        pass

    def kill(entry: dict[str, float]) -> None:
        if entry["epoch"] == stop_after:
            raise Killed

    config = replace(CONFIG, granularity=granularity, rescore_every=2)
    torch.manual_seed(7)
    model, done = train(name, config)
    with pytest.raises(Killed):
        train(name, config, checkpoint=tmp_path / "c.pt", on_epoch=kill)
    resumed, after = train(name, config, checkpoint=tmp_path / "c.pt")
    assert after.curve == done.curve and after.count == done.count
    assert torch.equal(weights(model), weights(resumed))


def test_global_random_state_is_left_alone() -> None:
    model = tiny()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train_with_selection(model, toy(), toy(seed=1), SCALER, CONFIG, create("smrd"), 1)
    assert torch.equal(torch.get_rng_state(), before)


def plain_loop(tau: float | None) -> tuple[nn.Module, int]:
    """DBPD inside mini-batches as the simplest code one can write; tau None trains on everything."""
    model, data, used = tiny(), toy(), 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    targets = data.labels.argmax(1)
    for epoch in range(1, 5):
        optimizer.param_groups[0]["lr"] = 0.01 * 0.98 ** (epoch - 1)
        generator = torch.Generator().manual_seed(epoch_seed(3, epoch))
        model.train()
        for rows in torch.randperm(N, generator=generator).split(SIZE):
            x = []
            draws = torch.rand(len(rows), generator=generator, dtype=torch.float64)
            for row, draw in zip(rows, draws, strict=True):
                start = int(draw * 21)
                x.append(data.signals[row, :, start : start + 20].float() * 0.001 / 0.3)
            kept = list(range(len(rows)))
            if tau is not None and epoch < 4:
                with torch.no_grad():
                    p = model(torch.stack(x)).softmax(1)
                kept = [i for i in kept if float(p[i, targets[rows[i]]]) < tau]
            if len(kept) >= 2:
                optimizer.zero_grad()
                F.cross_entropy(model(torch.stack([x[i] for i in kept])), targets[rows[kept]]).backward()
                optimizer.step()
                used += len(kept)
    return model, used


@pytest.mark.parametrize("tau", [None, 0.4, 0.5])
def test_dbpd_and_full_data_equal_a_plain_loop(tau: float | None) -> None:
    expected, used = plain_loop(tau)
    model, done = train("full_data") if tau is None else train("dbpd", settings={"tau": tau})
    assert done.count.backprop == used
    assert tau is None or used < 4 * N
    torch.testing.assert_close(weights(model), weights(expected), rtol=1e-4, atol=1e-6)


def test_all_hard_is_full_data_and_all_easy_is_the_revision_alone() -> None:
    everything, _ = train("full_data")
    hard, done = train("dbpd", settings={"tau": 1.0})
    assert torch.equal(weights(everything), weights(hard))
    assert done.count.scored == 3 * N
    _, easy = train("dbpd", settings={"tau": 1e-9})
    assert easy.count.backprop == N and easy.count.dropped == 3 * N
    assert ["train_loss" in entry for entry in easy.curve] == [False, False, False, True]


def test_srd_totals_equal_the_closed_form_but_for_rounding() -> None:
    gamma, epochs = 0.9, 12
    config = replace(CONFIG, epochs=epochs, validate_every=epochs)
    _, done = train("srd", config, settings={"gamma": gamma})
    sizes = [len(rows) for rows in batches(torch.arange(N), SIZE)]
    exact = sum(int(gamma**e * size) for e in range(epochs - 1) for size in sizes) + N
    assert done.count.backprop + done.count.skipped == exact
    lost = srd_effective_epochs(gamma, epochs) * N - exact  # each batch of each epoch is rounded down
    assert 0 <= lost <= (epochs - 1) * len(sizes)
    assert done.count.scored == 0
    by_sum = [sum(g**e for e in range(99)) + 1 for g in (0.95, 0.98, 0.99)]
    assert [srd_effective_epochs(g) for g in (0.95, 0.98, 0.99)] == pytest.approx(by_sum)
    assert [round(value, 1) for value in by_sum] == [20.9, 44.2, 64.0]
    assert srd_effective_epochs(1.0, 7) == 7
    with pytest.raises(ValueError, match="choose gamma"):
        srd_effective_epochs(1.1)


@pytest.mark.parametrize("granularity", ["rebatch", "epoch", "stale"])
def test_rebatched_updates_are_full_but_for_the_last(granularity: str) -> None:
    config = replace(CONFIG, granularity=granularity, revision_epochs=0)
    _, done = train("hardest", config, settings={"share": 0.5})
    for entry in done.curve:
        kept = entry["backprop"] + entry["skipped"]
        assert entry["updates"] in (kept // SIZE, -(-kept // SIZE))


def test_forward_passes_for_selection() -> None:
    scored = {
        (name, granularity): [
            entry["scored"]
            for entry in train(name, replace(CONFIG, granularity=granularity, rescore_every=2))[1].curve
        ]
        for name in ("dbpd", "srd", "erts_srd")
        for granularity in GRANULARITIES
    }
    for granularity in ("batch", "rebatch", "epoch"):
        assert scored["dbpd", granularity] == [N, N, N, 0]
        assert scored["srd", granularity] == [0, 0, 0, 0]
    assert scored["dbpd", "stale"] == [0, 0, N, 0]
    assert scored["erts_srd", "stale"] == [0, 0, N, 0]
    assert scored["erts_srd", "epoch"] == [int(0.95**e * N) for e in range(3)] + [0]  # candidates alone


def test_stale_scores_are_those_of_the_last_visit() -> None:
    config = replace(CONFIG, granularity="stale", rescore_every=100, epochs=3)
    seen: list[Decision] = []
    train("dbpd", config, settings={"tau": 0.5}, on_select=seen.append)
    first, second = seen
    assert first.kept.all() and (first.confidence == 0).all()
    assert (second.confidence > 0).all() and torch.equal(second.kept, second.confidence < 0.5)
    table = ScoreTable(3)
    assert table.last.loss.isinf().all() and table.score.isinf().all() and not table.last.correct.any()


def test_scores_of_an_epoch_are_those_of_the_model_as_it_stands() -> None:
    config = replace(CONFIG, granularity="epoch", epochs=2, window_s=2.0)
    seen: list[Decision] = []
    train("erts_dbpd", config, settings={"tau": 1.0, "phi": 0.1}, on_select=seen.append)
    model, data = tiny().eval(), toy()
    from ecgkit.explain import grad_cam

    x = SCALER(data.signals, data.mv_per_unit)
    p = (model(x).softmax(1) * data.labels).sum(1)
    torch.testing.assert_close(seen[0].confidence, p.detach())
    torch.testing.assert_close(seen[0].score, focus_score(scale(grad_cam(model, x))), rtol=1e-4, atol=1e-5)


def test_it_learns_and_multi_label_training_works() -> None:
    config = replace(CONFIG, epochs=25, lr=0.02)
    for labels, name in (("single", "validation_single_label_f1"), ("multi", "validation_macro_auc")):
        _, done = train("dbpd", replace(config, labels=labels), settings={"tau": 0.9})
        assert done.curve[-1][name] > 0.8 > done.curve[0]["train_loss"] / 10
        assert done.count.backprop < 25 * N


def test_softmax_predictions_add_up_to_one() -> None:
    model = tiny().eval()
    found = predict(model, toy(), SCALER, 2.0, activation="softmax")
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    x = SCALER(toy().signals, 0.001)
    np.testing.assert_allclose(found, model(x).softmax(1).detach(), rtol=1e-4)


def test_a_head_with_normalisation_never_sees_one_sample() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv1d(12, 6, 5), nn.ReLU())
    model = Classifier(body, classification_head(ConcatPool(), 12, 3, hidden=8))
    config = replace(CONFIG, batch_size=2)
    done = train_with_selection(model, toy(), toy(seed=1), SCALER, config, create("srd", gamma=0.6), 0)
    assert done.count.skipped > 0


def test_a_training_that_diverges_or_trains_on_nothing_is_an_error() -> None:
    def go(name: str, data: DeviceData = toy(), scaler: Scaler = SCALER, config=CONFIG, **settings) -> None:  # noqa: B008
        train_with_selection(tiny(), data, data, scaler, config, create(name, **settings), 0)

    for name in ("full_data", "dbpd", "erts_dbpd"):
        with pytest.raises(FloatingPointError, match="lower the learning rate, lr"):
            go(name, scaler=Scaler(0.0, 1e-42))
    with pytest.raises(FloatingPointError, match="lower the learning rate, lr"):
        go("full_data", config=replace(CONFIG, lr=1e3))
    unrevised = replace(CONFIG, revision_epochs=0)
    for name, settings in (("dbpd", {"tau": 1e-9}), ("hardest", {"share": 0.2})):
        with pytest.raises(ValueError, match="none of the 42 training records went into a step in 4 epochs"):
            go(name, config=unrevised, **settings)
    two_labels, soft = (
        replace(toy(), labels=toy().labels * share + other) for share, other in ((0, 1), (0.5, 0))
    )
    for labels in (two_labels, soft):
        with pytest.raises(ValueError, match="exactly one label"):
            go("full_data", labels)
    with pytest.raises(ValueError, match="no body and head"):
        train_with_selection(nn.Linear(2, 2), toy(), toy(), SCALER, CONFIG, create("full_data"), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"epochs": True},
        {"revision_epochs": 9},
        {"revision_epochs": -1},
        {"labels": "x"},
        {"granularity": "x"},
        {"window_s": 0},
        {"batch_size": 1},
        {"lr": float("nan")},
        {"lr_decay": 0.0},
        {"weight_decay": -0.1},
    ],
)
def test_settings_that_make_no_sense_are_errors(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        replace(CONFIG, **bad)


def test_selection_goes_on_from_no_other_methods_checkpoint(tmp_path) -> None:
    train("dbpd", checkpoint=tmp_path / "c.pt")
    with pytest.warns(UserWarning, match=r"belongs to another training \(settings\)"):
        model, done = train("srd", checkpoint=tmp_path / "c.pt")
    fresh, expected = train("srd")
    assert done.curve == expected.curve and torch.equal(weights(model), weights(fresh))


def test_focus_of_the_epoch_asks_no_order() -> None:
    """Kept samples of the share rule are those with the highest focus, whatever their order."""
    kept = create("erts_dbpd", tau=1.0, phi=0.5, rule="share")(scores(10))
    focus = torch.linspace(0.005, 0.995, 10)
    assert all(a <= b for a, b in pairwise(focus[kept].tolist()))
    assert float(focus[kept].min()) > float(focus[~kept].max())


@pytest.mark.parametrize("sheet", ["erts_ptbxl", "erts_tables"])
def test_every_run_of_the_sweeps_is_one_that_can_be_made(sheet: str) -> None:
    from ecgbook.experiments.selected import selection_settings
    from ecgbook.runs.grids import read_sweep
    from ecgkit import models

    runs = read_sweep(Path(__file__).parents[2] / "sweeps" / f"{sheet}.yaml")
    assert {run.seed for run in runs} >= {0, 1, 2}
    for run in runs:
        config, selector, options = selection_settings(run)
        assert config.epochs == run.params["epochs"] and run.model in models.names()
        assert set(options) <= {"width", "ndim"}
        assert (selector.score is not None) == run.method.startswith(("erts", "control", "filtered"))
