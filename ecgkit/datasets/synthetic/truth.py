"""The planted truth as a table: one row per record, lists as JSON text."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from ecgkit.datasets.synthetic.records import SyntheticRecord, superclasses_of
from ecgkit.signals.record import STANDARD_LEADS

__all__ = ["truth_frame", "truth_row"]


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


def truth_frame(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """The rows as a table."""
    frame = pd.DataFrame(list(rows))
    return frame.assign(pr_ms=frame["pr_ms"].astype("float64"))
