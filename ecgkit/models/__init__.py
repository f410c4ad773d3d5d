"""Networks for ECG signals: each takes (B, leads, T), standardised, and returns (B, classes) logits.

>>> from ecgkit import models
>>> model = models.create("fcn_wang", leads=12, classes=5)
>>> import torch
>>> model(torch.zeros(2, 12, 250)).shape
torch.Size([2, 5])
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any

from torch import nn

from ecgkit.models.fcn import fcn_wang
from ecgkit.models.image_backbones import efficientnet_v2_s, mobilenet_v2, resnet18
from ecgkit.models.inception1d import inception1d
from ecgkit.models.light_resnet18 import DESIGNS, LightResNet18
from ecgkit.models.recurrent import lstm, lstm_bidir
from ecgkit.models.resnet1d import resnet1d_wang, xresnet1d50, xresnet1d101

__all__ = ["create", "names"]

_MODELS: dict[str, Callable[..., nn.Module]] = {
    "efficientnet_v2_s": efficientnet_v2_s,
    "fcn_wang": fcn_wang,
    "inception1d": inception1d,
    **{f"light_resnet18/{name}": partial(LightResNet18, design=design) for name, design in DESIGNS.items()},
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
        ValueError: If there is no model of that name, `leads` or `classes` is below 1, or `kernel_scale`
            (an option of the convolutional networks) is not odd.
    """
    if name not in _MODELS:
        close = get_close_matches(name, _MODELS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"no model named {name!r}; {hint}there are {', '.join(_MODELS)}")
    if leads < 1 or classes < 1:
        raise ValueError(f"leads and classes must be at least 1, not {leads} and {classes}")
    if (scale := options.get("kernel_scale", 1)) < 1 or scale % 2 == 0:
        raise ValueError(f"kernel_scale must be odd, so that kernels have a middle, and not {scale}")
    return _MODELS[name](leads=leads, classes=classes, **options)
