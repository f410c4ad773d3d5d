"""What each finding does to a beat, where in the record one sees it, and its name in four coding systems."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ecgkit.datasets.synthetic.heart import Wave

__all__ = [
    "CPSC_LABELS",
    "FINDINGS",
    "SUPERCLASSES",
    "Finding",
    "Waves",
    "aha_codes",
    "cpsc_labels",
    "report_text",
    "scp_codes",
    "snomed_codes",
    "ventricular_beat",
]

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")

Waves = dict[str, Wave]
Change = Callable[[Waves, float, np.random.Generator], None]
Part = Literal["P", "PR", "QRS", "ST-T", "QRS-T", "V", "A", "record"]


@dataclass(frozen=True)
class Finding:
    """One SCP-ECG statement that the generator knows.

    Attributes:
        code: The statement.
        superclass: Its diagnostic superclass, or "" for a statement of form or rhythm only.
        part: The part of each beat that shows it: "V" and "A" are premature beats, "record" is all of it.
        leads: The leads that show it best; empty means all.
        report: What the report says of it.
        change: Edits the waves of a beat in place, given a severity around 1 and a source of randomness.
    """

    code: str
    superclass: str
    part: Part
    leads: tuple[str, ...]
    report: str
    change: Change | None = None


def _turn(waves: Waves, name: str, left: float = 0.0, down: float = 0.0, front: float = 0.0) -> None:
    waves[name] = waves[name].turned(left, down, front)


def _scale(waves: Waves, names: str, factor: float) -> None:
    for name in names.split():
        waves[name] = waves[name].scaled(factor)


def _slow(waves: Waves, factor: float) -> None:
    """Stretch QRS about its R time."""
    for name, wave in waves.items():
        if wave.part == "QRS":
            c, r, f = wave.centre_s * factor, wave.rise_s * factor, wave.fall_s * factor
            waves[name] = replace(wave, centre_s=c, rise_s=r, fall_s=f)


def _infarct(direction: tuple[float, float, float]) -> Change:
    """Lost muscle: the early QRS forces, and with them ST and T, turn away from the scar at `direction`."""

    def change(waves: Waves, s: float, rng: np.random.Generator) -> None:
        a, b, c = direction
        loss = -0.62 * s
        _turn(waves, "septum", 0.55 * loss * a, 0.75 * loss * b, 0.45 * loss * c)
        _turn(waves, "apex", loss * a, 0.9 * loss * b, 1.15 * loss * c)
        _turn(waves, "wall", 0.25 * loss * a, 0.3 * loss * b, 0.15 * loss * c)
        waves["septum"] = replace(waves["septum"], rise_s=0.009, fall_s=0.0115)
        acute = rng.random() < 0.2
        lift = s * (rng.uniform(0.10, 0.22) if acute else rng.uniform(0.0, 0.05))
        _turn(waves, "st", lift * a, lift * b, lift * c)
        turn = -s * (rng.uniform(-0.15, 0.2) if acute else rng.uniform(0.05, 0.45))
        _turn(waves, "t", turn * a, turn * b, turn * c)

    return change


def _injury(left: float, down: float, front: float) -> Change:
    def change(waves: Waves, s: float, rng: np.random.Generator) -> None:
        lift = s * rng.uniform(0.13, 0.26)
        _turn(waves, "st", lift * left, lift * down, lift * front)
        _turn(waves, "t", lift * left, lift * down, 1.2 * lift * front)

    return change


def _ischaemia(left: float, down: float, front: float) -> Change:
    """ST goes down and T turns over in the leads that look along the direction."""

    def change(waves: Waves, s: float, rng: np.random.Generator) -> None:
        low, turn = s * rng.uniform(0.03, 0.11), s * rng.uniform(0.20, 0.46)
        _turn(waves, "st", -low * left, -low * down, -low * front)
        _turn(waves, "t", -turn * left, -turn * down, -turn * front)

    return change


def _flat_t(waves: Waves, s: float, rng: np.random.Generator) -> None:
    _scale(waves, "t", max(1.0 - 0.75 * s, 0.1))
    _turn(waves, "t", front=rng.normal(0.0, 0.04))


def _st_change(waves: Waves, s: float, rng: np.random.Generator) -> None:
    low = s * rng.uniform(0.03, 0.08)
    _turn(waves, "st", -low, -low, -0.3 * low)
    _scale(waves, "t", max(1.0 - 0.35 * s, 0.3))


def _digitalis(waves: Waves, s: float, rng: np.random.Generator) -> None:
    _turn(waves, "st", -0.09 * s, -0.08 * s, -0.03 * s)
    _scale(waves, "t", max(1.0 - 0.6 * s, 0.15))


def _lvh(waves: Waves, s: float, rng: np.random.Generator) -> None:
    _scale(waves, "wall", 1.0 + 1.05 * s)
    _scale(waves, "apex base", 1.0 + 0.55 * s)
    _slow(waves, 1.0 + 0.07 * s)
    strain = max(s - 0.55, 0.0) * rng.uniform(0.2, 1.0)
    _turn(waves, "st", -0.10 * strain, -0.04 * strain, 0.08 * strain)
    _turn(waves, "t", -0.50 * strain, -0.15 * strain, 0.16 * strain)


def _rvh(waves: Waves, s: float, rng: np.random.Generator) -> None:
    _scale(waves, "wall", max(0.75 - 0.25 * s, 0.25))
    _turn(waves, "wall", -0.35 * s, 0.20 * s, 0.45 * s)
    _turn(waves, "apex", -0.30 * s, 0.1 * s, 0.45 * s)
    _turn(waves, "base", -0.45 * s, 0.05 * s, 0.20 * s)
    _turn(waves, "st", 0.0, -0.03 * s, -0.06 * s)
    _turn(waves, "t", 0.10 * s, -0.08 * s, -0.30 * s)
    _scale(waves, "p_right", 1.0 + 0.5 * s)


def _left_atrium(waves: Waves, s: float, rng: np.random.Generator) -> None:
    old = waves["p_left"]
    waves["p_left"] = replace(old, centre_s=0.082 + 0.010 * s, fall_s=0.018 + 0.003 * s)
    _scale(waves, "p_left", 1.0 + 0.35 * s)
    _turn(waves, "p_left", left=0.03 * s, front=-0.06 * s)


def _lbbb(waves: Waves, s: float, rng: np.random.Generator) -> None:
    k, down = 0.85 + 0.15 * s, rng.normal(0.05, 0.18)
    for name in ("septum", "apex", "wall", "base"):
        waves.pop(name)
    waves["slow1"] = Wave("QRS", -0.046, 0.011, 0.014, (0.34 * k, 0.10, -0.20 * k))
    waves["slow2"] = Wave("QRS", -0.016, 0.016, 0.016, (0.75 * k, down, -1.00 * k))
    waves["slow3"] = Wave("QRS", 0.022, 0.016, 0.017, (0.78 * k, 0.8 * down, -0.95 * k))
    waves["slow4"] = Wave("QRS", 0.054, 0.014, 0.014, (0.30 * k, -0.04, -0.38 * k))
    _turn(waves, "st", -0.10 * k, -0.02, 0.17 * k)
    waves["t"] = Wave("T", -0.085, 0.055, 0.040, (-0.24 * k, 0.08 - 0.3 * down, 0.46 * k))


def _rbbb(waves: Waves, s: float, rng: np.random.Generator) -> None:
    k = 0.75 + 0.25 * s
    _scale(waves, "base", 0.5)
    waves["late"] = Wave("QRS", 0.046, 0.014, 0.021, (-0.46 * k, rng.normal(0.0, 0.10), 0.62 * k))
    _turn(waves, "st", 0.0, 0.0, -0.04 * k)
    _turn(waves, "t", 0.05 * k, 0.02, -0.26 * k)


def _incomplete_rbbb(waves: Waves, s: float, rng: np.random.Generator) -> None:
    _scale(waves, "base", 0.8)
    waves["late"] = Wave("QRS", 0.042, 0.009, 0.011, (-0.25 * s, rng.normal(0.0, 0.05), 0.40 * s))
    _turn(waves, "t", front=-0.06 * s)


def _lafb(waves: Waves, s: float, rng: np.random.Generator) -> None:
    _turn(waves, "septum", -0.06, 0.20 * s, -0.02)
    _turn(waves, "apex", 0.0, -0.30 * s, 0.0)
    _turn(waves, "wall", 0.10, -1.00 * s, 0.05)
    _turn(waves, "base", -0.05, -0.45 * s, 0.05)
    _slow(waves, 1.08)


def _slow_conduction(waves: Waves, s: float, rng: np.random.Generator) -> None:
    _slow(waves, 1.22 + 0.16 * s)
    _turn(waves, "base", *(0.18 * rng.standard_normal(3)))
    _turn(waves, "t", -0.06 * s, 0.0, 0.05 * s)


def _paced(waves: Waves, s: float, rng: np.random.Generator) -> None:
    """Paced from the apex of the right ventricle: like a left bundle branch block with the axis upwards."""
    _lbbb(waves, s, rng)
    for name in ("slow2", "slow3", "slow4"):
        _turn(waves, name, -0.25, -0.85, -0.05)
    _turn(waves, "t", 0.10, 0.30, 0.0)


def ventricular_beat(waves: Waves, rng: np.random.Generator) -> Waves:
    """A beat that starts in a ventricle: wide, large, without P, its T against its QRS."""
    from_right = rng.random() < 0.6
    side = 1.0 if from_right else -1.0
    main = np.array([side * rng.uniform(0.3, 0.9), rng.uniform(-1.2, 1.2), -side * rng.uniform(0.6, 1.2)])
    turn, size = 0.35 * rng.standard_normal(3), rng.uniform(1.0, 1.4)
    parts = {
        "pvc1": (-0.040, 0.013, 0.016, 0.35 * main + 0.4 * turn),
        "pvc2": (-0.006, 0.018, 0.018, 0.95 * main + 0.5 * turn),
        "pvc3": (0.034, 0.018, 0.021, 0.70 * main - 0.4 * turn),
    }
    beat = {name: Wave("QRS", c, r, f, tuple(size * v)) for name, (c, r, f, v) in parts.items()}
    beat["st"] = Wave("ST", 0.0, 0.0, 0.0, tuple(-0.16 * main))
    beat["t"] = Wave("T", -0.095, 0.060, 0.045, tuple(-0.52 * size * main))
    return beat


_ANTERIOR, _LATERAL = ("V1", "V2", "V3", "V4"), ("I", "aVL", "V5", "V6")
_INFERIOR = ("II", "III", "aVF")
_WIDE, _LOW_LATERAL = (*_ANTERIOR, *_LATERAL), (*_INFERIOR, "V5", "V6")
_PROBABLY = "st-t changes, probably ischaemic"

FINDINGS: dict[str, Finding] = {
    f.code: f
    for f in (
        Finding("NORM", "NORM", "record", (), "normal ecg"),
        Finding("ASMI", "MI", "QRS-T", _ANTERIOR, "anteroseptal infarct", _infarct((0.10, 0.0, 0.95))),
        Finding("AMI", "MI", "QRS-T", _ANTERIOR, "anterior infarct", _infarct((0.45, 0.0, 0.80))),
        Finding("IMI", "MI", "QRS-T", _INFERIOR, "inferior infarct", _infarct((0.0, 1.0, 0.0))),
        Finding("LMI", "MI", "QRS-T", _LATERAL, "lateral infarct", _infarct((0.85, -0.2, 0.0))),
        Finding("ALMI", "MI", "QRS-T", _WIDE, "anterolateral infarct", _infarct((0.75, 0.0, 0.6))),
        Finding("ILMI", "MI", "QRS-T", _LOW_LATERAL, "inferolateral infarct", _infarct((0.5, 0.85, 0.0))),
        Finding("INJAS", "MI", "ST-T", _ANTERIOR, "anteroseptal injury", _injury(0.15, -0.05, 1.0)),
        Finding("ISC_", "STTC", "ST-T", _LATERAL, _PROBABLY, _ischaemia(0.8, 0.5, 0.3)),
        Finding("ISCAL", "STTC", "ST-T", _WIDE, "anterolateral ischaemia", _ischaemia(0.8, 0.2, 0.7)),
        Finding("ISCIN", "STTC", "ST-T", _INFERIOR, "inferior ischaemia", _ischaemia(0.1, 1.0, 0.0)),
        Finding("NDT", "STTC", "ST-T", (), "t waves low or flat", _flat_t),
        Finding("NST_", "STTC", "ST-T", (), "non-specific st changes", _st_change),
        Finding("DIG", "STTC", "ST-T", (), "digitalis effect", _digitalis),
        Finding("LNGQT", "STTC", "ST-T", (), "long qt interval"),
        Finding("CLBBB", "CD", "QRS-T", (), "left bundle branch block", _lbbb),
        Finding("CRBBB", "CD", "QRS-T", ("I", "V1", "V2", "V6"), "right bundle branch block", _rbbb),
        Finding("IRBBB", "CD", "QRS", ("V1", "V2"), "incomplete right bundle branch block", _incomplete_rbbb),
        Finding("LAFB", "CD", "QRS", (*_INFERIOR, "I", "aVL"), "left anterior fascicular block", _lafb),
        Finding("IVCD", "CD", "QRS", (), "intraventricular conduction delay", _slow_conduction),
        Finding("1AVB", "CD", "PR", (), "first degree av block"),
        Finding("LVH", "HYP", "QRS-T", (*_LATERAL, "V1", "V2"), "left ventricular hypertrophy", _lvh),
        Finding("RVH", "HYP", "QRS-T", ("I", "V1", "V2", "V5", "V6"), "right ventricular hypertrophy", _rvh),
        Finding("LAO/LAE", "HYP", "P", ("I", "II", "V1"), "left atrial enlargement", _left_atrium),
        Finding("PVC", "", "V", (), "ventricular extrasystoles"),
        Finding("PAC", "", "A", (), "atrial extrasystoles"),
        Finding("SR", "", "record", (), "sinus rhythm"),
        Finding("SBRAD", "", "record", (), "sinus bradycardia"),
        Finding("STACH", "", "record", (), "sinus tachycardia"),
        Finding("SARRH", "", "record", (), "sinus arrhythmia"),
        Finding("AFIB", "", "record", (), "atrial fibrillation"),
        Finding("AFLT", "", "record", (), "atrial flutter"),
        Finding("PACE", "", "QRS-T", (), "pacemaker rhythm", _paced),
    )
}

#: Labels of CPSC 2018 in the order of their numbers, which start at 1, and their SNOMED CT codes.
CPSC_LABELS = {
    "Normal": "426783006",
    "AF": "164889003",
    "I-AVB": "270492004",
    "LBBB": "164909002",
    "RBBB": "59118001",
    "PAC": "284470004",
    "PVC": "164884008",
    "STD": "429622005",
    "STE": "164931005",
}
_CPSC = {
    "AFIB": "AF", "1AVB": "I-AVB", "CLBBB": "LBBB", "CRBBB": "RBBB", "PAC": "PAC", "PVC": "PVC",
    "ISC_": "STD", "ISCAL": "STD", "ISCIN": "STD", "NST_": "STD", "DIG": "STD", "INJAS": "STE",
}  # fmt: skip
_SNOMED = {
    "SR": "426783006", "SBRAD": "426177001", "STACH": "427084000", "SARRH": "427393009", "AFIB": "164889003",
    "AFLT": "164890007", "PACE": "10370003", "PAC": "284470004", "PVC": "427172004",
    "1AVB": "270492004", "CLBBB": "164909002", "CRBBB": "713427006",
    "IRBBB": "713426002", "LAFB": "445118002",
    "IVCD": "698252002", "LVH": "164873001", "RVH": "89792004", "LAO/LAE": "67741000119109",
    "LNGQT": "111975006", "NDT": "164934002", "NST_": "428750005", "ISC_": "164861001",
    "ISCAL": "426434006", "ISCIN": "425419005",
    "DIG": "428750005", "ASMI": "164865005", "AMI": "54329005", "IMI": "164865005", "LMI": "164865005",
    "ALMI": "54329005", "ILMI": "164865005", "INJAS": "164931005",
}  # fmt: skip
_AHA = {
    "NORM": "1", "STACH": "21", "SBRAD": "22", "SARRH": "23", "PAC": "30+308", "AFIB": "50", "AFLT": "51",
    "PVC": "60+308", "1AVB": "82", "LAFB": "101", "CLBBB": "104", "IRBBB": "105", "CRBBB": "106",
    "LAO/LAE": "140", "LVH": "142", "RVH": "143", "NST_": "145+362", "DIG": "145+362", "INJAS": "145+363",
    "ISC_": "146", "ISCAL": "146", "ISCIN": "146", "NDT": "147", "LNGQT": "148", "AMI": "160", "IMI": "161",
    "ASMI": "165", "ALMI": "166",
}  # fmt: skip
# Statements of form that often go with a diagnosis, and how often.
_FORMS = {
    "IMI": {"ABQRS": 0.5, "QWAVE": 0.15}, "ASMI": {"ABQRS": 0.5, "QWAVE": 0.15}, "AMI": {"ABQRS": 0.5},
    "LMI": {"QWAVE": 0.3}, "ILMI": {"ABQRS": 0.5}, "ALMI": {"ABQRS": 0.5}, "NDT": {"LOWT": 0.4, "NT_": 0.2},
    "ISC_": {"INVT": 0.2, "STD_": 0.4}, "ISCAL": {"INVT": 0.3, "STD_": 0.2}, "LVH": {"VCLVH": 0.4},
    "1AVB": {"LPR": 0.35}, "DIG": {"STD_": 0.4},
}  # fmt: skip
_RHYTHM_ORDER = ("SR", "SBRAD", "STACH", "SARRH", "AFIB", "AFLT", "PACE")


def scp_codes(severity: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """SCP-ECG statements with a likelihood in percent, in PTB-XL's order: diagnosis, form, rhythm."""
    out: dict[str, float] = {}
    forms: dict[str, float] = {}
    for code, size in severity.items():
        finding = FINDINGS[code]
        if code == "NORM":
            out[code] = float(rng.choice([100.0, 80.0], p=[0.8, 0.2]))
        elif finding.superclass:
            sure = size + rng.normal(0.0, 0.12)
            weak = float(rng.choice([15.0, 35.0, 50.0]))
            out[code] = 100.0 if sure > 0.75 else (80.0 if sure > 0.65 else (50.0 if sure > 0.5 else weak))
        for form, share in _FORMS.get(code, {}).items():
            if rng.random() < share:
                forms[form] = 0.0
    forms |= {code: value for code, value in (("PVC", 100.0), ("PAC", 0.0)) if code in severity}
    rhythms = {code: 100.0 if code == "PACE" else 0.0 for code in _RHYTHM_ORDER if code in severity}
    return out | forms | rhythms


