"""ECG signals: reading records, filters, sampling rates and plots.

Records are arrays of shape (leads, samples) in mV; batches have the shape (batch, lead, time). Windows are
cut with torch and have a module of their own, `ecgkit.signals.windows`: reading records does not load torch.
"""

from ecgkit.signals.filters import bandpass
from ecgkit.signals.header import Header, SignalLine, parse_header, read_header
from ecgkit.signals.leads import normalise_lead, standard_order
from ecgkit.signals.patient import age_from_text, codes_from_text, comment_fields, sex_from_text
from ecgkit.signals.plot import alt_text, plot_ecg, plot_leads
from ecgkit.signals.read import read_digital, read_record
from ecgkit.signals.record import STANDARD_LEADS, Record
from ecgkit.signals.resampling import resample, resample_cubic

__all__ = [
    "STANDARD_LEADS",
    "Header",
    "Record",
    "SignalLine",
    "age_from_text",
    "alt_text",
    "bandpass",
    "codes_from_text",
    "comment_fields",
    "normalise_lead",
    "parse_header",
    "plot_ecg",
    "plot_leads",
    "read_digital",
    "read_header",
    "read_record",
    "resample",
    "resample_cubic",
    "sex_from_text",
    "standard_order",
]
