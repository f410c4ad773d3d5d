"""Grad-CAM against captum's, on every convolutional network, and by hand."""

import captum.attr
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ecgkit import models
from ecgkit.explain import feature_cam, feature_cam_plus, grad_cam, integrated_gradients, upsample
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


def test_wrong_targets_and_models_are_errors() -> None:
    model, x = trained_looking("resnet18", width=8), signals()
    with pytest.raises(ValueError, match="classes 0 to 3"):
        grad_cam(model, x, 4)
    with pytest.raises(ValueError, match="one for each of 3 records"):
        grad_cam(model, x, torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="no body and head"):
        grad_cam(nn.Linear(2, 2), x)
