"""Relevance propagation against a hand computation, captum, and gradient times input."""

import pytest
import torch
from torch import nn

from ecgkit import models
from ecgkit.explain import fold_batch_norm, lrp
from ecgkit.transfer import resnet1d101


def linear(weights: list[list[float]], bias: list[float] | None = None) -> nn.Linear:
    layer = nn.Linear(len(weights[0]), len(weights), bias=bias is not None)
    layer.weight.data = torch.tensor(weights, dtype=torch.float32)
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    return layer


def test_two_layers_by_hand() -> None:
    # x = (2, 1). z = (2 - 1, 2 + 2, -2 + 1) = (1, 4, -1), after ReLU (1, 4, 0). Logit: 3 + 4 + 0 = 7.
    # Epsilon 1: output 7 / (7 + 1) = 0.875 -> hidden (3, 4, 0) * 0.875 = (2.625, 3.5, 0).
    # Hidden 1: 2.625 / (1 + 1) = 1.3125 -> (2, -1) * 1.3125 = (2.625, -1.3125).
    # Hidden 2: 3.5 / (4 + 1) = 0.7 -> (2, 2) * 0.7 = (1.4, 1.4).
    network = nn.Sequential(
        nn.Flatten(), linear([[1, -1], [1, 2], [-1, 1]]), nn.ReLU(), linear([[3, 1, 5], [0, 0, 1]])
    )
    found = lrp(network, torch.tensor([[[2.0, 1.0]]]), 0, epsilon=1.0)
    torch.testing.assert_close(found, torch.tensor([[[4.025, 0.0875]]]))


def test_a_bias_keeps_its_share() -> None:
    network = nn.Sequential(nn.Flatten(), linear([[1.0, 1.0]], [2.0]))
    found = lrp(network, torch.tensor([[[1.0, 1.0]]]), 0, epsilon=0.0)
    torch.testing.assert_close(found, torch.ones(1, 1, 2))  # of a logit of 4


def plain_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(2, 4, 5, padding=2, bias=False),
        nn.ReLU(),
        nn.Conv1d(4, 4, 3, stride=2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 9, 3, bias=False),
    )


def test_relevance_is_conserved_without_bias_and_epsilon() -> None:
    network = plain_network().double()
    x = torch.randn(4, 2, 20, dtype=torch.float64)
    found = lrp(network, x, epsilon=0.0)
    torch.testing.assert_close(found.sum((1, 2)), network(x).amax(1), rtol=1e-5, atol=1e-6)


def test_it_is_captums_epsilon_rule_on_a_plain_network() -> None:
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    network, x = plain_network(), torch.randn(3, 2, 20)
    found = lrp(network, x, 1, epsilon=0.1)
    for layer in network:
        if not isinstance(layer, nn.ReLU):
            layer.rule = EpsilonRule(1e-9 if isinstance(layer, nn.Flatten) else 0.1)
    torch.testing.assert_close(found, LRP(network).attribute(x, target=1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet1d_wang", "fcn_wang", "xresnet1d50", "resnet18", "resnet1d101"])
def test_without_epsilon_it_is_gradient_times_input(name) -> None:
    # Ancona et al. (2018), Proposition 1: so for networks of ReLU, whatever their biases and shortcuts.
    torch.manual_seed(1)
    if name == "resnet1d101":
        network = resnet1d101(leads=3, classes=2)
    else:
        network = models.create(name, leads=3, classes=2, **({"width": 8} if name == "resnet18" else {}))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):  # a trained one is not the identity
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.2)
    network = network.double().eval()
    x = torch.randn(2, 3, 64, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x)[:, 1].sum(), x)
    found = lrp(network, x, 1, epsilon=0.0)
    expected = (x * gradient).detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    torch.testing.assert_close(fold_batch_norm(network)(x), network(x))


def test_the_network_stays_as_it_was_and_what_cannot_be_done_is_said() -> None:
    network = models.create("fcn_wang", leads=2, classes=2).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    lrp(network, torch.randn(2, 2, 50))
    assert network.training and all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    with pytest.raises(ValueError, match="no rule for a layer of type Tanh"):
        lrp(nn.Sequential(nn.Tanh()), torch.randn(1, 1, 4))
    with pytest.raises(ValueError, match="no rule for a layer of type Block"):
        lrp(models.create("light_resnet18/E18", leads=2, classes=2), torch.randn(1, 2, 50))
    with pytest.raises(ValueError, match="neither behind"):
        lrp(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(1), nn.ReLU()), torch.randn(1, 1, 4))
    with pytest.raises(ValueError, match="epsilon"):
        lrp(network, torch.randn(1, 2, 50), epsilon=-1)
