"""Costs against closed forms; ONNX files against the networks they came from; pruning and distillation."""

import itertools
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ecgkit import compression, models
from ecgkit.errors import DataNotFoundError, StoreError

SAMPLES = 400


def network(name: str = "E18") -> nn.Module:
    """With statistics in its batch normalisations that are not those of the start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.create(f"light_resnet18/{name}", leads=12, classes=26)
        for _ in range(5):
            model(torch.randn(8, 12, SAMPLES))
    return model.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = network()
    return model, compression.export_onnx(
        model, tmp_path_factory.mktemp("onnx") / "e18.onnx", samples=SAMPLES
    )


def records(n: int = 5, samples: int = SAMPLES) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 12, samples, generator=generator), torch.randn(n, 3, generator=generator)


def test_the_smallest_network_fits_in_a_third_of_a_megabyte_and_gives_the_same_numbers(exported) -> None:
    model, path = exported
    assert path.stat().st_size < 0.35e6
    session = compression.onnx_session(path)
    for n, samples in ((1, SAMPLES), (5, 1000)):  # other sizes than that of the export
        x, metadata = records(n, samples)
        with torch.no_grad():
            expected = model(x, metadata).numpy()
        ours = compression.onnx_logits(session, x.numpy(), metadata.numpy())
        np.testing.assert_allclose(ours, expected, atol=2e-4, rtol=1e-4)
    with torch.no_grad():
        silent = model(x).numpy()
    np.testing.assert_allclose(compression.onnx_logits(session, x.numpy()), silent, atol=2e-4, rtol=1e-4)


def test_eight_bits_are_smaller_and_stay_near(exported, tmp_path) -> None:
    model, path = exported
    x, metadata = records(32)
    dynamic = compression.quantise_dynamic(path, tmp_path / "dynamic.onnx")
    static = compression.quantise_static(path, tmp_path / "static.onnx", x.numpy(), metadata.numpy())
    with torch.no_grad():
        expected = model(x, metadata).numpy()
    spread = expected.std()
    for file in (dynamic, static):
        assert file.stat().st_size < 0.75 * path.stat().st_size
        ours = compression.onnx_logits(compression.onnx_session(file), x.numpy(), metadata.numpy())
        assert 0 < np.abs(ours - expected).mean() < 0.3 * spread
    with pytest.raises(ValueError, match="needs training records"):
        compression.quantise_static(path, tmp_path / "x.onnx", x.numpy()[:0])


def test_export_leaves_the_mode_and_a_missing_library_or_file_is_named(tmp_path, monkeypatch) -> None:
    model = network().train()
    compression.export_onnx(model, tmp_path / "a.onnx", samples=SAMPLES)
    assert model.training
    with pytest.raises(FileNotFoundError, match="export_onnx"):
        compression.onnx_session(tmp_path / "b.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        compression.export_onnx(model, tmp_path / "c.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        compression.onnx_session(tmp_path / "a.onnx")


def test_peak_memory_is_that_of_the_widest_moment() -> None:
    """Three layers of a chain: at each, its input and its output are alive; a skip keeps one more."""
    chain = nn.Sequential(nn.Conv1d(1, 8, 1), nn.Conv1d(8, 16, 1), nn.Conv1d(16, 2, 1))
    assert compression.peak_memory(chain, 1, 2**16).mib == pytest.approx((8 + 16) * 4 / 16)

    class Skip(nn.Module):
        def forward(self, x):
            a = torch.relu(x)
            return torch.relu(torch.sigmoid(a) + 1) + a

    assert compression.peak_memory(Skip(), 4, 2**16).mib == pytest.approx(3 * 4 * 4 / 16)


def test_the_peak_is_named_by_its_layer_and_the_network_is_left_as_it_was() -> None:
    chain = nn.Sequential(
        nn.Sequential(nn.Conv1d(1, 8, 1), nn.Conv1d(8, 16, 1)), nn.Sequential(nn.Conv1d(16, 2, 1))
    )
    peak = compression.peak_memory(chain, 1, 2**16)
    assert peak.layer == "0.1" and peak.mib == pytest.approx((8 + 16) * 4 / 16)
    assert compression.peak_memory(chain, 1, 2**16) == peak
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in chain.modules())
    # The widths shrink or grow with the stages, so the widest moment of these two is known.
    assert compression.peak_memory(network("E18"), 12, 1000).layer.startswith("body.stem")


def test_pruned_weights_stay_zero_in_further_training_and_the_others_move() -> None:
    lean = compression.pruned(network(), 0.8).train()
    zeros = {n: p.detach() == 0 for n, p in lean.named_parameters() if p.ndim == 3}
    before = {n: p.detach().clone() for n, p in lean.named_parameters()}
    compression.keep_zeros(lean)
    optimiser = torch.optim.Adam(lean.parameters(), lr=0.003, weight_decay=1e-5)
    for _ in range(3):
        x, metadata = records(8)
        optimiser.zero_grad()
        lean(x, metadata).square().sum().backward()
        optimiser.step()
    for name, parameter in lean.named_parameters():
        if name in zeros:
            assert torch.equal(parameter == 0, zeros[name])
    moved = [p for n, p in lean.named_parameters() if n in zeros and not torch.equal(p, before[n])]
    assert len(moved) > len(zeros) / 2


def test_peak_memory_of_the_light_networks_holds_their_largest_layers() -> None:
    model = network()
    table = compression.layer_table(model, 12, 1000)
    largest = table["activations"].nlargest(2).sum() * 4 / 2**20
    assert largest <= compression.peak_memory(model, 12, 1000).mib <= 2.5 * largest
    assert not model.training


def test_latency_is_the_time_of_the_call_and_threads_come_back(monkeypatch) -> None:
    clock = itertools.accumulate([0.0, 0.001, 1.0, 0.003, 1.0, 0.002])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    calls = []
    found = compression.measure_latency(lambda: calls.append(1), repeats=3, warmup=2)
    assert len(calls) == 5
    assert found.fastest_ms == pytest.approx(1.0)
    assert found.median_ms == pytest.approx(2.0) and found.p95_ms == pytest.approx(2.9)
    before = torch.get_num_threads()
    with compression.single_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="repeats is 0"):
        compression.measure_latency(calls.clear, repeats=0)


def test_energy_is_arithmetic_plus_fetching() -> None:
    table = compression.layer_table(nn.Sequential(nn.Conv1d(2, 4, 3, bias=False)), 2, 12)
    # 24 weights, 40 outputs of 6 products each
    assert compression.energy_proxy_uj(table) == pytest.approx((240 * 4.6 + (24 + 40) * 640) / 1e6)
    assert compression.energy_proxy_uj(table, 8) == pytest.approx((240 * 0.23 + 64 / 4 * 640) / 1e6)
    with pytest.raises(ValueError, match="32 or 8"):
        compression.energy_proxy_uj(table, 16)


def test_pruning_takes_the_smallest_weights_of_all_layers_together() -> None:
    model = network()
    before = [m.weight.detach().clone() for m in model.modules() if isinstance(m, nn.Conv1d)]
    lean = compression.pruned(model, 0.8)
    after = [m.weight.detach() for m in lean.modules() if isinstance(m, nn.Conv1d)]
    flat = torch.cat([w.flatten() for w in before])
    cut = flat.abs().sort().values[round(0.8 * len(flat)) - 1]
    for old, new in zip(before, after, strict=True):
        assert torch.equal(new, torch.where(old.abs() <= cut, 0.0, old))
    assert compression.sparsity(lean) == pytest.approx(0.8, abs=1e-4) and compression.sparsity(model) == 0
    assert compression.saved_size_mib(lean) == pytest.approx(compression.saved_size_mib(model), rel=0.01)
    assert compression.gzipped_size_mib(lean) < 0.6 * compression.gzipped_size_mib(model)
    assert set(lean.state_dict()) == set(model.state_dict())
    with pytest.raises(ValueError, match="share is 1"):
        compression.pruned(model, 1)


def test_soft_labels_give_the_weighted_sum_of_two_losses() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, teacher = torch.randn(6, 4, generator=generator), torch.rand(6, 4, generator=generator)
    labels = (torch.rand(6, 4, generator=generator) < 0.4).float()
    loss = nn.functional.binary_cross_entropy_with_logits
    mixed = loss(logits, compression.soft_labels(labels, teacher, 0.3))
    torch.testing.assert_close(mixed, 0.7 * loss(logits, labels) + 0.3 * loss(logits, teacher))
    with pytest.raises(ValueError, match="differ in shape"):
        compression.soft_labels(labels, teacher[:2])
    with pytest.raises(ValueError, match="weight is 2"):
        compression.soft_labels(labels, teacher, 2)


def test_pareto_front_is_what_nobody_dominates() -> None:
    """Brute force on random points with ties."""
    generator = np.random.default_rng(0)
    cost, quality = generator.integers(0, 6, 40), generator.integers(0, 6, 40)

    def dominated(j: int) -> bool:
        return any(
            cost[i] <= cost[j] and quality[i] >= quality[j] and (cost[i] < cost[j] or quality[i] > quality[j])
            for i in range(40)
        )

    assert compression.pareto_front(cost, quality).tolist() == [not dominated(j) for j in range(40)]
    with pytest.raises(ValueError, match="must be"):
        compression.pareto_front([1, 2], [1])


def test_networks_without_convolutions_and_unusual_values_are_said() -> None:
    dense = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    for call in (compression.sparsity, compression.keep_zeros, lambda m: compression.pruned(m, 0.5)):
        with pytest.raises(ValueError, match="has no convolution"):
            call(dense)
    with pytest.raises(ValueError, match="share is nan"):
        compression.pruned(network(), float("nan"))
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        lean = compression.pruned(network().to(dtype), 0.5)
        assert compression.sparsity(lean) == pytest.approx(0.5, abs=1e-3)
    with pytest.raises(ValueError, match="probabilities are wanted"):
        compression.soft_labels(torch.ones(2, 2), torch.full((2, 2), 3.0))
    with pytest.raises(ValueError, match="NaN"):
        compression.pareto_front([1.0, float("nan")], [1.0, 2.0])
    with pytest.raises(ValueError, match="no column 'parameters'"):
        compression.energy_proxy_uj(pd.DataFrame({"layer": [1]}))
    with pytest.raises(ValueError, match="warmup is -1"):
        compression.measure_latency(dense.eval, warmup=-1)


def test_costs_of_any_precision_and_of_signals_that_do_not_fit() -> None:
    model = network().train()
    model.head.eval()
    peak = compression.peak_memory(model, 12, 1000).mib
    assert compression.peak_memory(network().double(), 12, 1000).mib == pytest.approx(2 * peak)
    for cost in (compression.layer_table, compression.peak_memory):
        with pytest.raises(ValueError, match=r"wants \(B, 12, T\)"):
            cost(model, 5, 100)
        with pytest.raises(ValueError, match="does not take signals"):
            cost(nn.Sequential(nn.Conv1d(12, 2, 9)), 12, 4)
        for leads, samples in ((0, 100), (12, 0), (12, 1.5), (True, 100)):
            with pytest.raises(ValueError, match="give a whole number"):
                cost(model, leads, samples)
    assert model.body.training and not model.head.training and not model.head.pool.training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    with pytest.raises(ValueError, match="in_proj_weight belongs to no layer"):
        compression.layer_table(nn.MultiheadAttention(4, 1), 2, 4)


def test_onnx_of_any_precision_and_what_cannot_be_read_or_written(exported, tmp_path) -> None:
    _, path = exported
    x, metadata = records(2)
    session = compression.onnx_session(path)
    expected = compression.onnx_logits(session, x.numpy(), metadata.numpy())
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        other = compression.export_onnx(network().to(dtype), tmp_path / "other.onnx", samples=SAMPLES)
        ours = compression.onnx_logits(compression.onnx_session(other), x.double(), metadata.double().numpy())
        np.testing.assert_allclose(ours, expected, atol=0.1)
    for signals, known in (
        (x[0], None),
        (x[:, :5], None),
        (x, metadata[:, :2]),
        (x, metadata[:1]),
        (x[:0], None),
    ):
        with pytest.raises(ValueError, match="is wanted"):
            compression.onnx_logits(session, signals, known)
    for wrong, why in (
        ("signals", "an array"),
        (x.numpy() + 1j, "real numbers"),
        (x.double() * 1e300, "large"),
    ):
        with pytest.raises(ValueError, match=f"signals.*{why}"):
            compression.onnx_logits(session, wrong)
    frozen = network().train()
    frozen.head.eval()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="could not write"):
        compression.export_onnx(frozen, tmp_path / "file" / "a.onnx", samples=SAMPLES)
    with pytest.raises(ValueError, match="12"):
        compression.export_onnx(frozen, tmp_path / "a.onnx", leads=5)
    assert frozen.body.training and not frozen.head.training
    for content in (b"", b"no network", path.read_bytes()[:5000]):
        (tmp_path / "broken.onnx").write_bytes(content)
        with pytest.raises(StoreError, match="write it again"):
            compression.onnx_session(tmp_path / "broken.onnx")
        with pytest.raises(StoreError, match="write it again"):
            compression.quantise_dynamic(tmp_path / "broken.onnx", tmp_path / "out.onnx")
    with pytest.raises(DataNotFoundError, match="export_onnx"):
        compression.quantise_dynamic(tmp_path / "absent.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
    with pytest.raises(ValueError, match="NaN"):
        compression.quantise_static(path, tmp_path / "out.onnx", x * torch.nan)


def test_networks_without_metadata_are_quantised_too(tmp_path) -> None:
    model = models.create("resnet18", 12, 3, width=8).eval()
    path, x = compression.export_onnx(model, tmp_path / "a.onnx", samples=SAMPLES), records(16)[0]
    small = compression.quantise_static(path, tmp_path / "small" / "b.onnx", x)
    ours = compression.onnx_logits(compression.onnx_session(small), x)
    assert np.corrcoef(ours.ravel(), model(x).detach().numpy().ravel())[0, 1] > 0.9
