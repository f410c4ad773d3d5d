"""What a network costs on a device, and ways to make it cost less.

>>> from ecgkit import compression, models
>>> network = models.create("light_resnet18/E17", leads=12, classes=26)
>>> round(compression.saved_size_mib(network), 1)
2.2
"""

from ecgkit.compression.distil import soft_labels
from ecgkit.compression.export import export_onnx, onnx_logits, onnx_session
from ecgkit.compression.latency import (
    Latency,
    PeakMemory,
    energy_proxy_uj,
    measure_latency,
    peak_memory,
    peak_memory_mib,
    single_thread,
)
from ecgkit.compression.pareto import pareto_front
from ecgkit.compression.prune import gzipped_size_mib, keep_zeros, pruned, sparsity
from ecgkit.compression.quantise import quantise_dynamic, quantise_static
from ecgkit.compression.sizes import layer_table, saved_size_mib, tensors_mib

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
    "peak_memory_mib",
    "pruned",
    "quantise_dynamic",
    "quantise_static",
    "saved_size_mib",
    "single_thread",
    "soft_labels",
    "sparsity",
    "tensors_mib",
]
