"""The method "compressed": a trained light network in fewer bits, with fewer weights, and as a teacher."""

import gzip
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecgbook.experiments.method import Progress, RunResult, Splits, drawn, total_seconds
from ecgbook.experiments.supervised import by_epoch, on_device
from ecgbook.experiments.thesis import METRICS, ThesisSettings, lightweight_network, own_folds
from ecgbook.runs.run import Run
from ecgkit import compression, evaluation
from ecgkit.training import DeviceData, Scaler, Training, lightweight_scores, train_lightweight

__all__ = ["SHARES", "STUDENT", "TEACHER", "Variant", "compressed", "variant_rows"]

SHARES = (0.5, 0.8, 0.9)  # of the weights of convolutions, set to zero
STUDENT = "light_resnet18/E18"
TEACHER = "light_resnet18/E1"  # unless the run names another: the thesis's baseline
CALIBRATION_RECORDS = 256  # training records that static quantisation finds its scales with
WEIGHT = 0.5  # of the teacher in the student's labels
DRAWS = 1000
MIB = 2**20


@dataclass(frozen=True)
class Variant:
    """One network as an ONNX file.

    Attributes:
        network: Name for `ecgkit.models.create`.
        kind: What was done to it; no two variants of a run have the same.
        path: The file.
        against: The kind of the variant that it is compared with, or "" for none.
    """

    network: str
    kind: str
    path: Path
    against: str


def compressed(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Train the run's network, compress it in several ways, and test every variant.

    The variants, all tested from their ONNX files: "float32"; "dynamic int8" and "static int8"; "pruned" at
    each of `SHARES`, and the same after one further epoch ("tuned"), beside the whole network after such an
    epoch ("one more epoch"); and the network `STUDENT` by itself ("alone") and with a teacher ("student").
    The teacher, parameter `teacher` of the run, is trained like the network; where both are the same, once.
    The scores of the outcome are those of "float32"; the table has a row per variant, see `variant_rows`.
    Nothing is chosen by the test or validation records.

    Raises:
        ImportError: If onnx or onnxruntime is not installed.
        ValueError: If a model is none of the eighteen.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), references [3]-[5]; the thesis itself does none of the three.
    """
    teacher = str(run.params.get("teacher", TEACHER))
    rest = {key: value for key, value in run.params.items() if key != "teacher"}
    config = ThesisSettings.of(replace(run, params=rest))
    parts = own_folds(parts, config)
    scaler, train, validation, test = on_device(parts, device, config.metadata)
    work = _Work(run, config, scaler, train, validation, checkpoint, progress, teacher)
    folder = checkpoint.parent / "onnx"
    folder.mkdir(parents=True, exist_ok=True)
    variants = work.variants(folder)
    scores = {v.kind: _onnx_scores(v.path, test, scaler) for v in variants}
    table, how = drawn(
        lambda redraw: variant_rows(variants, parts.test.labels, scores, DRAWS, redraw),
        f"table: bootstrap over test records, {DRAWS} draws, 95 %",
    )
    return RunResult(
        scores=scores["float32"],
        config={
            **asdict(config),
            **asdict(scaler),
            "sources": list(config.sources),
            "teacher": teacher,
            "student": STUDENT,
            "teacher_weight": WEIGHT,
            "shares": list(SHARES),
            "calibration_records": CALIBRATION_RECORDS,
            "draws": DRAWS,
            "table_intervals": how,
        },
        curve=work.total.curve,
        samples_backprop=work.total.samples_backprop,
        seconds=work.total.seconds,
        metrics=METRICS,
        parts=parts,
        table=table,
    )


@dataclass
class _Work:
    """The trainings of one run, and what they took together."""

    run: Run
    config: ThesisSettings
    scaler: Scaler
    train: DeviceData
    validation: DeviceData
    checkpoint: Path
    progress: Progress | None
    teacher: str
    epochs: int = 0  # done
    total: Training = field(default_factory=Training)

    def init_model(self, name: str) -> nn.Module:
        """A network with the weights to begin with, which follow from the run's seed."""
        return lightweight_network(name, self.train, self.run.seed)

    def trained(self, name: str, model: nn.Module, labels: Tensor | None = None) -> nn.Module:
        """The model, trained from the beginning; `labels` take the place of the true ones."""
        data = self.train if labels is None else replace(self.train, labels=labels)
        return self._train(name, model, data, self.config.epochs, self.run.seed)

    def tuned(self, name: str, model: nn.Module) -> nn.Module:
        """The model after one further epoch, with a new optimiser and in an order it has not had."""
        return self._train(name, model, self.train, 1, self.run.seed + 1000)

    def _train(self, name: str, model: nn.Module, data: DeviceData, epochs: int, seed: int) -> nn.Module:
        all_epochs = self.config.epochs * (3 + (self.teacher != self.run.model)) + 1 + len(SHARES)
        on_epoch = by_epoch(self.progress, all_epochs, begin=self.epochs)
        own = self.checkpoint.with_name(f"{self.checkpoint.stem}_{name}{self.checkpoint.suffix}")
        config = replace(self.config, epochs=epochs)
        done = train_lightweight(model, data, self.validation, self.scaler, config, seed, own, on_epoch)
        self.epochs += epochs
        self.total.samples_backprop += done.samples_backprop
        self.total.curve.extend(done.curve)
        self.total.seconds = total_seconds([self.total.seconds, done.seconds])
        return model.eval()

    def variants(self, folder: Path) -> list[Variant]:
        """Train, compress and write everything that `compressed` names."""
        found: list[Variant] = []
        leads, samples = self.train.signals.shape[1:]

        def add(network: str, kind: str, model: nn.Module, against: str) -> None:
            path = folder / f"{len(found)}.onnx"
            compression.export_onnx(deepcopy(model).cpu(), path, leads, samples)
            found.append(Variant(network, kind, path, against))

        name = self.run.model
        network = self.trained("network", self.init_model(name))
        add(name, "float32", network, "")
        dynamic = compression.quantise_dynamic(found[0].path, folder / "dynamic.onnx")
        found.append(Variant(name, "dynamic int8", dynamic, "float32"))
        rows = torch.linspace(0, len(self.train) - 1, min(CALIBRATION_RECORDS, len(self.train))).long()
        inputs = _inputs(self.train, self.scaler, rows)
        static = compression.quantise_static(found[0].path, folder / "static.onnx", *inputs)
        found.append(Variant(name, "static int8", static, "float32"))
        add(name, "one more epoch", self.tuned("more", deepcopy(network)), "float32")
        for share in SHARES:
            lean = compression.pruned(network, share)
            add(name, f"pruned {share:g}", lean, "float32")
            compression.keep_zeros(lean)
            add(name, f"pruned {share:g}, tuned", self.tuned(f"tuned_{share:g}", lean), "one more epoch")
        master = network if self.teacher == name else self.trained("teacher", self.init_model(self.teacher))
        soft = torch.from_numpy(lightweight_scores(master, self.train, self.scaler, self.config.bf16))
        labels = compression.soft_labels(self.train.labels, soft.to(self.train.labels.device), WEIGHT)
        add(STUDENT, "alone", self.trained("alone", self.init_model(STUDENT)), "float32")
        add(STUDENT, "student", self.trained("student", self.init_model(STUDENT), labels), "alone")
        return found


