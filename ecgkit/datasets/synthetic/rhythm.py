"""When the heart beats: sinus rhythm and its disturbances, and what the atria do meanwhile."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Beats", "atrial_waves", "schedule"]


@dataclass(frozen=True)
class Beats:
    """The beats of a record, each array (beats,).

    Attributes:
        time_s: R times in seconds from the start of the record. Some lie outside it: its ends look natural.
        kind: "N" normally conducted, "A" premature atrial, "V" premature ventricular.
        pr_s: PR interval in seconds.
        qt_s: QT interval in seconds.
        has_p: Whether a P wave goes before.
        breath: Phase of breathing at the beat, in radians.
    """

    time_s: np.ndarray
    kind: np.ndarray
    pr_s: np.ndarray
    qt_s: np.ndarray
    has_p: np.ndarray
    breath: np.ndarray


def _sinus_rr(time: float, rr: float, breathing: tuple[float, float], depth: float, jitter: float) -> float:
    """The next interval: breathing in quickens the sinus node, breathing out slows it."""
    rate_hz, phase = breathing
    return rr * (1.0 + depth * np.sin(2 * np.pi * rate_hz * time + phase) + jitter)


def _fibrillating_rr(rr: float, rng: np.random.Generator) -> float:
    """An irregularly irregular interval: gamma-distributed above the refractory time."""
    floor = 0.45 * rr
    return float(floor + rng.gamma(3.5, (rr - floor) / 3.5))


def schedule(
    rhythm: str,
    rate_bpm: float,
    duration_s: float,
    rng: np.random.Generator,
    *,
    breathing: tuple[float, float],
    pr_s: float,
    qtc_s: float,
    ectopic: str = "",
    ectopic_share: float = 0.0,
    flutter: tuple[float, int] = (5.0, 3),
) -> Beats:
    """Lay out the beats of one record.

    Args:
        rhythm: SCP-ECG rhythm statement: SR, SBRAD, STACH, SARRH, AFIB, AFLT or PACE.
        rate_bpm: Mean heart rate in beats per minute.
        duration_s: Length of the record in seconds.
        rng: Source of randomness.
        breathing: Rate in Hz and phase in radians.
        pr_s: PR interval in seconds.
        qtc_s: QT interval in seconds at 60 beats per minute; Fridericia's cube root scales it.
        ectopic: "PAC" or "PVC" for premature beats, "" for none.
        ectopic_share: Probability that a beat is followed by a premature one.
        flutter: Flutter waves per second, and how many of them there are to one beat.

    Returns:
        The beats. A ventricular one is followed by a full compensatory pause, an atrial one is not.
    """
    rr = 60.0 / rate_bpm
    depth = {"SARRH": 0.17, "PACE": 0.0, "STACH": 0.012}.get(rhythm, 0.03) * rng.uniform(0.8, 1.3)
    wander = 0.002 if rhythm == "PACE" else 0.012
    time, premature = -2.2 * rr - rng.uniform(0, rr), False
    times, kinds = [time], ["N"]
    due = bool(ectopic) and ectopic_share > 0
    forced = rng.uniform(0.05, 0.5) * duration_s if due else np.inf  # so that one falls into the record
    while time < duration_s + 1.0:
        if rhythm == "AFIB":
            step = _fibrillating_rr(rr, rng)
        elif rhythm == "AFLT":
            waves = flutter[1] + (int(rng.integers(0, 2)) if rng.random() < 0.12 else 0)
            step = waves / flutter[0]
        else:
            step = _sinus_rr(time, rr, breathing, depth, wander * rng.standard_normal())
        want = due and not premature and (rng.random() < ectopic_share or time >= forced)
        if want:
            early = rng.uniform(0.52, 0.68) if ectopic == "PVC" else rng.uniform(0.56, 0.74)
            early_step = max(early * step, 0.34)
            if 0.2 < time + early_step < duration_s - 0.6:
                forced = np.inf
            times.append(time + early_step)
            kinds.append("V" if ectopic == "PVC" else "A")
            pause = 2 * step if ectopic == "PVC" else early_step + rng.uniform(1.04, 1.14) * step
            time, premature = time + pause, True
        else:
            time, premature = time + step, False
        times.append(time)
        kinds.append("N")
    time_s, kind_s = np.array(times), np.array(kinds)
    gaps = np.diff(time_s, prepend=time_s[0] - rr)
    felt = np.clip(0.35 * gaps + 0.65 * rr, 0.33, 1.6)  # QT follows the rate slowly
    qt = np.minimum(qtc_s * np.cbrt(felt), 0.16 + 0.62 * np.append(gaps[1:], rr))
    qt = np.where(kind_s == "V", np.minimum(1.08 * qt, 0.47), qt)
    has_p = (kind_s != "V") & (rhythm not in ("AFIB", "AFLT"))
    pr = np.where(kind_s == "A", pr_s + 0.01, pr_s) + 0.003 * rng.standard_normal(len(time_s))
    phase = 2 * np.pi * breathing[0] * time_s + breathing[1]
    return Beats(time_s, kind_s, pr, np.maximum(qt, 0.24), has_p, phase)


def atrial_waves(rhythm: str, times_s: np.ndarray, rng: np.random.Generator, flutter_hz: float) -> np.ndarray:
    """Fibrillatory or flutter waves as a heart vector in mV.

    Args:
        rhythm: "AFIB" or "AFLT"; any other gives none.
        times_s: Times of the samples in seconds.
        rng: Source of randomness.
        flutter_hz: Flutter waves per second.

    Returns:
        Shape (3, samples).
    """
    if rhythm == "AFLT":
        phase = (flutter_hz * times_s + rng.uniform()) % 1.0
        saw = np.where(phase < 0.68, phase / 0.68, (1.0 - phase) / 0.32) - 0.5  # slow one way, quick back
        size = rng.uniform(0.16, 0.30)
        return size * np.array([0.05, -1.0, 0.45])[:, None] * saw
    if rhythm == "AFIB":
        out = np.zeros((3, len(times_s)))
        coarse = rng.uniform(0.007, 0.030)
        for _ in range(5):
            rate, drifts, swells = rng.uniform(4.5, 9.0), rng.uniform(0.2, 1.3), rng.uniform(0.1, 0.9)
            phases = rng.uniform(0, 2 * np.pi, 3)
            drift = rng.uniform(1.0, 3.0) * np.sin(2 * np.pi * drifts * times_s + phases[0])
            swell = 1.0 + 0.6 * np.sin(2 * np.pi * swells * times_s + phases[1])
            wave = swell * np.sin(2 * np.pi * rate * times_s + drift + phases[2])
            out += coarse * rng.normal([0.0, 0.5, 0.6], 0.45)[:, None] * wave
        return out
    return np.zeros((3, len(times_s)))
