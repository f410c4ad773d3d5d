"""Filters that leave the waves of the ECG where they are in time, and other sampling rates."""

import math
from fractions import Fraction

import numpy as np

__all__ = ["bandpass", "resample", "resample_cubic"]


def bandpass(
    signal: np.ndarray, sampling_rate_hz: float, low_hz: float = 0.5, high_hz: float = 50.0
) -> np.ndarray:
    """Zero-phase Butterworth band-pass of order 2 along the last axis.

    The filter runs forward and backward, so the gain at frequency f is the square of the Butterworth
    filter's: one half at `low_hz` and at `high_hz`. The ends are continued as in a mirror.

    Args:
        signal: Amplitudes, shape (..., samples); any unit.
        sampling_rate_hz: Samples per second.
        low_hz: Lower edge in Hz; takes away the wandering of the baseline.
        high_hz: Upper edge in Hz, below half the sampling rate; takes away noise of muscle and mains.

    Returns:
        The filtered signal, same shape; float32 for float32, else float64.

    Raises:
        ValueError: If the band does not lie between 0 and half the sampling rate, or `signal` has no samples
            or values that are not finite.

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

    if not 0 < low_hz < high_hz < sampling_rate_hz / 2 < math.inf:
        raise ValueError(
            f"the band {low_hz:g}-{high_hz:g} Hz does not lie between 0 and half the sampling rate "
            f"({sampling_rate_hz / 2:g} Hz); choose a lower high_hz"
        )
    signal = _checked(signal)
    sections = butter(2, (low_hz, high_hz), btype="bandpass", output="sos", fs=sampling_rate_hz)
    # The longest memory of the filter is about one period of its lower edge.
    padding = min(signal.shape[-1] - 1, round(sampling_rate_hz / low_hz))
    filtered: np.ndarray = sosfiltfilt(sections, signal, axis=-1, padtype="even", padlen=padding)
    return filtered.astype(signal.dtype, copy=False)


def resample(signal: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Change the sampling rate along the last axis, with a filter against aliasing (polyphase).

    Args:
        signal: Amplitudes, shape (..., samples); any unit.
        from_hz: Sampling rate of `signal`.
        to_hz: Sampling rate wanted. Sample k of the result lies at k / to_hz seconds.

    Returns:
        Shape (..., ceil(samples x to_hz / from_hz)); float32 for float32, else float64.

    Raises:
        ValueError: If a rate is not positive, the two have no ratio of whole numbers up to 10,000, or
            `signal` has no samples or values that are not finite.

    >>> import numpy as np
    >>> resample(np.zeros((12, 5000), np.float32), 500, 100).shape
    (12, 1000)
    """
    from scipy.signal import resample_poly

    ratio = _ratio(from_hz, to_hz)
    signal = _checked(signal)
    if ratio == 1:
        return signal.copy()
    # The line padding keeps the ends of a record with an offset from ringing.
    resampled: np.ndarray = resample_poly(signal, ratio.numerator, ratio.denominator, axis=-1, padtype="line")
    return resampled.astype(signal.dtype, copy=False)


def resample_cubic(signal: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Change the sampling rate along the last axis with a cubic spline through all samples.

    A spline has no filter against aliasing: to a lower rate, filter first (`ecgkit.signals.bandpass`).

    Args:
        signal: Amplitudes, shape (..., samples), at least 4 samples; any unit.
        from_hz: Sampling rate of `signal`.
        to_hz: Sampling rate wanted. Sample k of the result lies at k / to_hz seconds.

    Returns:
        Shape (..., floor(samples x to_hz / from_hz)); float32 for float32, else float64. Points after
        the last sample (to a higher rate only) repeat it.

    Raises:
        ValueError: As for `resample`, or if there are fewer than 4 samples.

    Source:
        The lightweight ResNet-18 thesis, section 3.2: cubic splines to 250 Hz.

    >>> import numpy as np
    >>> t = np.arange(5000) / 500
    >>> slow = resample_cubic(np.sin(2 * np.pi * 5 * t), 500, 250)
    >>> bool(np.allclose(slow, np.sin(2 * np.pi * 5 * np.arange(2500) / 250), atol=1e-6))
    True
    """
    from scipy.interpolate import CubicSpline

    ratio = _ratio(from_hz, to_hz)
    signal = _checked(signal)
    samples = signal.shape[-1]
    if samples < 4:
        raise ValueError(f"a cubic spline needs 4 samples, the signal has {samples}; leave it out")
    positions = np.arange(int(samples * ratio)) / float(ratio)
    spline = CubicSpline(np.arange(samples), signal, axis=-1, bc_type="not-a-knot")
    resampled: np.ndarray = spline(np.minimum(positions, samples - 1))
    return resampled.astype(signal.dtype, copy=False)


def _checked(signal: np.ndarray) -> np.ndarray:
    """The signal as float32 or float64; ValueError where there is nothing to filter, or no numbers."""
    signal = np.asarray(signal)
    if signal.dtype.kind not in "fiub" or signal.ndim == 0 or signal.size == 0:
        raise ValueError(
            f"the signal is {signal.dtype} of shape {signal.shape}; real numbers of shape (..., samples), at "
            "least one sample, are wanted"
        )
    if not np.isfinite(signal).all():
        raise ValueError("the signal holds values that are not finite; interpolate them, or leave it out")
    return signal if signal.dtype == np.float32 else signal.astype(np.float64)


def _ratio(from_hz: float, to_hz: float) -> Fraction:
    """to_hz / from_hz as an exact fraction."""
    if not (0 < from_hz < math.inf and 0 < to_hz < math.inf):
        raise ValueError(f"sampling rates must be positive and finite, got {from_hz:g} and {to_hz:g} Hz")
    ratio = (Fraction(to_hz) / Fraction(from_hz)).limit_denominator(10_000)
    if ratio == 0 or ratio.numerator > 10_000 or abs(float(ratio) * from_hz / to_hz - 1) > 1e-9:
        raise ValueError(f"{from_hz} Hz and {to_hz} Hz have no simple ratio; choose rounder rates")
    return ratio
