"""Checkpoints: written atomically, read without executing anything that is in them."""

import pickle
from pathlib import Path
from typing import Any

import torch

from ecgkit.errors import StoreError
from ecgkit.files import atomic_write

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, texts, lists and dictionaries to a file, whole or not at all.

    Raises:
        StoreError: If the disk is full or the folder cannot be written.
    """
    with atomic_write(path, "wb") as file:
        torch.save(state, file)


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint. Only tensors and plain values are accepted; code in the file is refused.

    Raises:
        FileNotFoundError: If there is no such file.
        StoreError: If the file is damaged or holds anything but tensors and plain values.

    >>> import tempfile, pathlib, torch
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "checkpoint.pt"
    >>> save_checkpoint(path, {"epoch": 3, "weights": torch.ones(2)})
    >>> load_checkpoint(path)["epoch"]
    3
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise StoreError(
            f"{path} is damaged or no checkpoint of ecgkit ({type(error).__name__}); delete it to start anew"
        ) from error
    if not isinstance(state, dict):
        raise StoreError(f"{path} is no checkpoint of ecgkit; delete it to start anew")
    return state
