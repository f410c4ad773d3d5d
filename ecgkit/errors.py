"""The errors of ecgkit. Each message names the file concerned and what to do about it.

What is wrong with a file is one of four things, and each has its own remedy:

========================  ========================================  =================================
`DamagedError`            it is broken or contradicts itself        fetch it again, or leave it out
`FormatError`             it is whole, but nothing we read          convert it, or use the right loader
`TableError`              a cell or column of a table is at fault   correct the table
`DataNotFoundError`       it is not where it was looked for         check the path, or download it
========================  ========================================  =================================
"""

__all__ = [
    "DamagedError",
    "DataNotFoundError",
    "DownloadError",
    "EcgkitError",
    "FormatError",
    "RecordError",
    "StoreError",
    "TableError",
]


class EcgkitError(Exception):
    """Base class: catch this to catch every error that ecgkit raises on purpose."""


class RecordError(EcgkitError, ValueError):
    """A file of a data set cannot be used as it is; one of the three kinds below says why."""


class DamagedError(RecordError):
    """A file is cut off, fails its checksum, or contradicts itself. Fetch it again, or leave it out."""


class FormatError(RecordError):
    """A file is whole but of a kind that is not read here. Convert it, or use the loader that it is for."""


class TableError(RecordError):
    """A table of a data set has a cell, row or column that cannot be right. Correct the table."""


class DataNotFoundError(EcgkitError, FileNotFoundError):
    """A file or data set is not where it was looked for. Check the path, or download it."""


class StoreError(EcgkitError, OSError):
    """A file of ecgkit's own could not be written or read: disk full, folder read-only, cache damaged."""


class DownloadError(EcgkitError, OSError):
    """A download failed for good, after all retries."""
