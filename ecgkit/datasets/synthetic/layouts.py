"""Synthetic records laid out like PTB-XL 1.0.3, like the sets of the PhysioNet Challenge, and like SPH."""

import csv
import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import signal

from ecgkit.datasets.synthetic.findings import (
    CPSC_LABELS,
    aha_codes,
    cpsc_labels,
    report_text,
    scp_codes,
    snomed_codes,
)
from ecgkit.datasets.synthetic.records import (
    Patient,
    SyntheticRecord,
    draw_patient,
    fold_of,
    make_record,
    recordings,
    stream,
    truth_row,
)
from ecgkit.signals.record import STANDARD_LEADS

__all__ = ["write_challenge", "write_ptbxl", "write_sph"]

_TABLES = Path(__file__).parents[1] / "tables"


def _digital(signal_mv: np.ndarray, units_per_mv: float = 1000.0) -> np.ndarray:
    """Round a signal in mV to int16 units; what does not fit is cut off, as a recorder does."""
    return np.clip(np.rint(signal_mv * units_per_mv), -32767, 32767).astype(np.int16)


def _header(
    digital: np.ndarray, first_line: str, leads: tuple[str, ...], middle: str, *, unsigned: bool = False
) -> str:
    """Text of a WFDB header, with right first values and checksums.

    Args:
        digital: Signal in integer units, shape (leads, samples), int16.
        first_line: The record line.
        leads: Names of the leads.
        middle: What stands between the name of a signal's file and its first value.
        unsigned: Write checksums from 0 to 65535 rather than from -32768 to 32767.
    """
    sums = digital.astype(np.int64).sum(axis=1) % 65536
    if not unsigned:
        sums = (sums + 32768) % 65536 - 32768
    rows = zip(leads, digital[:, 0], sums, strict=True)
    return "\n".join(
        [first_line, *(f"{middle} 16 0 {first} {total} 0 {lead}" for lead, first, total in rows)]
    )


def _samples(digital: np.ndarray) -> bytes:
    """Signal (leads, samples) as WFDB format 16: little-endian, sample by sample."""
    return np.ascontiguousarray(digital.T, dtype="<i2").tobytes()


def _write_record(path: Path, header: str, samples: bytes) -> None:
    """Write the signal file of a record, and its header beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".hea").write_text(header + "\n", encoding="ascii", newline="\n")
    path.write_bytes(samples)


def _write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    pd.DataFrame(list(rows)).to_csv(path, index=False, lineterminator="\n")


def _write_truth(folder: Path, truth: Sequence[Mapping[str, object]]) -> None:
    frame = pd.DataFrame(list(truth))
    frame = frame.assign(pr_ms=frame["pr_ms"].astype("float64"))
    frame.to_csv(folder / "truth.csv", index=False, lineterminator="\n")


_LEADS = tuple(lead.upper() if lead.startswith("a") else lead for lead in STANDARD_LEADS)
_DEVICES = {
    "CS100    3": 0.282, "CS-12": 0.186, "AT-6 C 5.5": 0.184, "CS-12   E": 0.132, "AT-6     6": 0.104,
    "AT-60    3": 0.044, "AT-6 C 5.8": 0.038, "AT-6 C": 0.030,
}  # fmt: skip
_AXES = {-90.0: "ARAD", -30.0: "ALAD", 30.0: "LAD", 75.0: "MID", 90.0: "AXR", 120.0: "RAD"}  # up to degrees
_FIRST_DAY = datetime(1984, 11, 9, 9, 17, 34)


def _axis(record: SyntheticRecord) -> str:
    """PTB-XL's word for the electrical axis."""
    degrees = float(np.rad2deg(np.arctan2(record.qrs_area[1] * 2 / np.sqrt(3), record.qrs_area[0])))
    return next((word for limit, word in _AXES.items() if degrees < limit), "ARAD")


