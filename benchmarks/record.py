"""Writing what a benchmark measured, with what it was measured on."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecgbook.runs import machine
from ecgkit.files import atomic_write

__all__ = ["save"]


def save(script: str, measured: dict[str, Any], threads: int | str, device: str = "cpu") -> None:
    """Write `measured`, the device, versions and date to the JSON file beside a script, and print it."""
    record = {
        **measured,
        "device": machine.device_name(device),
        "threads": threads,
        "versions": machine.versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps(record, indent=1)
    with atomic_write(Path(script).with_suffix(".json")) as file:
        file.write(text + "\n")
    print(text)
