"""Other sampling rates and common lengths."""

from fractions import Fraction

import numpy as np

__all__ = ["resample", "resample_cubic"]


def resample(signal: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Change the sampling rate along the last axis, with a filter against aliasing (polyphase).

    Args:
        signal: Amplitudes, shape (..., samples); any unit.
        from_hz: Sampling rate of `signal`.
        to_hz: Sampling rate wanted. Sample k of the result lies at k / to_hz seconds.

    Returns:
        Shape (..., ceil(samples x to_hz / from_hz)); float32 for float32, else float64.

    Raises:
        ValueError: If a rate is not positive, or the two have no ratio of whole numbers up to 10,000.

    >>> import numpy as np
    >>> resample(np.zeros((12, 5000), np.float32), 500, 100).shape
    (12, 1000)
    """
    from scipy.signal import resample_poly

    ratio = _ratio(from_hz, to_hz)
    signal = _floating(signal)
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
    signal = _floating(signal)
    samples = signal.shape[-1]
    if samples < 4:
        raise ValueError(f"a cubic spline needs 4 samples, the signal has {samples}; leave it out")
    positions = np.arange(int(samples * ratio)) / float(ratio)
    spline = CubicSpline(np.arange(samples), signal, axis=-1, bc_type="not-a-knot")
    resampled: np.ndarray = spline(np.minimum(positions, samples - 1))
    return resampled.astype(signal.dtype, copy=False)


def _floating(signal: np.ndarray) -> np.ndarray:
    signal = np.asarray(signal)
    return signal if signal.dtype == np.float32 else signal.astype(np.float64)


def _ratio(from_hz: float, to_hz: float) -> Fraction:
    """to_hz / from_hz as an exact fraction."""
    if not (from_hz > 0 and to_hz > 0):
        raise ValueError(f"sampling rates must be positive, got {from_hz:g} and {to_hz:g} Hz")
    ratio = (Fraction(to_hz) / Fraction(from_hz)).limit_denominator(10_000)
    if ratio == 0 or abs(float(ratio) * from_hz / to_hz - 1) > 1e-9:
        raise ValueError(f"{from_hz} Hz and {to_hz} Hz have no simple ratio; choose rounder rates")
    return ratio
