"""How findings are written down: SCP-ECG, SNOMED CT, CPSC and AHA codes, and PTB-XL's own words."""

from collections.abc import Mapping

import numpy as np

from ecgkit.datasets.synthetic.findings import FINDINGS
from ecgkit.signals.record import STANDARD_LEADS

__all__ = [
    "CPSC_LABELS",
    "aha_codes",
    "cpsc_labels",
    "lead_words",
    "report_text",
    "scp_codes",
    "snomed_codes",
]

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


def lead_words(leads: tuple[str, ...]) -> str:
    """Leads the way PTB-XL's quality columns name them.

    >>> lead_words(()), lead_words(("V6",)), lead_words(("V1", "V2", "V3")), lead_words(("I", "II", "aVR"))
    ('alles', 'V6', 'V1-V3', 'I,II,AVR')
    """
    if not leads:
        return "alles"
    places = [STANDARD_LEADS.index(lead) for lead in leads]
    if len(leads) > 2 and places == list(range(places[0], places[0] + len(places))):
        return f"{leads[0]}-{leads[-1]}".upper()
    return ",".join(leads).upper()
