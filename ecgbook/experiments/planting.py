"""Bad training records made on purpose: wrong labels and noise, and which records have them."""

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.synthetic.heart import twelve_leads
from ecgkit.datasets.synthetic.noise import ELECTRODE_TO_LEADS, draw_noise, planted

__all__ = ["KINDS", "Planting", "add_noise", "flip_labels", "plant"]

KINDS = ("none", "wrong label", "noise")
"""What was planted in a record, by its number in `Planting.kind`."""

_NOISE_RATE_HZ = 500  # noise is drawn at this rate and brought to the record's


@dataclass(frozen=True, eq=False)
class Planting:
    """A data set with bad records, and which these are.

    Attributes:
        dataset: The records, some of them with another label or with noise.
        kind: Number in `KINDS` of what was planted in each record, int8, shape (N,).
    """

    dataset: ECGDataset
    kind: np.ndarray

    def has(self, kind: Literal["none", "wrong label", "noise"]) -> np.ndarray:
        """Which records are of this kind, bool, shape (N,)."""
        return np.asarray(self.kind == KINDS.index(kind))


def plant(
    dataset: ECGDataset, wrong_labels: float = 0.1, noise: float = 0.1, size: float = 1.0, seed: int = 0
) -> Planting:
    """Give some records a wrong label and others noise; no record gets both.

    Args:
        dataset: Records with exactly one label each; see `ecgkit.datasets.derived.single_label`.
        wrong_labels: Share of the records whose label is exchanged for another one.
        noise: Share of the records that get noise.
        size: Factor on the size of the noise; see `add_noise`.
        seed: Decides which records, which labels and which noise.

    Raises:
        ValueError: If the shares are out of range, or a record has no label or several.

    >>> from ecgkit import datasets
    >>> from ecgkit.datasets.derived import single_label
    >>> train = single_label(datasets.load("synthetic").labelled()).subset(slice(100))
    >>> planting = plant(train, wrong_labels=0.1, noise=0.2)
    >>> [int(planting.has(kind).sum()) for kind in KINDS]
    [70, 10, 20]
    """
    if min(wrong_labels, noise) < 0 or wrong_labels + noise > 1:
        raise ValueError(f"shares {wrong_labels} and {noise}: choose two of 0 or more, together at most 1")
    n, rng = len(dataset), np.random.default_rng(seed)
    order, wrong, noisy = rng.permutation(n), round(wrong_labels * n), round(noise * n)
    kind = np.zeros(n, np.int8)
    kind[order[:wrong]] = KINDS.index("wrong label")
    kind[order[wrong : wrong + noisy]] = KINDS.index("noise")
    changed = flip_labels(dataset, kind == 1, rng) if wrong else dataset
    changed = add_noise(changed, kind == 2, rng, size) if noisy else changed
    return Planting(changed, kind)


def flip_labels(dataset: ECGDataset, rows: np.ndarray, rng: np.random.Generator) -> ECGDataset:
    """The data set with another label in some records; each of the other classes is as likely.

    Args:
        dataset: Records with exactly one label each.
        rows: Which records, bool, shape (N,).
        rng: Source of randomness.

    Raises:
        ValueError: If there is one class only, or a record has no label or several.
    """
    labels, classes = dataset.labels, len(dataset.classes)
    if classes < 2 or not (labels.sum(axis=1) == 1).all():
        raise ValueError(f"{dataset.name}: wrong labels need exactly one label per record; see single_label")
    old = labels.argmax(axis=1)
    new = (old + rng.integers(1, classes, size=len(old))) % classes
    return replace(dataset, labels=np.eye(classes, dtype=labels.dtype)[np.where(rows, new, old)])


def add_noise(
    dataset: ECGDataset, rows: np.ndarray, rng: np.random.Generator, size: float = 1.0
) -> ECGDataset:
    """The data set with disturbances in some records, as electrodes pick them up.

    Each of these records gets one or two of: baseline drift, mains hum, muscle noise, a burst of it, or an
    electrode that jumps; see `ecgkit.datasets.synthetic.noise`. What disturbs an electrode shows in all leads
    that use it. The signals are copied, and the fingerprint is another.

    Args:
        dataset: Any records; the padding of short ones stays zero.
        rows: Which records, bool, shape (N,).
        rng: Source of randomness.
        size: Factor on the amplitude. 1 gives the noise of the synthetic data set, which a reader of the ECG
            would put up with.

    >>> from ecgkit import datasets
    >>> ds = datasets.load("synthetic").subset(slice(3))
    >>> noisy = add_noise(ds, np.array([False, True, False]), np.random.default_rng(0))
    >>> [bool((a != b).any()) for a, b in zip(ds.signals, noisy.signals)]
    [False, True, False]
    >>> noisy.fingerprint == ds.fingerprint
    False
    """
    signals = np.array(dataset.signals)
    for row in np.flatnonzero(rows):
        length = int(dataset.lengths[row])
        added = size * _noise_mv(rng, length, dataset.sampling_rate_hz) / dataset.mv_per_unit
        units = np.round(signals[row, :, :length] + added)
        signals[row, :, :length] = np.clip(units, -32768, 32767).astype(np.int16)
    digest = hashlib.sha256(dataset.fingerprint.encode() + signals[rows].tobytes())
    return replace(dataset, signals=signals, fingerprint=digest.hexdigest())


def _noise_mv(rng: np.random.Generator, samples: int, rate_hz: int) -> np.ndarray:
    """Disturbances of twelve leads in mV, shape (12, samples)."""
    from scipy.signal import resample_poly

    duration_s = samples / rate_hz
    times_s = np.arange(round(duration_s * _NOISE_RATE_HZ)) / _NOISE_RATE_HZ
    electrodes = np.zeros((9, len(times_s)))
    for one in draw_noise(rng, duration_s):
        electrodes += planted(one, times_s, rng, _NOISE_RATE_HZ)
    leads = twelve_leads(ELECTRODE_TO_LEADS @ electrodes)
    factor = Fraction(rate_hz, _NOISE_RATE_HZ)
    resampled = resample_poly(leads, factor.numerator, factor.denominator, axis=1)[:, :samples]
    return np.pad(resampled, ((0, 0), (0, samples - resampled.shape[1])), mode="edge")
