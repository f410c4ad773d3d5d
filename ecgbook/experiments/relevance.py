"""Where in the beat relevance falls: a statistic over beats and records, beside networks with random weights.

The paper shows one map of a premature ventricular complex (PVC) and one of a pacemaker (PACE), and asks for a
statistic. This is one: the positive relevance in each part of the beat, relative to the time that it takes.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ecgbook.experiments.method import Progress, RunResult, Splits, train_config
from ecgbook.experiments.supervised import build_model, by_epoch, on_device
from ecgbook.runs.run import Run
from ecgkit.datasets.base import ECGDataset
from ecgkit.evaluation import resample_counts
from ecgkit.explain import lrp
from ecgkit.training import Scaler, predict, train_classifier

__all__ = [
    "CLASSES",
    "PREMATURE",
    "SEGMENTS",
    "beats",
    "class_maps",
    "early_ratio",
    "enrichment",
    "examples",
    "measure",
    "randomised",
    "relevance",
    "summary",
    "two_classes",
    "weighted_layers",
]

CLASSES = ("PVC", "PACE")
SEGMENTS: dict[str, tuple[int, int]] = {
    "P": (-20, -6),
    "before the QRS": (-6, 0),
    "QRS": (0, 10),
    "T": (14, 40),
}
"""Parts of a beat, first sample and the one after the last, of 10 ms, about the detected beat.