def snomed_codes(severity: Mapping[str, float]) -> tuple[str, ...]:
    """SNOMED CT codes. Plain sinus rhythm is named only where nothing else is."""
    others = [_SNOMED[code] for code in severity if code not in ("NORM", "SR")]
    return tuple(dict.fromkeys(others)) or (_SNOMED["SR"],)


def cpsc_labels(severity: Mapping[str, float]) -> tuple[str, ...]:
    """Labels of CPSC 2018, at most three. Empty where none fits: that set has no such records.

    >>> cpsc_labels({"PVC": 1.0, "AFIB": 1.0}), cpsc_labels({"NORM": 1.0}), cpsc_labels({"IMI": 1.0})
    (('AF', 'PVC'), ('Normal',), ())
    """
    found = {_CPSC[code] for code in severity if code in _CPSC}
    if not found and "NORM" in severity:
        return ("Normal",)
    return tuple(name for name in CPSC_LABELS if name in found)[:3]


def aha_codes(severity: Mapping[str, float]) -> str:
    """AHA codes joined by semicolons, "1" (normal) only on its own. Empty where none fits."""
    found = [_AHA[code] for code in severity if code in _AHA]
    return ";".join(dict.fromkeys(code for code in found if code != "1" or len(found) == 1))


def report_text(severity: Mapping[str, float]) -> str:
    """A short report in the manner of PTB-XL's devices.

    >>> report_text({"LVH": 1.0, "SR": 1.0})
    'sinus rhythm. left ventricular hypertrophy.'
    """
    ordered = sorted(severity, key=lambda code: code not in _RHYTHM_ORDER)
    return ". ".join(FINDINGS[code].report for code in ordered) + "."
