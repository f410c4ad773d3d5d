"""Networks as ONNX files, and predictions from them by onnxruntime, without PyTorch."""

import importlib
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["export_onnx", "onnx_logits", "onnx_session"]


def needed(name: str) -> ModuleType:
    """A library that only this part of the package uses.

    Raises:
        ImportError: If it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        raise ImportError(f"{package} is not installed: pip install {package}") from error


def export_onnx(model: nn.Module, path: str | Path, leads: int = 12, samples: int = 1000) -> Path:
    """Write a network with its weights to one ONNX file.

    Its inputs are ``signal`` (B, leads, T) and ``metadata`` (B, 3), its output ``logits`` (B, classes); B and
    T are free. Batch normalisations are merged into the convolutions before them, where there is one.

    Args:
        model: A network that takes signals and metadata, on the CPU; `LightResNet18`. It is left as it was.
        path: File to write.
        leads: Number of leads.
        samples: Samples T of the example that the network is traced with.

    Raises:
        ImportError: If the package onnx is not installed.
    """
    needed("onnx")
    path = Path(path)
    was_training = model.training
    model.eval()
    example = (torch.zeros(1, leads, samples), torch.zeros(1, 3))
    axes = {"signal": {0: "batch", 2: "time"}, "metadata": {0: "batch"}, "logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter has a successor, which writes two files
        torch.onnx.export(
            model,
            example,
            str(path),
            input_names=["signal", "metadata"],
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    model.train(was_training)
    return path


def onnx_session(path: str | Path) -> Any:
    """An onnxruntime session on one thread of the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the package onnxruntime is not installed.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} is not there; write it with ecgkit.compression.export_onnx")
    runtime = needed("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def onnx_logits(session: Any, signals: np.ndarray, metadata: np.ndarray | None = None) -> np.ndarray:
    """Logits of standardised signals (B, leads, T), float32; without metadata, nothing is known (zeros)."""
    metadata = np.zeros((len(signals), 3), np.float32) if metadata is None else metadata
    (logits,) = session.run(None, {"signal": signals.astype(np.float32), "metadata": metadata})
    return np.asarray(logits)
