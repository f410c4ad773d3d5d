"""What ``ecgkit train`` does: one network, one data set, and a folder with all that came of it."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgkit import __version__, datasets, models
from ecgkit.datasets import ECGDataset
from ecgkit.errors import EcgkitError, StoreError
from ecgkit.evaluation import bootstrap, fmax, macro_auc
from ecgkit.files import atomic_write, write_error
from ecgkit.training import TrainConfig, choose_device, fit_scaler, predict, to_device, train_classifier

__all__ = ["Request", "train_into"]

_SETTINGS, _CHECKPOINT = "settings.json", "checkpoint.pt"
_WEIGHTS, _PREDICTIONS, _METRICS = "weights.pt", "predictions.csv", "metrics.json"


@dataclass(frozen=True)
class Request:
    """What is to be trained. None: the data set's first task or sampling rate."""

    model: str
    dataset: str
    task: str | None
    epochs: int
    seed: int
    sampling_rate_hz: int | None
    batch_size: int
    max_lr: float
    window_s: float


def train_into(
    out: Path,
    request: Request,
    data_root: Path | None,
    device_name: str,
    on_epoch: Callable[[dict[str, float]], None],
) -> dict[str, dict[str, Any]]:
    """Train, test, and write weights, predictions and metrics into a folder.

    An interrupted training goes on from its checkpoint, a finished one is not repeated. A folder that holds
    anything else, or a training with other settings or data, is left alone.

    Args:
        out: The folder: ``weights.pt`` (for ``torch.load(path, weights_only=True)``), ``predictions.csv``
            (the test records, a column for each class), ``metrics.json`` and ``settings.json``.
        request: What to train.
        data_root: Folder of the data sets; None for the usual one.
        device_name: See `ecgkit.training.choose_device`.
        on_epoch: Called after every epoch with its entry of the learning curve.

    Returns:
        For each metric: point, low, high (None where not defined) and the reason.

    Raises:
        ValueError: If a setting is out of range or the data do not suffice.
        FloatingPointError: If the loss diverged.
        EcgkitError: If the data cannot be read or the folder not be written.
    """
    config = TrainConfig(
        epochs=request.epochs,
        batch_size=request.batch_size,
        max_lr=request.max_lr,
        window_s=request.window_s,
        validate_every=1,
    )
    device = choose_device(device_name)
    _require_ours(out, None)
    data = datasets.load(request.dataset, data_root, request.task, request.sampling_rate_hz).labelled()
    parts = data.split()
    _require_classification(data, parts)
    settings = {
        **asdict(request),
        "task": data.task,
        "sampling_rate_hz": data.sampling_rate_hz,
        "data_version": data.version,
        "data_fingerprint": data.fingerprint,
        "ecgkit": __version__,
    }
    done = _require_ours(out, settings)
    if done is not None:
        return done
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(out, error) from error
    _write_json(out / _SETTINGS, {"made_by": "ecgkit train", **settings})
    scaler = fit_scaler(parts[0])
    train, validation, test = (to_device(part, device) for part in parts)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(request.seed)
        model = models.create(request.model, leads=len(data.leads), classes=len(data.classes)).to(device)
    training = train_classifier(
        model, train, validation, scaler, config, request.seed, out / _CHECKPOINT, on_epoch
    )
    scores = predict(model, test, scaler, config.window_s)
    metrics = {
        name: _with_interval(metric, parts[2].labels, scores)
        for name, metric in (("macro_auc", macro_auc), ("fmax", fmax))
    }
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in model.state_dict().items()}, buffer)
    with atomic_write(out / _WEIGHTS, "wb") as file:
        file.write(buffer.getbuffer())
    with atomic_write(out / _PREDICTIONS) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["record_id", *data.classes])
        ids = parts[2].meta["record_id"].tolist()
        rows.writerows([one, *row] for one, row in zip(ids, scores.tolist(), strict=True))
    record = {
        "metrics": metrics,
        "settings": settings,
        "training": asdict(config),
        "scaling": asdict(scaler),
        "records": dict(zip(("train", "validation", "test"), map(len, parts), strict=True)),
        "curve": training.curve,
        "seconds": training.seconds,
        "device": _describe(device),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _write_json(out / _METRICS, record)
    (out / _CHECKPOINT).unlink(missing_ok=True)
    return metrics


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _read_json(path: Path) -> dict[str, Any]:
    """What is in a file of ours; empty when it is not there or no such file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _require_ours(out: Path, settings: dict[str, Any] | None) -> dict[str, dict[str, Any]] | None:
    """Check that the folder is new, empty, or of this very training (None: of any).

    Returns:
        The metrics, when the training is finished.

    Raises:
        StoreError: If it is another's.
    """
    try:
        if not out.exists() or not any(out.iterdir()):
            return None
    except NotADirectoryError as error:
        raise StoreError(f"{out} is a file; choose a folder with --out") from error
    except OSError as error:
        raise StoreError(f"{out} cannot be read ({error.strerror}); choose another folder") from error
    theirs = _read_json(out / _SETTINGS)
    if theirs.pop("made_by", None) != "ecgkit train":
        raise StoreError(f"{out} holds files that `ecgkit train` did not write; choose another folder")
    if settings is None:
        return None
    other = [name for name, value in settings.items() if theirs.get(name) != value]
    if other:
        changes = ", ".join(f"{name} {theirs.get(name)!r}, not {settings[name]!r}" for name in other)
        raise StoreError(f"{out} holds another training ({changes}); choose another folder")
    metrics = _read_json(out / _METRICS).get("metrics")
    complete = isinstance(metrics, dict) and (out / _WEIGHTS).exists() and (out / _PREDICTIONS).exists()
    return metrics if complete else None


def _require_classification(data: ECGDataset, parts: tuple[ECGDataset, ...]) -> None:
    if data.labels.dtype != np.uint8:
        raise ValueError(f"task {data.task!r} is a number; choose a task with labels, such as those of ptbxl")
    for part, name in zip(
        parts, ("training (folds 1-8)", "validation (fold 9)", "test (fold 10)"), strict=True
    ):
        if not len(part):
            raise ValueError(f"{data.name} has no {name} records with a label of {data.task!r}")


def _with_interval(metric: Any, truth: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """A metric on the test records with its 95 % interval, as far as they allow it."""
    result: dict[str, Any] = {"point": None, "low": None, "high": None, "reason": ""}
    try:
        result["point"] = float(metric(truth, scores))
        found = bootstrap(metric, truth, scores)
    except EcgkitError:
        raise
    except ValueError as error:
        result["reason"] = str(error)
        return result
    return {**result, "low": float(found.low), "high": float(found.high)}


def _describe(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
