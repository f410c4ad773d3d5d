"""ECG plots: true scale, everything in its place, nothing drawn over something else."""

import io

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from ecgkit.signals import STANDARD_LEADS, Record, alt_text, plot_ecg, plot_leads, read_record

mpl.use("Agg")
RATE = 500


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    """Each lead a different sawtooth of up to 1 mV, so that traces can be told apart; median 0."""
    t = np.arange(10 * RATE) / RATE
    return np.stack([(i + 1) / 12 * ((t % 1) - 0.5) for i in range(12)])


def mm_per_unit(figure) -> tuple[float, float]:
    """Printed millimetres per data unit in x and y."""
    axes = figure.axes[0]
    box = axes.get_position()
    width, height = figure.get_size_inches() * 25.4
    x, y = axes.get_xlim(), axes.get_ylim()
    return width * box.width / (x[1] - x[0]), height * box.height / (y[1] - y[0])


def traces(figure) -> list[np.ndarray]:
    """(samples, 2) points of every drawn lead: the lines longer than pulses and marks."""
    return [line.get_xydata() for line in figure.axes[0].lines if len(line.get_xydata()) > 10]


def pulses(figure) -> list[np.ndarray]:
    return [line.get_xydata() for line in figure.axes[0].lines if len(line.get_xydata()) == 6]


@pytest.mark.parametrize("layout", ["3x4", "12x1"])
@pytest.mark.parametrize("rate", [100, 500])
def test_one_second_is_25_mm_and_one_millivolt_10_mm(layout, rate):
    t = np.arange(10 * rate) / rate
    wave = np.tile(np.where(t % 1 < 0.5, 0.5, -0.5), (12, 1))  # 1 mV peak to peak, edges every half second
    figure = plot_ecg(wave, rate, layout=layout)
    assert mm_per_unit(figure) == pytest.approx((1.0, 1.0))
    trace = traces(figure)[-1]
    assert trace[-1, 0] - trace[0, 0] == pytest.approx(25 * (10 - 1 / rate))
    assert np.ptp(trace[:, 1]) == pytest.approx(10)
    edges = trace[1:, 0][np.abs(np.diff(trace[:, 1])) > 5]
    np.testing.assert_allclose(np.diff(edges), 12.5)