def _inputs(data: DeviceData, scaler: Scaler, rows: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Standardised signals and metadata of some records, as an ONNX file takes them."""
    signals = scaler(data.signals[rows], data.mv_per_unit).cpu().numpy()
    return signals, None if data.metadata is None else data.metadata[rows].cpu().numpy()


def _onnx_scores(path: Path, data: DeviceData, scaler: Scaler, batch_size: int = 128) -> np.ndarray:
    """Probabilities of every record from an ONNX file, float32, shape (N, K)."""
    session = compression.onnx_session(path)
    blocks = (slice(first, first + batch_size) for first in range(0, len(data), batch_size))
    logits = [compression.onnx_logits(session, *_inputs(data, scaler, rows)) for rows in blocks]
    return torch.from_numpy(np.concatenate(logits)).sigmoid().numpy()


def variant_rows(
    variants: Sequence[Variant],
    y_true: np.ndarray,
    scores: Mapping[str, np.ndarray],
    draws: int,
    redraw: bool = True,
) -> list[dict[str, Any]]:
    """One row per variant: sizes of its file, metrics with intervals, differences to another variant.

    Args:
        variants: Their files are weighed, as they are and after gzip.
        y_true: Labels of the test records, shape (N, K).
        scores: Probabilities by kind of variant, shape (N, K) each.
        draws: Resamples behind each interval.
        redraw: As `ecgkit.evaluation.bootstrap`.

    Returns:
        Columns network, variant, mib, gzipped_mib, against, and for each metric of Table 4.1 ``<metric>``,
        ``_low`` and ``_high`` (bootstrap over test records, 95 %), and ``_difference``, ``_difference_low``
        and ``_difference_high`` to the variant named in `against` (paired bootstrap), None where that is "".
    """
    rows = []
    for variant in variants:
        content = variant.path.read_bytes()
        row: dict[str, Any] = {
            "network": variant.network,
            "variant": variant.kind,
            "mib": len(content) / MIB,
            "gzipped_mib": len(gzip.compress(content, mtime=0)) / MIB,
            "against": variant.against,
        }
        mine = scores[variant.kind]
        for name in METRICS:
            metric = getattr(evaluation, name)
            found = evaluation.bootstrap(metric, y_true, mine, n=draws, redraw=redraw)
            row |= {name: found.point, f"{name}_low": found.low, f"{name}_high": found.high}
            ends = [f"{name}_{end}" for end in ("difference", "difference_low", "difference_high")]
            row |= dict.fromkeys(ends)
            if variant.against:
                pair = evaluation.paired_bootstrap(
                    metric, y_true, mine, scores[variant.against], n=draws, redraw=redraw
                )
                row |= dict(zip(ends, (pair.difference, pair.low, pair.high), strict=True))
        rows.append(row)
    return rows