def _lead_words(leads: tuple[str, ...]) -> str:
    """Leads the way PTB-XL's quality columns name them.

    >>> _lead_words(("V1", "V2", "V3")), _lead_words(("I", "II", "aVR")), _lead_words(())
    ('V1-V3', 'I,II,AVR', 'alles')
    """
    if not leads:
        return "alles"
    places = [STANDARD_LEADS.index(lead) for lead in leads]
    if len(leads) > 2 and places == list(range(places[0], places[0] + len(places))):
        return f"{leads[0]}-{leads[-1]}".upper()
    return ",".join(leads).upper()


def _quality(record: SyntheticRecord) -> dict[str, str | None]:
    """The four columns about noise, in the words of PTB-XL's technician."""
    words: dict[str, list[str]] = {}
    columns = {"mains": "static_noise", "muscle": "static_noise", "burst": "burst_noise"}
    for one in record.noise:
        column = columns.get(
            one.kind, "baseline_drift" if one.kind == "baseline_drift" else "electrodes_problems"
        )
        words.setdefault(column, []).append(_lead_words(one.leads))
    joined = {column: ",".join(dict.fromkeys(texts)) for column, texts in words.items()}
    return {
        "baseline_drift": f" , {joined['baseline_drift']}" if "baseline_drift" in joined else None,
        "static_noise": f" , {joined['static_noise']},  " if "static_noise" in joined else None,
        "burst_noise": joined.get("burst_noise"),
        "electrodes_problems": joined.get("electrodes_problems"),
    }


def _metadata(number: int, record: SyntheticRecord, seed: int) -> dict[str, object]:
    """One row of ptbxl_database.csv."""
    rng = stream(seed, "ptbxl", "meta", number)
    patient = record.patient
    codes = scp_codes(record.reported, rng)
    infarct = any(code.endswith("MI") for code in codes)
    site = int(rng.choice([0, 1, 2, 3], p=[0.42, 0.29, 0.24, 0.05]))
    by_machine, by_human = rng.random() < 0.31, rng.random() < 0.74
    day = _FIRST_DAY + timedelta(seconds=25_000.0 * number + rng.uniform(0, 20_000))
    premature = sum(kind in "AV" for _, kind in record.beats)
    extra = (
        f"VES{premature},alles" if "PVC" in record.reported else "SVES" if "PAC" in record.reported else None
    )
    tall = rng.random() < 0.32
    stem = f"{number // 1000 * 1000:05d}/{number:05d}"
    return {
        "ecg_id": number,
        "patient_id": float(patient.number),
        "age": 300.0 if patient.age > 89 else patient.age,
        "sex": int(patient.sex == "female"),
        "height": float(round(patient.height_cm)) if tall else None,
        "weight": float(round(patient.weight_kg)) if tall or rng.random() < 0.15 else None,
        "nurse": float(rng.integers(0, 12)) if rng.random() < 0.93 else None,
        "site": float(site),
        "device": str(rng.choice(list(_DEVICES), p=list(_DEVICES.values()))),
        "recording_date": day.strftime("%Y-%m-%d %H:%M:%S"),
        "report": report_text(record.reported),
        "scp_codes": str(codes),
        "heart_axis": _axis(record) if rng.random() < 0.61 else None,
        "infarction_stadium1": "Stadium I" if "INJAS" in codes else "unknown" if infarct else None,
        "infarction_stadium2": None,
        "validated_by": float(rng.choice([0, 1, 2], p=[0.52, 0.43, 0.05])) if by_human else None,
        "second_opinion": bool(by_human and rng.random() < 0.035),
        "initial_autogenerated_report": by_machine,
        "validated_by_human": by_human or not by_machine,
        **_quality(record),
        "extra_beats": extra,
        "pacemaker": "ja, pacemaker" if record.rhythm == "PACE" else None,
        "strat_fold": fold_of(seed, patient.number),
        "filename_lr": f"records100/{stem}_lr",
        "filename_hr": f"records500/{stem}_hr",
    }


