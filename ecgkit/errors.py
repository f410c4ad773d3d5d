"""The errors of ecgkit. Each message names the file concerned and what to do about it."""

__all__ = ["DataNotFoundError", "DownloadError", "EcgkitError", "RecordError", "StoreError"]


class EcgkitError(Exception):
    """Base class: catch this to catch every error that ecgkit raises on purpose."""


class RecordError(EcgkitError, ValueError):
    """A record file is damaged, incomplete or not of a supported format."""


class DataNotFoundError(EcgkitError, FileNotFoundError):
    """A data set is not where it was looked for."""


class StoreError(EcgkitError, OSError):
    """A file could not be written or read back: disk full, folder read-only, cache damaged."""


class DownloadError(EcgkitError, OSError):
    """A download failed for good, after all retries."""
