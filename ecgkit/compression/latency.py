"""What one prediction costs: time, memory, and a rough energy."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

__all__ = [
    "Latency",
    "PeakMemory",
    "energy_proxy_uj",
    "measure_latency",
    "peak_memory",
    "peak_memory_mib",
    "single_thread",
]

MIB = 2**20
# Picojoules in a 45 nm chip: a multiplication and an addition, and fetching 32 bits from memory off the chip.
_PICOJOULES = {32: 3.7 + 0.9, 8: 0.2 + 0.03}
_PICOJOULES_PER_WORD = 640.0


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
        ValueError: If `repeats` is below 1.

    >>> found = measure_latency(lambda: sum(range(1000)))
    >>> 0 < found.fastest_ms <= found.median_ms <= found.p95_ms
    True
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; choose 1 or more")
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


def peak_memory_mib(model: nn.Module, leads: int, samples: int) -> float:
    """The most MiB that the tensors made in one prediction take at any moment; see `peak_memory`.

    >>> two = nn.Sequential(nn.Conv1d(1, 4, 1, bias=False), nn.ReLU())
    >>> round(peak_memory_mib(two, leads=1, samples=2**18), 2)     # the ReLU's input and output, 4 MiB each
    8.0
    """
    return peak_memory(model, leads, samples).mib


@torch.no_grad()
def peak_memory(model: nn.Module, leads: int, samples: int) -> PeakMemory:
    """How much room the tensors made in one prediction take at most, weights not counted, and where.

    Every operation's output is followed from when it is made until nothing refers to it. What a library
    needs inside one operation is not seen.

    Args:
        model: (B, leads, T) -> logits.
        leads: Number of leads.
        samples: Samples T of the one record.

    >>> three = nn.Sequential(nn.Conv1d(1, 4, 1), nn.Conv1d(4, 8, 1), nn.Conv1d(8, 1, 1))
    >>> peak_memory(three, leads=1, samples=2**18)     # the input and the output of the second, 4 and 8 MiB
    PeakMemory(mib=12.0, layer='1')
    """
    from torch.multiprocessing.reductions import StorageWeakRef
    from torch.overrides import TorchFunctionMode

    x = torch.zeros(1, leads, samples)
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
    was_training = model.training
    model.eval()
    with Follow():
        model(x)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return PeakMemory(peak / MIB, where)


def energy_proxy_uj(table: pd.DataFrame, bits: int = 32) -> float:
    """A rough energy per prediction in microjoules: arithmetic plus fetching every number once.

    A proxy ranks networks; it is no measurement. It takes one multiplication and one addition per
    multiply-add, and one fetch from memory off the chip for every weight and for every activation.

    Args:
        table: From `ecgkit.compression.layer_table`.
        bits: Bits per number, 32 (floating point) or 8 (integer).

    Raises:
        ValueError: If `bits` is neither.

    Source:
        Horowitz, Computing's energy problem, ISSCC 2014: energies of a 45 nm chip.

    >>> layers = pd.DataFrame({"multiply_adds": [1e6], "parameters": [0], "buffers": [0], "activations": [0]})
    >>> round(energy_proxy_uj(layers), 2), round(energy_proxy_uj(layers, bits=8), 2)
    (4.6, 0.23)
    """
    if bits not in _PICOJOULES:
        raise ValueError(f"bits is {bits}; choose 32 or 8")
    words = (table[["parameters", "buffers", "activations"]].to_numpy().sum()) * bits / 32
    picojoules = table["multiply_adds"].sum() * _PICOJOULES[bits] + words * _PICOJOULES_PER_WORD
    return float(picojoules) / 1e6
