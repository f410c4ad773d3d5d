"""Synthetic records laid out like the sets of the PhysioNet Challenge and like SPH."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.datasets.synthetic.codes import CPSC_LABELS, aha_codes, cpsc_labels, snomed_codes
from ecgkit.datasets.synthetic.patients import Patient, draw_patient
from ecgkit.datasets.synthetic.plan import recordings, stream
from ecgkit.datasets.synthetic.records import SyntheticRecord, make_record
from ecgkit.datasets.synthetic.truth import truth_frame, truth_row
from ecgkit.datasets.synthetic.wfdb_files import header_text, mat_bytes, to_digital, write_record
from ecgkit.signals.record import STANDARD_LEADS

__all__ = ["write_challenge", "write_sph"]

_AHA_TABLE = Path(__file__).parents[1] / "tables" / "aha.csv"
_NAMES = {
    "cpsc2018": "A{:04d}",
    "cpsc2018_extra": "Q{:04d}",
    "georgia": "E{:05d}",
    "csn": "JS{:05d}",
    "ptb": "S{:04d}",
}
_DATES = {
    "cpsc2018": "05-Feb-2020 11:39:16",
    "cpsc2018_extra": "15-May-2020 15:35:30",
    "georgia": "05-May-2020 09:49:17",
    "csn": "23-Mar-2021 20:20:47",
    "ptb": "15-May-2020 15:22:05",
}
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
        digital = to_digital(record.signal_mv, units)
        header = header_text(
            digital, STANDARD_LEADS, name=f"{name}.mat" if dotted else name,
            sampling_rate_hz=round(record.sampling_rate_hz), file_name=f"{name}.mat",
            file_format="16x1+24" if later else "16+24", gain=gain, date="" if later else _DATES[layout],
            comments=_comments(layout, record, later, rng),
        )  # fmt: skip
        write_record(folder, header, f"{name}.hea", mat_bytes(digital), f"{name}.mat")
        numbers = [str(list(CPSC_LABELS).index(label) + 1) for label in cpsc_labels(record.reported)]
        reference.append([name, *numbers, "", "", ""][:4])
        truth.append(truth_row(name, record))
    if layout == "cpsc2018":
        with (folder / "REFERENCE.csv").open("w", encoding="ascii", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(reference)
    truth_frame(truth).to_csv(folder / "truth.csv", index=False, lineterminator="\n")


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
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False, lineterminator="\n")
    table = pd.read_csv(_AHA_TABLE, dtype=str).fillna("Modifier")
    codes = table.rename(columns={"category": "Category", "code": "Code", "name": "Description"})
    columns = ["Category", "Code", "Description"]
    codes[columns].to_csv(folder / "codes.csv", index=False, lineterminator="\n")
    truth_frame(truth).to_csv(folder / "truth.csv", index=False, lineterminator="\n")
