"""ecgkit: learning from the ECG with deep networks, the package behind *ECG Learning, Reproduced*.

Subpackages load on first use, so ``import ecgkit`` is cheap::

    from ecgkit import datasets, models, evaluation, training

`models`, `training` and `explain` need PyTorch and NumPy alone, the others ``pip install "ecgkit[data]"``.
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
    if name not in _SUBPACKAGES:
        raise AttributeError(f"module 'ecgkit' has no attribute {name!r}")
    try:
        return importlib.import_module(f"ecgkit.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "ecgkit").startswith("ecgkit"):
            raise
        raise ModuleNotFoundError(
            f"ecgkit.{name} needs {error.name}: pip install 'ecgkit[data]'", name=error.name
        ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
