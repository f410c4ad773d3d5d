"""How large the networks of the model cards are, and of what parts: computed, for the cards' pages."""

from importlib import import_module
from typing import Any

import pandas as pd
import torch
from torch import nn

from ecgkit.compression import layer_table, saved_size_mib
from ecgkit.models.cards import ModelCard

__all__ = ["LEADS", "build", "outline", "sizes"]

LEADS = 12


def build(card: ModelCard, model: str, **options: Any) -> nn.Module:
    """A network of a card, for 12 leads and its number of classes; the global generator is left alone."""
    fixed = {"samples": card.samples} if card.needs_samples else {}
    with torch.random.fork_rng(devices=[]):
        return import_module(card.factory).create(model, LEADS, card.classes, **fixed, **options)


_BLOCKS = {
    "_Residual": "residual block",
    "_Bottleneck": "bottleneck block",
    "_Sum": "block with shortcut",
    "Block": "residual block",
    "_InceptionBlock": "inception block",
    "LeadImage": "as an image",
}
_QUIET = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.Dropout,
)  # told with what they follow


def _steps(body: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers and blocks of a body, each with the name of what holds it."""
    found: list[tuple[str, nn.Module]] = []
    for name, part in body.named_children():
        if isinstance(part, nn.ModuleList) or (isinstance(part, nn.Sequential) and not name.isdigit()):
            found += [(name, step) for step in part]
        else:
            found.append(("", part))
    return found


def _words(holder: str, step: nn.Module) -> str:
    if isinstance(step, nn.Conv1d | nn.Conv2d | nn.MaxPool1d | nn.MaxPool2d):
        kind = "convolution" if isinstance(step, nn.Conv1d | nn.Conv2d) else "max-pool"
        kernel, stride = (v[0] if isinstance(v, tuple) else v for v in (step.kernel_size, step.stride))
        return f"{kind}, kernel {kernel}" + (f", stride {stride}" if stride != 1 else "")
    if isinstance(step, nn.LSTM):
        layers = f"{step.num_layers} layer" + "s" * (step.num_layers > 1)
        return f"LSTM, {layers}" + (", both directions" if step.bidirectional else "")
    if isinstance(step, nn.Sequential):
        return "shortcut" if holder == "shortcuts" else "block without shortcut"
    return _BLOCKS[type(step).__name__]


def outline(model: nn.Module, samples: int) -> list[tuple[str, str, int]]:
    """The parts of a network in the order in which a record passes them: what, output, parameters.

    Normalisation and activation count to the layer that they follow; equal parts in a row are one line.

    Args:
        model: A network of the package, with a body and a head.
        samples: Samples T of the window.

    Raises:
        KeyError: If a part is of a kind that has no name here.

    >>> from ecgkit import models
    >>> for row in outline(models.create("fcn_wang", leads=12, classes=5), samples=250)[:2]:
    ...     print(row)
    ('convolution, kernel 8', '128 × 249', 12544)
    ('convolution, kernel 5', '256 × 249', 164352)
    """
    rows: list[tuple[str, str, int, int]] = []  # ..., how many in a row

    def note(holder: str, step: nn.Module, output: Any) -> None:
        shape = output[0].transpose(1, 2).shape if isinstance(output, tuple) else output.shape
        size = " × ".join(str(n) for n in shape[1:])
        count = sum(p.numel() for p in step.parameters())
        quiet = isinstance(step, _QUIET)
        if rows and (quiet or rows[-1][:2] == (_words(holder, step), size)):
            words, _, before, times = rows.pop()
            rows.append((words, size, before + count, times + (not quiet)))
        else:
            rows.append((_words(holder, step), size, count, 1))

    hooks = [
        step.register_forward_hook(lambda m, _, y, holder=holder: note(holder, m, y))
        for holder, step in _steps(model.get_submodule("body"))
    ]
    with torch.no_grad():
        model.eval()(torch.zeros(1, LEADS, samples))
    for hook in hooks:
        hook.remove()
    named = [(f"{n} × {words}" if n > 1 else words, size, count) for words, size, count, n in rows]
    head = model.get_submodule("head")
    classes = [part for part in head.modules() if isinstance(part, nn.Linear)][-1].out_features
    return [*named, ("head", str(classes), sum(p.numel() for p in head.parameters()))]


def sizes(card: ModelCard) -> pd.DataFrame:
    """Parameters, MiB of the saved file, and millions of multiply-adds for one window, of each network.

    Returns:
        Columns ``model``, ``options``, ``parameters``, ``mib``, ``multiply_adds``.
    """
    rows = []
    for variant in [*({"model": name} for name in card.models), *card.variants]:
        options = {key: value for key, value in variant.items() if key != "model"}
        network = build(card, variant["model"], **options)
        rows.append(
            {
                "model": variant["model"],
                "options": ", ".join(f"{key}={value}" for key, value in options.items()),
                "parameters": sum(p.numel() for p in network.parameters()),
                "mib": saved_size_mib(network),
                "multiply_adds": int(layer_table(network, LEADS, card.samples)["multiply_adds"].sum()),
            }
        )
    return pd.DataFrame(rows)