def test_grid_has_1_mm_and_5_mm_lines_and_the_trace_begins_on_a_strong_one(signal):
    figure = plot_ecg(signal, RATE)
    fine, coarse = (c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    for collection, step in ((fine, 1), (coarse, 5)):
        segments = np.array(collection.get_segments())
        x = np.unique(segments[segments[:, 0, 0] == segments[:, 1, 0]][:, 0, 0])
        y = np.unique(segments[segments[:, 0, 1] == segments[:, 1, 1]][:, 0, 1])
        np.testing.assert_allclose(np.diff(x), step)
        np.testing.assert_allclose(np.diff(y), step)
        assert 0 in x
        assert {pulse[0, 1] for pulse in pulses(figure)} <= set(y)  # Baselines lie on the lines.
    assert coarse.get_linewidth()[0] > fine.get_linewidth()[0]


def test_calibration_pulse_is_1_mv_and_a_fifth_of_a_second(signal):
    for layout, rows in (("3x4", 4), ("12x1", 12)):
        drawn = pulses(plot_ecg(signal, RATE, layout=layout))
        assert len(drawn) == rows
        for pulse in drawn:
            top = pulse[pulse[:, 1] == pulse[:, 1].max()]
            assert np.ptp(pulse[:, 1]) == 10 and np.ptp(top[:, 0]) == 5
            assert pulse[:, 0].max() < 0  # Before the trace begins.


def test_3x4_shows_each_lead_for_its_quarter_and_lead_ii_below(signal):
    figure = plot_ecg(signal, RATE)
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names == [*STANDARD_LEADS, "II"]
    drawn = traces(figure)
    for i, trace in enumerate(drawn[:12]):
        start = i // 3 * 1250
        assert trace[0, 0] == pytest.approx(start / RATE * 25)
        baseline = pulses(figure)[i % 3][0, 1]
        np.testing.assert_allclose((trace[:, 1] - baseline) / 10, signal[i, start : start + 1250], atol=2e-3)
    np.testing.assert_allclose((drawn[12][:, 1] - pulses(figure)[3][0, 1]) / 10, signal[1], atol=2e-3)


def test_12x1_shows_all_leads_from_top_to_bottom(signal):
    figure = plot_ecg(signal, RATE, layout="12x1")
    assert [text.get_text() for text in figure.axes[0].texts] == list(STANDARD_LEADS)
    heights = [trace[:, 1].mean() for trace in traces(figure)]
    assert heights == sorted(heights, reverse=True)
    assert all(trace.shape[0] == 5000 for trace in traces(figure))


def test_leads_in_another_order_land_in_their_places(signal):
    order = np.random.default_rng(0).permutation(12)
    shuffled = plot_ecg(signal[order], RATE, leads=[STANDARD_LEADS[i] for i in order])
    for ours, theirs in zip(traces(plot_ecg(signal, RATE)), traces(shuffled), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("layout", ["3x4", "12x1"])
def test_names_stand_clear_of_the_traces(layout):
    rng = np.random.default_rng(1)
    for scale in (0.2, 1.0, 2.0):
        figure = plot_ecg(rng.normal(0, scale / 3, (12, 1000)).clip(-scale, scale), 100, layout=layout)
        figure.canvas.draw()
        axes = figure.axes[0]
        inverse = axes.transData.inverted()
        for text, trace in zip(axes.texts, traces(figure), strict=True):
            box = text.get_window_extent().transformed(inverse)
            inside = (trace[:, 0] >= box.x0) & (trace[:, 0] <= box.x1)
            assert trace[inside, 1].max() < box.y0 + 0.5, (text.get_text(), scale)


def test_large_leads_get_taller_rows_and_stay_on_the_paper(signal):
    tall = signal.copy()
    tall[7] *= 5
    figure = plot_ecg(tall, RATE)
    assert figure.get_figheight() > plot_ecg(signal, RATE).get_figheight()
    bottom, top = figure.axes[0].get_ylim()
    for trace in traces(figure):
        assert bottom <= trace[:, 1].min() and trace[:, 1].max() <= top


def test_an_offset_does_not_move_the_trace(signal):
    moved = plot_ecg(signal + 3.0, RATE)
    for ours, theirs in zip(traces(plot_ecg(signal, RATE)), traces(moved), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_highlighted_spans_are_shaded_where_they_are_shown(signal):
    figure = plot_ecg(signal, RATE, highlight=[(1.0, 3.0)])
    spans = [(p.get_x(), p.get_width()) for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    # Rows I-III to the end of their column, the next column from its start, and the rhythm strip.
    assert sorted(spans) == sorted([(25.0, 37.5)] * 3 + [(62.5, 12.5)] * 3 + [(25.0, 50.0)])
    shifted = plot_leads(
        signal[:1], RATE, ["I"], highlight=[(1.0, 3.0), (9.0, 9.5)], start_s=2.0, duration_s=4
    )
    assert [(p.get_x(), p.get_width()) for p in shifted.axes[0].patches] == [(0.0, 25.0)]


def test_saliency_lies_behind_the_traces_and_is_scaled(signal):
    saliency = np.zeros(5000)
    saliency[2000:2100] = 4.0
    saliency[3000:3100] = -2.0
    figure = plot_ecg(signal, RATE, highlight=saliency, layout="12x1")
    images = figure.axes[0].images
    assert len(images) == 12
    for image in images:
        shown = np.asarray(image.get_array())
        assert shown.shape == (1, 5000) and shown.max() == 1.0 and shown.min() == 0.0
        np.testing.assert_array_equal(np.flatnonzero(shown[0]), np.arange(2000, 2100))
        assert image.get_extent()[:2] == [0.0, 250.0]
        assert image.zorder < 3
    per_lead = np.zeros((12, 5000))
    per_lead[4] = 1.0
    images = plot_ecg(signal, RATE, highlight=per_lead, layout="12x1").axes[0].images
    assert [float(image.get_array().max()) for image in images] == [0.0] * 4 + [1.0] + [0.0] * 7
    assert mm_per_unit(figure) == pytest.approx((1.0, 1.0))  # An image must not change the scale.


def test_footnote_and_title(signal):
    texts = [text.get_text() for text in plot_ecg(signal, RATE, title="Record 1").texts]
    assert texts == ["25 mm/s, 10 mm/mV", "Record 1"]


def test_strips_of_a_few_leads(signal):
    figure = plot_leads(signal[[1, 6]], RATE, ["II", "V1"], duration_s=4)
    assert [text.get_text() for text in figure.axes[0].texts] == ["II", "V1"]
    assert all(trace.shape[0] == 2000 for trace in traces(figure))


def test_short_records_and_late_starts(signal):
    figure = plot_ecg(signal[:, :3000], RATE)
    assert traces(figure)[-1].shape[0] == 3000
    assert [trace.shape[0] for trace in traces(figure)[:12:3]] == [750] * 4
    assert traces(plot_ecg(signal, RATE, layout="12x1", start_s=8))[0].shape[0] == 1000


def test_figures_can_be_saved_and_do_not_stay_open(signal):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    buffer = io.BytesIO()
    plot_ecg(signal, RATE).savefig(buffer, format="png", dpi=30)
    assert buffer.getvalue()[:4] == b"\x89PNG"
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "6x2"}, "3x4"),
        ({"leads": STANDARD_LEADS[:11]}, "shape"),
        ({"leads": ("X", *STANDARD_LEADS[1:])}, "plot_leads"),
        ({"start_s": 10.0}, "nothing to show"),
        ({"start_s": -1.0}, "nothing to show"),
        ({"start_s": np.nan}, "rate and duration"),
        ({"duration_s": 0}, "rate and duration"),
        *(
            ({"highlight": wrong}, "highlight")
            for wrong in (np.zeros(17), [1.0], [(1.0, np.nan)], "x", [("a", 1)])
        ),
    ],
)
def test_requests_that_cannot_be_drawn(signal, change, message):
    with pytest.raises(ValueError, match=message):
        plot_ecg(signal, RATE, **change)


