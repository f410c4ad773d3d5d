"""Every registered model goes through the same contract; a model without an entry here fails."""

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ecgkit import models
from ecgkit.models.light_resnet18 import DESIGNS

# Trainable parameters of the benchmark authors' own models with 12 leads and 71 classes.
PARAMETERS = {
    "fcn_wang": 318_279,
    "inception1d": 516_167,
    "lstm": 912_199,
    "lstm_bidir": 2_339_143,
    "resnet1d_wang": 481_863,
    "xresnet1d50": 962_503,
    "xresnet1d101": 1_880_775,
}
# Published for 3 input channels and 1,000 classes, on images.
IMAGE_PARAMETERS = {"efficientnet_v2_s": 21_458_488, "mobilenet_v2": 3_504_872, "resnet18": 11_689_512}
# Their published numbers are sizes: test_light_resnet18.py builds all eighteen. They differ in options alone,
# so two that have all the parts between them go through the contract here.
LIGHT = [f"light_resnet18/{name}" for name in DESIGNS]
LIGHT_HERE = ["light_resnet18/E17", "light_resnet18/E18"]
EVERY_MODEL = pytest.mark.parametrize(
    "name", [name for name in models.names() if name not in LIGHT or name in LIGHT_HERE]
)


def make(name: str, leads: int = 12, classes: int = 3, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.create(name, leads=leads, classes=classes)


def signals(batch: int = 2, leads: int = 12, samples: int = 250) -> Tensor:
    return torch.randn(batch, leads, samples, generator=torch.Generator().manual_seed(1))


def test_every_model_is_tested() -> None:
    assert {*PARAMETERS, *IMAGE_PARAMETERS, *LIGHT} == set(models.names())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count_is_the_published_one(name: str) -> None:
    model = models.create(name, leads=12, classes=71)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == PARAMETERS[name]


@pytest.mark.parametrize("name", IMAGE_PARAMETERS)
def test_image_backbones_have_the_published_parameters_and_read_records_as_images(name: str) -> None:
    model = models.create(name, leads=3, classes=1000, ndim=2).eval()
    assert sum(p.numel() for p in model.parameters()) == IMAGE_PARAMETERS[name]
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)  # a real image
    record = signals(2, 12, 250)
    assert model.body(record).ndim == 4
    image = record[:, None].expand(-1, 3, -1, -1)  # leads by time, three equal channels
    assert torch.equal(model(record), model(image))
    with pytest.raises(ValueError, match="ndim is 3"):
        models.create(name, leads=12, classes=5, ndim=3)


@EVERY_MODEL
@pytest.mark.parametrize(("leads", "classes", "samples"), [(12, 71, 250), (1, 1, 97), (8, 5, 1000)])
def test_any_leads_classes_and_length(name: str, leads: int, classes: int, samples: int) -> None:
    model = make(name, leads, classes).eval()
    assert model(signals(2, leads, samples)).shape == (2, classes)


@EVERY_MODEL
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    model = make(name)
    for module in model.modules():  # xresnet1d starts its blocks as identities, which hides their inside
        if isinstance(module, nn.BatchNorm1d):
            nn.init.ones_(module.weight)
    torch.manual_seed(0)  # dropout and stochastic depth
    metadata = (torch.randn(4, 3),) if name in LIGHT else ()  # without, the weights for it have no part
    model(signals(4), *metadata).square().sum().backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None and torch.isfinite(value.grad).all(), parameter
        assert value.grad.abs().sum() > 0, parameter


@EVERY_MODEL
def test_same_seed_same_weights_and_outputs(name: str) -> None:
    first, second, other = make(name).eval(), make(name).eval(), make(name, seed=1).eval()
    assert torch.equal(first(signals()), second(signals()))
    assert not torch.equal(first(signals()), other(signals()))


@EVERY_MODEL
def test_records_of_a_batch_do_not_influence_each_other(name: str) -> None:
    model = make(name).eval()
    batch = signals(3)
    alone = torch.cat([model(record[None]) for record in batch])
    torch.testing.assert_close(model(batch), alone, rtol=1e-4, atol=1e-5)


@EVERY_MODEL
def test_state_dict_moves_to_a_fresh_model(name: str, tmp_path) -> None:
    model = make(name)
    model(signals(4))  # running statistics of the normalisation move, too
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    fresh = make(name, seed=1)
    fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(model.eval()(signals()), fresh.eval()(signals()))


@EVERY_MODEL
def test_torch_compile_gives_the_same_logits(name: str) -> None:
    torch.compiler.reset()  # all models share one forward(), and a function is compiled only so often
    model = make(name).eval()
    whole = not name.startswith("lstm")  # the compiler leaves torch's own LSTM outside its graph
    compiled = torch.compile(model, backend="eager", fullgraph=whole)
    torch.testing.assert_close(compiled(signals()), model(signals()))


@EVERY_MODEL
def test_onnx_runtime_gives_the_same_logits(name: str, tmp_path) -> None:
    model = make(name).eval()
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, (signals(),), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: signals().numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), model(signals()), rtol=1e-3, atol=1e-4)


@EVERY_MODEL
def test_body_and_head_make_the_model(name: str) -> None:
    model = make(name).eval()
    features = model.body(signals())
    assert features.ndim == 3
    assert torch.equal(model.head(features), model(signals()))


def test_a_wrong_name_suggests_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'xresnet1d101'"):
        models.create("xresnet101", leads=12, classes=5)
    with pytest.raises(ValueError, match="at least 1"):
        models.create("lstm", leads=0, classes=5)


def test_bidirectional_pooling_takes_the_end_of_both_directions() -> None:
    from ecgkit.models.heads import RecurrentPool

    states = torch.arange(12.0).reshape(1, 4, 3)  # channels 0, 1 forwards; 2, 3 backwards
    last = RecurrentPool(bidirectional=True)(states)[0, 8:]
    assert last.tolist() == [2.0, 5.0, 6.0, 9.0]


@pytest.mark.parametrize("name", ["fcn_wang", "resnet1d_wang", "xresnet1d50", "inception1d"])
def test_longer_kernels_keep_the_layers_and_lengthen_all_but_those_of_one_sample(name: str) -> None:
    short, long = (models.create(name, 12, 5, kernel_scale=scale) for scale in (1, 5))
    pairs = [
        (a.kernel_size[0], b.kernel_size[0])
        for a, b in zip(short.modules(), long.modules(), strict=True)
        if isinstance(a, nn.Conv1d) and isinstance(b, nn.Conv1d)
    ]
    assert pairs and all(b == (a if a == 1 else 5 * a) for a, b in pairs)
    assert long.eval()(torch.zeros(2, 12, 300)).shape == (2, 5)
