"""The training settings of a supervised run."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ecgbook.runs.run import Run
from ecgkit.training import TrainConfig

__all__ = ["check_known", "model_options", "train_config"]

_RECURRENT = ("lstm", "lstm_bidir")
_MODEL_OPTIONS = ("kernel_scale",)
_NUMBERS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}


def check_known(params: Mapping[str, Any], settings: type) -> None:
    """Check that every parameter is a field of a dataclass of settings, and a number where that is one.

    Raises:
        ValueError: If one is not; the message lists the fields that there are, or says what is wanted.

    >>> check_known({"epochs": 2.5}, TrainConfig)
    Traceback (most recent call last):
    ...
    ValueError: parameter epochs is 2.5; a whole number is wanted
    """
    known = {f.name: f.type for f in fields(settings)}
    if unknown := set(params) - set(known):
        raise ValueError(
            f"unknown parameter {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    for name, value in params.items():
        for kind, (types, wanted) in _NUMBERS.items():
            asked = known[name] == kind or (known[name] == kind | None and value is not None)
            if asked and not isinstance(value, types):
                raise ValueError(f"parameter {name} is {value!r}; {wanted} is wanted")


def train_config(run: Run) -> TrainConfig:
    """The settings of a supervised run: the benchmark's, for protocol "quick" 3 epochs, changed by `params`.

    Raises:
        ValueError: If `params` has a name that is no setting.

    Source:
        PTB-XL benchmark: learning rate 1e-2, for recurrent networks 1e-3 with gradients clipped at 0.25.
    """
    config = TrainConfig()
    if run.model in _RECURRENT:
        config = replace(config, max_lr=1e-3, clip_norm=0.25)
    if run.protocol == "quick":
        config = replace(config, epochs=3, validate_every=1)
    params = {key: value for key, value in run.params.items() if key not in _MODEL_OPTIONS}
    check_known(params, TrainConfig)
    return replace(config, **params)


def model_options(run: Run) -> dict[str, Any]:
    """Those of `params` that go to `ecgkit.models.create`: `kernel_scale`, of convolutional networks."""
    return {key: value for key, value in run.params.items() if key in _MODEL_OPTIONS}
