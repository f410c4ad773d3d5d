"""Scores of training samples against plain loops, and of explanation maps against other formulas."""

from itertools import pairwise

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from ecgkit import models
from ecgkit.explain import (
    feature_cam,
    feature_cam_plus,
    gini,
    integrated_gradients,
    map_entropy,
    peak_inside,
    share_inside,
)
from ecgkit.models.heads import AveragePool, ConcatPool, classification_head
from ecgkit.training.selection import (
    area_under_margin,
    cartography,
    dynamics,
    el2n,
    forgetting_events,
    reliability,
    sample_loss,
)

EPOCHS, SAMPLES, CLASSES = 7, 23, 4


@pytest.fixture(scope="module")
def recorded() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return 2 * rng.standard_normal((EPOCHS, SAMPLES, CLASSES)), rng.integers(0, CLASSES, SAMPLES)


def probabilities(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def test_all_scores_equal_a_plain_loop(recorded) -> None:
    logits, truth = recorded
    place = cartography(logits, truth)
    for i, y in enumerate(truth):
        p = [probabilities(logits[e, i]) for e in range(EPOCHS)]
        right = [int(q.argmax()) == y for q in p]
        margin = [logits[e, i, y] - max(np.delete(logits[e, i], y)) for e in range(EPOCHS)]
        error = [np.sqrt(sum((q[k] - (k == y)) ** 2 for k in range(CLASSES))) for q in p]
        mean = sum(q[y] for q in p) / EPOCHS
        events = sum(a and not b for a, b in pairwise(right)) if any(right) else EPOCHS
        assert forgetting_events(logits, truth)[i] == events
        assert area_under_margin(logits, truth)[i] == pytest.approx(np.mean(margin))
        assert el2n(logits, truth)[i] == pytest.approx(np.mean(error))
        assert sample_loss(logits, truth)[:, i] == pytest.approx([-np.log(q[y]) for q in p])
        assert place.confidence[i] == pytest.approx(mean)
        assert place.variability[i] == pytest.approx(np.sqrt(np.mean([(q[y] - mean) ** 2 for q in p])))
        assert place.correctness[i] == pytest.approx(sum(right) / EPOCHS)


def test_known_cases() -> None:
    """A sample learnt at once, one forgotten twice, one never learnt."""
    right, wrong = [9.0, 0.0], [0.0, 9.0]
    logits = np.array(
        [[right, right, wrong], [right, wrong, wrong], [right] * 2 + [wrong], [right, wrong, wrong]]
    )
    truth = np.zeros(3, int)
    assert forgetting_events(logits, truth).tolist() == [0, 2, 4]
    assert area_under_margin(logits, truth).tolist() == [9, 0, -9]
    assert cartography(logits, truth).correctness.tolist() == [1, 0.5, 0]
    assert cartography(logits, truth).variability.argmax() == 1  # ambiguous
    assert el2n(logits, truth)[2] == pytest.approx(np.sqrt(2), abs=1e-3)


def test_dynamics_looks_at_the_epochs_it_names(recorded) -> None:
    logits, truth = recorded
    found = dynamics(logits, truth)
    assert set(found) == set(reliability.SUSPECT)
    assert np.array_equal(found["loss"], sample_loss(logits, truth)[-1])
    assert np.array_equal(found["EL2N"], el2n(logits[:3], truth))
    other = dynamics(logits, (truth + 1) % CLASSES)
    assert np.array_equal(found["largest probability"], other["largest probability"])  # knows no label
    assert not np.array_equal(found["AUM"], other["AUM"])


@pytest.mark.parametrize(
    ("logits", "truth", "message"),
    [
        (np.zeros((3, 4)), np.zeros(3, int), "are wanted"),
        (np.zeros((2, 3, 4)), np.zeros(2, int), "are wanted"),
        (np.zeros((2, 3, 4)), np.zeros(3), "whole numbers"),
        (np.zeros((2, 3, 4)), np.array([0, 4, 1]), "0 to 3"),
    ],
)
def test_wrong_input_is_an_error(logits, truth, message) -> None:
    for score in (sample_loss, el2n, forgetting_events, area_under_margin, cartography, dynamics):
        with pytest.raises(ValueError, match=message):
            score(logits, truth)


# Maps -------------------------------------------------------------------------------------------------


def test_entropy_and_gini_against_other_formulas() -> None:
    from scipy.stats import entropy

    cam = torch.rand(5, 40, generator=torch.Generator().manual_seed(0)) ** 3
    expected = entropy(cam.double().numpy(), axis=1) / np.log(40)
    np.testing.assert_allclose(map_entropy(cam), expected, rtol=1e-6)
    pairs = (cam[:, :, None] - cam[:, None, :]).abs().mean(dim=(1, 2))
    np.testing.assert_allclose(gini(cam), pairs / (2 * cam.mean(dim=1)), rtol=1e-4)
    for score in (map_entropy, gini):
        torch.testing.assert_close(score(7 * cam), score(cam))
    spike = torch.eye(40)[:1]
    assert map_entropy(spike).item() == 0 and gini(spike).item() == pytest.approx(1 - 1 / 40)
    assert map_entropy(torch.zeros(1, 40)).item() == 1 and gini(torch.zeros(1, 40)).item() == 0


def test_where_a_map_falls() -> None:
    cam = torch.tensor([[0.0, 2.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    inside = torch.tensor([[True, True, False, False]] * 2)
    assert share_inside(cam, inside).tolist() == [0.5, 0.5]
    assert peak_inside(cam, inside).tolist() == [1.0, 0.5]
    flat = torch.ones(1, 4)
    assert share_inside(flat, inside[:1]).item() == peak_inside(flat, inside[:1]).item() == 0.5
    with pytest.raises(ValueError, match="mask"):
        share_inside(cam, inside[:, :3])
    with pytest.raises(ValueError, match="0 or more"):
        map_entropy(-cam)


def heads() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "average and linear": nn.Sequential(AveragePool(), nn.Linear(6, 3)),
        "benchmark": classification_head(ConcatPool(), 12, 3, hidden=8),
    }


@pytest.mark.parametrize("name", heads())
def test_grad_cam_plus_by_derivatives_of_the_exponential(name) -> None:
    """Its weights are defined by the first three derivatives of exp(logit): here automatic ones."""
    head = heads()[name].eval()
    features = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(1)).double().relu()
    head = head.double()
    target = torch.tensor([2, 0])
    expected = []
    for row, wanted in zip(features, target, strict=True):
        weights = []
        for c in range(6):
            total, channel_sum = 0.0, row[c].sum().item()
            for t in range(5):

                def score(value, row=row, wanted=wanted, c=c, t=t):
                    changed = row.clone()
                    changed[c, t] = value
                    return head(changed[None])[0, wanted].exp()

                value = row[c, t].clone().requires_grad_()
                (first,) = torch.autograd.grad(score(value), value, create_graph=True)
                (second,) = torch.autograd.grad(first, value, create_graph=True)
                (third,) = torch.autograd.grad(second, value)
                below = 2 * second.item() + channel_sum * third.item()
                alpha = second.item() / below if below else 0.0
                total += alpha * max(first.item(), 0.0)
            weights.append(total)
        cam = (torch.tensor(weights)[:, None] * row).sum(dim=0).relu()
        expected.append(cam / cam.max())
    ours = feature_cam_plus(head.float(), features.float(), target)
    ours = ours / ours.amax(dim=1, keepdim=True)
    torch.testing.assert_close(ours, torch.stack(expected).float(), rtol=1e-3, atol=1e-4)


def test_grad_cam_plus_of_one_channel_is_grad_cam_up_to_scale() -> None:
    head = nn.Sequential(AveragePool(), nn.Linear(1, 1, bias=False))
    head[1].weight.data.fill_(2.0)
    features = torch.rand(2, 1, 9)
    plus, plain = feature_cam_plus(head, features), feature_cam(head, features)
    torch.testing.assert_close(plus / plus.amax(1, keepdim=True), plain / plain.amax(1, keepdim=True))
    head[1].weight.data.fill_(-2.0)
    assert not feature_cam_plus(head, features).any()  # nothing speaks for the class
    assert feature_cam_plus(nn.Sequential(AveragePool(), nn.Linear(3, 2)), torch.rand(2, 3, 4, 9)).shape == (
        2,
        9,
    )


def test_integrated_gradients_equal_captums() -> None:
    torch.manual_seed(0)
    model = models.create("resnet18", leads=2, classes=3, width=4).eval()
    x, target = torch.randn(2, 2, 200), torch.tensor([2, 0])
    library = captum.attr.IntegratedGradients(model)
    expected = library.attribute(x, target=target, n_steps=8, method="riemann_middle")
    ours = integrated_gradients(model, x, target, steps=8)
    torch.testing.assert_close(ours, expected.float(), rtol=1e-3, atol=1e-5)
    many = integrated_gradients(model, x, target, steps=200).sum(dim=(1, 2))
    change = (model(x) - model(torch.zeros_like(x)))[[0, 1], target]
    torch.testing.assert_close(many, change.detach(), rtol=0.02, atol=0.01)  # completeness
    with pytest.raises(ValueError, match="steps"):
        integrated_gradients(model, x, steps=0)
