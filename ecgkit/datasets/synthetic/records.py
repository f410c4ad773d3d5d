"""One synthetic record: from patient to signal, with the truth about what was put in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ecgkit.datasets.synthetic.findings import FINDINGS, SUPERCLASSES, Finding, Waves, ventricular_beat
from ecgkit.datasets.synthetic.heart import (
    Intervals,
    Shape,
    intervals,
    normal_shape,
    render,
    rotation,
    twelve_leads,
)
from ecgkit.datasets.synthetic.noise import ELECTRODE_TO_LEADS, PlantedNoise, background, draw_noise, planted
from ecgkit.datasets.synthetic.patients import Patient
from ecgkit.datasets.synthetic.rhythm import Beats, atrial_waves, schedule
from ecgkit.signals.record import STANDARD_LEADS

__all__ = ["Span", "SyntheticRecord", "make_record", "superclasses_of"]

_RATES = {"SBRAD": (43.0, 56.0), "STACH": (104.0, 138.0), "AFIB": (58.0, 135.0), "PACE": (60.0, 78.0)}
_BEATS = {"PVC": "V", "PAC": "A"}


@dataclass(frozen=True)
class Span:
    """Where a finding shows: from `start_s` to `end_s` seconds in `leads`."""

    finding: str
    start_s: float
    end_s: float
    leads: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SyntheticRecord:
    """A record and the truth about it.

    Attributes:
        signal_mv: Signal in mV, shape (12, samples).
        sampling_rate_hz: Samples per second.
        patient: Who was recorded.
        rhythm: SCP-ECG rhythm statement.
        severity: All findings that are truly there, with their severity.
        reported: The findings that the metadata claim: other ones where a wrong label was planted.
        wrong_label: Whether a wrong label was planted.
        noise: The planted disturbances.
        evidence: Where each finding shows.
        beats: R time in seconds and kind of each beat within the record.
        heart_rate_bpm: Mean heart rate of the record.
        pr_s: PR interval in seconds, None where there are no P waves.
        qrs_s: Duration of QRS in seconds.
        qrs_area: Net area of QRS in leads I and aVF, in mV s: the electrical axis.
    """

    signal_mv: np.ndarray
    sampling_rate_hz: float
    patient: Patient
    rhythm: str
    severity: Mapping[str, float]
    reported: Mapping[str, float]
    wrong_label: bool
    noise: tuple[PlantedNoise, ...]
    evidence: tuple[Span, ...]
    beats: tuple[tuple[float, str], ...]
    heart_rate_bpm: float
    pr_s: float | None
    qrs_s: float
    qrs_area: tuple[float, float]


def _shapes(patient: Patient, severity: Mapping[str, float], rng: np.random.Generator) -> dict[str, Shape]:
    """The waves of each kind of beat of this patient."""
    waves: Waves = {name: wave.scaled(patient.wave_scale[name]) for name, wave in normal_shape().items()}
    turned = patient.t_turn @ np.array(waves["t"].vector)
    waves["t"] = replace(waves["t"], vector=(float(turned[0]), float(turned[1]), float(turned[2])))
    for name, wave in waves.items():
        if wave.part == "QRS":
            k = patient.qrs_stretch
            waves[name] = replace(
                wave, centre_s=k * wave.centre_s, rise_s=k * wave.rise_s, fall_s=k * wave.fall_s
            )
    for code, size in severity.items():
        change = FINDINGS[code].change
        if change is not None:
            change(waves, size, rng)
    early: Waves = dict(waves)
    early["p_right"] = waves["p_right"].scaled(0.5).turned(down=-0.03)
    early["p_left"] = waves["p_left"].scaled(1.1).turned(front=-0.03)
    return {"N": waves, "A": early, "V": ventricular_beat(waves, rng)}


def _part(finding: Finding, found: Intervals, beats: Beats) -> tuple[np.ndarray, np.ndarray]:
    """Begin and end, per beat, of the part that shows a finding; equal where a beat does not show it."""
    starts = {"P": found.p_on, "PR": found.p_on, "ST-T": found.qrs_off, "A": found.p_on}
    ends = {"P": found.p_off, "PR": found.qrs_on, "QRS": found.qrs_off}
    start, end = starts.get(finding.part, found.qrs_on), ends.get(finding.part, found.t_off)
    if finding.part in ("V", "A"):
        shows = beats.kind == finding.part
    elif finding.part in ("P", "PR"):
        shows = beats.has_p
    else:
        shows = beats.kind != "V"
    return start, np.where(shows, end, start)


def _evidence(
    severity: Mapping[str, float], found: Intervals, beats: Beats, duration_s: float
) -> tuple[Span, ...]:
    spans = []
    for code in severity:
        finding = FINDINGS[code]
        leads = finding.leads or STANDARD_LEADS
        if finding.part == "record":
            spans.append(Span(code, 0.0, duration_s, leads))
            continue
        for start, end in zip(*_part(finding, found, beats), strict=True):
            low, high = round(max(float(start), 0.0), 3), round(min(float(end), duration_s), 3)
            if high - low > 0.02 and end > start:
                spans.append(Span(code, low, high, leads))
    return tuple(spans)


def _wrong(severity: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Findings with the diagnosis swapped for one that is not there."""
    superclasses = {FINDINGS[code].superclass for code in severity} - {""}
    kept = {code: size for code, size in severity.items() if not FINDINGS[code].superclass}
    if "NORM" in superclasses or not superclasses:
        others = ("IMI", "ASMI", "ISC_", "NDT", "LVH", "LAFB", "IRBBB")
        return {others[int(rng.integers(len(others)))]: 1.0, **kept}
    return {"NORM": 1.0, **kept}


