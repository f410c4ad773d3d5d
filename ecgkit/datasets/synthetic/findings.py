"""What each finding does to a beat, and where in the record one sees it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ecgkit.datasets.synthetic.heart import Wave

__all__ = ["FINDINGS", "SUPERCLASSES", "Finding", "ventricular_beat"]

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

FINDINGS: dict[str, Finding] = {
    f.code: f
    for f in (
        Finding("NORM", "NORM", "record", (), "normal ecg"),
        Finding("ASMI", "MI", "QRS-T", _ANTERIOR, "anteroseptal infarct", _infarct((0.10, 0.0, 0.95))),
        Finding("AMI", "MI", "QRS-T", _ANTERIOR, "anterior infarct", _infarct((0.45, 0.0, 0.80))),
        Finding("IMI", "MI", "QRS-T", _INFERIOR, "inferior infarct", _infarct((0.0, 1.0, 0.0))),
        Finding("LMI", "MI", "QRS-T", _LATERAL, "lateral infarct", _infarct((0.85, -0.2, 0.0))),
        Finding(
            "ALMI",
            "MI",
            "QRS-T",
            (*_ANTERIOR, *_LATERAL),
            "anterolateral infarct",
            _infarct((0.75, 0.0, 0.6)),
        ),
        Finding(
            "ILMI",
            "MI",
            "QRS-T",
            (*_INFERIOR, "V5", "V6"),
            "inferolateral infarct",
            _infarct((0.5, 0.85, 0.0)),
        ),
        Finding("INJAS", "MI", "ST-T", _ANTERIOR, "anteroseptal injury", _injury(0.15, -0.05, 1.0)),
        Finding(
            "ISC_", "STTC", "ST-T", _LATERAL, "st-t changes, probably ischaemic", _ischaemia(0.8, 0.5, 0.3)
        ),
        Finding(
            "ISCAL",
            "STTC",
            "ST-T",
            (*_ANTERIOR, *_LATERAL),
            "anterolateral ischaemia",
            _ischaemia(0.8, 0.2, 0.7),
        ),
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
