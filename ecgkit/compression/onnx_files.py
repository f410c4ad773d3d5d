"""Networks as ONNX files, predictions from these without PyTorch, and eight bits in place of thirty-two."""

import importlib
import inspect
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ecgkit.errors import DataNotFoundError, StoreError
from ecgkit.evaluation.arrays import as_array
from ecgkit.files import atomic_write
from ecgkit.models.heads import check_sizes

__all__ = ["export_onnx", "onnx_logits", "onnx_session", "quantise_dynamic", "quantise_static"]


def _needed(name: str) -> ModuleType:
    """A library that only this file uses.

    Raises:
        ImportError: If it cannot be imported; the message says how to install it.
    """
    package = name.split(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package:
            raise ImportError(f"{package} does not work here: {error}; pip install {error.name}") from error
        raise ImportError(f"{package} is not installed: pip install {package}") from error


def export_onnx(model: nn.Module, path: str | Path, leads: int = 12, samples: int = 1000) -> Path:
    """Write a network with its weights to one ONNX file, in float32.

    Its input is ``signal`` (B, leads, T), beside it ``metadata`` (B, 3) if the network takes metadata, and
    its output ``logits`` (B, classes); B and T are free, as far as the network takes any T. Batch
    normalisations are merged into the convolutions before them, where there is one.

    Args:
        model: A network on any device and of any precision. A copy is written, and it is left as it was.
        path: File to write; its folder is made when it is missing.
        leads: Number of leads.
        samples: Samples T of the example that the network is traced with.

    Raises:
        ImportError: If the package onnx is not installed.
        StoreError: If the file cannot be written.
        ValueError: If the network does not take such signals.
    """
    _needed("onnx")
    check_sizes(2**31, leads=leads, samples=samples)
    plain = deepcopy(model).eval().cpu().float()
    inputs = {"signal": torch.zeros(1, leads, samples)}
    if "metadata" in inspect.signature(model.forward).parameters:
        inputs["metadata"] = torch.zeros(1, 3)
    axes = {"signal": {0: "batch", 2: "time"}, "metadata": {0: "batch"}, "logits": {0: "batch"}}
    try:
        with torch.no_grad():
            plain(*inputs.values())
    except RuntimeError as error:
        raise ValueError(f"the network does not take {leads} leads and {samples} samples: {error}") from error
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter has a successor, which writes two files
        made = Path(folder, "network.onnx")
        torch.onnx.export(
            plain,
            tuple(inputs.values()),
            made,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_axes={name: axes[name] for name in (*inputs, "logits")},
            opset_version=17,
            dynamo=False,
        )
        with atomic_write(path, "wb") as file:
            file.write(made.read_bytes())
    return Path(path)


def onnx_session(path: str | Path) -> Any:
    """An onnxruntime session on one thread of the CPU.

    Raises:
        DataNotFoundError: If there is no such file.
        ImportError: If the package onnxruntime is not installed.
        StoreError: If the file is damaged or holds no network.
    """
    runtime = _needed("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised
    with _readable(path):
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Say which file is not there, or which could not be read."""
    if not Path(path).is_file():
        raise DataNotFoundError(f"{path} is no file; write it with ecgkit.compression.export_onnx")
    try:
        yield
    except (ImportError, MemoryError, OSError):
        raise
    except Exception as error:  # onnx and onnxruntime have kinds of errors of their own
        raise StoreError(
            f"{path} is damaged or no ONNX file of a network ({type(error).__name__}); write it again with "
            "ecgkit.compression.export_onnx"
        ) from error


def onnx_logits(
    session: Any, signals: ArrayLike | Tensor, metadata: ArrayLike | Tensor | None = None
) -> np.ndarray:
    """Logits of standardised signals, from a session of `onnx_session`.

    Args:
        session: The session.
        signals: Shape (B, leads, T), of any precision.
        metadata: Shape (B, 3), of any precision; None: nothing is known (zeros).

    Returns:
        Shape (B, classes), float32.

    Raises:
        ValueError: If the shapes do not fit the network, or it takes no metadata.
    """
    (logits,) = session.run(None, _feed({i.name: i.shape for i in session.get_inputs()}, signals, metadata))
    return np.asarray(logits)


def _feed(
    wanted: dict[str, list[Any]], signals: ArrayLike | Tensor, metadata: ArrayLike | Tensor | None
) -> dict[str, np.ndarray]:
    """The inputs of a network by name, float32. `wanted` holds their shapes, with names for free axes."""
    feed = {"signal": _float32(signals, "signals")}
    records = len(feed["signal"])
    if "metadata" in wanted:
        known = np.zeros((records, 3), np.float32) if metadata is None else _float32(metadata, "metadata")
        feed["metadata"] = known
    elif metadata is not None:
        raise ValueError("the network takes no metadata; leave them out")
    for name, values in feed.items():
        shape = wanted[name]
        fits = len(shape) == values.ndim and all(
            not isinstance(n, int) or n == m for n, m in zip(shape, values.shape, strict=True)
        )
        if not fits or len(values) != records or 0 in values.shape:
            raise ValueError(f"{name} has the shape {values.shape}; {tuple(shape)} is wanted, B of 1 or more")
    return feed


def _float32(values: ArrayLike | Tensor, name: str) -> np.ndarray:
    array = as_array(values, name)
    with np.errstate(over="ignore"):
        single = array.astype(np.float32, copy=False)
    if (np.isinf(single) & np.isfinite(array)).any():
        raise ValueError(f"{name} hold numbers that are too large for float32")
    return single


def quantise_dynamic(path: str | Path, out: str | Path) -> Path:
    """Weights as int8; the scale of the activations is found anew for every prediction.

    Args:
        path: File from `ecgkit.compression.export_onnx`.
        out: File to write; its folder is made when it is missing.

    Raises:
        DataNotFoundError: If there is no file to read.
        ImportError: If onnx or onnxruntime is not installed.
        StoreError: If a file cannot be read or written.
    """
    quantization = _needed("onnxruntime.quantization")
    with _ready(path, out) as (ready, made):
        quantization.quantize_dynamic(ready, made, weight_type=quantization.QuantType.QUInt8)
    return Path(out)


def quantise_static(
    path: str | Path, out: str | Path, signals: ArrayLike | Tensor, metadata: ArrayLike | Tensor | None = None
) -> Path:
    """Weights and activations as int8; the scales of the activations come from some training records.

    Each channel of a convolution's weights has its own scale.

    Args:
        path: File from `ecgkit.compression.export_onnx`.
        out: File to write; its folder is made when it is missing.
        signals: Standardised training records, shape (N, leads, T). Not from the test part.
        metadata: Shape (N, 3); None: zeros.

    Raises:
        DataNotFoundError: If there is no file to read.
        ImportError: If onnx or onnxruntime is not installed.
        StoreError: If a file cannot be read or written.
        ValueError: If there are no records, or they are not finite or do not fit the network.
    """
    quantization = _needed("onnxruntime.quantization")
    signals = _float32(signals, "signals")
    if len(signals) == 0:
        raise ValueError("static quantisation needs training records to find the scales with")
    wanted = {i.name: i.shape for i in onnx_session(path).get_inputs()}
    feed = _feed(wanted, signals, metadata)
    if not all(np.isfinite(values).all() for values in feed.values()):
        raise ValueError("training records for static quantisation hold NaN or infinite values")
    feeds = iter([{name: v[i : i + 16] for name, v in feed.items()} for i in range(0, len(signals), 16)])

    class Records(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(feeds, None)

    with _ready(path, out) as (ready, made):
        quantization.quantize_static(
            ready,
            made,
            Records(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
        )
    return Path(out)


@contextmanager
def _ready(path: str | Path, out: str | Path) -> Iterator[tuple[str, str]]:
    """The file with the shapes of all its tensors noted and its graph simplified, as onnxruntime's tools want
    it, and where to put what they make. It becomes `out` at the end, whole or not at all.
    """
    _needed("onnx")
    prepare = _needed("onnxruntime.quantization.shape_inference").quant_pre_process
    onnx_session(path)  # a damaged file is refused here: onnxruntime's tools print a traceback of their own
    with tempfile.TemporaryDirectory() as folder:
        ready, made = Path(folder, "ready.onnx"), Path(folder, "made.onnx")
        with _readable(path):
            prepare(str(path), str(ready), skip_symbolic_shape=True)
            yield str(ready), str(made)
        with atomic_write(out, "wb") as file:
            file.write(made.read_bytes())
