"""One ECG: its signal, what is known of the patient, and its labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

__all__ = ["STANDARD_LEADS", "CodingSystem", "Record", "Sex"]

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

Sex = Literal["female", "male"]
CodingSystem = Literal["SCP-ECG", "SNOMED CT", "AHA"]


@dataclass(frozen=True, eq=False)
class Record:
    """One ECG record.

    Attributes:
        name: Name of the record, without a file ending.
        signal_mv: Signal in mV, shape (leads, samples), float32.
        sampling_rate_hz: Samples per second and lead.
        leads: Names of the leads, in the order of the rows of `signal_mv`.
        age: Age in years, or None where it is not known.
        sex: "female", "male", or None where it is not known.
        codes: Label codes as the data set gives them.
        coding: The coding system of `codes`.
        path: The header file (or .h5 file) that was read.

    >>> import numpy as np
    >>> record = Record("a", np.zeros((12, 5000), np.float32), 500.0)
    >>> record.duration_s
    10.0
    """

    name: str
    signal_mv: np.ndarray
    sampling_rate_hz: float
    leads: tuple[str, ...] = STANDARD_LEADS
    age: float | None = None
    sex: Sex | None = None
    codes: tuple[str, ...] = ()
    coding: CodingSystem | None = None
    path: Path | None = None

    @property
    def duration_s(self) -> float:
        """Length of the record in seconds."""
        return self.signal_mv.shape[1] / self.sampling_rate_hz