The detector marks about the onset of the QRS complex. In the paced records of the training folds of PTB-XL
the trace turns most sharply, at the spike, from 30 ms before that on; other records are flat there. The
segment of 60 ms is where a spike just before the complex is to be expected.
"""
PREMATURE = "premature beats"

_RATE_HZ = 100
_EARLY = 0.85  # of the median interval of the record
_FEWEST_BEATS = 4
_MEASURED = 128  # training records on which random networks measure mean and variance
_DEFAULTS = {"most": 400, "draws": 5, "width": 16}
_CLAIMS = {"pvc_premature": ("PVC", PREMATURE), "pace_before_qrs": ("PACE", "before the QRS")}


def _columns(dataset: ECGDataset) -> list[int]:
    """Columns of `CLASSES`."""
    if missing := set(CLASSES) - set(dataset.classes):
        raise ValueError(f"task {dataset.task} of {dataset.name} has no class {', '.join(sorted(missing))}")
    return [dataset.classes.index(name) for name in CLASSES]


def two_classes(dataset: ECGDataset) -> ECGDataset:
    """The same records with the labels of `CLASSES` alone.

    Raises:
        ValueError: If the task has not both classes.
    """
    return replace(dataset, labels=dataset.labels[:, _columns(dataset)], classes=CLASSES)


def examples(dataset: ECGDataset, most: int, seed: int) -> ECGDataset:
    """Up to `most` random records of each of `CLASSES`, and up to twice as many with neither.

    Raises:
        ValueError: If the task has not both classes.
    """
    labels = dataset.labels[:, _columns(dataset)]
    rng = np.random.default_rng(seed)
    kinds = [(labels[:, k] == 1, most) for k in range(len(CLASSES))] + [(labels.sum(axis=1) == 0, 2 * most)]
    rows = [rng.permutation(np.flatnonzero(mask))[:count] for mask, count in kinds]
    return two_classes(dataset.subset(np.unique(np.concatenate(rows))))


def beats(dataset: ECGDataset, row: int) -> np.ndarray:
    """Samples at which the detector of WFDB finds a QRS complex in lead II, shape (n,).

    Raises:
        ValueError: If the signals are not sampled at 100 Hz, for which `SEGMENTS` is given.
    """
    from wfdb.processing import xqrs_detect

    if dataset.sampling_rate_hz != _RATE_HZ:
        raise ValueError(f"the signals have {dataset.sampling_rate_hz} Hz; the segments are for {_RATE_HZ}")
    signal = dataset.signals[row, dataset.leads.index("II")] * dataset.mv_per_unit
    return np.asarray(xqrs_detect(signal.astype(float), fs=_RATE_HZ, verbose=False), np.int64)


def class_maps(
    model: nn.Module, scaler: Scaler, dataset: ECGDataset, rows: Sequence[int] | np.ndarray, k: int
) -> np.ndarray:
    """Relevance for class k of whole records, by LRP with epsilon 0.1, shape (B, leads, T)."""
    device = next(model.parameters()).device
    found = []
    for first in range(0, len(rows), 32):
        signals = torch.from_numpy(np.array(dataset.signals[rows[first : first + 32]])).to(device)
        found.append(lrp(model, scaler(signals, dataset.mv_per_unit), k, epsilon=0.1).cpu().numpy())
    return np.concatenate(found)


def enrichment(relevance: np.ndarray, at: np.ndarray) -> dict[str, float]:
    """Share of the positive relevance in each segment, divided by the segment's share of the time.

    1 is what a map has that is spread evenly. NaN where no part of the segment lies inside the record, or no
    relevance is positive.

    Args:
        relevance: One map, shape (leads, T).
        at: Detected beats, in samples, shape (n,).

    >>> even = enrichment(np.ones((12, 1000)), np.array([200, 500, 800]))
    >>> {name: round(value, 6) for name, value in even.items()}
    {'P': 1.0, 'before the QRS': 1.0, 'QRS': 1.0, 'T': 1.0}
    """
    positive = relevance.clip(min=0).sum(axis=0)
    found = {}
    for name, (first, last) in SEGMENTS.items():
        inside = np.zeros(positive.size, bool)
        for beat in at:
            inside[max(0, beat + first) : max(0, beat + last)] = True
        whole = positive.sum() * inside.mean()
        found[name] = float(positive[inside].sum() / whole) if whole > 0 else float("nan")
    return found


def early_ratio(relevance: np.ndarray, at: np.ndarray) -> float:
    """Mean positive relevance about the premature beats, divided by that about the others.

    A beat counts as premature if it comes after less than 85 % of the record's median interval. "About" a
    beat are the 100 ms before and the 400 ms after its detection. NaN if the record has no beat of one of the
    two kinds.

    Args:
        relevance: One map, shape (leads, T).
        at: Detected beats, in samples, shape (n,).

    >>> early_ratio(np.ones((12, 1000)), np.array([100, 200, 260, 400, 500]))
    1.0
    """
    interval = np.diff(at)
    if len(interval) == 0:
        return float("nan")
    early = np.concatenate([[False], interval < _EARLY * np.median(interval)])
    if not early.any() or early.all():
        return float("nan")
    positive = relevance.clip(min=0).sum(axis=0)
    mass = np.array([positive[max(0, beat - 10) : beat + 40].sum() for beat in at])
    others = mass[~early].mean()
    return float(mass[early].mean() / others) if others > 0 else float("nan")


def weighted_layers(model: nn.Module) -> list[nn.Module]:
    """The layers with weights of their own, from input to output: what `randomised` draws anew."""
    return [layer for layer in model.modules() if hasattr(layer, "reset_parameters")]


def randomised(model: nn.Module, last: int, seed: int, signals: torch.Tensor) -> nn.Module:
    """A copy in evaluation mode whose last `last` layers with weights forgot what they learned.

    Convolutions and linear layers get new random weights. Batch normalisation loses its scale and shift, and
    measures mean and variance anew on `signals`: without that every layer would shrink the signal, until the
    epsilon of LRP outweighs all else.

    Args:
        model: A network; it is not changed.
        last: Number of `weighted_layers`, counted from the output.
        seed: Seed of the weights.
        signals: Standardised training signals, on the device of the model, shape (B, leads, T).
    """
    copy = deepcopy(model).eval()
    layers = weighted_layers(copy)
    chosen = layers[len(layers) - last :]
    with torch.random.fork_rng(devices=[d for d in [signals.device] if d.type == "cuda"]):
        torch.manual_seed(seed)
        for layer in chosen:
            layer.reset_parameters()  # type: ignore[operator]
    norms = [layer for layer in chosen if isinstance(layer, nn.BatchNorm1d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0  # what it measures replaces what it had
    with torch.no_grad():
        copy(signals)
    for norm in norms:
        norm.momentum = 0.1  # as it is by default
    return copy.eval()


def measure(maps: np.ndarray, at: Sequence[np.ndarray]) -> pd.DataFrame:
    """`enrichment` and `early_ratio` of each map, one row each, from maps (B, leads, T) and their beats."""
    pairs = list(zip(maps, at, strict=True))
    return pd.DataFrame([{**enrichment(m, b), PREMATURE: early_ratio(m, b)} for m, b in pairs])


def summary(
    trained: pd.DataFrame, random: Sequence[pd.DataFrame], patients: np.ndarray, at: Sequence[np.ndarray]
) -> list[dict[str, Any]]:
    """Means over records with 95 % intervals from resampled patients, as rows of plain values.

    For each column: the trained network; each network with random weights (draw 1, 2, ...); and the
    difference, trained minus the mean of the random ones, for which the random networks are resampled along
    with the patients.

    Args:
        trained: What `measure` found for the trained network, N rows.
        random: The same for each network with random weights.
        patients: Patient of each record, shape (N,).
        at: Beats of each record.
    """
    rows: list[dict[str, Any]] = []
    count = np.array([len(b) for b in at])
    picks = np.random.default_rng(0).multinomial(len(random), np.full(len(random), 1 / len(random)), 1000)
    for segment in trained:
        values = np.stack([frame[segment].to_numpy(float) for frame in (trained, *random)])  # (1 + draws, N)
        good = np.isfinite(values).all(axis=0)
        if len(np.unique(patients[good])) < 2:
            continue
        values = values[:, good]
        truth = np.zeros(good.sum())
        counts = np.concatenate([c for c, _ in resample_counts(truth, 1000, 0, patients[good], redraw=False)])
        means = counts @ values.T / counts.sum(axis=1, keepdims=True)  # (1000, 1 + draws)
        share = picks / len(random)
        drawn = [*means.T, means[:, 0] - (share * means[:, 1:]).sum(axis=1)]
        point = values.mean(axis=1)
        points = [*point, point[0] - point[1:].mean()]
        names = ["trained", *["random weights"] * len(random), "difference"]
        for number, (name, value, draws) in enumerate(zip(names, points, drawn, strict=True)):
            low, high = np.quantile(draws, [0.025, 0.975])
            rows.append(
                {
                    "network": name,
                    "draw": number if name == "random weights" else None,
                    "segment": segment,
                    "mean": float(value),
                    "low": float(low),
                    "high": float(high),
                    "records": int(good.sum()),
                    "beats": int(count[good].sum()),
                }
            )
    return rows


def relevance(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Train a small network on PVC and PACE, and measure where the relevance falls in the test records.

    Parameters of the run: `most` (training records of each class, default 400), `draws` (networks with random
    weights, default 5), `width` of the network (default 16), and those of `TrainConfig`. All test records
    of a class with at least four detected beats count. "pvc_premature" and "pace_before_qrs" are the paper's
    two statements as numbers: trained minus random weights. Needs the package wfdb.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section IV-D and Fig. 8, and the statistic that it leaves
        to future work. The network, the segments and the comparison with random weights are ours.
    """
    own = {**_DEFAULTS, **{key: value for key, value in run.params.items() if key in _DEFAULTS}}
    rest = {key: value for key, value in run.params.items() if key not in _DEFAULTS}
    config = train_config(replace(run, params=rest))
    fitting, checking = (examples(part, own["most"], run.seed) for part in (parts.train, parts.validation))
    test = two_classes(parts.test)
    scaler, train, validation, judged = on_device(Splits(fitting, checking, test), device)
    network = build_model(run.model, train, run.seed, width=own["width"])
    on_epoch = by_epoch(progress, config.epochs)
    done = train_classifier(network, train, validation, scaler, config, run.seed, checkpoint, on_epoch)
    network.eval()
    layers = len(weighted_layers(network))
    some = scaler(train.signals[:_MEASURED], train.mv_per_unit)
    random = [randomised(network, layers, 1000 * (run.seed + 1) + k, some) for k in range(own["draws"])]
    table = []
    for k, name in enumerate(CLASSES):
        found = {int(row): beats(test, int(row)) for row in np.flatnonzero(test.labels[:, k] == 1)}
        at = {row: b for row, b in found.items() if len(b) >= _FEWEST_BEATS}
        if not at:
            continue
        rows = np.array(list(at))
        trained, *others = (
            measure(class_maps(model, scaler, test, rows, k), list(at.values()))
            for model in (network, *random)
        )
        patients = test.meta["patient"].to_numpy()[rows]
        table += [{"class": name, **row} for row in summary(trained, others, patients, list(at.values()))]
    return RunResult(
        scores=predict(network, judged, scaler, config.window_s, bf16=config.bf16),
        config={
            **asdict(config),
            **asdict(scaler),
            **own,
            "segments": {k: list(v) for k, v in SEGMENTS.items()},
        },
        curve=done.curve,
        samples_backprop=done.samples_backprop,
        seconds=done.seconds,
        metrics=("macro_auc",),
        parts=Splits(fitting, checking, test),
        values={
            metric: {"point": row["mean"], "low": row["low"], "high": row["high"]}
            for metric, (name, segment) in _CLAIMS.items()
            for row in table
            if (row["class"], row["segment"], row["network"]) == (name, segment, "difference")
        },
        intervals="relevance: bootstrap over test patients and random networks, 1000 draws, 95 %",
        table=table,
    )