def write_ptbxl(
    folder: Path,
    n: int,
    seed: int,
    sampling_rates_hz: tuple[int, ...],
    noise_share: float,
    wrong_label_share: float,
) -> None:
    """Write `n` records of 10 s with PTB-XL's two tables and truth.csv."""
    rows, truth = [], []
    for number, patient in recordings(seed, "ptbxl", n):
        rng = stream(seed, "ptbxl", "record", number)
        record = make_record(patient, rng, noise_share=noise_share, wrong_label_share=wrong_label_share)
        row = _metadata(number, record, seed)
        for rate in sampling_rates_hz:
            sampled = (
                record.signal_mv if rate == 500 else signal.resample_poly(record.signal_mv, 1, 5, axis=1)
            )
            digital = _digital(sampled)
            path = folder / f"{row['filename_lr' if rate == 100 else 'filename_hr']}.dat"
            first_line = f"{path.stem} 12 {rate} {digital.shape[1]}"
            header = _header(digital, first_line, _LEADS, f"{path.name} 16 1000.0(0)/mV", unsigned=True)
            _write_record(path, header, _samples(digital))
        rows.append(row)
        truth.append(truth_row(number, record))
    _write_table(folder / "ptbxl_database.csv", rows)
    _write_truth(folder, truth)
    (folder / "scp_statements.csv").write_bytes((_TABLES / "scp_statements.csv").read_bytes())


_NAMES = {
    "cpsc2018": "A{:04d}", "cpsc2018_extra": "Q{:04d}", "georgia": "E{:05d}", "csn": "JS{:05d}",
    "ptb": "S{:04d}",
}  # fmt: skip
_DATES = {
    "cpsc2018": "05-Feb-2020 11:39:16", "cpsc2018_extra": "15-May-2020 15:35:30",
    "georgia": "05-May-2020 09:49:17", "csn": "23-Mar-2021 20:20:47", "ptb": "15-May-2020 15:22:05",
}  # fmt: skip
# Share of headers written the later way: "# Age: 60", no date, format 16x1+24.
_LATER = {"cpsc2018": 0.0, "cpsc2018_extra": 0.25, "georgia": 0.25, "csn": 0.3, "ptb": 0.0}


def _duration_s(layout: str, rng: np.random.Generator) -> float:
    """A length as the real set has them."""
    if layout in ("cpsc2018", "cpsc2018_extra"):
        if rng.random() < 0.4:
            return 10.0
        return round(float(np.clip(6.0 + rng.gamma(1.6, 6.0), 6.0, 60.0)), 3)
    if layout == "ptb":
        return float(rng.choice([38.4, 115.174, 115.2], p=[0.2, 0.1, 0.7]))
    if layout == "sph":
        return float(rng.choice([10.0, 11.0, 12.0, 13.0, 15.0], p=[0.76, 0.06, 0.12, 0.03, 0.03]))
    return 10.0


def _fitting_record(
    layout: str, number: int, patient: Patient, seed: int, noise_share: float, wrong_label_share: float
) -> SyntheticRecord:
    """A record that the set's coding can name; another patient comes instead of one that it cannot."""
    rng = stream(seed, layout, "record", number)
    duration = _duration_s(layout, rng)
    while True:
        record = make_record(
            patient, rng, duration_s=duration, sampling_rate_hz=1000.0 if layout == "ptb" else 500.0,
            noise_share=noise_share, wrong_label_share=wrong_label_share,
        )  # fmt: skip
        unnamed = (layout == "cpsc2018" and not cpsc_labels(record.reported)) or (
            layout == "sph" and not aha_codes(record.reported)
        )
        if not unnamed:
            return record
        patient = draw_patient(rng, 1_000_000 + number)


def _comments(layout: str, record: SyntheticRecord, later: bool, rng: np.random.Generator) -> tuple[str, ...]:
    """Comment lines of a Challenge header, in the spellings that occur."""
    patient = record.patient
    age = "NaN" if rng.random() < 0.02 else f"{patient.age:.0f}"
    codes: tuple[str, ...] = snomed_codes(record.reported)
    symptoms = "Unknown"
    if layout == "cpsc2018":
        labels = cpsc_labels(record.reported)
        old = rng.random() < 0.89  # most headers still have the set's own names
        codes = labels if old else tuple(CPSC_LABELS[label] for label in labels)
        symptoms = "Unknows" if old else symptoms
    lines = [
        f"Age: {age}",
        f"Sex: {patient.sex.capitalize()}",
        f"Dx: {','.join(codes)}",
        "Rx: Unknown",
        "Hx: Unknown",
    ]
    if layout in ("cpsc2018", "cpsc2018_extra", "csn"):
        lines.append(f"Sx: {symptoms}")
    return tuple(f"{'# ' if later else '#'}{line}" for line in lines)


