"""ECG signals: reading records, filters, sampling rates and plots.

Records are arrays of shape (leads, samples) in mV; batches have the shape (batch, lead, time). Windows are
cut with torch and have a module of their own, `ecgkit.signals.windows`: reading records does not load torch.
"""

from ecgkit.signals.filters import bandpass, resample, resample_cubic
from ecgkit.signals.header import Header, SignalLine, parse_header
from ecgkit.signals.plot import alt_text, plot_ecg, plot_leads
from ecgkit.signals.read import (
    calibration,
    lead_order,
    read_digital,
    read_header,
    read_millivolts,
    read_record,
    to_millivolts,
)
from ecgkit.signals.record import (
    STANDARD_LEADS,
    Record,
    age_from_text,
    codes_from_text,
    comment_fields,
    normalise_lead,
    sex_from_text,
    standard_order,
)

__all__ = [
    "STANDARD_LEADS",
    "Header",
    "Record",
    "SignalLine",
    "age_from_text",
    "alt_text",
    "bandpass",
    "calibration",
    "codes_from_text",
    "comment_fields",
    "lead_order",
    "normalise_lead",
    "parse_header",
    "plot_ecg",
    "plot_leads",
    "read_digital",
    "read_header",
    "read_millivolts",
    "read_record",
    "resample",
    "resample_cubic",
    "sex_from_text",
    "standard_order",
    "to_millivolts",
]
