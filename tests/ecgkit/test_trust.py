"""The scores by which a filter judges samples, each against another way to get it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgkit.explain import feature_cam_plus, integrated_gradients, upsample
from ecgkit.models.heads import AveragePool, Classifier
from ecgkit.training import Scaler, selection
from ecgkit.training.data import DeviceData
from ecgkit.training.selection import (
    SAMPLE_SCORES,
    SampleScore,
    SelectionConfig,
    focus_score,
    reliability,
    scale,
)
from ecgkit.training.selection.reliability import History, sample_statistics
from ecgkit.training.selection.sample_scores import IG_STEPS, Judged, self_influence

N, K, EPOCHS = 24, 3, 5
EVERY_SCORE = pytest.mark.parametrize("by", SAMPLE_SCORES)
MAPS = {"focus", "focus_grad_cam_plus", "focus_integrated_gradients", "map_gini", "map_entropy"}


def network(seed: int = 0, dropout: float = 0.5) -> Classifier:
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv1d(12, 12, 5, padding=2), nn.BatchNorm1d(12), nn.ReLU())
    head = nn.Sequential(AveragePool(), nn.Linear(12, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, K))
    return Classifier(body, head)


def said(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of several epochs, (E, N, K), and the classes, (N,)."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(EPOCHS, N, K, generator=generator), torch.arange(N) % K


def judged(n: int = N, logits: Tensor | None = None, model: Classifier | None = None) -> Judged:
    """Samples of which the network has said `logits`, of one or several epochs."""
    every, truth = said()
    every = every if logits is None else logits
    labels = F.one_hot(truth, K).float()
    history = History.empty(N)
    for epoch in every:
        history.add(torch.arange(N), sample_statistics(epoch, labels, "single"))
    model = model or network()
    x = torch.randn(N, 12, 50, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = model.eval().body(x)[:n]
    rows = torch.arange(n)
    return Judged(model, x[:n], labels[:n], features, every[-1].softmax(1)[:n], history[rows])


def test_every_score_is_compared_below() -> None:
    dynamics = {"el2n", "mean_confidence", "aum", "forgetting", "self_influence"}
    assert set(SAMPLE_SCORES) == MAPS | dynamics
    assert {by for by in SAMPLE_SCORES if SampleScore(by).draws_maps} == MAPS


@EVERY_SCORE
@pytest.mark.parametrize("n", [0, 1, N])
def test_one_finite_number_per_sample(by: str, n: int) -> None:
    values = SampleScore(by)(judged(n))
    assert values.shape == (n,) and values.dtype == torch.float32 and values.isfinite().all()
    assert not values.requires_grad


@EVERY_SCORE
def test_a_sample_is_judged_by_itself(by: str) -> None:
    torch.testing.assert_close(SampleScore(by)(judged())[:7], SampleScore(by)(judged(7)))


def test_dynamics_equal_those_of_the_whole_record() -> None:
    logits, truth = said()
    given, y = judged(), truth.numpy()
    np.testing.assert_allclose(SampleScore("aum")(given), reliability.area_under_margin(logits, y), rtol=1e-4)
    np.testing.assert_array_equal(
        -SampleScore("forgetting")(given),
        np.where(
            reliability.forgetting_events(logits, y) == EPOCHS,
            EPOCHS + 1,
            reliability.forgetting_events(logits, y),
        ),
    )
    np.testing.assert_allclose(
        SampleScore("mean_confidence")(given), reliability.cartography(logits, y).confidence, rtol=1e-4
    )
    np.testing.assert_allclose(-SampleScore("el2n")(given), reliability.el2n(logits[-1:], y), rtol=1e-4)


def test_maps_equal_those_of_the_explanations() -> None:
    given, model = judged(), judged().model
    plus = focus_score(scale(upsample(feature_cam_plus(model.head, given.features), 50)), 0.5)
    torch.testing.assert_close(SampleScore("focus_grad_cam_plus", q=0.5)(given), plus)
    attribution = integrated_gradients(model, given.x, steps=IG_STEPS).abs().sum(1)
    torch.testing.assert_close(
        SampleScore("focus_integrated_gradients")(given), focus_score(scale(attribution))
    )
    assert not torch.allclose(SampleScore("focus", 0.5)(given), SampleScore("focus", 0.95)(given))


def test_self_influence_equals_the_gradient_of_each_sample() -> None:
    model = network().eval()
    logits = model(judged(model=model).x).detach()
    given = judged(logits=logits[None], model=model)
    last = model.head[-1]
    for i, value in enumerate(-SampleScore("self_influence")(given)):
        loss = F.cross_entropy(model(given.x[i : i + 1]), given.labels[i : i + 1])
        gradient = torch.autograd.grad(loss, [last.weight, last.bias])
        torch.testing.assert_close(value, sum(g.square().sum() for g in gradient))
    with pytest.raises(ValueError, match="no linear layer"):
        self_influence(nn.Flatten(), given.features, given.labels)


def test_unknown_scores_and_quantiles_are_errors() -> None:
    for settings in ({"by": "magic"}, {"by": "focus", "q": 0.0}, {"by": "focus", "q": 1.0}):
        with pytest.raises(ValueError, match=r"there are|choose"):
            SampleScore(**settings)


# In a training ------------------------------------------------------------------------------------------


def toy(wrong: int = 0, n: int = 60) -> DeviceData:
    """The class is the lead with the largest signal; the first `wrong` samples carry another label."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(n) % K
    signals = 300 * torch.randn(n, 12, 40, generator=generator)
    signals[torch.arange(n), truth] *= 4
    labels = torch.where(torch.arange(n) < wrong, (truth + 1) % K, truth)
    return DeviceData(signals.short(), F.one_hot(labels, K).float(), None, 0.001, 20)


def train(name: str, config: SelectionConfig, data: DeviceData, **settings):
    decisions: list[selection.Decision] = []
    done = selection.train_with_selection(
        network(dropout=0.0),
        data,
        toy(),
        Scaler(0.0, 0.3),
        config,
        selection.create(name, **settings),
        0,
        on_select=decisions.append,
    )
    return done, decisions


@EVERY_SCORE
@pytest.mark.parametrize("granularity", ["batch", "epoch", "stale"])
def test_a_filter_by_any_score_trains(by: str, granularity: str) -> None:
    config = SelectionConfig(
        epochs=4, batch_size=8, window_s=1.0, lr=0.01, granularity=granularity, rescore_every=2
    )
    done, _ = train("filtered_dbpd", config, toy(), tau=1.0, phi=0.8, by=by)
    count = done.count
    assert count.filtered > 0 and (count.maps > 0) == (by in MAPS)
    if granularity == "batch":
        judged_in_all = count.filtered + count.skipped + count.backprop - 60  # the revision judges none
        assert count.scored == 3 * 60 + SampleScore(by).passes * judged_in_all
        assert SampleScore(by).passes == (3 * IG_STEPS if by == "focus_integrated_gradients" else 0)


@pytest.mark.parametrize("by", ["mean_confidence", "aum", "self_influence"])
def test_wrong_labels_are_what_a_filter_by_dynamics_removes(by: str) -> None:
    wrong = 6
    config = SelectionConfig(epochs=20, batch_size=20, window_s=2.0, lr=0.02)
    _, decisions = train("filtered_dbpd", config, toy(wrong), tau=1.0, phi=0.9, by=by)
    removed = torch.cat([d.rows[d.candidates & ~d.kept] for d in decisions[-3:]])  # the last epoch's
    # two of 20 go in each batch, so a batch with three wrong ones keeps one; chance would find 0.1
    assert len(removed) == 6 and (removed < wrong).float().mean() >= 0.6
