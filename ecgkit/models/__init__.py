"""Networks for ECG signals: each takes (B, leads, T), standardised, and returns (B, classes) logits.

>>> from ecgkit import models
>>> model = models.create("fcn_wang", leads=12, classes=5)
>>> import torch
>>> model(torch.zeros(2, 12, 250)).shape
torch.Size([2, 5])
"""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from ecgkit.models.benchmark import (
    fcn_wang,
    inception1d,
    lstm,
    lstm_bidir,
    resnet1d_wang,
    xresnet1d50,
    xresnet1d101,
)
from ecgkit.models.heads import check_sizes, evaluating
from ecgkit.models.image_backbones import efficientnet_v2_s, mobilenet_v2, resnet18
from ecgkit.models.light_resnet18 import DESIGNS, Design, LightResNet18

__all__ = ["build", "create", "evaluating", "names"]

Builder = Callable[..., nn.Module]


def _light(design: Design) -> Builder:
    return lambda leads, classes: LightResNet18(leads, classes, design)


_MODELS: dict[str, Builder] = {
    "efficientnet_v2_s": efficientnet_v2_s,
    "fcn_wang": fcn_wang,
    "inception1d": inception1d,
    **{f"light_resnet18/{name}": _light(design) for name, design in DESIGNS.items()},
    "lstm": lstm,
    "lstm_bidir": lstm_bidir,
    "mobilenet_v2": mobilenet_v2,
    "resnet18": resnet18,
    "resnet1d_wang": resnet1d_wang,
    "xresnet1d50": xresnet1d50,
    "xresnet1d101": xresnet1d101,
}


def names() -> tuple[str, ...]:
    """Names of all models, for `create`."""
    return tuple(_MODELS)


def create(name: str, leads: int, classes: int, **options: Any) -> nn.Module:
    """Build a model with fresh weights, drawn from torch's global generator.

    Args:
        name: One of `names()`.
        leads: Number of input leads.
        classes: Number of logits.
        options: Arguments of that model alone; see its own page.

    Returns:
        A network (B, leads, T) -> (B, classes) logits.

    Raises:
        ValueError: If there is no model of that name, it has no such option, a number is not whole or below
            1, another value is not allowed, or the network does not fit into memory.

    >>> create("lstm", leads=12, classes=5, kernel_scale=5)
    Traceback (most recent call last):
    ValueError: lstm has no option 'kernel_scale'; it has bidirectional, hidden
    """
    return build(_MODELS, name, leads, classes, **options)


def build(registry: Mapping[str, Builder], name: str, leads: int, classes: int, **options: Any) -> nn.Module:
    """As `create`, from a register of one's own: names, and functions of leads, classes and options."""
    if not isinstance(name, str) or name not in registry:
        close = get_close_matches(str(name), registry, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"no model named {name!r}; {hint}there are {', '.join(registry)}")
    known = [key for key in inspect.signature(registry[name]).parameters if key not in ("leads", "classes")]
    if unknown := [key for key in options if key not in known]:
        raise ValueError(f"{name} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    check_sizes(leads=leads, classes=classes)
    try:
        return registry[name](leads=leads, classes=classes, **options)
    except (MemoryError, RuntimeError) as error:
        if not any(word in str(error) for word in ("memory", "alloc", "overflow")):
            raise
        sizes = {"leads": leads, "classes": classes, **options}
        raise ValueError(f"{name} does not fit into memory with {sizes}; make it smaller") from error
