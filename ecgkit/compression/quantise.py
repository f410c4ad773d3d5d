"""Eight bits instead of thirty-two, in ONNX files, by onnxruntime's own tools."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ecgkit.compression.export import needed

__all__ = ["quantise_dynamic", "quantise_static"]


@contextmanager
def _ready(path: str | Path) -> Iterator[str]:
    """The file with the shapes of all its tensors noted and its graph simplified, as the tools want it."""
    needed("onnx")
    prepare = needed("onnxruntime.quantization.shape_inference").quant_pre_process
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder, "ready.onnx"))
        prepare(str(path), out, skip_symbolic_shape=True)
        yield out


def quantise_dynamic(path: str | Path, out: str | Path) -> Path:
    """Weights as int8; the scale of the activations is found anew for every prediction.

    Args:
        path: File from `ecgkit.compression.export_onnx`.
        out: File to write.

    Raises:
        ImportError: If onnx or onnxruntime is not installed.
    """
    quantization = needed("onnxruntime.quantization")
    with _ready(path) as ready:
        quantization.quantize_dynamic(ready, str(out), weight_type=quantization.QuantType.QUInt8)
    return Path(out)


def quantise_static(
    path: str | Path, out: str | Path, signals: np.ndarray, metadata: np.ndarray | None = None
) -> Path:
    """Weights and activations as int8; the scales of the activations come from some training records.

    Each channel of a convolution's weights has its own scale.

    Args:
        path: File from `ecgkit.compression.export_onnx`.
        out: File to write.
        signals: Standardised training records, shape (N, leads, T). Not from the test part.
        metadata: Shape (N, 3); None: zeros.

    Raises:
        ImportError: If onnx or onnxruntime is not installed.
        ValueError: If there are no records.
    """
    quantization = needed("onnxruntime.quantization")
    if len(signals) == 0:
        raise ValueError("static quantisation needs training records to find the scales with")
    metadata = np.zeros((len(signals), 3), np.float32) if metadata is None else metadata
    feeds = iter(
        [
            {"signal": signals[i : i + 16].astype(np.float32), "metadata": metadata[i : i + 16]}
            for i in range(0, len(signals), 16)
        ]
    )

    class Records(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(feeds, None)

    with _ready(path) as ready:
        quantization.quantize_static(
            ready,
            str(out),
            Records(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
        )
    return Path(out)
