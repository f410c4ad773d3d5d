"""Filters, sampling rates and windows: against closed forms and plain loops."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from ecgkit.signals import bandpass, resample, resample_cubic
from ecgkit.signals.windows import aggregate, evaluation_starts, random_windows


def sine(frequency_hz: float, rate_hz: float, seconds: float = 10.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


# --- Filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("frequency_hz", [0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 50.0, 80.0, 150.0])
def test_gain_is_the_squared_butterworth_response(frequency_hz):
    """Closed form: |H|^2 = 1 / (1 + ((w^2 - w1 w2) / (w (w2 - w1)))^4), w = tan(pi f / fs)."""
    rate, low, high = 500.0, 0.5, 50.0
    w, w1, w2 = (np.tan(np.pi * f / rate) for f in (frequency_hz, low, high))
    expected = 1 / (1 + ((w**2 - w1 * w2) / (w * (w2 - w1))) ** 4)
    wave = sine(frequency_hz, rate, 80)
    middle = slice(15000, 25000)  # Twenty seconds far from the ends: whole periods of every frequency.
    filtered = bandpass(wave, rate, low, high)[middle]
    # Zero phase: the result is the wave itself, scaled.
    gain = filtered @ wave[middle] / (wave[middle] @ wave[middle])
    assert gain == pytest.approx(expected, abs=2e-4)
    np.testing.assert_allclose(filtered, gain * wave[middle], atol=2e-3)


def test_passes_the_heart_and_blocks_offset_wander_and_mains():
    beat = sine(8, 500)
    dirty = beat + 3.0 + 2 * sine(0.03, 500) + 0.5 * sine(180, 500)
    clean = bandpass(dirty, 500)
    assert np.abs(clean - beat)[1000:-1000].max() < 0.06
    assert np.abs(bandpass(np.full(5000, 7.0), 500)).max() < 1e-6


def test_each_lead_is_filtered_by_itself_and_the_type_is_kept():
    signal = np.random.default_rng(0).normal(size=(2, 12, 1000)).astype(np.float32)
    filtered = bandpass(signal, 100, 0.5, 40)
    assert filtered.shape == signal.shape and filtered.dtype == np.float32
    alone = bandpass(signal[1, 7].astype(np.float64), 100, 0.5, 40)
    np.testing.assert_allclose(filtered[1, 7], alone, atol=1e-5)
    assert bandpass(np.arange(100, dtype=np.int16), 100, 1, 40).dtype == np.float64


@pytest.mark.parametrize(("low", "high"), [(0, 40), (5, 5), (1, 50), (1, 60), (np.nan, 40), (1, np.inf)])
def test_bands_that_cannot_be(low, high):
    with pytest.raises(ValueError, match="choose"):
        bandpass(np.zeros(1000), 100, low, high)


@pytest.mark.parametrize(
    "signal",
    [np.zeros((12, 0)), np.float64(1), np.array(["a"]), np.array([0, np.nan, 1, 2, 3]), np.zeros(9, complex)],
)
def test_signals_that_cannot_be_filtered(signal):
    for function in (
        lambda x: bandpass(x, 100, 1, 40),
        lambda x: resample(x, 500, 100),
        lambda x: resample_cubic(x, 500, 100),
    ):
        with pytest.raises(ValueError, match="the signal"):
            function(signal)


# --- Sampling rates -------------------------------------------------------------------------------

RATES = [(500, 100), (500, 250), (1000, 100), (100, 250), (257, 100), (500, 500), (100, 500)]


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("method", [resample, resample_cubic])
def test_a_sine_stays_the_same_sine(from_hz, to_hz, method):
    result = method(sine(3.0, from_hz), from_hz, to_hz)
    wanted = sine(3.0, to_hz)[: result.size]
    edge = to_hz
    np.testing.assert_allclose(result[edge:-edge], wanted[edge:-edge], atol=2e-3)


@pytest.mark.parametrize("samples", [4999, 5000, 5001, 7])
@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_lengths(samples, from_hz, to_hz):
    signal = np.zeros((2, samples), np.float32)
    assert resample(signal, from_hz, to_hz).shape == (2, -(-samples * to_hz // from_hz))
    assert resample_cubic(signal, from_hz, to_hz).shape == (2, samples * to_hz // from_hz)
    assert (
        resample(signal, from_hz, to_hz).dtype == resample_cubic(signal, from_hz, to_hz).dtype == np.float32
    )


def test_down_and_up_again_brings_slow_waves_back():
    signal = sum(sine(f, 500) / f for f in (1, 3, 9, 17))
    back = resample(resample(signal, 500, 100), 100, 500)
    np.testing.assert_allclose(back[500:-500], signal[500:-500], atol=5e-3)


def test_fast_waves_do_not_fold_back():
    """130 Hz would appear at 30 Hz when every fifth sample is taken."""
    wave = sine(130, 500)
    assert np.abs(resample(wave, 500, 100)[50:-50]).max() < 5e-3
    assert np.abs(wave[::5]).max() > 0.9


def test_an_offset_survives_at_the_ends():
    np.testing.assert_allclose(resample(np.full((3, 5000), 2.5), 500, 100), 2.5, atol=1e-9)


def test_a_cubic_polynomial_is_reproduced_exactly_by_the_spline():
    t = np.arange(100) / 50
    cubic = lambda x: 1 - 2 * x + 3 * x**2 - x**3  # noqa: E731
    np.testing.assert_allclose(resample_cubic(cubic(t), 50, 20), cubic(np.arange(40) / 20), atol=1e-10)
    up = resample_cubic(cubic(t), 50, 100)
    np.testing.assert_allclose(up[:199], cubic(np.arange(199) / 100), atol=1e-10)
    assert up[199] == pytest.approx(cubic(t[-1]))  # After the last sample: repeated, not extrapolated.


@pytest.mark.parametrize(
    "rates", [(0, 100), (500, -1), (500, 100.000123), (np.nan, 100), (500, np.inf), (1, 1e5)]
)
def test_rates_that_cannot_be(rates):
    for method in (resample, resample_cubic):
        with pytest.raises(ValueError, match="rates"):
            method(np.zeros(100), *rates)


def test_a_spline_needs_four_samples():
    with pytest.raises(ValueError, match="4 samples"):
        resample_cubic(np.zeros(3), 500, 100)


# --- Windows --------------------------------------------------------------------------------------


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def marked(batch: int, samples: int) -> torch.Tensor:
    """Records whose every value says where it comes from: lead x 1000 + sample."""
    lead = torch.arange(12)[:, None] * 1000
    return (lead + torch.arange(samples)).to(torch.int16).expand(batch, 12, samples)


def test_random_windows_are_pieces_of_their_own_record():
    signals = torch.randint(-3000, 3000, (64, 12, 300), generator=seeded(), dtype=torch.int16)
    windows = random_windows(signals, 70, seeded(1))
    assert windows.dtype == torch.int16 and windows.shape == (64, 12, 70) and windows.is_contiguous()
    starts = random_windows(marked(64, 300), 70, seeded(1))[:, 0, 0].tolist()  # Same seed, same starts.
    for record, start, window in zip(signals, starts, windows, strict=True):
        assert torch.equal(window, record[:, start : start + 70])
    assert len(set(starts)) > 30


def test_all_starts_are_equally_likely_and_no_other_occurs():
    signals, count = marked(5000, 20), 11
    starts = random_windows(signals, 10, seeded())[:, 0, 0]
    frequency = torch.bincount(starts.long(), minlength=count)
    assert frequency.numel() == count
    expected = 5000 / count
    chi2 = float(((frequency - expected) ** 2 / expected).sum())
    assert chi2 < 29.6  # 99.9 % quantile with 10 degrees of freedom


def test_windows_never_reach_beyond_the_length_of_their_record():
    lengths = torch.randint(50, 301, (500,), generator=seeded(2))
    lengths[:3] = torch.tensor([50, 51, 300])
    seen = torch.zeros(500, dtype=torch.bool)
    for seed in range(30):
        last = random_windows(marked(500, 300), 50, seeded(seed), lengths)[:, 0, -1]
        assert bool((last < lengths).all())
        seen |= last == lengths - 1
    assert bool(seen[:2].all())  # The last possible window does occur.


def test_a_record_shorter_than_the_window_gives_its_beginning():
    windows = random_windows(marked(4, 300), 100, seeded(), torch.tensor([20, 99, 100, 101]))
    assert windows[:3, 0, 0].tolist() == [0, 0, 0]


def test_windows_follow_the_seed_only():
    signals = torch.randn(8, 12, 1000)
    torch.manual_seed(1)
    first = random_windows(signals, 250, seeded(5))
    torch.manual_seed(2)
    assert torch.equal(first, random_windows(signals, 250, seeded(5)))
    assert not torch.equal(first, random_windows(signals, 250, seeded(6)))


def test_a_window_of_the_whole_record_is_the_record():
    signals = torch.randn(3, 12, 40)
    assert torch.equal(random_windows(signals, 40, seeded()), signals)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_windows_are_the_same_on_every_device():
    signals = torch.randint(-3000, 3000, (64, 12, 300), generator=seeded(), dtype=torch.int16)
    lengths = torch.full((64,), 200)
    on_gpu = random_windows(signals.cuda(), 70, seeded(1), lengths.cuda())
    assert torch.equal(on_gpu.cpu(), random_windows(signals, 70, seeded(1), lengths))


@pytest.mark.parametrize("window", [0, -1, 41])
def test_window_sizes_that_cannot_be(window):
    with pytest.raises(ValueError, match="window is"):
        random_windows(torch.zeros(3, 12, 40), window, seeded())
    with pytest.raises(ValueError, match="window is"):
        evaluation_starts(40, window)


def test_a_single_record_without_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"\(B, leads, T\)"):
        random_windows(torch.zeros(12, 40), 10, seeded())


def test_lengths_of_other_records_are_refused():
    with pytest.raises(ValueError, match="lengths"):
        random_windows(torch.zeros(3, 12, 40), 10, seeded(), torch.tensor([40, 40]))


def test_seven_windows_in_ten_seconds():
    assert evaluation_starts(1000, 250) == [0, 125, 250, 375, 500, 625, 750]
    assert len(evaluation_starts(5000, 1250)) == 7


def test_evaluation_windows_cover_every_sample_and_stay_inside():
    for samples in range(1, 90):
        for window in range(1, samples + 1):
            starts = evaluation_starts(samples, window)
            covered = np.zeros(samples, int)
            for start in starts:
                assert 0 <= start <= samples - window
                covered[start : start + window] += 1
            assert covered.min() >= 1
            assert starts == sorted(set(starts))
            steps = np.diff(starts)
            assert (steps <= max(1, window // 2)).all()
            assert (steps[:-1] == max(1, window // 2)).all()


def test_aggregation_is_element_wise():
    scores = torch.rand(5, 7, 3, generator=seeded())
    for how, plain in (("max", max), ("mean", lambda values: sum(values) / len(values))):
        result = aggregate(scores, how)
        for record in range(5):
            for label in range(3):
                expected = plain([float(scores[record, w, label]) for w in range(7)])
                assert float(result[record, label]) == pytest.approx(expected)
    with pytest.raises(ValueError, match="choose"):
        aggregate(scores, "median")
    for empty in (scores[0], scores[:, :0]):
        with pytest.raises(ValueError, match="windows"):
            aggregate(empty)


def test_importing_signals_loads_nothing_heavy():
    heavy = "wfdb h5py matplotlib scipy pandas soundfile torch"
    code = f"import sys, ecgkit.signals; print([m for m in '{heavy}'.split() if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
