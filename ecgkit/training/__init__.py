"""Training and prediction with plain PyTorch loops.

One loop, `ecgkit.training.loop.run_epochs`, stands under them all: a method says what the steps of an epoch
are. Training on plain arrays (`DeviceData.from_arrays`) needs PyTorch and NumPy only.
"""

from ecgkit.training import selection
from ecgkit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ecgkit.training.data import DeviceData, Scaler, choose_device, fit_scaler, to_device
from ecgkit.training.lightweight import (
    LightweightConfig,
    lightweight_scores,
    prepare_lightweight,
    train_lightweight,
)
from ecgkit.training.loop import Learner, Training, run_epochs
from ecgkit.training.predict import predict
from ecgkit.training.supervised import TrainConfig, fine_tune_in_phases, train_classifier

__all__ = [
    "Checkpoint",
    "DeviceData",
    "Learner",
    "LightweightConfig",
    "Scaler",
    "TrainConfig",
    "Training",
    "choose_device",
    "fine_tune_in_phases",
    "fit_scaler",
    "lightweight_scores",
    "load_checkpoint",
    "predict",
    "prepare_lightweight",
    "run_epochs",
    "save_checkpoint",
    "selection",
    "to_device",
    "train_classifier",
    "train_lightweight",
]
