"""What a result was made on: device, versions, commit, memory."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import ecgkit

__all__ = ["commit", "device_name", "peak_memory_mib", "processor_name", "versions"]

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


def peak_memory_mib(kind: str) -> float | None:
    """Most memory used so far in MiB: on the card for "cuda", else by this process. None where unknown."""
    if kind == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return None
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
    """Commit of the source, "+changes" if files differ from it; ``$ECGKIT_COMMIT`` where there is no git."""
    folder = Path(ecgkit.__file__).parent
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("ECGKIT_COMMIT", "unknown")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
