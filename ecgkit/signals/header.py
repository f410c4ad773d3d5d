"""WFDB header files (.hea), as the specification allows them: what a record is, without its samples.

Line ends of all systems, a byte order mark, comments anywhere, fields left out at the end of a line, more
signal lines than announced and the Challenge's names that end in ``.mat`` are read. A header that gives no
gain or no sampling rate is refused: the specification calls such a signal uncalibrated.
"""

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ecgkit.errors import DamagedError, DataNotFoundError, FormatError, RecordError

__all__ = ["Header", "SignalLine", "file_size", "find_sibling", "parse_header", "read_file"]

SAMPLING_RATES_HZ = (10.0, 100_000.0)
"""The lowest and the highest sampling rate that is taken for an ECG's."""

_MOST_SAMPLES = 2**40
_FORMAT = re.compile(r"(\d{1,3})(?:x(\d{1,9}))?(?::(\d{1,9}))?(?:\+(\d{1,18}))?", re.ASCII)
_NUMBER = r"[-+]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][-+]?\d{1,4})?"
_GAIN = re.compile(rf"({_NUMBER})(?:\(([-+]?\d{{1,18}})\))?(?:/(\S+))?", re.ASCII)
_RATE = re.compile(rf"({_NUMBER})(?:/{_NUMBER}(?:\({_NUMBER}\))?)?", re.ASCII)
_INTEGER = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_COUNT = re.compile(r"\d{1,18}", re.ASCII)
_DATA_ENDING = re.compile(r"\.(?:mat|dat|hea)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SignalLine:
    """What a header says of one lead.

    Attributes:
        file_name: File of the samples, in the folder of the header.
        format: WFDB storage format; 16 is 16-bit little-endian.
        samples_per_frame: 1 unless this lead is sampled faster than the header's rate.
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
        name: Name of the record, without folder and file ending.
        sampling_rate_hz: Samples per second and lead.
        samples: Samples per lead; 0 if the text does not say.
        signals: One line per lead, in the order of the file; of a record in segments, those of the first.
        comments: Comment lines without the leading ``#``.
        path: The header file; None if the header was parsed from a text.
        segments: Name and samples of each segment of a record that is stored in several.
    """

    name: str
    sampling_rate_hz: float
    samples: int
    signals: tuple[SignalLine, ...]
    comments: tuple[str, ...] = ()
    path: Path | None = None
    segments: tuple[tuple[str, int], ...] = ()

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads as written in the file."""
        return tuple(signal.lead for signal in self.signals)


def file_size(path: Path, remedy: str = "check the path and the download") -> int:
    """Bytes of a regular file, before anything of it is opened.

    Raises:
        DataNotFoundError: If it is not there or cannot be reached.
        FormatError: If it is a folder, a device or a pipe.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or "no such file"
        raise DataNotFoundError(f"{_short(path)}: cannot be found ({reason}); {remedy}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "device or pipe"
        raise FormatError(f"{_short(path)}: a {kind}, not a file; name the file of a record")
    return status.st_size


def read_file(path: Path, largest: int, remedy: str = "check the path and the download") -> bytes:
    """All bytes of a regular file of at most `largest` bytes.

    Raises:
        DataNotFoundError: If it is not there or cannot be opened.
        FormatError: If it is no regular file or larger.
    """
    size = file_size(path, remedy)
    if size > largest:
        raise FormatError(
            f"{path}: {size:,} bytes, at most {largest:,} are read; check that it is the right file"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataNotFoundError(
            f"{path}: cannot be opened ({error.strerror}); check its permissions and the disk"
        ) from error


def find_sibling(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`, in whatever case (Windows does not keep it); None if it is not there."""
    try:
        if (folder / name).exists():
            return folder / name
        same = [path for path in folder.iterdir() if path.name.casefold() == name.casefold()]
    except (OSError, ValueError):
        return None
    return same[0] if len(same) == 1 else None


def parse_header(text: str, path: Path | None = None) -> Header:
    """Parse the text of a header.

    Args:
        text: Content of a .hea file.
        path: Where the text came from, for messages and `Header.path`.

    Raises:
        DamagedError: If a line cannot be parsed or holds a number that cannot be.
        FormatError: If the sampling rate or a gain is missing, or a data file lies in another folder.

    Source:
        WFDB Applications Guide, header(5). The guide's defaults for a missing sampling rate (250 Hz) and a
        missing or zero gain (200 per mV) are for signals of unknown scale; they have to be written out.

    >>> header = parse_header("a 1 500 5000\\na.mat 16+24 1000/mV 16 0 -29 22732 0 II\\n#Age: 65\\n")
    >>> header.sampling_rate_hz, header.signals[0].byte_offset, header.leads, header.comments
    (500.0, 24, ('II',), ('Age: 65',))
    """
    where = str(path) if path is not None else "header"
    lines: list[str] = []
    comments: list[str] = []
    for line in re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")):
        line = line.strip()
        if line.startswith("#"):
            comments.append(line[1:].strip())
        elif line:
            lines.append(line)
    if not lines:
        raise DamagedError(f"{where}: the header is empty; download it again")
    try:
        return _parse(lines, tuple(comments), path)
    except RecordError as error:
        raise type(error)(f"{where}: {error}") from None


def _parse(lines: list[str], comments: tuple[str, ...], path: Path | None) -> Header:
    fields = lines[0].split()
    name = fields[0].replace("\\", "/")
    number_of_segments = 0
    before, slash, after = name.rpartition("/")
    # "a/3" is a record of 3 segments, each of which has a line of two fields; "folder/3" a name.
    if slash and _COUNT.fullmatch(after) and len(lines) > 1 and len(lines[1].split()) == 2:
        number_of_segments, name = int(after), before
    name = _DATA_ENDING.sub("", name.rpartition("/")[2])
    if not name or len(fields) < 2 or not _COUNT.fullmatch(fields[1]) or int(fields[1]) == 0:
        raise DamagedError(
            f"the record line {_short(lines[0])!r} gives no number of signals; download the header again"
        )
    leads = int(fields[1])
    rate = _sampling_rate(fields[2] if len(fields) > 2 else "")
    samples = _samples(fields[3]) if len(fields) > 3 else 0
    if number_of_segments:
        segments = tuple([_segment_line(line) for line in lines[1:]])
        if len(segments) != number_of_segments or len(set(segments)) != len(segments):
            raise DamagedError(
                f"the header announces {number_of_segments} segments and has {len(segments)} lines; "
                "download it again"
            )
        total = sum(length for _, length in segments)
        if samples and total != samples:
            raise DamagedError(f"the segments have {total} samples, the record {samples}; download it again")
        return Header(name, rate, total, (), comments, path, segments)
    if len(lines) - 1 < leads:
        raise DamagedError(
            f"the header announces {leads} signals and describes {len(lines) - 1}; download it again"
        )
    signals = tuple([_signal_line(line) for line in lines[1 : leads + 1]])
    return Header(name, rate, samples, signals, comments, path)


def _sampling_rate(text: str) -> float:
    if not text:
        raise FormatError(
            "the sampling rate is missing; add it to the record line, in Hz (WFDB's default is 250)"
        )
    match = _RATE.fullmatch(text)
    low, high = SAMPLING_RATES_HZ
    if not match or not low <= float(match[1]) <= high:
        raise DamagedError(
            f"{_short(text)!r} is not the sampling rate of an ECG; put a number of Hz from {low:g} to "
            f"{high:,.0f} there"
        )
    return float(match[1])


def _samples(text: str) -> int:
    """The number of samples, 0 where it is left open. A base time may stand in its place."""
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", text, re.ASCII):
        return 0
    if not _COUNT.fullmatch(text) or int(text) > _MOST_SAMPLES:
        raise DamagedError(f"{_short(text)!r} is not a number of samples; put a whole number there")
    return int(text)


def _segment_line(line: str) -> tuple[str, int]:
    fields = line.split()
    if len(fields) < 2 or not _COUNT.fullmatch(fields[1]) or int(fields[1]) > _MOST_SAMPLES:
        raise DamagedError(f"the segment line {_short(line)!r} gives no length; download the header again")
    if fields[0] == "~" or int(fields[1]) == 0:
        raise FormatError(
            "its segments leave gaps or differ in their leads; join them first, with wfdb.rdrecord and wrsamp"
        )
    if not _is_plain_name(fields[0]):
        raise FormatError(
            f"the segment {_short(fields[0])!r} is not a plain name in the folder of the header"
        )
    return fields[0], int(fields[1])


def _signal_line(line: str) -> SignalLine:
    fields = line.split(maxsplit=3)
    if len(fields) < 2:
        raise DamagedError(
            f"the signal line {_short(line)!r} lacks file or format; download the header again"
        )
    file_name = fields[0]
    if not _is_plain_name(file_name):
        raise FormatError(
            f"the data file {_short(file_name)!r} is not a plain name in the folder of the header; "
            "move the file there and correct the header, if you trust it"
        )
    form = _FORMAT.fullmatch(fields[1])
    if not form or (form[2] and int(form[2]) == 0):
        raise DamagedError(
            f"{_short(fields[1])!r} is not a storage format of WFDB; download the header again"
        )
    gain = _GAIN.fullmatch(fields[2]) if len(fields) > 2 else None
    if len(fields) == 2 or (gain and float(gain[1]) == 0):
        raise FormatError(
            f"the signal line {_short(line)!r} gives no gain, or a gain of 0: the signal is not calibrated; "
            "write its ADC units per mV there (WFDB's default is 200)"
        )
    if not gain:
        raise DamagedError(f"{_short(fields[2])!r} is not a gain in ADC units per mV; correct the header")
    # Up to five whole numbers, and the name of the lead after those that are there.
    numbers: list[int | None] = []
    rest = fields[3] if len(fields) > 3 else ""
    while rest and len(numbers) < 5:
        word, *after = rest.split(maxsplit=1)
        if not _INTEGER.fullmatch(word):
            break
        numbers.append(int(word))
        rest = after[0] if after else ""
    resolution, zero, initial, checksum, block = numbers + [None] * (5 - len(numbers))
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
        lead=rest.strip(),
    )


def _is_plain_name(name: str) -> bool:
    """Whether `name` is a file in the header's own folder: no path, no drive, no special name."""
    return name not in (".", "..") and name[0] not in "~-" and not any(c in name for c in "/\\:\0")


def _short(text: object) -> str:
    """A text for a message, cut where it is long."""
    text = str(text)
    return text if len(text) <= 200 else f"{text[:190]}..."
