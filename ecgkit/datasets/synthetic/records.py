"""Synthetic patients and what is recorded of them, with the truth about what was put in.

Everything random comes from `stream`: record i depends on the seed, not on the number of records.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from ecgkit.datasets.synthetic.findings import FINDINGS, SUPERCLASSES, Finding, Waves, ventricular_beat
from ecgkit.datasets.synthetic.heart import (
    LEAD_FIELD,
    Beats,
    Intervals,
    Shape,
    atrial_waves,
    intervals,
    normal_shape,
    render,
    rotation,
    schedule,
    twelve_leads,
)
from ecgkit.datasets.synthetic.noise import ELECTRODE_TO_LEADS, PlantedNoise, background, draw_noise, planted
from ecgkit.signals.record import STANDARD_LEADS

__all__ = [
    "LAYOUTS",
    "Patient",
    "Span",
    "SyntheticRecord",
    "draw_patient",
    "fold_of",
    "make_record",
    "recordings",
    "stream",
    "truth_row",
]

#: The layouts that can be written. A layout's place in this tuple is part of its random seeds: append only.
LAYOUTS = ("ptbxl", "cpsc2018", "cpsc2018_extra", "georgia", "csn", "ptb", "sph")

_PURPOSES = ("patient", "record", "meta", "count", "fold")


def stream(seed: int, layout: str, what: str, number: int) -> np.random.Generator:
    """Randomness for one purpose: independent of every other stream and of how many records there are."""
    return np.random.default_rng([seed, LAYOUTS.index(layout), _PURPOSES.index(what), number])


# Findings to choose from within a superclass, and how often.
_MAIN: dict[str, dict[str, float]] = {
    "MI": {"ASMI": 0.30, "IMI": 0.36, "AMI": 0.08, "LMI": 0.06, "ALMI": 0.06, "ILMI": 0.10, "INJAS": 0.04},
    "STTC": {
        "NDT": 0.28,
        "ISC_": 0.2,
        "ISCAL": 0.16,
        "ISCIN": 0.08,
        "NST_": 0.14,
        "DIG": 0.06,
        "LNGQT": 0.08,
    },
    "CD": {"LAFB": 0.28, "IRBBB": 0.17, "1AVB": 0.16, "IVCD": 0.13, "CRBBB": 0.14, "CLBBB": 0.12},
    "HYP": {"LVH": 0.78, "LAO/LAE": 0.13, "RVH": 0.09},
}
# How often a patient with the first superclass has one of the second as well.
_ALSO: dict[str, dict[str, float]] = {
    "MI": {"STTC": 0.22, "CD": 0.26, "HYP": 0.12},
    "STTC": {"CD": 0.12, "HYP": 0.22},
    "CD": {"STTC": 0.12, "HYP": 0.12},
    "HYP": {"STTC": 0.35, "CD": 0.14},
}
_GROUPS = {"NORM": 0.43, "MI": 0.19, "STTC": 0.14, "CD": 0.14, "HYP": 0.08, "none": 0.02}
_RHYTHMS = {"AFIB": 0.12, "AFLT": 0.025, "PACE": 0.025, "": 0.83}
_MEAN_AGE = {"NORM": 50.0, "MI": 66.0, "STTC": 66.0, "CD": 66.0, "HYP": 68.0, "none": 70.0}
_WAVES = ("p_right", "p_left", "septum", "apex", "wall", "base", "st", "t", "u", "late")
_WIDE_WAVES = ("slow1", "slow2", "slow3", "slow4", "pvc1", "pvc2", "pvc3")


@dataclass(frozen=True, eq=False)
class Patient:
    """What stays the same between the records of one person.

    Attributes:
        number: Patient identifier.
        age: Age in years at the first record.
        sex: "female" or "male".
        height_cm: Body height in cm.
        weight_kg: Body weight in kg.
        severity: Lasting findings (SCP-ECG statements) with their severity, about 0.3 to 1.4.
        rhythm: A lasting rhythm (AFIB, AFLT or PACE), or "" for sinus rhythm.
        field: Lead field, shape (8, 3): electrode places, torso, position of the heart.
        texture: Per wave, what a dipole cannot explain, (8,), in parts of the wave's size.
        wave_scale: Per wave, its size relative to the usual one.
        t_turn: Matrix (3, 3) that turns the T wave on its own.
        rate_bpm: Resting heart rate in beats per minute.
        pr_s: PR interval in seconds.
        qtc_s: QT interval corrected to 60 beats per minute, in seconds.
        qrs_stretch: Duration of QRS relative to the usual one.
    """

    number: int
    age: float
    sex: str
    height_cm: float
    weight_kg: float
    severity: Mapping[str, float]
    rhythm: str
    field: np.ndarray
    texture: Mapping[str, np.ndarray]
    wave_scale: Mapping[str, float]
    t_turn: np.ndarray
    rate_bpm: float
    pr_s: float
    qtc_s: float
    qrs_stretch: float


def _choose(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    names, weights = list(shares), np.array(list(shares.values()))
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _severity(rng: np.random.Generator) -> float:
    return round(float(np.clip(rng.normal(0.85, 0.27), 0.3, 1.4)), 3)


def _findings(rng: np.random.Generator, group: str) -> dict[str, float]:
    """Lasting findings with their severity. Conduction comes last: it reshapes the whole beat."""
    if group in ("NORM", "none"):
        return {"NORM": 1.0} if group == "NORM" else {}
    chosen = {_choose(rng, _MAIN[group]): _severity(rng)}
    if group == "MI" and rng.random() < 0.1:
        chosen[_choose(rng, _MAIN["MI"])] = _severity(rng)
    for other, chance in _ALSO[group].items():
        if rng.random() < chance:
            chosen[_choose(rng, _MAIN[other])] = _severity(rng)
    if "CD" in (group, *_ALSO[group]) and rng.random() < 0.04 and "CLBBB" not in chosen:
        chosen["1AVB"] = _severity(rng)
    # A left bundle branch block hides infarcts and the other QRS patterns: nobody would report both.
    if "CLBBB" in chosen:
        hidden = set(_MAIN["MI"]) | set(_MAIN["STTC"]) | {"RVH"}
        chosen = {code: s for code, s in chosen.items() if code not in hidden}
    late = ("IVCD", "CRBBB", "IRBBB", "LAFB", "CLBBB")
    return dict(sorted(chosen.items(), key=lambda item: item[0] in late))


def draw_patient(rng: np.random.Generator, number: int) -> Patient:
    """Draw a person: first what they have, then a body that fits."""
    group = _choose(rng, _GROUPS)
    severity = _findings(rng, group)
    rhythm = "" if group == "NORM" else _choose(rng, _RHYTHMS)
    if rhythm == "PACE":  # a paced beat hides everything that changes QRS and T
        severity = {code: size for code, size in severity.items() if code in ("LVH", "LAO/LAE")}
    if rhythm in ("AFIB", "AFLT"):  # no P wave, no PR interval
        severity = {code: size for code, size in severity.items() if code not in ("1AVB", "LAO/LAE")}
    age = float(np.clip(round(rng.normal(_MEAN_AGE[group], 17 if group == "NORM" else 13)), 18, 95))
    female = rng.random() < (0.55 if group == "NORM" else 0.42)
    height = rng.normal(163 if female else 176, 7)
    weight = height - 100 + rng.normal(-2 if female else 2, 10)

    lean_deg = -12 - 0.30 * (age - 50) + rng.normal(0, 12)  # the axis turns left with age
    if "LAFB" in severity or "CLBBB" in severity or rhythm == "PACE":
        lean_deg = 0.3 * lean_deg  # these set the axis themselves
    turned = LEAD_FIELD @ rotation(lean_deg, rng.normal(0, 9))
    gain = np.exp(rng.normal(-0.06 if female else 0.06, 0.20) - 0.002 * (age - 55))
    places = np.exp(rng.normal(0, [0.06, 0.06, 0.16, 0.16, 0.16, 0.14, 0.12, 0.12]))[:, None]
    field = gain * places * turned + 0.05 * rng.standard_normal((8, 3))
    grain = np.array([0.05, 0.05, 0.13, 0.13, 0.13, 0.13, 0.11, 0.09])
    texture = {name: grain * rng.standard_normal(8) for name in (*_WAVES, *_WIDE_WAVES)}
    spread = {"septum": 0.35, "base": 0.30, "st": 0.6, "u": 0.8, "p_right": 0.28, "p_left": 0.30, "t": 0.28}
    scale = {name: float(np.exp(rng.normal(0, spread.get(name, 0.18)))) for name in (*_WAVES, *_WIDE_WAVES)}
    scale["t"] *= (0.88 if female else 1.08) * np.exp(-0.004 * (age - 50))
    scale["st"] *= 0.6 if female else 1.3

    pr = float(np.clip(rng.normal(0.152 + 0.0003 * (age - 50), 0.017), 0.118, 0.196))
    if "1AVB" in severity:
        pr = 0.205 + 0.06 * severity["1AVB"] * rng.uniform(0.3, 1.2)
    qtc = float(np.clip(rng.normal(0.408 if female else 0.396, 0.016), 0.36, 0.445))
    if "LNGQT" in severity:
        qtc = 0.455 + 0.05 * severity["LNGQT"]
    rate = float(np.clip(rng.normal(70 if female else 67, 10.5), 56, 98))
    stretch = float(np.clip(rng.normal(0.97 if female else 1.02, 0.06), 0.85, 1.15))
    return Patient(
        number, age, "female" if female else "male", height, weight, severity, rhythm, field, texture, scale,
        rotation(rng.normal(0, 12), rng.normal(0, 14)), rate, pr, qtc, stretch,
    )  # fmt: skip


def recordings(seed: int, layout: str, n: int) -> Iterator[tuple[int, Patient]]:
    """Number (from 1) and patient of each of `n` records; one patient in seven comes back once or twice."""
    index, number = 0, 0
    while index < n:
        number += 1
        patient = draw_patient(stream(seed, layout, "patient", number), number)
        counts = stream(seed, layout, "count", number).choice([1, 2, 3], p=[0.86, 0.10, 0.04])
        for _ in range(min(int(counts), n - index)):
            index += 1
            yield index, patient


def fold_of(seed: int, patient: int) -> int:
    """Fold 1 to 10 of a patient (numbered from 1): each ten patients in a row go to the ten folds."""
    block, place = divmod(patient - 1, 10)
    return int(stream(seed, "ptbxl", "fold", block).permutation(10)[place]) + 1


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


def truth_row(record_id: str | int, record: SyntheticRecord) -> dict[str, object]:
    """What was planted in one record.

    Returns:
        record_id; patient; findings (JSON object: SCP-ECG statement to severity) and superclasses (JSON list)
        that are truly there; reported_superclasses that the metadata claim; wrong_label; noisy; evidence (a
        JSON list of {finding, start_s, end_s, leads}); noise (of {kind, start_s, end_s, leads, size_mv});
        beats (of [R time in seconds, kind]); heart_rate_bpm; pr_ms (empty without P waves); qrs_ms.
    """
    noise = []
    for one in record.noise:
        plain = asdict(one)
        plain.pop("electrodes")
        plain["leads"] = list(one.leads or STANDARD_LEADS)
        plain["size_mv"] = round(one.size_mv, 3)
        noise.append(plain)
    return {
        "record_id": record_id,
        "patient": record.patient.number,
        "findings": json.dumps(dict(record.severity)),
        "superclasses": json.dumps(superclasses_of(record.severity)),
        "reported_superclasses": json.dumps(superclasses_of(record.reported)),
        "wrong_label": record.wrong_label,
        "noisy": bool(record.noise),
        "evidence": json.dumps([asdict(span) for span in record.evidence]),
        "noise": json.dumps(noise),
        "beats": json.dumps(record.beats),
        "heart_rate_bpm": record.heart_rate_bpm,
        "pr_ms": None if record.pr_s is None else round(1000 * record.pr_s),
        "qrs_ms": round(1000 * record.qrs_s),
    }
