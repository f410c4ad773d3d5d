"""Every registered model goes through the same contract; a model without an entry here fails."""

import shutil
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ecgkit import compression, models
from ecgkit.models.light_resnet18 import DESIGNS
from ecgkit.transfer import networks

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
LIGHT = [f"light_resnet18/{name}" for name in DESIGNS]  # test_light_resnet18.py has their published sizes
MELEP = ["bilstm", "resnet1d101"]  # test_finetune.py counts their parameters by hand
ALL = [*PARAMETERS, *IMAGE_PARAMETERS, *LIGHT, *MELEP]
EVERY_MODEL = pytest.mark.parametrize("name", ALL)
# The compiler takes as long as all other tests together. Of the light networks, which differ in options
# alone, it gets the baseline and the one with the most changes. With the deepest networks it stops after its
# first half (backend "eager"), and they are left to the slow tests.
DEEP = ["efficientnet_v2_s", "mobilenet_v2", "xresnet1d50", "xresnet1d101", "resnet1d101"]
COMPILED = [
    pytest.param(name, marks=[pytest.mark.slow] * (name in DEEP))
    for name in ALL
    if name not in LIGHT or name in ("light_resnet18/E1", "light_resnet18/E18")
]
FIXED = {"bilstm"}  # takes records of one length alone


def make(
    name: str, leads: int = 12, classes: int = 3, seed: int = 0, samples: int = 250, **options: int
) -> nn.Module:
    options = {"samples": samples} if name in FIXED else options
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return networks.create(name, leads, classes, **options)  # knows all that models.create knows


def signals(batch: int = 2, leads: int = 12, samples: int = 250) -> Tensor:
    return torch.randn(batch, leads, samples, generator=torch.Generator().manual_seed(1))


def test_every_model_is_tested() -> None:
    own = set(networks.__all__) - {"create"}
    assert set(ALL) == set(models.names()) | own and len(ALL) == len(set(ALL))


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
    model = make(name, leads, classes, samples=samples).eval()
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


@pytest.mark.parametrize("name", COMPILED)
def test_torch_compile_gives_the_same_logits(name: str) -> None:
    """Traced as a whole; "aot_eager" also takes it apart into the operations that a backend would get."""
    torch.compiler.reset()  # all models share one forward(), and a function is compiled only so often
    model = make(name).eval()
    whole = "lstm" not in name  # the compiler leaves torch's own LSTM outside its graph
    compiled = torch.compile(model, backend="eager" if name in DEEP else "aot_eager", fullgraph=whole)
    with torch.no_grad():
        torch.testing.assert_close(compiled(signals()), model(signals()))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="the compiler makes C++, and there is no g++")
def test_the_real_backend_of_torch_compile() -> None:
    """One small network only: inductor writes and compiles C++ for each, which takes too long for all."""
    torch.compiler.reset()
    model = make("fcn_wang").eval()
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model)(signals()), model(signals()), rtol=1e-4, atol=1e-5)


def runtime_logits(path: Path, x: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return torch.from_numpy(logits)


@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in ALL), *((name, {"ndim": 2}) for name in IMAGE_PARAMETERS)]
)
def test_onnx_runtime_gives_the_same_logits_whatever_the_batch_and_the_length(
    name: str, options: dict, tmp_path: Path
) -> None:
    model = make(name, **options)
    frozen = next(part for part in model.modules() if isinstance(part, nn.Linear)).eval()
    path = compression.export_onnx(model, tmp_path / "new" / "model.onnx", leads=12, samples=250)
    assert [part for part in model.modules() if not part.training] == [frozen]
    session = compression.onnx_session(path)
    model.eval()
    for x in (signals(), signals(batch=5, samples=250 if name in FIXED else 131)):
        ours = torch.from_numpy(compression.onnx_logits(session, x.double()))
        torch.testing.assert_close(ours, model(x), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="signal has the shape"):
        compression.onnx_logits(session, signals(leads=5))
    if name not in LIGHT:
        with pytest.raises(ValueError, match="takes no metadata"):
            compression.onnx_logits(session, signals(), torch.zeros(2, 3))


def test_the_newer_onnx_exporter_gives_the_same_logits(tmp_path) -> None:
    """One network only: it is much slower than the older one, which `ecgkit.compression.export_onnx` uses."""
    model, path = make("fcn_wang").eval(), tmp_path / "model.onnx"
    free = {0: torch.export.Dim("batch"), 2: torch.export.Dim("time", min=64)}
    torch.onnx.export(model, (signals(),), path, dynamo=True, verbose=False, dynamic_shapes=(free,))
    for x in (signals(), signals(batch=5, samples=131)):
        torch.testing.assert_close(runtime_logits(path, x), model(x), rtol=1e-3, atol=1e-4)


