"""Sizes, multiply-adds and activations against formulas, torch's own counter and counts by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ecgkit import compression, models


def test_saved_size_is_that_of_the_file(tmp_path) -> None:
    model = models.create("fcn_wang", leads=12, classes=5)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    size = (tmp_path / "weights.pt").stat().st_size / 2**20
    assert compression.saved_size_mib(model) == pytest.approx(size, rel=0.01)
    numbers = sum(v.numel() for v in model.parameters()) + sum(v.numel() for v in model.buffers())
    counters = sum(v.dtype == torch.int64 for v in model.buffers())
    assert compression.tensors_mib(model) == pytest.approx((4 * numbers + 4 * counters) / 2**20)
    assert compression.tensors_mib(model.half()) == pytest.approx((2 * numbers + 6 * counters) / 2**20)


def test_a_small_network_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv1d(2, 6, 5, stride=2, padding=2, groups=2),  # (6, 10): 6 x 10 x 1 x 5
        nn.BatchNorm1d(6),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(6, 3, bias=False),
    )
    table = compression.layer_table(network, leads=2, samples=20)
    kinds = ["Conv1d", "BatchNorm1d", "ReLU", "Dropout", "AdaptiveAvgPool1d", "Flatten", "Linear"]
    assert table["kind"].tolist() == kinds
    assert table["parameters"].tolist() == [36, 12, 0, 0, 0, 0, 18]
    assert table["buffers"].tolist() == [0, 13, 0, 0, 0, 0, 0]
    assert table["multiply_adds"].tolist() == [300, 0, 0, 0, 0, 0, 18]
    assert table["activations"].tolist() == [60, 60, 0, 0, 6, 0, 3]
    assert table["mib"].sum() == pytest.approx(compression.tensors_mib(network))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light_resnet18/E12", {}),
        ("light_resnet18/E17", {}),
        ("resnet1d_wang", {}),
        ("resnet18", {"ndim": 2, "width": 8}),
        ("inception1d", {}),
    ],
)
def test_multiply_adds_are_half_of_the_operations_that_torch_counts(name: str, options: dict) -> None:
    model = models.create(name, leads=12, classes=5, **options).eval()
    table = compression.layer_table(model, leads=12, samples=200)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 12, 200))
    assert 2 * table["multiply_adds"].sum() == counter.get_total_flops()
    assert table["parameters"].sum() == sum(p.numel() for p in model.parameters())
    assert table["mib"].sum() == pytest.approx(compression.tensors_mib(model))


def test_a_layer_used_twice_counts_twice() -> None:
    table = compression.layer_table(models.create("light_resnet18/E18", 12, 5), 12, 400)
    relu = table.set_index("layer").loc["body.stage1.1.relu"]
    assert relu["activations"] == 2 * 16 * 100


def test_lstm_by_hand() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x.transpose(1, 2))[0]

    table = compression.layer_table(Recurrent(), leads=3, samples=7)
    per_step = 2 * 4 * 4 * (3 + 4) + 2 * 4 * 4 * (8 + 4)  # directions x gates x hidden x (input + hidden)
    assert table["multiply_adds"].tolist() == [7 * per_step]
    assert table["activations"].tolist() == [7 * 8]


def test_the_model_stays_as_it_was() -> None:
    model = models.create("light_resnet18/E18", 12, 5).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    compression.layer_table(model, 12, 100)
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_an_unknown_layer_with_weights_is_an_error() -> None:
    with pytest.raises(ValueError, match="multiply-adds of a ConvTranspose1d"):
        compression.layer_table(nn.ConvTranspose1d(2, 2, 3), leads=2, samples=10)
