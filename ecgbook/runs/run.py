"""What a run is: everything that decides its result, and the name that follows from it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

__all__ = ["Protocol", "Run", "canonical_json"]

Protocol = Literal["paper", "reduced", "quick"]


def canonical_json(value: Any) -> str:
    """One text for one value: keys sorted, no spaces, no NaN.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    '{"a":[1.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


@dataclass(frozen=True)
class Run:
    """One training run, or one evaluation of a method without training.

    Two runs with the same fields have the same hash and therefore the same result file, so a finished run
    is never repeated. What does not change the result (device, number of threads, folder) is not part of it.

    Attributes:
        experiment: Folder of `results/` that the run belongs to, for example "ptbxl_benchmark".
        dataset: Name for `ecgkit.datasets.load`.
        dataset_version: Version of the data set, for example "1.0.3".
        task: Task of the data set, for example "superdiagnostic".
        model: Name for `ecgkit.models.create`; for methods without a network, "none".
        method: How the model is trained: "supervised", "naive", "wavelet_nn", ...
        protocol: "paper" follows the paper in full, "reduced" is cheaper, "quick" is for automated checks.
        seed: Seed of weights, shuffling and windows.
        sampling_rate_hz: Sampling rate of the signals in Hz.
        params: Everything else that changes the result, as plain numbers, texts or lists.

    >>> run = Run("demo", "synthetic", "1", "superdiagnostic", "fcn_wang", "supervised", "quick", 0)
    >>> Run.from_dict(run.to_dict()) == run
    True
    >>> len(run.hash)
    16
    """

    experiment: str
    dataset: str
    dataset_version: str
    task: str
    model: str
    method: str
    protocol: Protocol
    seed: int
    sampling_rate_hz: int = 100
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.protocol not in get_args(Protocol):
            raise ValueError(f"protocol is {self.protocol!r}; choose one of {', '.join(get_args(Protocol))}")
        for name in ("experiment", "dataset", "dataset_version", "task", "model", "method"):
            if not isinstance(value := getattr(self, name), str):
                raise ValueError(f'{name} is {value!r}, not a text: write it in quotes, "{value}"')
        for name in ("seed", "sampling_rate_hz"):
            if type(value := getattr(self, name)) is not int or value < 0:
                raise ValueError(f"{name} is {value!r}; a whole number from 0 is wanted, without quotes")
        if not re.fullmatch(r"\w[\w-]*", self.experiment):
            raise ValueError(
                f"experiment {self.experiment!r} cannot name a folder: use letters, digits and _"
            )
        canonical_json(dict(self.params))  # fails here, not after hours of training

    def __hash__(self) -> int:
        return int(self.hash, 16)

    def to_dict(self) -> dict[str, Any]:
        """The run as plain values, the inverse of `from_dict`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "params": dict(self.params)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Run":
        """A run from plain values.

        Raises:
            ValueError: If a field is missing or unknown.
        """
        known = {f.name for f in fields(cls)}
        needed = known - {"sampling_rate_hz", "params"}
        if unknown := set(values) - known:
            raise ValueError(
                f"unknown field {', '.join(sorted(unknown))}; a run has {', '.join(sorted(known))}"
            )
        if missing := needed - set(values):
            raise ValueError(
                f"field {', '.join(sorted(missing))} is missing; a run needs {', '.join(sorted(needed))}"
            )
        return cls(**values)

    @property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the run's canonical JSON."""
        return hashlib.sha256(canonical_json(self.to_dict()).encode()).hexdigest()[:16]
