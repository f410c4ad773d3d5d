"""Filters that leave the waves of the ECG where they are in time."""

import numpy as np

__all__ = ["bandpass"]


def bandpass(
    signal: np.ndarray,
    sampling_rate_hz: float,
    low_hz: float = 0.5,
    high_hz: float = 50.0,
    order: int = 2,
) -> np.ndarray:
    """Zero-phase Butterworth band-pass along the last axis.

    The filter runs forward and backward, so the gain at frequency f is the square of the Butterworth
    filter's: one half at `low_hz` and at `high_hz`. The ends are continued as in a mirror.

    Args:
        signal: Amplitudes, shape (..., samples); any unit.
        sampling_rate_hz: Samples per second.
        low_hz: Lower edge in Hz; takes away the wandering of the baseline.
        high_hz: Upper edge in Hz, below half the sampling rate; takes away noise of muscle and mains.
        order: Order of the Butterworth filter on either side of the band, for one pass.

    Returns:
        The filtered signal, same shape; float32 for float32, else float64.

    Raises:
        ValueError: If the band does not lie between 0 and half the sampling rate, or `order` is below 1.

    Source:
        The lightweight ResNet-18 thesis, section 3.2, filters all signals and names neither band nor
        order; 0.5-50 Hz, order 2, forward and backward, is what the preprocessing code it builds on does.

    >>> import numpy as np
    >>> t = np.arange(5000) / 500
    >>> wander = bandpass(np.sin(2 * np.pi * 0.05 * t), 500)  # one wave in 20 s
    >>> qrs = bandpass(np.sin(2 * np.pi * 8 * t), 500)
    >>> bool(abs(wander[1000:4000]).max() < 0.02), bool(abs(qrs[1000:4000]).max() > 0.99)
    (True, True)
    """
    from scipy.signal import butter, sosfiltfilt

    if not 0 < low_hz < high_hz < sampling_rate_hz / 2:
        raise ValueError(
            f"the band {low_hz:g}-{high_hz:g} Hz does not lie between 0 and half the sampling rate "
            f"({sampling_rate_hz / 2:g} Hz); choose a lower high_hz"
        )
    if order < 1:
        raise ValueError(f"order is {order}; choose 1 or more")
    signal = np.asarray(signal)
    sections = butter(order, (low_hz, high_hz), btype="bandpass", output="sos", fs=sampling_rate_hz)
    # The longest memory of the filter is about one period of its lower edge.
    padding = min(signal.shape[-1] - 1, round(sampling_rate_hz / low_hz))
    filtered: np.ndarray = sosfiltfilt(sections, signal, axis=-1, padtype="even", padlen=padding)
    return filtered.astype(np.float32 if signal.dtype == np.float32 else np.float64, copy=False)
