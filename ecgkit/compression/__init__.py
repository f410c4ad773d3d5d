"""What a network costs on a device: its size, its multiply-adds, its activations.

>>> from ecgkit import compression, models
>>> network = models.create("light_resnet18/E17", leads=12, classes=26)
>>> round(compression.saved_size_mib(network), 1)
2.2
"""

from ecgkit.compression.sizes import layer_table, saved_size_mib, tensors_mib

__all__ = ["layer_table", "saved_size_mib", "tensors_mib"]