def _spikes(
    beats: Beats, found: Intervals, samples: int, rate_hz: float, rng: np.random.Generator
) -> np.ndarray:
    """Pacemaker spikes as a heart vector in mV, (3, samples): 2 ms wide, just before QRS."""
    out = np.zeros((3, samples))
    at = np.round((found.qrs_on - 0.004) * rate_hz).astype(int)
    size = rng.uniform(0.3, 1.6) * np.array([-0.3, -0.9, 0.2])
    for width in range(max(round(0.002 * rate_hz), 1)):
        inside = at[(at + width >= 0) & (at + width < samples)] + width
        out[:, inside] += size[:, None]
    return out


def make_record(
    patient: Patient,
    rng: np.random.Generator,
    *,
    duration_s: float = 10.0,
    sampling_rate_hz: float = 500.0,
    noise_share: float = 0.15,
    wrong_label_share: float = 0.03,
) -> SyntheticRecord:
    """Record a patient once.

    Args:
        patient: Who is recorded.
        rng: Source of randomness of this record.
        duration_s: Length in seconds.
        sampling_rate_hz: Samples per second, at least 500 so that hum and muscle are not aliased.
        noise_share: Probability that a disturbance is planted.
        wrong_label_share: Probability that a wrong label is planted.
    """
    sinus = str(rng.choice(["SR", "SBRAD", "STACH", "SARRH"], p=[0.80, 0.06, 0.08, 0.06]))
    rhythm = patient.rhythm or sinus
    severity = dict(patient.severity)
    chances = {"PVC": 0.04 if "NORM" in severity else 0.13, "PAC": 0.03 if "NORM" in severity else 0.07}
    draw, ectopic = rng.random(), ""
    if rhythm not in ("AFLT", "PACE", "STACH") and draw < chances["PVC"]:
        ectopic = "PVC"
    elif rhythm in ("SR", "SBRAD") and draw < chances["PVC"] + chances["PAC"]:
        ectopic = "PAC"

    low, high = _RATES.get(rhythm, (60.0, 99.0))
    rate = (
        rng.uniform(low, high)
        if rhythm in _RATES
        else np.clip(patient.rate_bpm * rng.normal(1, 0.06), 56, 97)
    )
    if rhythm == "SARRH":
        rate = min(float(rate), 85.0)
    flutter = (rng.uniform(4.4, 5.4), int(rng.choice([2, 3, 4], p=[0.35, 0.2, 0.45])))
    breathing = (rng.uniform(0.16, 0.33), rng.uniform(0, 2 * np.pi))
    beats = schedule(
        rhythm, float(rate), duration_s, rng,
        breathing=breathing, pr_s=patient.pr_s * (rate / 70) ** -0.12 if patient.pr_s < 0.2 else patient.pr_s,
        qtc_s=patient.qtc_s, ectopic=ectopic, ectopic_share=rng.choice([0.04, 0.1, 0.25]), flutter=flutter,
    )  # fmt: skip
    shown = (beats.time_s > 0.1) & (beats.time_s < duration_s - 0.1)
    if ectopic and (beats.kind[shown] == _BEATS[ectopic]).any():
        severity[ectopic] = 1.0
    severity[rhythm] = 1.0
    shapes = _shapes(patient, severity, rng)
    found = intervals(beats, shapes)

    swing, turn = 0.05 * rng.uniform(0.3, 1.6), rng.uniform(0.5, 4.5)
    breath = np.sin(beats.breath)
    turns = np.stack([rotation(turn * b, 0.5 * turn * b) for b in breath])
    field = (1 + swing * breath)[:, None, None] * np.einsum("ls,bst->blt", patient.field, turns)
    independent = render(beats, shapes, field, patient.texture, sampling_rate_hz, duration_s)
    clean = independent.copy()
    samples = independent.shape[1]
    times = np.arange(samples) / sampling_rate_hz
    independent += patient.field @ atrial_waves(rhythm, times, rng, flutter[0])
    if rhythm == "PACE":
        independent += patient.field @ _spikes(beats, found, samples, sampling_rate_hz, rng)

    noise = draw_noise(rng, duration_s) if rng.random() < noise_share else ()
    wrong_label = bool(rng.random() < wrong_label_share)
    reported = _wrong(severity, rng) if wrong_label else severity
    electrodes = background(times, rng, sampling_rate_hz, breathing)
    for one in noise:
        electrodes += planted(one, times, rng, sampling_rate_hz)
    independent += ELECTRODE_TO_LEADS @ electrodes

    inside = (beats.time_s >= 0) & (beats.time_s < duration_s)
    r_times = beats.time_s[inside]
    normal = np.flatnonzero(beats.kind == "N")
    qrs = [(a <= times) & (times < b) for a, b in zip(found.qrs_on, found.qrs_off, strict=True)]
    limb = twelve_leads(clean)[[0, 5]]
    area = limb[:, np.any([qrs[i] for i in normal], axis=0)].sum(axis=1) / sampling_rate_hz
    return SyntheticRecord(
        signal_mv=twelve_leads(independent),
        sampling_rate_hz=sampling_rate_hz,
        patient=patient,
        rhythm=rhythm,
        severity=severity,
        reported=reported,
        wrong_label=wrong_label,
        noise=noise,
        evidence=_evidence(severity, found, beats, duration_s),
        beats=tuple((round(float(t), 3), str(k)) for t, k in zip(r_times, beats.kind[inside], strict=True)),
        heart_rate_bpm=round(60.0 / float(np.diff(r_times).mean()), 1),
        pr_s=round(float(beats.pr_s.mean()), 3) if beats.has_p.any() else None,
        qrs_s=round(float((found.qrs_off - found.qrs_on)[normal[0]]), 3),
        qrs_area=(float(area[0]), float(area[1])),
    )


def superclasses_of(codes: Mapping[str, float]) -> tuple[str, ...]:
    """The diagnostic superclasses of some findings, in the usual order."""
    have = {FINDINGS[code].superclass for code in codes}
    return tuple(name for name in SUPERCLASSES if name in have)
