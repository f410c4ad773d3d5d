"""Checkpoints: written whole and sealed, read without executing anything that is in them.

A checkpoint ends with the SHA-256 of what stands before it, so a file that was cut off or altered is never
taken for a whole one. It names the training that it belongs to, so one training never goes on from another's.
"""

import hashlib
import io
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ecgkit.errors import DataNotFoundError, StoreError
from ecgkit.files import atomic_write
from ecgkit.training.data import DeviceData

__all__ = [
    "Checkpoint",
    "Stateful",
    "data_digest",
    "load_checkpoint",
    "network_digest",
    "save_checkpoint",
]

_SEAL = b"\necgkit sha256 "
_RECORDS = 1024  # digested at a time


class Stateful(Protocol):
    """What a checkpoint can hold: a network, an optimiser, whatever has the same two methods."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers, texts, lists and dictionaries to a file, whole or not at all.

    Raises:
        StoreError: If the disk is full or the folder cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getbuffer()
    with atomic_write(path, "wb") as file:
        file.write(content)
        file.write(_SEAL + hashlib.sha256(content).hexdigest().encode())


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint. Only tensors and plain values are accepted; code in the file is refused.

    Raises:
        DataNotFoundError: If there is no such file.
        StoreError: If the file cannot be read, was cut off or altered, or is no checkpoint of ecgkit.

    >>> import tempfile, pathlib, torch
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "checkpoint.pt"
    >>> save_checkpoint(path, {"epoch": 3, "weights": torch.ones(2)})
    >>> load_checkpoint(path)["epoch"]
    3
    """
    path = Path(path)
    if not path.exists():
        raise DataNotFoundError(f"{path} is not there: check the path")
    if not path.is_file():
        raise StoreError(f"{path} is no file: check the path")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    body, mark, digest = content[:-64][: -len(_SEAL)], content[:-64][-len(_SEAL) :], content[-64:]
    if mark != _SEAL or hashlib.sha256(body).hexdigest().encode() != digest:
        raise StoreError(f"{path} is damaged or no checkpoint of ecgkit; delete it to start anew")
    try:
        state = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        raise StoreError(
            f"{path} is damaged or no checkpoint of ecgkit ({type(error).__name__}); delete it to start anew"
        ) from error
    if not isinstance(state, dict):
        raise StoreError(f"{path} is no checkpoint of ecgkit; delete it to start anew")
    return state


@dataclass(frozen=True)
class Checkpoint:
    """The file that a training goes on from, and whose it is.

    Attributes:
        path: The file.
        identity: Everything that decides the result, as text by its name: the data, the settings, the seed,
            the network to begin with.
    """

    path: Path
    identity: Mapping[str, str]

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state under this identity.

        Raises:
            StoreError: If the disk is full or the folder cannot be written.
        """
        save_checkpoint(self.path, {"identity": dict(self.identity), "state": dict(state)})

    def load(self, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """The state to go on from, or None to begin anew.

        A file that is damaged or belongs to another training is kept under another name, with a warning:
        what it holds is neither mixed into this training nor lost.

        Raises:
            StoreError: If there is a file that cannot be read or moved.
        """
        if not self.path.exists():
            return None
        try:
            found = load_checkpoint(self.path, device)
        except StoreError as error:
            if not self.path.is_file() or isinstance(error.__cause__, PermissionError):
                raise
            self._set_aside("is damaged or no checkpoint of ecgkit")
            return None
        theirs = found.get("identity")
        if not isinstance(theirs, dict) or "state" not in found:
            self._set_aside("is no checkpoint of a training")
            return None
        if other := [name for name, value in self.identity.items() if theirs.get(name) != value]:
            self._set_aside(f"belongs to another training ({', '.join(other)})")
            return None
        state: dict[str, Any] = found["state"]
        return state

    def _set_aside(self, why: str) -> None:
        taken = (self.path.with_name(f"{self.path.name}.set-aside-{n}") for n in range(1, 10_000))
        kept = next(name for name in taken if not name.exists())
        try:
            self.path.rename(kept)
        except OSError as error:
            raise StoreError(
                f"{self.path} {why}, and cannot be moved away ({error.strerror}): delete it to start anew"
            ) from error
        warnings.warn(
            f"{self.path} {why}: it is kept as {kept.name}, and the training begins anew", stacklevel=2
        )


def data_digest(data: DeviceData) -> str:
    """SHA-256 over everything that is learned from, 64 hexadecimal digits."""
    digest = hashlib.sha256(repr((data.mv_per_unit, data.sampling_rate_hz)).encode())
    for values in (data.signals, data.labels, data.lengths, data.metadata):
        if values is None:
            continue
        digest.update(repr((tuple(values.shape), values.dtype)).encode())
        for part in values.split(_RECORDS):
            digest.update(_bytes(part))
    return digest.hexdigest()


def network_digest(model: nn.Module) -> str:
    """SHA-256 over the layers of a network and all weights and buffers, 64 hexadecimal digits."""
    digest = hashlib.sha256(repr(model).encode())
    for name, values in model.state_dict().items():
        digest.update(repr((name, tuple(values.shape), values.dtype)).encode())
        digest.update(_bytes(values))
    return digest.hexdigest()


def _bytes(values: Tensor) -> bytes:
    flat = values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return bytes(flat.tobytes())
