"""The beating heart as a moving dipole: when it beats, what moves in a beat, and the leads that look at it.

Axes of a heart vector: left, down, front, in mV as seen by a lead of unit strength.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

__all__ = [
    "INDEPENDENT_LEADS",
    "LEAD_FIELD",
    "Beats",
    "Intervals",
    "Shape",
    "Wave",
    "atrial_waves",
    "intervals",
    "normal_shape",
    "render",
    "rotation",
    "schedule",
    "twelve_leads",
]

INDEPENDENT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

#: What a unit vector to the left, down and to the front contributes to each independent lead.
LEAD_FIELD = np.array(
    [
        [0.74, -0.20, -0.05],
        [0.26, 1.04, 0.10],
        [-0.46, 0.11, 0.84],
        [0.05, 0.15, 1.35],
        [0.85, 0.11, 1.22],
        [1.38, 0.15, 0.66],
        [1.24, 0.15, 0.10],
        [0.84, 0.10, -0.22],
    ]
)

_EDGE = 2.2  # a wave is taken to begin and end this many widths from its centre


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


@dataclass(frozen=True)
class Wave:
    """One component of a beat: a bell with its own direction.

    Attributes:
        part: The part of the beat it belongs to. It decides what `centre_s` counts from: the R time for
            "QRS", the onset of P for "P", the end of T for "T" and "U"; "ST" spans from the end of QRS to T.
        centre_s: Time of the peak in seconds. Unused for "ST".
        rise_s: Width (standard deviation) before the peak, in seconds.
        fall_s: Width after the peak, in seconds.
        vector: Direction and size (left, down, front) in mV.
    """

    part: Literal["P", "QRS", "ST", "T", "U"]
    centre_s: float
    rise_s: float
    fall_s: float
    vector: tuple[float, float, float]

    def scaled(self, factor: float) -> "Wave":
        """The same wave, `factor` times as large."""
        left, down, front = self.vector
        return replace(self, vector=(left * factor, down * factor, front * factor))

    def turned(self, left: float = 0.0, down: float = 0.0, front: float = 0.0) -> "Wave":
        """The same wave with a vector added."""
        a, b, c = self.vector
        return replace(self, vector=(a + left, b + down, c + front))


Shape = Mapping[str, Wave]


def normal_shape() -> dict[str, Wave]:
    """The waves of a normal adult beat, by name."""
    return {
        "p_right": Wave("P", 0.040, 0.017, 0.017, (0.035, 0.075, 0.050)),
        "p_left": Wave("P", 0.070, 0.017, 0.016, (0.060, 0.050, -0.030)),
        "septum": Wave("QRS", -0.025, 0.0080, 0.0080, (-0.14, -0.06, 0.22)),
        "apex": Wave("QRS", -0.009, 0.0080, 0.0075, (0.50, 0.42, 0.36)),
        "wall": Wave("QRS", 0.006, 0.0085, 0.0085, (0.82, 0.50, -0.72)),
        "base": Wave("QRS", 0.026, 0.0080, 0.0090, (-0.17, -0.14, -0.42)),
        "st": Wave("ST", 0.0, 0.0, 0.0, (0.015, 0.010, 0.030)),
        "t": Wave("T", -0.088, 0.060, 0.042, (0.27, 0.25, 0.15)),
        "u": Wave("U", 0.080, 0.035, 0.040, (0.012, 0.010, 0.020)),
    }


@dataclass(frozen=True)
class Intervals:
    """Where the parts of each beat begin and end, in seconds from the start of the record, each (beats,)."""

    p_on: np.ndarray
    p_off: np.ndarray
    qrs_on: np.ndarray
    qrs_off: np.ndarray
    t_on: np.ndarray
    t_off: np.ndarray


def _qrs_edges(shape: Shape) -> tuple[float, float]:
    """Begin and end of QRS in seconds from the R time."""
    waves = [wave for wave in shape.values() if wave.part == "QRS"]
    start = min(wave.centre_s - _EDGE * wave.rise_s for wave in waves)
    return start, max(wave.centre_s + _EDGE * wave.fall_s for wave in waves)


def intervals(beats: Beats, shapes: Mapping[str, Shape]) -> Intervals:
    """The parts of every beat, from its kind's shape and its own PR and QT intervals."""
    columns = np.zeros((6, len(beats.time_s)))
    for kind, shape in shapes.items():
        rows = np.flatnonzero(beats.kind == kind)
        start, end = _qrs_edges(shape)
        p_end = max((w.centre_s + _EDGE * w.fall_s for w in shape.values() if w.part == "P"), default=0.0)
        t_start = min(w.centre_s - 1.5 * w.rise_s for w in shape.values() if w.part == "T")
        r = beats.time_s[rows]
        t_off = r + start + beats.qt_s[rows]
        p_on = r + start - beats.pr_s[rows]
        t_on = np.minimum(np.maximum(t_off + t_start, r + end), t_off)
        columns[:, rows] = (p_on, p_on + p_end, r + start, r + end, t_on, t_off)
    return Intervals(*columns)


