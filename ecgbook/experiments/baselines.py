"""The methods without a network: the naive one, and Wavelet+NN."""

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgbook.experiments.method import Progress, RunResult, Splits
from ecgbook.runs.run import Run
from ecgkit.datasets.base import ECGDataset
from ecgkit.evaluation import macro_auc

__all__ = ["naive", "wavelet_nn"]


def naive(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Predict for every record how frequent each label is in the training records.

    Source:
        PTB-XL benchmark, section II-B.
    """
    frequency = parts.train.labels.mean(axis=0)
    return RunResult(np.tile(frequency, (len(parts.test), 1)))


def wavelet_nn(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Wavelet statistics and one hidden layer, whose weight decay is chosen on the validation fold.

    Parameters of the run: `wavelet` (default db4), `hidden` (default 128), `epochs` (default 30). A run that
    is stopped begins anew.

    Source:
        PTB-XL benchmark, Appendix I. The paper does not give the width of the hidden layer.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    settings = {"wavelet": "db4", "hidden": 128, "epochs": 30, **run.params}
    begin = time.perf_counter()
    features = [_features(part, settings["wavelet"]) for part in (parts.train, parts.validation, parts.test)]
    standard = StandardScaler().fit(features[0])
    train, validation, test = (standard.transform(x).clip(-10, 10) for x in features)
    prepared = time.perf_counter()
    curve: list[dict[str, float]] = []
    best_auc, scores = -1.0, np.zeros(parts.test.labels.shape)
    decays = (1e-4, 1e-2, 1.0)
    for step, decay in enumerate(decays, start=1):
        network = MLPClassifier(
            (settings["hidden"],), alpha=decay, max_iter=settings["epochs"], random_state=run.seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # the number of epochs is part of the protocol
            network.fit(train, parts.train.labels)
        auc = macro_auc(parts.validation.labels, _probabilities(network, validation))
        curve.append({"weight_decay": decay, "train_loss": float(network.loss_), "validation_macro_auc": auc})
        if auc > best_auc:
            best_auc, scores = auc, _probabilities(network, test)
            settings["weight_decay"] = decay
        if progress is not None:
            progress(step, len(decays))
    passes = settings["epochs"] * len(parts.train) * len(decays)
    seconds = {"features": prepared - begin, "train": time.perf_counter() - prepared}
    return RunResult(scores, settings, curve, passes, seconds)


def _features(part: ECGDataset, wavelet: str) -> np.ndarray:
    from ecgkit.signals.wavelets import wavelet_features

    signals = part.signals
    blocks = range(0, len(part), 512)
    return np.concatenate(
        [wavelet_features(signals[i : i + 512] * part.mv_per_unit, wavelet) for i in blocks]
    )


def _probabilities(network: Any, features: np.ndarray) -> np.ndarray:
    scores = network.predict_proba(features)
    return scores[:, 1:] if scores.shape[1] == 2 and network.n_outputs_ == 1 else scores
