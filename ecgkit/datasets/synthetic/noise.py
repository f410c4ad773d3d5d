"""Noise as electrodes pick it up: what disturbs one electrode shows in every lead that uses it."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy import signal

__all__ = ["ELECTRODES", "ELECTRODE_TO_LEADS", "PlantedNoise", "background", "draw_noise", "planted"]

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

NoiseKind = Literal["baseline_drift", "mains", "muscle", "burst", "electrode_pop"]

#: Potentials of the nine electrodes to the leads I, II, V1-V6 (against Wilson's central terminal).
ELECTRODE_TO_LEADS = np.zeros((8, 9))
ELECTRODE_TO_LEADS[0, :2] = (-1.0, 1.0)
ELECTRODE_TO_LEADS[1, [0, 2]] = (-1.0, 1.0)
ELECTRODE_TO_LEADS[2:, :3] = -1.0 / 3.0
ELECTRODE_TO_LEADS[2:, 3:] = np.eye(6)

_LEADS_OF = {"RA": ("I", "II", "aVR"), "LA": ("I", "III", "aVL"), "LL": ("II", "III", "aVF")}
_LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")


@dataclass(frozen=True)
class PlantedNoise:
    """A disturbance put into a record on purpose.

    Attributes:
        kind: "baseline_drift", "mains", "muscle", "burst" (muscle for a while) or "electrode_pop".
        electrodes: The electrodes concerned.
        leads: The leads that show it at full size; empty means all twelve.
        start_s: Begin in seconds.
        end_s: End in seconds.
        size_mv: Its size in mV.
    """

    kind: NoiseKind
    electrodes: tuple[str, ...]
    leads: tuple[str, ...]
    start_s: float
    end_s: float
    size_mv: float


def _sites(rng: np.random.Generator, *, single: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Electrodes and the leads they disturb."""
    draw = rng.random()
    if not single and draw < 0.2:
        return ELECTRODES, ()
    if not single and draw < 0.5:
        return ("RA", "LA", "LL"), _LIMB_LEADS
    if draw < 0.65:
        limb = ("RA", "LA", "LL")[int(rng.integers(3))]
        return (limb,), _LEADS_OF[limb]
    first = int(rng.integers(1, 7))
    last = first if single else min(first + int(rng.integers(0, 3)), 6)
    chest = tuple(f"V{number}" for number in range(first, last + 1))
    return chest, chest


def draw_noise(rng: np.random.Generator, duration_s: float) -> tuple[PlantedNoise, ...]:
    """One or two disturbances for a record of `duration_s` seconds."""
    out = []
    for _ in range(2 if rng.random() < 0.2 else 1):
        kinds: tuple[NoiseKind, ...] = ("baseline_drift", "mains", "muscle", "burst", "electrode_pop")
        kind = kinds[int(rng.choice(5, p=[0.28, 0.2, 0.32, 0.14, 0.06]))]
        electrodes, leads = _sites(rng, single=kind == "electrode_pop")
        start, end = 0.0, duration_s
        if kind in ("burst", "electrode_pop"):
            length = rng.uniform(0.8, 3.0) if kind == "burst" else 1.5
            start = rng.uniform(0.0, duration_s - length)
            end = start + length
        sizes = {"baseline_drift": (0.25, 0.8), "mains": (0.04, 0.15), "muscle": (0.025, 0.08)}
        low, high = sizes.get(kind, (0.08, 0.25) if kind == "burst" else (0.6, 2.0))
        out.append(
            PlantedNoise(kind, electrodes, leads, round(start, 3), round(end, 3), rng.uniform(low, high))
        )
    return tuple(out)


def _drift(times_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A slow wander of unit size, below 0.6 Hz."""
    rates = rng.uniform(0.04, 0.5, 5)
    phases = rng.uniform(0, 2 * np.pi, 5)
    heights = rng.normal(0, 1, 5) / np.sqrt(rates / 0.1)
    return 0.6 * heights @ np.sin(2 * np.pi * rates[:, None] * times_s + phases[:, None])


@cache
def _muscle_band(rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Filter coefficients of the muscles' band."""
    b, a = signal.butter(2, [15.0, 120.0], "bandpass", fs=rate_hz)
    return b, a


def _muscle(shape: tuple[int, ...], rng: np.random.Generator, rate_hz: float) -> np.ndarray:
    """Broad-band noise of unit standard deviation between about 15 and 120 Hz; time is the last axis."""
    b, a = _muscle_band(rate_hz)
    noise = signal.lfilter(b, a, rng.standard_normal(shape), axis=-1)
    return noise / noise.std(axis=-1, keepdims=True)


def background(
    times_s: np.ndarray, rng: np.random.Generator, rate_hz: float, breathing: tuple[float, float]
) -> np.ndarray:
    """What every recording has: a little wander with the breath, a trace of hum and muscle, amplifier noise.

    Returns:
        Potentials of the nine electrodes in mV, shape (9, samples).
    """
    samples = len(times_s)
    size = np.exp(rng.normal(np.log(0.005), 0.5))
    out = rng.standard_normal((9, samples)) * 0.0025
    out += size * rng.uniform(0.4, 1.6, (9, 1)) * _muscle((9, samples), rng, rate_hz)
    breath = np.sin(2 * np.pi * breathing[0] * times_s + breathing[1] + rng.uniform(0, 6.3))
    out += rng.normal(0.0, 0.012, (9, 1)) * breath
    slow = np.exp(rng.normal(np.log(0.018), 0.5))
    out += slow * np.stack([_drift(times_s, rng) for _ in range(9)])
    hum = rng.exponential(0.002) * rng.normal(0.0, 1.0, (9, 1))
    return out + hum * np.sin(2 * np.pi * 50.0 * times_s + rng.uniform(0, 6.3))


def planted(noise: PlantedNoise, times_s: np.ndarray, rng: np.random.Generator, rate_hz: float) -> np.ndarray:
    """Potentials of the nine electrodes in mV, shape (9, samples), that one planted disturbance adds."""
    out = np.zeros((9, len(times_s)))
    for electrode in noise.electrodes:
        row = ELECTRODES.index(electrode)
        if noise.kind == "baseline_drift":
            out[row] = noise.size_mv * _drift(times_s, rng)
        elif noise.kind == "mains":
            wobble = 1.0 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * times_s)
            phase = 2 * np.pi * 49.9 * times_s + rng.uniform(0, 6.3)
            out[row] = (
                noise.size_mv * rng.uniform(0.5, 1.5) * wobble * (np.sin(phase) + 0.2 * np.sin(3 * phase))
            )
        elif noise.kind in ("muscle", "burst"):
            out[row] = noise.size_mv * _muscle(times_s.shape, rng, rate_hz)
            if noise.kind == "burst":
                middle, half = (noise.start_s + noise.end_s) / 2, (noise.end_s - noise.start_s) / 2
                out[row] *= np.exp(-0.5 * (2.0 * np.abs(times_s - middle) / half) ** 4)
        else:
            since = times_s - noise.start_s
            jump = np.where((since >= 0) & (times_s <= noise.end_s), np.exp(-np.maximum(since, 0) / 0.3), 0.0)
            out[row] = noise.size_mv * (1.0 if rng.random() < 0.5 else -1.0) * jump
    return out
