"""Training and prediction with plain PyTorch loops."""

from ecgkit.training import selection
from ecgkit.training.checkpoint import load_checkpoint, save_checkpoint
from ecgkit.training.data import DeviceData, Scaler, choose_device, fit_scaler, to_device
from ecgkit.training.light import LightConfig, LightData, light_scores, prepare_light, train_light
from ecgkit.training.loop import TrainConfig, Training, train_classifier
from ecgkit.training.predict import predict

__all__ = [
    "DeviceData",
    "LightConfig",
    "LightData",
    "Scaler",
    "TrainConfig",
    "Training",
    "choose_device",
    "fit_scaler",
    "light_scores",
    "load_checkpoint",
    "predict",
    "prepare_light",
    "save_checkpoint",
    "selection",
    "to_device",
    "train_classifier",
    "train_light",
]
