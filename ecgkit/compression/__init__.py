"""What a network costs on a device, and ways to make it cost less.

>>> from ecgkit import compression, models
>>> network = models.create("light_resnet18/E17", leads=12, classes=26)
>>> round(compression.saved_size_mib(network), 1)
2.2
"""

from ecgkit.compression.costs import (
    Latency,
    PeakMemory,
    energy_proxy_uj,
    layer_table,
    measure_latency,
    pareto_front,
    peak_memory,
    saved_size_mib,
    single_thread,
    tensors_mib,
)
from ecgkit.compression.onnx_files import (
    export_onnx,
    onnx_logits,
    onnx_session,
    quantise_dynamic,
    quantise_static,
)
from ecgkit.compression.smaller import gzipped_size_mib, keep_zeros, pruned, soft_labels, sparsity

__all__ = [
    "Latency",
    "PeakMemory",
    "energy_proxy_uj",
    "export_onnx",
    "gzipped_size_mib",
    "keep_zeros",
    "layer_table",
    "measure_latency",
    "onnx_logits",
    "onnx_session",
    "pareto_front",
    "peak_memory",
    "pruned",
    "quantise_dynamic",
    "quantise_static",
    "saved_size_mib",
    "single_thread",
    "soft_labels",
    "sparsity",
    "tensors_mib",
]
