"""What a network costs: its size and work layer by layer, and time, memory and energy of one prediction."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ecgkit.evaluation.arrays import as_array
from ecgkit.models.heads import check_sizes, evaluating

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Latency",
    "PeakMemory",
    "energy_proxy_uj",
    "layer_table",
    "measure_latency",
    "pareto_front",
    "peak_memory",
    "saved_size_mib",
    "single_thread",
    "tensors_mib",
]

MIB = 2**20
# Picojoules in a 45 nm chip: a multiplication and an addition, and fetching 32 bits from memory off the chip.
_PICOJOULES = {32: 3.7 + 0.9, 8: 0.2 + 0.03}
_PICOJOULES_PER_WORD = 640.0


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


def layer_table(model: nn.Module, leads: int, samples: int) -> "pd.DataFrame":
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
        ValueError: If a layer with weights is of a kind whose multiply-adds are not known, or the network
            does not take such signals.

    >>> network = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))
    >>> table = layer_table(network, leads=2, samples=10)
    >>> print(table[["layer", "parameters", "multiply_adds", "activations"]].to_string(index=False))
    layer  parameters  multiply_adds  activations
        0          28            192           32
        1           0              0           32
        2           0              0            0
        3         165            160            5
    """
    import pandas as pd

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
    counted = {id(p) for layer in layers.values() for p in layer.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in counted:
            raise ValueError(f"{name} belongs to no layer, so that its multiply-adds are not known here")
    with torch.no_grad():
        _run(model, _zeros(model, leads, samples))
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


def _zeros(model: nn.Module, leads: int, samples: int) -> Tensor:
    """One record of zeros, of the precision and on the device of the network."""
    check_sizes(2**31, leads=leads, samples=samples)
    one = next(iter(model.parameters()), torch.zeros(()))
    return torch.zeros(1, leads, samples, dtype=one.dtype, device=one.device)


def _run(model: nn.Module, x: Tensor) -> None:
    try:
        model(x)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(
            f"the network does not take signals of the shape {tuple(x.shape)}: {error}"
        ) from error


# One prediction -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Latency:
    """Times of repeated calls in milliseconds.

    Attributes:
        fastest_ms: The shortest; other programs on the machine can only lengthen a call.
        median_ms: The middle one.
        p95_ms: The 95th percentile, the slow end.
    """

    fastest_ms: float
    median_ms: float
    p95_ms: float


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch use one thread inside, as a small device has one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure_latency(call: Callable[[], Any], repeats: int = 30, warmup: int = 3) -> Latency:
    """Time a call again and again, after some calls that do not count.

    Args:
        call: What to time, for example ``lambda: model(x)``.
        repeats: Number of timed calls.
        warmup: Number of calls before them.

    Raises:
        ValueError: If `repeats` is not a whole number of 1 or more, or `warmup` of 0 or more.

    >>> found = measure_latency(lambda: sum(range(1000)))
    >>> 0 < found.fastest_ms <= found.median_ms <= found.p95_ms
    True
    """
    check_sizes(2**31, repeats=repeats)
    if warmup != 0:
        check_sizes(2**31, warmup=warmup)
    for _ in range(warmup):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return Latency(min(times), float(np.median(times)), float(np.quantile(times, 0.95)))


class PeakMemory(NamedTuple):
    """The moment of one prediction at which its tensors take most room."""

    mib: float  # weights not counted
    layer: str  # name of the innermost module at work then, the first one if several are equal


@torch.no_grad()
def peak_memory(model: nn.Module, leads: int, samples: int) -> PeakMemory:
    """How much room the tensors made in one prediction take at most, weights not counted, and where.

    Every operation's output is followed from when it is made until nothing refers to it. What a library
    needs inside one operation is not seen.

    Args:
        model: (B, leads, T) -> logits.
        leads: Number of leads.
        samples: Samples T of the one record.

    Raises:
        ValueError: If the network does not take such signals.

    >>> three = nn.Sequential(nn.Conv1d(1, 4, 1), nn.Conv1d(4, 8, 1), nn.Conv1d(8, 1, 1))
    >>> peak_memory(three, leads=1, samples=2**18)     # the input and the output of the second, 4 and 8 MiB
    PeakMemory(mib=12.0, layer='1')
    """
    from torch.multiprocessing.reductions import StorageWeakRef
    from torch.overrides import TorchFunctionMode

    x = _zeros(model, leads, samples)
    fixed = {t.untyped_storage()._cdata for t in [x, *model.parameters(), *model.buffers()]}
    alive: dict[int, tuple[Any, int]] = {}
    peak, where = 0, ""
    at_work: list[str] = []  # names of the modules that are running, the innermost last

    class Follow(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal peak, where
            out = func(*args, **(kwargs or {}))
            for key in [key for key, (reference, _) in alive.items() if reference.expired()]:
                del alive[key]
            for value in out if isinstance(out, tuple) else (out,):
                if isinstance(value, torch.Tensor):
                    storage = value.untyped_storage()
                    if storage._cdata not in fixed:
                        alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
            if (now := sum(size for _, size in alive.values())) > peak:
                peak, where = now, at_work[-1]
            return out

    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: at_work.append(name)))
        hooks.append(module.register_forward_hook(lambda *_: (at_work.pop(), None)[1]))
    try:
        with evaluating(model), Follow():
            _run(model, x)
    finally:
        for hook in hooks:
            hook.remove()
    return PeakMemory(peak / MIB, where)


