"""Who is recorded: age, sex, anatomy and lasting findings of a synthetic patient."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ecgkit.datasets.synthetic.heart import LEAD_FIELD, rotation

__all__ = ["Patient", "draw_patient"]

# Findings to choose from within a superclass, and how often.
_MAIN: dict[str, dict[str, float]] = {
    "MI": {"ASMI": 0.30, "IMI": 0.36, "AMI": 0.08, "LMI": 0.06, "ALMI": 0.06, "ILMI": 0.10, "INJAS": 0.04},
    "STTC": {
        "NDT": 0.28,
        "ISC_": 0.20,
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
