"""Model cards: what a network is, what it takes and how it is trained, in words, and its size, computed."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from torch import nn

from ecgkit import models
from ecgkit.compression import layer_table, saved_size_mib
from ecgkit.models.blocks import Residual, Sum
from ecgkit.models.heads import LeadImage
from ecgkit.models.light_resnet18 import Block
from ecgkit.transfer import networks

__all__ = ["CARDS", "COMMON_LIMIT", "INTENDED_USE", "LEADS", "ModelCard", "build", "outline", "sizes"]

LEADS = 12
INTENDED_USE = (
    "Learning and research. The network comes without trained weights, and nothing here was tested on "
    "patients in care: it is no medical device, and its output is no medical advice."
)
COMMON_LIMIT = (
    "Recorded runs use all twelve leads, and the data and the sampling rate that they name. What holds for "
    "fewer leads, another device or another hospital has to be measured anew."
)


@dataclass(frozen=True)
class ModelCard:
    """What a reader should know of a family of networks before using one."""

    name: str  # of the family, and of its page
    title: str  # heading of the page
    models: list[str]  # names for `ecgkit.models.create`, or for `ecgkit.transfer.networks.create`
    drawn: list[str]  # those of `models` whose layers the page lists
    about: str  # what the network is, in a few sentences
    source: str  # works that the network comes from, and where in them
    classes: int  # number of classes that sizes are computed for
    samples: int  # length of the window that sizes are computed for
    window: str  # the same in words
    trained: str  # how it is trained in this book
    limits: list[str]  # what to know before trusting a result
    chapters: list[tuple[str, str]]  # title, and source below ``notebooks/`` without the ending
    options: Mapping[str, str] = field(default_factory=dict)  # of `create`, each with what it does
    variants: list[Mapping[str, Any]] = field(default_factory=list)  # options of further rows in the sizes

    @property
    def of_transfer(self) -> bool:
        """Whether `ecgkit.transfer.networks` builds it, and not `ecgkit.models`."""
        return self.models[0] not in models.names()


_TABLES = tomllib.loads(Path(__file__).with_name("model_cards.toml").read_text(encoding="utf-8"))
CARDS: Mapping[str, ModelCard] = MappingProxyType({n: ModelCard(name=n, **t) for n, t in _TABLES.items()})
"""One card per family."""


def build(card: ModelCard, model: str, **options: Any) -> nn.Module:
    """A network of a card, for 12 leads and its number of classes; the global generator is left alone."""
    fixed = {"samples": card.samples} if "samples" in card.options else {}
    with torch.random.fork_rng(devices=[]):
        return networks.create(model, LEADS, card.classes, **fixed, **options)


def sizes(card: ModelCard) -> pd.DataFrame:
    """Parameters, MiB of the saved file, and multiply-adds for one window, of each network of a card.

    Returns:
        Columns ``model``, ``options``, ``parameters``, ``mib``, ``multiply_adds``.
    """
    rows = []
    for variant in [*({"model": name} for name in card.models), *card.variants]:
        options = {key: value for key, value in variant.items() if key != "model"}
        network = build(card, variant["model"], **options)
        table = layer_table(network, LEADS, card.samples)
        rows.append(
            {
                "model": variant["model"],
                "options": ", ".join(f"{key}={value}" for key, value in options.items()),
                "parameters": table["parameters"].sum(),
                "mib": saved_size_mib(network),
                "multiply_adds": table["multiply_adds"].sum(),
            }
        )
    return pd.DataFrame(rows)


_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU)
_TOLD_BEFORE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout, *_ACTIVATIONS)  # with what they follow


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
    kinds = {Residual: "residual block", Block: "residual block", Sum: "block with shortcut"}
    return (kinds | {LeadImage: "as an image", models.benchmark.InceptionBlock: "inception block"})[
        type(step)
    ]


def outline(model: nn.Module, samples: int) -> list[tuple[str, str, int]]:
    """The parts of a network in the order in which a record passes them: what, output, parameters.

    Normalisation and activation count to the layer that they follow; equal parts in a row are one line.

    Args:
        model: A network of the package, with a body and a head.
        samples: Samples T of the window.

    Raises:
        KeyError: If a part is of a kind that has no name here.

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
        quiet = isinstance(step, _TOLD_BEFORE)
        if rows and (quiet or rows[-1][:2] == (_words(holder, step), size)):
            words, _, before, times = rows.pop()
            rows.append((words, size, before + count, times + (not quiet)))
        else:
            rows.append((_words(holder, step), size, count, 1))

    hooks = []
    for name, part in model.get_submodule("body").named_children():
        held = isinstance(part, nn.ModuleList) or (isinstance(part, nn.Sequential) and not name.isdigit())
        for step in part.children() if held else [part]:
            holder = name if held else ""
            hooks.append(step.register_forward_hook(lambda m, _, y, holder=holder: note(holder, m, y)))
    with torch.no_grad(), models.evaluating(model):
        model(torch.zeros(1, LEADS, samples))
    for hook in hooks:
        hook.remove()
    named = [(f"{n} × {words}" if n > 1 else words, size, count) for words, size, count, n in rows]
    head = model.get_submodule("head")
    classes = [part for part in head.modules() if isinstance(part, nn.Linear)][-1].out_features
    return [*named, ("head", str(classes), sum(p.numel() for p in head.parameters()))]
