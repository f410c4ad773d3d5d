"""Statistics of wavelet coefficients, the features of the PTB-XL benchmark's classical baseline."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["STATISTICS", "wavelet_features"]

_LEVEL = 5
STATISTICS = (
    "entropy",
    "percentile_5",
    "percentile_25",
    "percentile_75",
    "percentile_95",
    "median",
    "mean",
    "standard_deviation",
    "variance",
    "root_mean_square",
    "zero_crossings",
    "mean_crossings",
)


def wavelet_features(signals: NDArray, wavelet: str = "db4") -> NDArray[np.float32]:
    """Twelve statistics of every band of a discrete wavelet transform, lead by lead.

    Args:
        signals: Amplitudes in mV, shape (N, leads, T).
        wavelet: Name in PyWavelets. The paper says db4, its published code uses db6.

    Returns:
        Features, shape (N, leads * 6 * 12), ordered by lead, band (coarsest first), statistic. The low band
        is split five times.

    Raises:
        ValueError: If `signals` is not 3-D, holds values that are not finite, or PyWavelets knows no such
            wavelet.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Appendix I. "Entropy" is not defined there; here it is
        Shannon's, in nats, of the share of a band's energy that each coefficient holds.

    >>> wavelet_features(np.random.default_rng(0).normal(size=(2, 12, 1000))).shape
    (2, 864)
    """
    import pywt

    if signals.ndim != 3:
        raise ValueError(f"signals have the shape {signals.shape}; (N, leads, T) is wanted")
    if not np.isfinite(signals).all():
        raise ValueError(
            "signals hold values that are not finite; interpolate them, or leave such records out"
        )
    bands = pywt.wavedec(np.asarray(signals, np.float64), wavelet, level=_LEVEL, axis=-1)
    features = np.stack([_statistics(band) for band in bands], axis=2)  # (N, leads, bands, 12)
    return features.reshape(len(signals), -1).astype(np.float32)


def _statistics(band: NDArray) -> NDArray:
    """(N, leads, coefficients) -> (N, leads, 12)."""
    mean = band.mean(axis=-1, keepdims=True)
    energy = np.square(band)
    total = energy.sum(axis=-1, keepdims=True)
    share = np.divide(energy, total, out=np.zeros_like(energy), where=total > 0)
    log_share = np.log(share, out=np.zeros_like(share), where=share > 0)
    parts = [
        -(share * log_share).sum(axis=-1),
        *np.percentile(band, [5, 25, 75, 95, 50], axis=-1),
        mean[..., 0],
        band.std(axis=-1),
        band.var(axis=-1),
        np.sqrt(energy.mean(axis=-1)),
        _crossings(band),
        _crossings(band - mean),
    ]
    return np.stack(parts, axis=-1)


def _crossings(band: NDArray) -> NDArray:
    """How often the sign changes along the last axis."""
    return (np.diff(np.signbit(band), axis=-1)).sum(axis=-1)
