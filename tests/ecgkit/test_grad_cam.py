"""Grad-CAM against captum's, on every convolutional network, and by hand."""

import captum.attr
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ecgkit import models
from ecgkit.explain import (
    feature_cam,
    feature_cam_plus,
    gini,
    grad_cam,
    integrated_gradients,
    lrp,
    map_entropy,
    peak_inside,
    share_inside,
    upsample,
)
from ecgkit.models.heads import Classifier

BACKBONES = [name for name in models.names() if not name.startswith(("lstm", "light_resnet18/"))]
BACKBONES.append("light_resnet18/E17")  # the other designs have the same head
IMAGES = ("efficientnet_v2_s", "mobilenet_v2", "resnet18")


def trained_looking(name: str, **options) -> nn.Module:
    """Random weights whose head answers differently for each class and record."""
    torch.manual_seed(0)
    model = models.create(name, leads=12, classes=4, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    return model.eval()


def signals(batch: int = 3, samples: int = 320) -> torch.Tensor:
    return torch.randn(batch, 12, samples, generator=torch.Generator().manual_seed(1))


def captums(model: nn.Module, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    library = captum.attr.LayerGradCam(model, model.body)
    return library.attribute(x, target, relu_attributions=True).detach()


@pytest.mark.parametrize("name", BACKBONES)
def test_equal_to_captum_on_every_backbone(name: str) -> None:
    model, x, target = trained_looking(name), signals(), torch.tensor([0, 3, 1])
    expected = captums(model, x, target)
    assert expected.max() > 0
    expected = captum.attr.LayerAttribution.interpolate(expected, x.shape[-1], "linear")[:, 0]
    torch.testing.assert_close(grad_cam(model, x, target), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", IMAGES)
def test_of_an_image_it_is_captums_averaged_over_the_leads(name: str) -> None:
    model, x, target = trained_looking(name, ndim=2), signals(), torch.tensor([0, 3, 1])
    expected = captums(model, x, target).mean(dim=2)
    cam = grad_cam(model, x, target)
    assert cam.shape == (3, 320)
    torch.testing.assert_close(cam, F.interpolate(expected, 320, mode="linear")[:, 0], rtol=1e-4, atol=1e-6)


def test_by_hand() -> None:
    """Two channels, head = mean over time and weights (1, -1): the map is (a - b) / T where positive."""
    linear = nn.Linear(2, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0, -1.0], [0.0, 1.0]])
    model = Classifier(nn.Identity(), nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), linear))
    x = torch.tensor([[[4.0, 1.0, 0.0, 8.0], [2.0, 5.0, 0.0, 0.0]]])
    assert grad_cam(model, x, 0).tolist() == [[0.5, 0.0, 0.0, 2.0]]
    assert grad_cam(model, x, 1).tolist() == [[0.5, 1.25, 0.0, 0.0]]
    assert torch.equal(grad_cam(model, x), grad_cam(model, x, int(model(x).argmax())))


def test_target_may_be_one_class_for_all() -> None:
    model, x = trained_looking("resnet18", width=8), signals()
    assert torch.equal(grad_cam(model, x, 2), grad_cam(model, x, torch.tensor([2, 2, 2])))


