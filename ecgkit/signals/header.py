"""A strict reader of WFDB header files (.hea).

It takes what the published 12-lead data sets contain, the headers of the Challenge whose record name
ends in ``.mat`` included, and refuses everything else with the reason and the remedy.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ecgkit.errors import RecordError

__all__ = ["Header", "SignalLine", "parse_header", "read_header"]

_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_GAIN = re.compile(rf"({_NUMBER})(?:\(([-+]?\d+)\))?(?:/(\S+))?")
_RATE = re.compile(rf"({_NUMBER})(?:/{_NUMBER}(?:\({_NUMBER}\))?)?")
_DATA_ENDINGS = (".mat", ".dat", ".hea")


@dataclass(frozen=True, slots=True)
class SignalLine:
    """What a header says of one lead.

    Attributes:
        file_name: File of the samples, in the folder of the header.
        format: WFDB storage format; 16 is 16-bit little-endian.
        samples_per_frame: 1 unless this lead is sampled faster than the others.
        skew: Samples by which this lead is shifted; 0 in all published 12-lead sets.
        byte_offset: Bytes before the first sample.
        gain: ADC units per physical unit.
        baseline: ADC value of 0 physical units.
        units: Physical unit as written, such as "mV".
        adc_resolution: Bits of the converter, 0 if not given.
        adc_zero: ADC value in the middle of the converter's range.
        initial_value: First sample, None if not given.
        checksum: Sum of all samples modulo 65536, None if not given.
        block_size: Read size for special devices, 0 if not given.
        lead: Name of the lead as written, "" if not given.
    """

    file_name: str
    format: int
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    baseline: int
    units: str
    adc_resolution: int
    adc_zero: int
    initial_value: int | None
    checksum: int | None
    block_size: int
    lead: str


@dataclass(frozen=True, slots=True)
class Header:
    """A header file.

    Attributes:
        name: Name of the record, without a file ending.
        sampling_rate_hz: Samples per second and lead.
        samples: Samples per lead.
        signals: One line per lead, in the order of the file.
        comments: Comment lines without the leading ``#``.
        path: The header file; None if the header was parsed from a text.
    """

    name: str
    sampling_rate_hz: float
    samples: int
    signals: tuple[SignalLine, ...]
    comments: tuple[str, ...] = ()
    path: Path | None = None

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads as written in the file."""
        return tuple(signal.lead for signal in self.signals)


def read_header(path: str | Path) -> Header:
    """Read a header file.

    Raises:
        RecordError: If the file is missing, is not UTF-8 text or breaks the rules of `parse_header`.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"{path}: the header cannot be read ({error.strerror}); check the path and the download"
        ) from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(
            f"{path}: the header is not UTF-8 text (byte 0x{data[error.start]:02x} at {error.start}); "
            "convert it to UTF-8 or download it again"
        ) from None
    return parse_header(text, path)


def parse_header(text: str, path: Path | None = None) -> Header:
    """Parse the text of a header.

    Args:
        text: Content of a .hea file.
        path: Where the text came from, for messages and `Header.path`.

    Raises:
        RecordError: If a line cannot be parsed; the sampling rate, the number of samples or a gain is
            missing or zero; the record has several segments; or a data file lies in another folder.

    Source:
        WFDB Applications Guide, header(5). The guide's silent defaults for a missing sampling rate
        (250 Hz) and gain (200) are refused: no 12-lead data set relies on them.

    >>> header = parse_header("a 1 500 5000\\na.mat 16+24 1000/mV 16 0 -29 22732 0 II\\n#Age: 65\\n")
    >>> header.sampling_rate_hz, header.signals[0].byte_offset, header.leads, header.comments
    (500.0, 24, ('II',), ('Age: 65',))
    """
    where = str(path) if path is not None else "header"
    lines: list[str] = []
    comments: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        line = line.strip()
        if line.startswith("#"):
            comments.append(line[1:].strip())
        elif line:
            lines.append(line)
    if not lines:
        raise RecordError(f"{where}: the header is empty; download it again")
    try:
        name, leads, rate, samples = _record_line(lines[0])
        if len(lines) - 1 != leads:
            raise RecordError(
                f"the header announces {leads} signals and describes {len(lines) - 1}; download it again"
            )
        signals = tuple([_signal_line(line) for line in lines[1:]])
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None
    return Header(name, rate, samples, signals, tuple(comments), path)


def _record_line(line: str) -> tuple[str, int, float, int]:
    """Name, number of signals, sampling rate in Hz and number of samples from the first line."""
    fields = line.split()
    name = fields[0]
    if "/" in name:
        raise RecordError("records of several segments are not supported; join the segments first")
    for ending in _DATA_ENDINGS:
        name = name.removesuffix(ending)
    if not name or len(fields) < 2 or not _is_count(fields[1]) or int(fields[1]) == 0:
        raise RecordError(f"the record line {line!r} gives no number of signals; download the header again")
    if len(fields) < 3:
        raise RecordError("the sampling rate is missing; add it to the record line, in Hz")
    match = _RATE.fullmatch(fields[2])
    if not match or not 0 < float(match[1]) < 1e6:
        raise RecordError(f"{fields[2]!r} is not a sampling rate; put a positive number of Hz there")
    if len(fields) < 4:
        raise RecordError("the number of samples is missing; add it to the record line")
    if not _is_count(fields[3]):
        raise RecordError(f"{fields[3]!r} is not a number of samples; put a positive whole number there")
    if int(fields[3]) == 0:
        raise RecordError("the record has zero samples; leave it out or download it again")
    return name, int(fields[1]), float(match[1]), int(fields[3])


def _signal_line(line: str) -> SignalLine:
    fields = line.split(maxsplit=8)
    if len(fields) < 3:
        raise RecordError(f"the signal line {line!r} lacks file, format or gain; download the header again")
    file_name = fields[0]
    if not _is_plain_name(file_name):
        raise RecordError(
            f"the data file {file_name!r} is not a plain name in the folder of the header; "
            "move the file there and correct the header, if you trust it"
        )
    form = _FORMAT.fullmatch(fields[1])
    if not form:
        raise RecordError(f"{fields[1]!r} is not a storage format of WFDB; download the header again")
    gain = _GAIN.fullmatch(fields[2])
    if not gain or float(gain[1]) == 0:
        raise RecordError(f"{fields[2]!r} is not a gain in ADC units per mV; correct the header")
    try:
        resolution, zero, initial, checksum, block = (
            int(fields[i]) if len(fields) > i else None for i in range(3, 8)
        )
    except ValueError:
        raise RecordError(
            f"the signal line {line!r} has a text where a whole number belongs; download the header again"
        ) from None
    return SignalLine(
        file_name=file_name,
        format=int(form[1]),
        samples_per_frame=int(form[2] or 1),
        skew=int(form[3] or 0),
        byte_offset=int(form[4] or 0),
        gain=float(gain[1]),
        baseline=int(gain[2]) if gain[2] else zero or 0,
        units=gain[3] or "mV",
        adc_resolution=resolution or 0,
        adc_zero=zero or 0,
        initial_value=initial,
        checksum=checksum,
        block_size=block or 0,
        lead=fields[8].strip() if len(fields) > 8 else "",
    )


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_plain_name(name: str) -> bool:
    """Whether `name` is a file in the header's own folder: no path, no drive, no special name."""
    return name not in (".", "..") and name[0] not in "~-" and not any(c in name for c in "/\\:\0")