def rotation(frontal_deg: float, horizontal_deg: float) -> np.ndarray:
    """Matrix (3, 3) that turns a vector in the frontal plane (left to down) and the horizontal (to front)."""
    a, b = np.deg2rad([frontal_deg, horizontal_deg])
    frontal = np.array([[np.cos(a), -np.sin(a), 0.0], [np.sin(a), np.cos(a), 0.0], [0.0, 0.0, 1.0]])
    horizontal = np.array([[np.cos(b), 0.0, -np.sin(b)], [0.0, 1.0, 0.0], [np.sin(b), 0.0, np.cos(b)]])
    return frontal @ horizontal


def render(
    beats: Beats,
    shapes: Mapping[str, Shape],
    field: np.ndarray,
    texture: Mapping[str, np.ndarray],
    sampling_rate_hz: float,
    duration_s: float,
) -> np.ndarray:
    """Draw every beat and look at it through the lead field.

    Args:
        beats: The beats, also those that begin before or end after the record.
        shapes: The waves of each kind of beat.
        field: Lead field of each beat, shape (beats, 8, 3): breathing moves it.
        texture: What a dipole cannot explain: per wave name, a part (8,) of the wave's size.
        sampling_rate_hz: Samples per second.
        duration_s: Length of the record in seconds.

    Returns:
        Signal of the independent leads in mV, shape (8, samples).
    """
    samples = round(duration_s * sampling_rate_hz)
    out = np.zeros((len(INDEPENDENT_LEADS), samples))
    found = intervals(beats, shapes)
    before, width = 0.6, round(1.6 * sampling_rate_hz)
    for kind, shape in shapes.items():
        rows = np.flatnonzero(beats.kind == kind)
        if not len(rows):
            continue
        names, waves = list(shape), list(shape.values())
        r = beats.time_s[rows]
        stretch = np.sqrt(beats.qt_s[rows] / 0.39)
        centre = np.empty((len(rows), len(waves)))
        rise, fall = np.empty_like(centre), np.empty_like(centre)
        for column, wave in enumerate(waves):
            scale: float | np.ndarray = 1.0
            if wave.part == "ST":
                start, stop = found.qrs_off[rows] - 0.004, found.t_off[rows] - 0.08
                centre[:, column] = (start + stop) / 2 - r
                rise[:, column] = fall[:, column] = np.maximum(stop - start, 0.06) / 2
                continue
            if wave.part == "P":
                base = found.p_on[rows] - r
            elif wave.part == "QRS":
                base = np.zeros(len(rows))
            else:
                base, scale = found.t_off[rows] - r, stretch
            centre[:, column] = base + wave.centre_s * scale
            rise[:, column], fall[:, column] = wave.rise_s * scale, wave.fall_s * scale
        vector = np.array([wave.vector for wave in waves])  # (waves, 3)
        grain = np.array([texture[name] for name in names]) * np.linalg.norm(vector, axis=1)[:, None]
        height = np.einsum("bls,ws->bwl", field[rows], vector) + grain  # (beats, waves, leads)
        is_p = np.array([wave.part == "P" for wave in waves])
        height[np.ix_(~beats.has_p[rows], is_p)] = 0.0
        power = np.array([4.0 if wave.part == "ST" else 2.0 for wave in waves])
        first = np.floor((r - before) * sampling_rate_hz).astype(int)
        time = (first[:, None] + np.arange(width)) / sampling_rate_hz - r[:, None]
        u = time[:, None, :] - centre[:, :, None]  # (beats, waves, samples)
        u /= np.where(u < 0, rise[:, :, None], fall[:, :, None])
        bell = np.exp(-0.5 * np.abs(u) ** power[None, :, None])
        drawn = np.matmul(height.transpose(0, 2, 1), bell)  # (beats, leads, samples)
        for one, begin in zip(drawn, first, strict=True):
            low, high = max(begin, 0), min(begin + width, samples)
            if low < high:
                out[:, low:high] += one[:, low - begin : high - begin]
    return out


def twelve_leads(independent: np.ndarray) -> np.ndarray:
    """The twelve standard leads from the eight independent ones.

    Args:
        independent: Leads I, II, V1-V6, shape (8, samples).

    Returns:
        Leads I, II, III, aVR, aVL, aVF, V1-V6, shape (12, samples). III = II - I (Einthoven);
        aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2 (Goldberger).

    >>> leads = twelve_leads(np.array([[1.0], [3.0]] + 6 * [[0.0]]))
    >>> leads[:6, 0].tolist()
    [1.0, 3.0, 2.0, -2.0, -0.5, 2.5]
    """
    one, two = independent[0], independent[1]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2])
    return np.concatenate([limb, independent[2:]])
