"""What a result was made on, and what it cost: device, versions, commit, memory, joules, multiply-adds."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import ecgkit

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "commit",
    "device_name",
    "forward_multiply_adds",
    "gpu_joules",
    "peak_memory_mib",
    "processor_name",
    "reset_peak_memory",
    "training_multiply_adds",
    "versions",
]

_PACKAGES = ("torch", "numpy", "scipy", "pandas", "scikit-learn")


def processor_name() -> str:
    """The processor, as its maker calls it.

    >>> len(processor_name()) > 0
    True
    """
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine() or "unknown"


def device_name(kind: str) -> str:
    """The graphics card for "cuda", else the processor."""
    if kind == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return processor_name() + (" (MPS)" if kind == "mps" else "")


def reset_peak_memory(kind: str) -> None:
    """Let `peak_memory_mib` count from now on: on the card for "cuda", else where the system is Linux."""
    if kind == "cuda":
        import torch

        torch.cuda.init()  # without it the next call fails in a process that has not used the card
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):  # no Linux, or not allowed: the peak is then that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mib(kind: str) -> float | None:
    """Most memory used in MiB, on the card for "cuda", else by this process; None where unknown.

    It counts from the last `reset_peak_memory`, or from the start of the process where that cannot be done.
    """
    if kind == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    with suppress(OSError):  # Linux; getrusage would also count what was reset, and processes before this one
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def versions() -> dict[str, str]:
    """Versions of Python, ecgkit and the numeric libraries.

    >>> sorted(versions())
    ['ecgkit', 'numpy', 'pandas', 'python', 'scikit-learn', 'scipy', 'torch']
    """
    found = {"python": platform.python_version(), "ecgkit": ecgkit.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def commit() -> str:
    """Commit of the source, "+changes" if files differ from it.

    ``$ECGKIT_COMMIT`` says it where it is set, else git, if these very files are in a repository: an ecgkit
    that is installed inside another project does not take that project's commit. Else it is "unknown".
    """
    if said := os.environ.get("ECGKIT_COMMIT"):
        return said
    folder = Path(ecgkit.__file__).parent
    try:
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def gpu_joules(index: int = 0) -> float | None:
    """Joules that an NVIDIA GPU has used since its driver was loaded: take the difference of two readings.

    The counter belongs to the card, not to a process: other work on it counts as well.

    Args:
        index: Number of the card, as NVIDIA's tools count them.

    Returns:
        None where there is no such card or counter, or the extra ``gpu`` of ecgkit is not installed.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # not installed, or no driver
        return None
    try:
        card = pynvml.nvmlDeviceGetHandleByIndex(index)
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(card)) / 1000  # the counter is in mJ
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def forward_multiply_adds(model: "nn.Module", leads: int, samples: int) -> int:
    """Multiply-adds of one record's way through a network; see `ecgkit.compression.layer_table`.

    >>> from torch import nn
    >>> forward_multiply_adds(nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten(), nn.Linear(32, 5)), 2, 10)
    352
    """
    from ecgkit.compression import layer_table

    return int(layer_table(model, leads, samples)["multiply_adds"].sum())


def training_multiply_adds(forward: int, backprop: int, scored: int) -> int:
    """Multiply-adds of a training, where a backward pass costs two forward passes.

    Grad-CAM is left out: its gradient passes through the head alone. So is the work on the validation fold,
    which no method needs to train.

    Args:
        forward: Multiply-adds of one forward pass of one record.
        backprop: Samples trained on, each a forward and a backward pass.
        scored: Samples that went forward for selection alone.

    >>> training_multiply_adds(forward=352, backprop=10, scored=6)  # 352 x (3 x 10 + 6)
    12672
    """
    return forward * (3 * backprop + scored)
