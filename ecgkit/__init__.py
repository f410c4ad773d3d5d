"""ecgkit: learning from the ECG with deep networks, the package behind *ECG Learning, Reproduced*.

Subpackages load on first use, so ``import ecgkit`` is cheap::

    from ecgkit import datasets, models, evaluation, training
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBPACKAGES = (
    "compression",
    "datasets",
    "evaluation",
    "explain",
    "models",
    "signals",
    "training",
    "transfer",
)

__all__ = ["__version__", *_SUBPACKAGES]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"ecgkit.{name}")
    raise AttributeError(f"module 'ecgkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
