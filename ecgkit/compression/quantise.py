"""Eight bits instead of thirty-two, in ONNX files, by onnxruntime's own tools."""

import tempfile
from pathlib import Path

import numpy as np

from ecgkit.compression.export import needed

__all__ = ["quantise_dynamic", "quantise_static"]


def quantise_dynamic(path: str | Path, out: str | Path) -> Path:
    """Weights as int8; the scale of the activations is found anew for every prediction.

    Args:
        path: File from `ecgkit.compression.export_onnx`.
        out: File to write.

    Raises:
        ImportError: If onnx or onnxruntime is not installed.
    """
    needed("onnx")
    quantization = needed("onnxruntime.quantization")
    quantization.quantize_dynamic(str(path), str(out), weight_type=quantization.QuantType.QUInt8)
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
    needed("onnx")
    quantization = needed("onnxruntime.quantization")
    prepare = needed("onnxruntime.quantization.shape_inference").quant_pre_process
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

    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready.onnx")
        prepare(str(path), str(ready), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(ready),
            str(out),
            Records(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
        )
    return Path(out)
