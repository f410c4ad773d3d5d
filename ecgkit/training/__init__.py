"""Training and prediction with plain PyTorch loops."""

from ecgkit.training import selection
from ecgkit.training.checkpoint import load_checkpoint, save_checkpoint
from ecgkit.training.data import DeviceData, Scaler, choose_device, fit_scaler, to_device
from ecgkit.training.loop import TrainConfig, Training, train_classifier
from ecgkit.training.predict import predict

__all__ = [
    "DeviceData",
    "Scaler",
    "TrainConfig",
    "Training",
    "choose_device",
    "fit_scaler",
    "load_checkpoint",
    "predict",
    "save_checkpoint",
    "selection",
    "to_device",
    "train_classifier",
]
