"""The eighteen designs against the thesis's table of sizes, its listings, and sizes counted by hand."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ecgbook.papers.rules.sizes import resnet18_mib
from ecgbook.runs import read_sweep
from ecgkit import compression, models
from ecgkit.models.light_resnet18 import DESIGNS, Block, Design, LightResNet18, metadata_features

# Lightweight ResNet-18 (Ahmed, 2025), Table 4.1, column "Model Size (MB)": 12 leads, 26 classes.
TABLE_4_1 = {
    "E1": 33.78,
    "E2": 33.40,
    "E3": 33.70,
    "E4": 33.70,
    "E5": 15.10,
    "E6": 15.10,
    "E7": 14.80,
    "E8": 32.60,
    "E9": 14.90,
    "E10": 51.40,
    "E11": 33.70,
    "E12": 5.93,
    "E13": 8.57,
    "E14": 33.70,
    "E15": 2.84,
    "E16": 0.83,
    "E17": 2.24,
    "E18": 0.28,
}
ALL = pytest.mark.parametrize("name", TABLE_4_1)


def build(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.create(f"light_resnet18/{name}", leads=12, classes=26)


def test_all_eighteen_are_registered_in_the_order_of_the_table() -> None:
    registered = [name for name in models.names() if name.startswith("light_resnet18/")]
    assert registered == [f"light_resnet18/{name}" for name in TABLE_4_1]
    assert len(set(DESIGNS.values())) == 18


@ALL
def test_size_output_and_gradients(name: str) -> None:
    """The published size; the size counted by hand; logits and finite gradients for every weight."""
    model, design = build(name), DESIGNS[name]
    size, printed = compression.saved_size_mib(model), TABLE_4_1[name]
    assert abs(size - printed) < 0.1
    if printed < 3:
        assert abs(size / printed - 1) < 0.025
    counted = resnet18_mib(**{f.name: getattr(design, f.name) for f in fields(Design)})
    assert compression.tensors_mib(model) == pytest.approx(counted, rel=1e-12)
    generator = torch.Generator().manual_seed(1)
    x, metadata = torch.randn(4, 12, 130, generator=generator), torch.randn(4, 3, generator=generator)
    logits = model(x, metadata)
    assert logits.shape == (4, 26)
    logits.square().sum().backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None and torch.isfinite(value.grad).all(), parameter
        assert value.grad.abs().sum() > 0, parameter


def test_blocks_are_those_of_the_listings() -> None:
    """Appendix A, Listings 1 to 5."""
    stem = build("E11").body.stem[0]
    assert (stem.kernel_size, stem.stride, stem.padding, stem.bias) == ((7,), (2,), (7,), None)
    depthwise, pointwise = build("E12").body.stage2[0].conv1
    assert (depthwise.kernel_size, depthwise.padding, depthwise.stride) == ((7,), (3,), (2,))
    assert depthwise.groups == depthwise.in_channels == depthwise.out_channels == 64
    assert (pointwise.kernel_size, pointwise.out_channels, pointwise.bias) == ((1,), 128, None)
    for name, width, units in (("E13", 256, 10), ("E14", 512, 5), ("E17", 128, 10)):
        model = build(name)
        assert (model.head.metadata.in_features, model.head.metadata.out_features) == (3, units)
        assert model.head.classify.in_features == width + units
        assert model.body.stem[0].out_channels == 64


def test_removed_layers_are_gone() -> None:
    block = Block(64, 64, 1, DESIGNS["E7"])
    assert block.conv2 is None and block.bn2 is None and block.se is None and block.bn1 is not None
    assert Block(64, 64, 1, DESIGNS["E3"]).bn1 is None


def test_a_block_is_the_formula_of_the_thesis() -> None:
    """ReLU(SE(BN(conv(ReLU(BN(conv x))))) + x), and the second convolution left out in E5."""
    x = torch.randn(2, 64, 30, generator=torch.Generator().manual_seed(0))
    f = nn.functional
    for name in ("E1", "E5"):
        block = Block(64, 64, 1, DESIGNS[name]).eval()
        y = f.relu(block.bn1(f.conv1d(x, block.conv1.weight, padding=3)))
        if name == "E1":
            y = f.conv1d(y, block.conv2.weight, padding=3)
        y = block.bn2(y)
        weight = torch.sigmoid(f.relu(y.mean(2) @ block.se.squeeze.weight.T) @ block.se.excite.weight.T)
        torch.testing.assert_close(block(x), f.relu(y * weight[:, :, None] + x))


def test_metadata_moves_the_logits_and_none_means_nothing_known() -> None:
    model = build("E18").eval()
    x = torch.randn(3, 12, 250, generator=torch.Generator().manual_seed(0))
    meta = pd.DataFrame({"age": [40.0, np.nan, np.nan], "sex": ["male", "female", None]})
    with torch.no_grad():
        plain, informed = model(x), model(x, metadata_features(meta))
        assert torch.equal(plain, model(x, torch.zeros(3, 3)))
        assert torch.equal(plain, model.head(model.body(x)))
    assert torch.equal(plain[2], informed[2])
    assert not torch.equal(plain[0], informed[0]) and not torch.equal(plain[1], informed[1])


@pytest.mark.parametrize("dtype", [object, "string"])
def test_metadata_features(dtype) -> None:
    meta = pd.DataFrame({"age": [60.0, 0.0, np.nan, 89.0], "sex": ["male", "female", None, "other"]})
    meta = meta.astype({"sex": dtype})
    features = metadata_features(meta)
    assert features.dtype == torch.float32
    expected = [[0.0, 0, 1], [-3.0, 1, 0], [0.0, 0, 0], [1.45, 0, 0]]
    torch.testing.assert_close(features, torch.tensor(expected))


def test_a_design_of_ones_own_and_impossible_ones() -> None:
    own = LightResNet18(leads=8, classes=5, design=replace(DESIGNS["E17"], blocks=(1, 1, 1, 1)))
    assert own(torch.zeros(2, 8, 100)).shape == (2, 5)
    with pytest.raises(ValueError, match="needs 16 channels"):
        Design(widths=(8, 16, 32, 64))
    with pytest.raises(ValueError, match=r"blocks\[0\] is 0"):
        Design(blocks=(0, 1, 1, 1))


def test_the_sweep_covers_the_networks_that_the_question_needs() -> None:
    runs = read_sweep(Path(__file__).parents[2] / "sweeps" / "light_resnet18.yaml")
    asked = {f"light_resnet18/{name}" for name in ("E1", "E9", "E12", "E13", "E16", "E17", "E18")}
    every = {f"light_resnet18/{name}" for name in DESIGNS}
    wanted = {(name, seed) for name in asked for seed in (0, 1, 2)} | {(name, 0) for name in every}
    assert {(run.model, run.seed) for run in runs} == wanted
    first = [run.seed for run in runs[:21]]
    assert first == sorted(first)  # comparisons of one seed come first
