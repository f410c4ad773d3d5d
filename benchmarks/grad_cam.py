"""What Grad-CAM costs on top of the forward pass that a selection needs anyway, beside captum's.

    python benchmarks/grad_cam.py --repeats 9

Three times for each convolutional network: the forward pass without gradients; the same with Grad-CAM from
its feature map, through the head alone; and captum's LayerGradCam, which does a forward and a backward pass
of its own. All three are timed in turn, so that a busy machine slows all of them. Medians, the ratios and
what they were measured on go to grad_cam.json beside this file.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import captum.attr
import torch
from record import save

from ecgkit import models
from ecgkit.explain import feature_cam, upsample
from ecgkit.training import choose_device

MODELS = ("fcn_wang", "resnet1d_wang", "inception1d", "xresnet1d101", "resnet18", "mobilenet_v2")


def seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(name: str, x: torch.Tensor, repeats: int) -> dict[str, float]:
    model = models.create(name, leads=12, classes=5).to(x.device).eval()
    library = captum.attr.LayerGradCam(model, model.body)
    target = torch.zeros(len(x), dtype=torch.long, device=x.device)

    @torch.no_grad()
    def forward() -> tuple[torch.Tensor, torch.Tensor]:
        features = model.body(x)
        return features, model.head(features)

    def with_map() -> torch.Tensor:
        features, _ = forward()
        return upsample(feature_cam(model.head, features), x.shape[-1])

    features, _ = forward()
    works: dict[str, Callable[[], object]] = {
        "forward": forward,
        "map": lambda: upsample(feature_cam(model.head, features), x.shape[-1]),
        "forward_and_map": with_map,
        "captum": lambda: library.attribute(x, target, relu_attributions=True),
    }
    times: dict[str, list[float]] = {key: [] for key in works}
    for repeat in range(repeats + 1):
        for key, work in works.items():
            taken = seconds(work, x.device)
            if repeat:  # the first does not count
                times[key].append(taken)
    median = {key: statistics.median(values) for key, values in times.items()}
    return {
        **{f"{key}_s": value for key, value in median.items()},
        "map_over_forward": median["map"] / median["forward"],
        "captum_over_forward": median["captum"] / median["forward"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--samples", type=int, default=1000, help="10 s at 100 Hz")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    x = torch.randn(arguments.batch, 12, arguments.samples, device=device)
    found = {}
    for name in arguments.models:
        found[name] = measure(name, x, arguments.repeats)
        print(
            f"{name}: the map adds {found[name]['map_over_forward']:.1%} to the forward pass, "
            f"captum takes {found[name]['captum_over_forward']:.1f} forward passes",
            flush=True,
        )
    measured = {
        "models": found,
        "batch_size": arguments.batch,
        "samples": arguments.samples,
        "repeats": arguments.repeats,
    }
    save(__file__, measured, torch.get_num_threads(), device.type)


if __name__ == "__main__":
    main()