@pytest.mark.parametrize("training", [True, False])
def test_a_map_does_not_depend_on_the_batch_and_the_model_stays_as_it_was(training: bool) -> None:
    model, x = trained_looking("fcn_wang").train(training), signals()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    together, alone = grad_cam(model, x), torch.cat([grad_cam(model, record[None]) for record in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-7)
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_what_is_frozen_stays_frozen() -> None:
    model, x = trained_looking("fcn_wang").train(), signals()
    frozen = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    for module in frozen:
        module.eval()
    grad_cam(model, x)
    feature_cam_plus(model.head, model.body(x))
    integrated_gradients(model, x, steps=1)
    assert [module for module in model.modules() if not module.training] == frozen


def test_no_record_gives_no_map() -> None:
    model = trained_looking("resnet18", width=8)
    assert feature_cam(model.head, torch.zeros(0, 64, 10)).shape == (0, 10)


def test_upsampling_is_linear_between_the_centres() -> None:
    assert upsample(torch.tensor([[0.0, 4.0]]), 4).tolist() == [[0.0, 1.0, 3.0, 4.0]]
    assert upsample(torch.tensor([[3.0]]), 3).tolist() == [[3.0, 3.0, 3.0]]


def test_what_does_not_fit_is_said() -> None:
    model, x = trained_looking("resnet18", width=8), signals()
    with pytest.raises(ValueError, match="classes 0 to 3"):
        grad_cam(model, x, 4)
    with pytest.raises(ValueError, match="classes 0 to 3"):
        grad_cam(model, x, -1)
    for target in (
        torch.tensor([1, 2]),
        1.0,
        "NORM",
        True,
        10**30,
        torch.tensor([True, True, False]),
        [0, 1j, 1],
    ):
        with pytest.raises(ValueError, match="one for each of 3 records"):
            grad_cam(model, x, target)
    assert torch.equal(grad_cam(model, x, [2, 2, 2]), grad_cam(model, x, 2))
    with pytest.raises(ValueError, match="no body and head"):
        grad_cam(nn.Linear(2, 2), x)
    for features in (torch.zeros(3, 64), torch.zeros(3, 5, 10), None):
        for method in (feature_cam, feature_cam_plus):
            with pytest.raises(ValueError, match=r"features have the shape|does not take"):
                method(model.head, features)
    with pytest.raises(ValueError, match=r"logits \(B, classes\) are wanted"):
        grad_cam(Classifier(nn.Identity(), nn.Identity()), x)
    for cam, samples in ((torch.zeros(2, 3, 4), 8), (torch.zeros(2, 3).int(), 8), (torch.zeros(2, 3), 0)):
        with pytest.raises(ValueError, match=r"cam is|samples is"):
            upsample(cam, samples)
    assert upsample(torch.zeros(0, 3), 8).shape == (0, 8)


WAYS = {
    "grad_cam": grad_cam,
    "integrated_gradients": lambda model, x, target: integrated_gradients(model, x, target, steps=2),
    "lrp": lrp,
    "feature_cam": lambda model, x, target: feature_cam(model.head, model.body(x), target),
    "feature_cam_plus": lambda model, x, target: feature_cam_plus(model.head, model.body(x), target),
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS)


@EVERY_WAY
@pytest.mark.parametrize("name", ["fcn_wang", "resnet18"])
def test_maps_are_the_same_in_any_context_and_precision(way: str, name: str) -> None:
    explain, options = WAYS[way], {"width": 8} if name == "resnet18" else {}
    model, x, target = trained_looking(name, **options), signals(samples=120), torch.tensor([0, 3, 1])
    expected = explain(model, x, target).detach()
    assert expected.abs().max() > 0
    for context in (torch.inference_mode, torch.no_grad):
        with context():
            torch.testing.assert_close(explain(model, x, target), expected)
    with torch.inference_mode():
        made, inside = trained_looking(name, **options), x.clone()
        torch.testing.assert_close(explain(made, inside, target), expected)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        low, rounded = trained_looking(name, **options).to(dtype), x.to(dtype)
        if way.startswith("feature"):
            low.body = nn.Identity()
            rounded = model.body(x).detach().to(dtype)
        found = explain(low, rounded, target)
        assert found.dtype in (torch.float32, torch.float64)
        torch.testing.assert_close(
            found.float(), explain(low.float(), rounded.float(), target), rtol=1e-3, atol=1e-5
        )
        if not way.startswith("feature"):  # only the signals are of another precision
            assert torch.equal(explain(model, rounded, target), explain(model, rounded.float(), target))


@pytest.mark.parametrize("way", ["grad_cam", "integrated_gradients", "lrp"])
def test_signals_that_cannot_be_explained_are_said(way: str) -> None:
    model, x = trained_looking("fcn_wang").train(), signals(samples=60)
    wrong = {
        "not finite": [x.where(x != x[0, 0, 0], torch.nan), x * torch.inf],
        "have the shape": [x[:, :5], x[0], x[..., :1], x[..., :0]],
        "standardised": [x.int(), x.numpy()],
        "move one": [x.to("meta")],
        "the model has the classes": [x],
    }
    for match, inputs in wrong.items():
        for bad in inputs:
            with pytest.raises(ValueError, match=match):
                WAYS[way](model, bad, 9 if bad is x else 0)
    assert all(part.training for part in model.modules())
    assert WAYS[way](model, x[:0], None).shape[0] == 0


def test_steps_are_whole() -> None:
    for steps in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="steps is"):
            integrated_gradients(trained_looking("fcn_wang"), signals(), steps=steps)


MEASURES = {"gini": gini, "entropy": map_entropy, "share": share_inside, "peak": peak_inside}


@pytest.mark.parametrize("name", MEASURES)
def test_measures_of_maps_refuse_what_is_no_map(name: str) -> None:
    masked = name in ("share", "peak")
    for cam in ([[1.0, torch.nan]], [[1.0, torch.inf]], [[1.0, -1.0]], [[1.0]], [1.0, 2.0]):
        values = torch.tensor(cam)
        with pytest.raises(ValueError, match="of 0 or more"):
            MEASURES[name](values, *[values > 0] * masked)
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int64):
        cam = torch.tensor([[0, 3, 0, 0]], dtype=dtype)
        found = MEASURES[name](cam, *[cam > 0] * masked)
        assert found.dtype == torch.float32
        assert found.item() == {"gini": 0.75, "entropy": 0, "share": 1, "peak": 1}[name]
    if masked:
        for mask in (torch.ones(1, 3) > 0, torch.ones(1, 4)):
            with pytest.raises(ValueError, match="the mask is"):
                MEASURES[name](torch.ones(1, 4), mask)


class AppleLike(torch.Tensor):
    """A tensor that says it is on Apple's GPU, which has no float64."""

    @property
    def device(self) -> torch.device:
        return torch.device("mps")

    def double(self) -> torch.Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64")

    def cpu(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize("name", MEASURES)
def test_no_float64_goes_to_apples_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cam, moved, to = torch.tensor([[0.0, 3.0, 0.0, 1.0]]), [], torch.Tensor.to

    def remember(self: torch.Tensor, where: torch.device) -> torch.Tensor:
        moved.append((self.dtype, where.type))
        return self if where.type == "mps" else to(self, where)

    monkeypatch.setattr(torch.Tensor, "to", remember)
    arguments = [cam > 0] if name in ("share", "peak") else []
    found = MEASURES[name](cam.as_subclass(AppleLike), *arguments)
    assert (torch.float32, "mps") in moved and (torch.float64, "mps") not in moved
    assert torch.equal(found, MEASURES[name](cam, *arguments))
