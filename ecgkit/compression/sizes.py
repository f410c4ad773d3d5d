"""How large a network is and how much it computes, layer by layer."""

from copy import deepcopy
from io import BytesIO
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

__all__ = ["layer_table", "saved_size_mib", "tensors_mib"]

MIB = 2**20


def saved_size_mib(model: nn.Module) -> float:
    """MiB of the file that ``torch.save(model.state_dict(), path)`` writes; nothing is written.

    The file holds parameters and buffers, and for each of them a name and some bookkeeping.

    >>> 4000 / 2**20 < saved_size_mib(nn.Linear(999, 1)) < 8000 / 2**20
    True
    """
    file = BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell() / MIB


def tensors_mib(model: nn.Module) -> float:
    """MiB of the parameters and buffers alone: numbers times bytes per number.

    >>> tensors_mib(nn.Linear(999, 1)) * 2**20
    4000.0
    """
    return sum(value.numel() * value.element_size() for value in model.state_dict().values()) / MIB


def layer_table(model: nn.Module, leads: int, samples: int) -> pd.DataFrame:
    """Parameters, multiply-adds and activations of each layer, in the order of the network's parts.

    One record of zeros passes through a copy of the network, in evaluation mode. A layer is a module without
    parts of its own; what is computed between layers, as the sum at the end of a residual block, is not
    listed. Multiply-adds are those of convolutions, linear layers and LSTMs, without biases; normalisation,
    activations and pooling count as none.

    Args:
        model: (B, leads, T) -> (B, K).
        leads: Number of leads.
        samples: Samples T of the window.

    Returns:
        One row per layer: ``layer`` (its name), ``kind`` (its class), ``parameters`` and ``buffers`` (how
        many numbers), ``mib`` (of both), ``multiply_adds`` per window, ``activations`` (how many numbers the
        layer writes per window; a layer that passes on or changes its input in place writes none).

    Raises:
        ValueError: If a layer with weights is of a kind whose multiply-adds are not known.

    >>> network = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))
    >>> table = layer_table(network, leads=2, samples=10)
    >>> print(table[["layer", "parameters", "multiply_adds", "activations"]].to_string(index=False))
    layer  parameters  multiply_adds  activations
        0          28            192           32
        1           0              0           32
        2           0              0            0
        3         165            160            5
    """
    model = deepcopy(model).eval()
    layers = {name: layer for name, layer in model.named_modules() if not list(layer.children())}
    work = {layer: [0, 0] for layer in layers.values()}  # multiply-adds, activations

    def count(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output  # an LSTM also returns its last state
        work[layer][0] += _multiply_adds(layer, inputs[0], first)
        if first.data_ptr() != inputs[0].data_ptr():
            work[layer][1] += first.numel()

    for layer in layers.values():
        layer.register_forward_hook(count)
    one = next(iter(model.parameters()), torch.zeros(()))
    with torch.no_grad():
        model(torch.zeros(1, leads, samples, dtype=one.dtype, device=one.device))
    rows = []
    for name, layer in layers.items():
        parameters, buffers = list(layer.parameters()), list(layer.buffers())
        rows.append(
            {
                "layer": name,
                "kind": type(layer).__name__,
                "parameters": sum(p.numel() for p in parameters),
                "buffers": sum(b.numel() for b in buffers),
                "mib": sum(v.numel() * v.element_size() for v in parameters + buffers) / MIB,
                "multiply_adds": work[layer][0],
                "activations": work[layer][1],
            }
        )
    return pd.DataFrame(rows)


def _multiply_adds(layer: nn.Module, x: Tensor, output: Tensor) -> int:
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        return output.numel() * layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    if isinstance(layer, nn.LSTM):
        steps = x.numel() // layer.input_size
        return steps * sum(p.numel() for name, p in layer.named_parameters() if name.startswith("weight"))
    if any(p.ndim > 1 for p in layer.parameters()):
        raise ValueError(f"the multiply-adds of a {type(layer).__name__} are not known here")
    return 0
