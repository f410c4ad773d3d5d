"""Wavelet statistics against a plain loop over records, leads and bands."""

from itertools import pairwise

import numpy as np
import pytest
import pywt
from scipy.stats import entropy

from ecgkit.signals.wavelets import STATISTICS, wavelet_features


def by_hand(band: np.ndarray) -> list[float]:
    energy = band**2
    centred = band - band.mean()
    return [
        float(entropy(energy / energy.sum())) if energy.sum() else 0.0,
        *(float(np.percentile(band, q)) for q in (5, 25, 75, 95)),
        float(np.median(band)),
        float(band.mean()),
        float(band.std()),
        float(band.var()),
        float(np.sqrt(energy.mean())),
        float(sum((a < 0) != (b < 0) for a, b in pairwise(band))),
        float(sum((a < 0) != (b < 0) for a, b in pairwise(centred))),
    ]


def test_equal_to_a_loop() -> None:
    signals = np.random.default_rng(0).normal(size=(3, 2, 512)).cumsum(axis=-1)
    features = wavelet_features(signals)
    expected = [
        [value for lead in record for band in pywt.wavedec(lead, "db4", level=5) for value in by_hand(band)]
        for record in signals
    ]
    assert features.shape == (3, 2 * 6 * len(STATISTICS))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_a_flat_lead_is_no_nan() -> None:
    assert np.isfinite(wavelet_features(np.zeros((1, 12, 1000)))).all()


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="N, leads, T"):
        wavelet_features(np.zeros((12, 1000)))
    with pytest.raises(ValueError, match="not finite"):
        wavelet_features(np.full((1, 12, 1000), np.nan))
    with pytest.raises(ValueError, match="wavelet"):
        wavelet_features(np.zeros((1, 12, 1000)), "no such")
