"""How much a run computes: its training windows, its optimiser steps, and the size of its network."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ecgbook.experiments.compressed import SHARES, TEACHER
from ecgbook.experiments.melep_folds import FoldSettings
from ecgbook.experiments.melep_selection import SelectionSettings
from ecgbook.runs.run import Run
from ecgkit.compression import layer_table
from ecgkit.datasets.cards import CARDS
from ecgkit.datasets.splits import leave_one_source_out
from ecgkit.training import TrainConfig, selection
from ecgkit.training.light import LightConfig
from ecgkit.training.selection import SelectionConfig
from ecgkit.transfer.networks import create

__all__ = ["Records", "Work", "network_size", "work"]

Records = Mapping[tuple[str, str], int]
"""Training records by data set and task, as recorded runs counted them."""

_LEADS, _CLASSES = 12, 5  # the number of classes changes the last layer alone
_LIGHT = ("thesis", "compressed")  # methods with the settings of a light network
_OPTIONS = ("width", "ndim", "kernel_scale")
_TRAIN_SHARE = 0.8  # eight folds of ten
_MELEP_SHARE = 0.7  # of the records of a MELEP task: what is not for testing
_MELEP_VALIDATION = 0.2  # of those


@dataclass(frozen=True)
class Work:
    """What a run computes.

    Attributes:
        windows: Training windows, each of which goes forward and backward once.
        steps: Optimiser steps.
        multiply_adds: Of the network for one window, forward; 0 for a network that is not known.
        activations: Numbers that the layers write for one window.
        layers: Layers of the network.
        bf16: Whether the forward pass is in bfloat16.
    """

    windows: float
    steps: float
    multiply_adds: int = 0
    activations: int = 0
    layers: int = 0
    bf16: bool = False


def work(run: Run, known: Records | None = None) -> Work:
    """What a run computes: without a network, nothing.

    Validation, test and bootstrap are not counted. Neither is what a selection method saves (samples that it
    drops) or costs (scoring them): each sample counts as trained on in each epoch. Where no recorded run says
    how many training records a task has, it is eight tenths of the published records of the data set.

    Args:
        run: The run.
        known: Training records by data set and task.

    >>> run = Run("demo", "synthetic", "2", "superdiagnostic", "fcn_wang", "supervised", "paper", 0)
    >>> found = work(run, {("synthetic", "superdiagnostic"): 480})
    >>> found.windows, found.steps, found.multiply_adds  # 50 epochs in batches of 128
    (24000, 200, 68366976)
    """
    if run.model == "none":
        return Work(0, 0)
    options = {name: value for name in _OPTIONS if isinstance(value := _setting(run, name), int) and value}
    if run.method == "melep_selection":
        options["width"] = max(_setting(run, "widths"))  # as if every candidate had the largest
    if run.method == "relevance":
        options = {"width": 16, **options}
    try:
        size = network_size(run.model, _samples(run), **options)
    except ValueError:
        size = 0, 0, 0
    phases = [(epochs, max(1, round(records))) for epochs, records in _phases(run, known or {})]
    batch = int(_setting(run, "batch_size"))
    return Work(
        windows=sum(epochs * records for epochs, records in phases),
        steps=sum(epochs * math.ceil(records / batch) for epochs, records in phases),
        multiply_adds=size[0],
        activations=size[1],
        layers=size[2],
        bf16=bool(_setting(run, "bf16")),
    )


@cache
def network_size(model: str, samples: int, **options: Any) -> tuple[int, int, int]:
    """Multiply-adds and activations of a network for one window of 12 leads, and its number of layers.

    Args:
        model: Name for `ecgkit.models.create`, or a network of MELEP's.
        samples: Samples of the window.
        options: Of the network.

    Raises:
        ValueError: If there is no such network.
    """
    table = layer_table(create(model, _LEADS, _CLASSES, **options), _LEADS, samples)
    return int(table["multiply_adds"].sum()), int(table["activations"].sum()), len(table)


def _setting(run: Run, name: str) -> Any:
    """A setting of a run: its parameter, else the default of its method."""
    if name == "epochs" and run.protocol == "quick" and name not in run.params:
        return 3
    return run.params.get(name, getattr(_defaults(run.method), name, None))


def _defaults(method: str) -> object:
    if method in _LIGHT:
        return LightConfig()
    if method == "melep_folds":
        return FoldSettings()
    if method == "melep_selection":
        return SelectionSettings()
    return SelectionConfig() if method == "planted" or method in selection.names() else TrainConfig()


def _samples(run: Run) -> int:
    if run.method in _LIGHT:
        return round(_setting(run, "seconds") * _setting(run, "rate_hz"))
    return round(_setting(run, "window_s") * run.sampling_rate_hz)


def _phases(run: Run, known: Records) -> list[tuple[int, float]]:
    """Epochs and training records of each training within a run."""
    epochs, records = int(_setting(run, "epochs")), _records(run.dataset, run.task, known)
    match run.method:
        case "leakage":
            return [(epochs, records)] * 2
        case "ensemble":
            return [(epochs, records)] * int(run.params.get("members", 10))
        case "planted":
            return [(epochs, records * run.params.get("folds", 8) / 8)]
        case "relevance":  # so many of each of two classes, and twice as many of neither
            return [(epochs, min(records, 4 * run.params.get("most", 400)))]
        case "thesis" if sources := run.params.get("sources"):
            splits = leave_one_source_out((run.dataset, *sources))
            names = next(split.train for split in splits if run.dataset in split.test)
            return [(epochs, sum(0.9 * CARDS[name].records for name in names))]  # all folds but one
        case "thesis":
            return [(epochs, records * _setting(run, "train_folds") / 8)]
        case "compressed":
            kept = records * _setting(run, "train_folds") / 8
            trainings = 3 + (run.params.get("teacher", TEACHER) != run.model)
            return [(epochs, kept)] * trainings + [(1, kept)] * (1 + len(SHARES))
        case "transfer":
            source = records / 2  # other sites of the same data set, which hold about half of it
            if run.params.get("source"):
                source = _records(run.params["source"], "all", known)
            sizes = run.params.get("records", [85])
            twice = [(2 * epochs, min(size, records)) for size in sizes]  # from scratch, and fine-tuned
            return [(int(run.params.get("source_epochs", 10)), source), *twice]
        case "melep_folds":
            return _melep_folds(run, epochs, records, known)
        case "melep_selection":
            return _melep_selection(run, epochs, records)
    return [(epochs, records)]


def _records(dataset: str, task: str, known: Records) -> float:
    return known.get((dataset, task)) or _TRAIN_SHARE * CARDS[dataset].records


def _melep_folds(run: Run, epochs: int, records: float, known: Records) -> list[tuple[int, float]]:
    source = _setting(run, "source")
    learned = _records(source, "", known) if source in CARDS else records / 2  # folds 1 to 4 of 8
    share = _MELEP_SHARE * (1 - _setting(run, "validation_share"))
    tasks = (int(_setting(run, "folds")) * epochs, share * _setting(run, "records"))
    return [tasks] if source == "untrained" else [(int(_setting(run, "source_epochs")), learned), tasks]


def _melep_selection(run: Run, epochs: int, records: float) -> list[tuple[int, float]]:
    settings = SelectionSettings.of(run.params)
    candidates = list(settings.candidates())
    groups = len(settings.groups)
    pairs = sum(groups - (group != "none") for group, _, _ in candidates)
    share = _MELEP_SHARE * (1 - _MELEP_VALIDATION)
    before = sum(length for _, _, length in candidates)
    return [(before, records / 2), (pairs * epochs, share * settings.records)]