@pytest.mark.parametrize("rate", [0, -100, np.nan, np.inf])
def test_rates_that_cannot_be(signal, rate):
    with pytest.raises(ValueError, match="rate and duration"):
        plot_ecg(signal, rate)


def test_highlights_may_be_lists_tensors_or_nothing(signal):
    assert len(plot_leads(signal[:1], RATE, ["I"], highlight=torch.ones(1, 5000)).axes[0].images) == 1
    assert len(plot_leads(signal[:1], RATE, ["I"], highlight=[0.0] * 5000).axes[0].images) == 1
    assert len(plot_leads(signal[:1], RATE, ["I"], highlight=np.array([[1, 2]])).axes[0].patches) == 1
    figure = plot_leads(signal[:1], RATE, ["I"], highlight=[], duration_s=np.inf)
    assert not figure.axes[0].patches and traces(figure)[0].shape[0] == 5000


def test_values_that_are_no_numbers_are_refused(signal):
    broken = signal.copy()
    broken[3, 7] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        plot_ecg(broken, RATE)


def test_alternative_text():
    record = Record("A0001", np.zeros((12, 3000)), 500.0, age=74, sex="male", codes=("59118001",))
    assert alt_text(record) == "ECG A0001: 12 leads, 6 s at 500 Hz, male, 74 years, codes 59118001."
    assert alt_text(Record("x", np.zeros((12, 1000)), 100.0)) == "ECG x: 12 leads, 10 s at 100 Hz."


@pytest.mark.real_data
def test_real_records_are_drawn(real_data):
    for path in ("ptbxl/records500/00000/00001_hr", "georgia/E07938", "sph/records/A00001"):
        record = read_record(real_data / path)
        for layout in ("3x4", "12x1"):
            figure = plot_ecg(record.signal_mv, record.sampling_rate_hz, layout=layout)
            assert mm_per_unit(figure) == pytest.approx((1.0, 1.0))