@EVERY_MODEL
def test_body_and_head_make_the_model(name: str) -> None:
    model = make(name).eval()
    features = model.body(signals())
    assert features.ndim == 3
    assert torch.equal(model.head(features), model(signals()))


def test_a_wrong_name_suggests_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'xresnet1d101'"):
        models.create("xresnet101", leads=12, classes=5)


@EVERY_MODEL
def test_no_model_takes_a_size_or_an_option_that_cannot_be(name: str) -> None:
    for size in ("leads", "classes"):
        for value in (0, -1, True, 12.0, "12", None, 10**30):
            with pytest.raises(ValueError, match=f"{size} is"):
                networks.create(name, **{"leads": 12, "classes": 3, size: value})
    for option in ("no_such_option", "design"):
        with pytest.raises(ValueError, match=f"has no option '{option}'"):
            networks.create(name, 12, 3, **{option: DESIGNS["E1"]})


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("lstm", {"kernel_scale": 5}, "lstm has no option 'kernel_scale'; it has bidirectional, hidden"),
        ("lstm_bidir", {"hidden": 5}, "it has none"),
        ("lstm", {"hidden": 0}, "hidden is 0"),
        ("lstm", {"hidden": 2.5}, "hidden is 2.5"),
        ("lstm", {"bidirectional": "no"}, "bidirectional is 'no'"),
        ("bilstm", {"samples": 0}, "samples is 0"),
        *(("resnet18", {"width": width}, "width is") for width in (0, -4, True, 8.0, 10**9)),
        *(("resnet18", {"ndim": ndim}, "ndim is") for ndim in (0, 3, True, 1.0, "2")),
        ("mobilenet_v2", {"width": 8}, "no option 'width'; it has ndim"),
        *(("fcn_wang", {"kernel_scale": scale}, "kernel_scale") for scale in (0, 2, -1, True, 1.5, None)),
        ("xresnet1d50", {"kernel_scale": 4}, "must be odd"),
        ("light_resnet18/E1", {"width": 8}, "it has none"),
        (5, {}, "no model named 5"),
        (["lstm"], {}, "no model named"),
    ],
)
def test_impossible_options_are_said(name: str, options: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        networks.create(name, leads=12, classes=3, **options)


def test_a_lack_of_memory_is_said() -> None:
    def full(leads: int, classes: int) -> nn.Module:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(ValueError, match="big does not fit into memory"):
        models.build({"big": full}, "big", 12, 3)


@EVERY_MODEL
def test_signals_that_do_not_fit_are_refused_with_the_reason(name: str) -> None:
    model, x = make(name).eval(), signals()
    wrong = {
        "shape": [x[:, :5], x[0], x[..., :0], x[:, None]],
        "standardised": [(100 * x).to(torch.int16), x.numpy()],
        "convert one": [x.double()],
        "move one": [x.to("meta")],
    }
    for match, inputs in wrong.items():
        for bad in inputs:
            with pytest.raises(ValueError, match=match):
                model(bad)
    assert model(x[:0]).shape == (0, 3)


def test_fcn_wang_wants_two_samples_and_a_light_network_three_numbers_of_metadata() -> None:
    model = make("fcn_wang").eval()
    assert model(signals(samples=2)).shape == (2, 3)
    with pytest.raises(ValueError, match="2 samples or more"):
        model(signals(samples=1))
    light = make("light_resnet18/E18").eval()
    torch.testing.assert_close(
        light(signals(), torch.ones(2, 3).double()), light(signals(), torch.ones(2, 3))
    )
    for shape in ((2, 2), (3, 3), (3,)):
        with pytest.raises(ValueError, match="metadata has the shape"):
            light(signals(), torch.zeros(shape))


@EVERY_MODEL
def test_each_part_is_in_its_own_mode_again_also_after_an_error(name: str) -> None:
    model = make(name).train()
    frozen = [part for part in model.modules() if isinstance(part, nn.Linear | nn.BatchNorm1d)][:2]
    for part in frozen:
        part.eval()
    with pytest.raises(KeyError), models.evaluating(model):
        assert not any(part.training for part in model.modules())
        raise KeyError
    assert [part for part in model.modules() if not part.training] == frozen


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