def energy_proxy_uj(table: "pd.DataFrame", bits: int = 32) -> float:
    """A rough energy per prediction in microjoules: arithmetic plus fetching every number once.

    A proxy ranks networks; it is no measurement. It takes one multiplication and one addition per
    multiply-add, and one fetch from memory off the chip for every weight and for every activation.

    Args:
        table: From `ecgkit.compression.layer_table`.
        bits: Bits per number, 32 (floating point) or 8 (integer).

    Raises:
        ValueError: If `bits` is neither, or the table lacks a column.

    Source:
        Horowitz, Computing's energy problem, ISSCC 2014: energies of a 45 nm chip.

    >>> import pandas as pd
    >>> layers = pd.DataFrame({"multiply_adds": [1e6], "parameters": [0], "buffers": [0], "activations": [0]})
    >>> round(energy_proxy_uj(layers), 2), round(energy_proxy_uj(layers, bits=8), 2)
    (4.6, 0.23)
    """
    if bits not in _PICOJOULES:
        raise ValueError(f"bits is {bits}; choose 32 or 8")
    columns = ["parameters", "buffers", "activations", "multiply_adds"]
    if absent := [name for name in columns if name not in table]:
        raise ValueError(
            f"the table has no column {absent[0]!r}; make it with ecgkit.compression.layer_table"
        )
    words = (table[columns[:3]].to_numpy().sum()) * bits / 32
    picojoules = table["multiply_adds"].sum() * _PICOJOULES[bits] + words * _PICOJOULES_PER_WORD
    return float(picojoules) / 1e6


def pareto_front(cost: ArrayLike, quality: ArrayLike) -> np.ndarray:
    """Mask of the entries that no other entry dominates: none costs no more and is no worse, with one better.

    Args:
        cost: Shape (N,); less is better.
        quality: Shape (N,); more is better.

    Returns:
        bool, shape (N,).

    Raises:
        ValueError: If the shapes differ, or a value is missing (NaN).

    >>> pareto_front([1, 2, 3, 3], [0.8, 0.7, 0.9, 0.9]).tolist()
    [True, False, True, True]
    """
    c, q = as_array(cost, "cost").astype(float), as_array(quality, "quality").astype(float)
    if c.ndim != 1 or c.shape != q.shape:
        raise ValueError(f"cost has the shape {c.shape} and quality {q.shape}; both must be (N,)")
    if np.isnan(c).any() or np.isnan(q).any():
        raise ValueError("a cost or a quality is missing (NaN): leave such entries out")
    no_worse = (c[:, None] <= c) & (q[:, None] >= q)  # [i, j]: i is no worse than j
    better = (c[:, None] < c) | (q[:, None] > q)
    return np.asarray(~(no_worse & better).any(axis=0))