def write_challenge(
    folder: Path, layout: str, n: int, seed: int, noise_share: float, wrong_label_share: float
) -> None:
    """Write `n` records as .hea and .mat, CPSC 2018 with REFERENCE.csv, and truth.csv."""
    truth, reference = [], [["Recording", "First_label", "Second_label", "Third_label"]]
    for number, patient in recordings(seed, layout, n):
        record = _fitting_record(layout, number, patient, seed, noise_share, wrong_label_share)
        rng = stream(seed, layout, "meta", number)
        name = _NAMES[layout].format(number)
        later = rng.random() < _LATER[layout]
        units, gain = 1000.0, "1000.0(0)/mV" if later else "1000/mv" if layout == "ptb" else "1000/mV"
        if layout == "georgia" and not later and rng.random() < 0.09:
            units, gain = 4880.0, "4880/mV"
        # More than half of Georgia's headers call the record "E00001.mat".
        dotted = layout == "georgia" and not later and rng.random() < 0.8
        digital = _digital(record.signal_mv, units)
        first_line = f"{name}{'.mat' if dotted else ''} 12 {record.sampling_rate_hz:.0f} {digital.shape[1]}"
        first_line += "" if later else f" {_DATES[layout]}"
        middle = f"{name}.mat {'16x1+24' if later else '16+24'} {gain}"
        header = _header(digital, first_line, STANDARD_LEADS, middle)
        header = "\n".join([header, *_comments(layout, record, later, rng)])
        # A MATLAB 4 file: the int16 matrix `val` after a header of 24 bytes.
        matlab = struct.pack("<5i4s", 30, *digital.shape, 0, 4, b"val\0")
        _write_record(folder / f"{name}.mat", header, matlab + _samples(digital))
        numbers = [str(list(CPSC_LABELS).index(label) + 1) for label in cpsc_labels(record.reported)]
        reference.append([name, *numbers, "", "", ""][:4])
        truth.append(truth_row(name, record))
    if layout == "cpsc2018":
        with (folder / "REFERENCE.csv").open("w", encoding="ascii", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(reference)
    _write_truth(folder, truth)


def write_sph(folder: Path, n: int, seed: int, noise_share: float, wrong_label_share: float) -> None:
    """Write `n` records as .h5 in half precision, metadata.csv, codes.csv and truth.csv."""
    import h5py

    (folder / "records").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    truth = []
    for number, patient in recordings(seed, "sph", n):
        record = _fitting_record("sph", number, patient, seed, noise_share, wrong_label_share)
        rng, name = stream(seed, "sph", "meta", number), f"A{number:05d}"
        half = record.signal_mv.astype(np.float16)
        with h5py.File(folder / "records" / f"{name}.h5", "w", track_order=False) as file:
            file.create_dataset(
                "ecg", data=half, compression="gzip", chunks=(3, half.shape[1] // 4), track_times=False
            )
        day = pd.Timestamp("2019-08-01") + pd.Timedelta(days=int(rng.integers(0, 366)))
        rows.append(
            {
                "ECG_ID": name,
                "AHA_Code": aha_codes(record.reported),
                "Patient_ID": f"S{patient.number:05d}",
                "Age": int(record.patient.age),
                "Sex": "F" if record.patient.sex == "female" else "M",
                "N": half.shape[1],
                "Date": day.strftime("%Y-%m-%d"),
            }
        )
        truth.append(truth_row(name, record))
    _write_table(folder / "metadata.csv", rows)
    table = pd.read_csv(_TABLES / "aha.csv", dtype=str).fillna("Modifier")
    codes = table.rename(columns={"category": "Category", "code": "Code", "name": "Description"})
    columns = ["Category", "Code", "Description"]
    codes[columns].to_csv(folder / "codes.csv", index=False, lineterminator="\n")
    _write_truth(folder, truth)
