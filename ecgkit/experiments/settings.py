"""The training settings of a supervised run."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ecgkit.experiments.run import Run
from ecgkit.training import TrainConfig

__all__ = ["check_known", "model_options", "train_config"]

_RECURRENT = ("lstm", "lstm_bidir")
_MODEL_OPTIONS = ("kernel_scale",)


def check_known(params: Mapping[str, Any], settings: type) -> None:
    """Check that every parameter is a field of a dataclass of settings.

    Raises:
        ValueError: If one is not; the message lists those that there are.
    """
    known = {f.name for f in fields(settings)}
    if unknown := set(params) - known:
        raise ValueError(
            f"unknown parameter {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )


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
