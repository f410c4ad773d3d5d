"""What a run is: everything that decides its result, and the name that follows from it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

__all__ = ["REAL_PARAMS", "Protocol", "Run", "canonical_json", "check_experiment"]

Protocol = Literal["paper", "reduced", "quick"]

REAL_PARAMS = frozenset(
    {
        *(
            "clip_norm",
            "gamma",
            "high_hz",
            "low_hz",
            "lr",
            "lr_decay",
            "max_lr",
            "noise",
            "noise_size",
            "phi",
        ),
        *("q", "random_share", "seconds", "share", "start", "step", "tau", "test_share", "validation_share"),
        *("weight_decay", "window_s", "wrong_labels"),
    }
)
"""Parameters that are real numbers: 1 is written 1.0. In all others 1.0 is written 1, as in a count."""


def canonical_json(value: Any) -> str:
    """One text for one value: keys sorted, no spaces, no NaN.

    Raises:
        ValueError: If a value is none that JSON can hold.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    '{"a":[1.5,null],"b":1}'
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not made of finite numbers, texts, lists and dictionaries: {error}") from error


def check_experiment(name: str) -> str:
    """The name of an experiment, if it can be one: it names a folder of the results.

    Raises:
        ValueError: If it cannot.
    """
    if not re.fullmatch(r"\w[\w-]*", name):
        raise ValueError(f"experiment {name!r} cannot name a folder: use letters, digits, _ and -")
    return name


@dataclass(frozen=True, eq=False)
class Run:
    """One training run, or one evaluation of a method without training.

    Two runs are equal when they have the same hash, and then they have the same result file, so a finished
    run is never repeated. It does not matter how a number is written: 1, 1.0 and 1e0 are one value. What does
    not change the result (device, number of threads, folder) is not part of a run.

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
        if check_experiment(self.experiment) == "check":
            raise ValueError("experiment 'check' would hide behind `ecgbook results check`: choose another")
        if not isinstance(self.params, Mapping):
            raise ValueError(f"params is {self.params!r}; names with their values are wanted")
        try:
            object.__setattr__(self, "params", _normal(self.params, "params"))
        except RecursionError:
            raise ValueError("params are nested too deeply") from None
        canonical_json(self.to_dict()).encode()  # what is wrong fails here, not after hours of training

    def __eq__(self, other: object) -> bool:
        return self.hash == other.hash if isinstance(other, Run) else NotImplemented

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
                f"unknown field {', '.join(sorted(map(str, unknown)))}; a run has {', '.join(sorted(known))}"
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


def _normal(value: Any, name: str) -> Any:
    """A parameter in its one form: see `REAL_PARAMS`; a list for a tuple.

    >>> _normal((1e0, -0.0, True, [2.5]), "epochs"), _normal(1, "weight_decay")
    ([1, 0, True, [2.5]], 1.0)
    """
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"{name} is {value!r}: its names must be texts")
        return {key: _normal(inner, key if name == "params" else name) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(inner, name) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= 2**53:
        return value
    if name in REAL_PARAMS:
        return float(value) + 0.0  # -0.0 becomes 0.0
    return int(value) if float(value).is_integer() else value
