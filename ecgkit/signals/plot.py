"""ECGs drawn as cardiologists read them: on a millimetre grid, 25 mm/s and 10 mm/mV, at true scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecgkit.signals.record import STANDARD_LEADS, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MM_PER_MV", "MM_PER_S", "alt_text", "plot_ecg", "plot_leads"]

MM_PER_S = 25.0
MM_PER_MV = 10.0

# Columns of the 3x4 page, as every 12-lead recorder prints them.
_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))

# Soft grid, black trace, blue highlight: told apart with every kind of colour vision, and in grey.
_FINE, _COARSE, _TRACE, _HIGHLIGHT = "#f9dcd9", "#eeb0aa", "#111111", "#0072b2"
_LEFT_MM, _RIGHT_MM, _TOP_MM, _TITLE_MM, _BOTTOM_MM = 15.0, 5.0, 5.0, 10.0, 10.0
_MARGIN_MM = 3.0  # Between the paper's edge and the grid.
_NAME_PT, _TEXT_PT = 15, 13
_NAME_S = 0.6  # Time that the name of a lead covers.


@dataclass(frozen=True)
class _Piece:
    """Part of one lead, drawn in one place."""

    lead: int
    start: int
    stop: int
    left_mm: float
    row: int


def plot_ecg(
    signal_mv: np.ndarray,
    sampling_rate_hz: float,
    leads: Sequence[str] = STANDARD_LEADS,
    layout: Literal["3x4", "12x1"] = "3x4",
    highlight: Sequence[tuple[float, float]] | np.ndarray | None = None,
    title: str | None = None,
    start_s: float = 0.0,
    duration_s: float = 10.0,
) -> Figure:
    """Draw a 12-lead ECG on the 25 mm/s, 10 mm/mV grid.

    Fine lines are 1 mm (0.04 s, 0.1 mV) apart, strong lines 5 mm (0.2 s, 0.5 mV). The figure has its
    true size in mm when printed at 100 %. Each trace is drawn about its own median, as a recorder's
    high-pass filter does, and begins with a pulse of 1 mV and 0.2 s for calibration.

    Args:
        signal_mv: Amplitudes in mV, shape (leads, samples).
        sampling_rate_hz: Samples per second.
        leads: Names of the rows of `signal_mv`.
        layout: "3x4" shows a quarter of the time of each lead in four columns, running on from column to
            column, and all of lead II below as rhythm strip; "12x1" shows all of each lead.
        highlight: Stretches of time to shade, as (start, end) in seconds from the record's beginning, or
            saliency of shape (samples,) or (leads, samples), scaled here by its largest value; negative
            values are not shown.
        title: A line above the grid.
        start_s: Where to begin, in seconds.
        duration_s: Seconds to show; less where the record ends before.

    Returns:
        A matplotlib figure that is not registered with pyplot (nothing to close).

    Raises:
        ValueError: If shapes do not fit, a lead of the layout is missing, a value is not a number, or
            nothing is left to show.

    >>> import numpy as np
    >>> figure = plot_ecg(np.zeros((12, 1000)), 100)
    >>> round(figure.get_figwidth() * 25.4)  # 250 mm for 10 s, and the margins
    276
    """
    signal, first, last = _section(signal_mv, sampling_rate_hz, leads, start_s, duration_s)
    index = {name: row for row, name in enumerate(leads)}
    missing = [name for name in STANDARD_LEADS if name not in index]
    if missing:
        raise ValueError(f"leads {', '.join(missing)} are missing; draw what there is with plot_leads")
    if layout == "12x1":
        pieces = [_Piece(index[name], first, last, 0.0, row) for row, name in enumerate(STANDARD_LEADS)]
    elif layout == "3x4":
        edges = np.linspace(first, last, 5).round().astype(int)
        pieces = [
            _Piece(index[name], edges[c], edges[c + 1], (edges[c] - first) / sampling_rate_hz * MM_PER_S, row)
            for c, column in enumerate(_COLUMNS)
            for row, name in enumerate(column)
        ]
        pieces.append(_Piece(index["II"], first, last, 0.0, 3))
    else:
        raise ValueError(f"layout is {layout!r}; choose '3x4' or '12x1'")
    return _draw(signal, sampling_rate_hz, leads, pieces, highlight, title)


def plot_leads(
    signal_mv: np.ndarray,
    sampling_rate_hz: float,
    leads: Sequence[str],
    highlight: Sequence[tuple[float, float]] | np.ndarray | None = None,
    title: str | None = None,
    start_s: float = 0.0,
    duration_s: float = 10.0,
) -> Figure:
    """Draw one or a few leads as strips below each other, on the grid and with the arguments of `plot_ecg`.

    >>> import numpy as np
    >>> figure = plot_leads(np.zeros((1, 500)), 100, ["II"], highlight=[(1.0, 1.5)])
    >>> round(figure.get_figwidth() * 25.4)  # 125 mm for 5 s, and the margins
    151
    """
    signal, first, last = _section(signal_mv, sampling_rate_hz, leads, start_s, duration_s)
    pieces = [_Piece(row, first, last, 0.0, row) for row in range(len(leads))]
    return _draw(signal, sampling_rate_hz, leads, pieces, highlight, title)


def alt_text(record: Record) -> str:
    """One sentence that says what a plot of `record` shows, for readers who do not see it.

    >>> import numpy as np
    >>> alt_text(Record("00001_hr", np.zeros((12, 5000)), 500, age=56, sex="female"))
    'ECG 00001_hr: 12 leads, 10 s at 500 Hz, female, 56 years.'
    """
    parts = [f"{len(record.leads)} leads", f"{record.duration_s:g} s at {record.sampling_rate_hz:g} Hz"]
    if record.sex:
        parts.append(record.sex)
    if record.age is not None:
        parts.append(f"{record.age:g} years")
    if record.codes:
        parts.append(f"{record.coding or ''} codes {' '.join(record.codes)}".strip())
    return f"ECG {record.name}: {', '.join(parts)}."


def _section(
    signal_mv: np.ndarray, sampling_rate_hz: float, leads: Sequence[str], start_s: float, duration_s: float
) -> tuple[np.ndarray, int, int]:
    """The signal, and the first and last sample (exclusive) to show."""
    if not 0 < sampling_rate_hz < math.inf or not math.isfinite(start_s) or not duration_s > 0:
        raise ValueError(
            f"sampling_rate_hz is {sampling_rate_hz}, start_s {start_s}, duration_s {duration_s}; give a "
            "positive rate and duration"
        )
    signal = np.asarray(signal_mv, dtype=np.float64)
    if signal.ndim != 2 or signal.shape[0] != len(leads) or not len(leads):
        raise ValueError(f"signal_mv has the shape {signal.shape}; ({len(leads)} leads, samples) is wanted")
    first = round(start_s * sampling_rate_hz)
    last = min(signal.shape[1], first + round(min(duration_s * sampling_rate_hz, signal.shape[1])))
    if first < 0 or last - first < 4:
        raise ValueError(f"nothing to show from {start_s:g} s on; the record has {signal.shape[1]} samples")
    if not np.isfinite(signal).all():
        raise ValueError("signal_mv holds values that are not numbers; leave such leads out")
    return signal, first, last


def _rows(
    signal: np.ndarray, sampling_rate_hz: float, pieces: Sequence[_Piece]
) -> tuple[list[float], list[tuple[float, float]], float]:
    """Height in mm of each row's baseline, the space (below, above) it in mm, and the height of all rows.

    Every row has room for the pulse, the names of its leads and its own extremes up to 4 mV, in whole
    5 mm squares.
    """
    count = max(piece.row for piece in pieces) + 1
    low, high = np.full(count, -0.5), np.full(count, 1.0)
    for piece in pieces:
        part = _centred(signal, piece)
        named = part[: max(1, round(_NAME_S * sampling_rate_hz))]  # The name stands above these samples.
        low[piece.row] = min(low[piece.row], part.min())
        high[piece.row] = max(high[piece.row], part.max() + 0.1, named.max() + 0.65)
    below = np.ceil(np.clip(-low, 0.5, 4) * 2) * 5
    above = np.ceil(np.clip(high, 1.0, 4.5) * 2) * 5
    baselines = [float((below + above)[row + 1 :].sum() + below[row]) for row in range(count)]
    room = list(zip(below.tolist(), above.tolist(), strict=True))
    return baselines, room, float((below + above).sum())


def _centred(signal: np.ndarray, piece: _Piece) -> np.ndarray:
    """The samples of a piece in mV about the median of the whole lead."""
    part: np.ndarray = signal[piece.lead, piece.start : piece.stop] - np.median(signal[piece.lead])
    return part


def _draw(
    signal: np.ndarray,
    sampling_rate_hz: float,
    leads: Sequence[str],
    pieces: Sequence[_Piece],
    highlight: Sequence[tuple[float, float]] | np.ndarray | None,
    title: str | None,
) -> Figure:
    import matplotlib.pyplot as plt

    baselines, room, rows_mm = _rows(signal, sampling_rate_hz, pieces)
    trace_mm = max(p.left_mm + (p.stop - p.start) / sampling_rate_hz * MM_PER_S for p in pieces)
    width = 5 * np.ceil((_LEFT_MM + trace_mm + _RIGHT_MM) / 5)
    height = 5 * np.ceil(rows_mm / 5) + _TOP_MM
    above = _TITLE_MM if title else _MARGIN_MM
    paper = (width + 2 * _MARGIN_MM, height + above + _BOTTOM_MM)

    figure = plt.figure(figsize=(paper[0] / 25.4, paper[1] / 25.4), facecolor="white")
    plt.close(figure)  # So that notebooks show it once; it can be drawn and saved all the same.
    axes = figure.add_axes(
        (_MARGIN_MM / paper[0], _BOTTOM_MM / paper[1], width / paper[0], height / paper[1])
    )
    axes.set_xlim(-_LEFT_MM, width - _LEFT_MM)
    axes.set_ylim(0, height)
    axes.axis("off")
    _grid(axes, width, height)
    if highlight is not None:
        _shade(axes, sampling_rate_hz, pieces, _checked_highlight(highlight, signal.shape), baselines, room)
    for row in sorted({piece.row for piece in pieces}):
        x = np.array([-11, -9, -9, -4, -4, -2])
        pulse = np.array([0, 0, 10, 10, 0, 0])
        axes.plot(x, baselines[row] + pulse, color=_TRACE, linewidth=1.0, solid_joinstyle="miter")
    for piece in pieces:
        part = _centred(signal, piece)
        x = piece.left_mm + np.arange(part.size) / sampling_rate_hz * MM_PER_S
        axes.plot(x, baselines[piece.row] + part * MM_PER_MV, color=_TRACE, linewidth=0.9, zorder=3)
        top = baselines[piece.row] + room[piece.row][1]
        if piece.left_mm > 0:  # A short mark where one lead ends and the next begins.
            axes.plot([piece.left_mm] * 2, [top - 6, top - 1], color=_TRACE, linewidth=1.0, zorder=3)
        axes.text(
            piece.left_mm + 1.2,
            top - 0.8,
            leads[piece.lead],
            fontsize=_NAME_PT,
            fontweight="bold",
            va="top",
            zorder=4,
        )
    figure.text(
        (_MARGIN_MM + width) / paper[0],
        2.5 / paper[1],
        f"{MM_PER_S:g} mm/s, {MM_PER_MV:g} mm/mV",
        fontsize=_TEXT_PT,
        ha="right",
        va="bottom",
    )
    if title:
        figure.text(_MARGIN_MM / paper[0], 1 - 2.5 / paper[1], title, fontsize=_NAME_PT, ha="left", va="top")
    return figure


def _grid(axes: Axes, width: float, height: float) -> None:
    """Lines every mm and stronger ones every 5 mm, so that 0 s and the baselines lie on strong lines."""
    from matplotlib.collections import LineCollection

    for step, colour, line_width in ((1, _FINE, 0.35), (5, _COARSE, 0.7)):
        x = np.arange(-_LEFT_MM, width - _LEFT_MM + 0.5, step)
        y = np.arange(0, height + 0.5, step)
        lines = [[(v, 0), (v, height)] for v in x]
        lines += [[(-_LEFT_MM, v), (width - _LEFT_MM, v)] for v in y]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=line_width, zorder=1))


def _checked_highlight(
    highlight: Sequence[tuple[float, float]] | np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Saliency from 0 to 1, shape (leads, samples), or the stretches of time, shape (stretches, 2)."""
    wanted = f"pairs (start, end) in seconds, or saliency of shape {shape[1:]} or {shape}, is wanted"
    try:
        values = np.asarray(highlight, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor that requires a gradient
        raise ValueError(f"highlight holds no plain numbers; {wanted}") from None
    if values.shape in (shape, shape[1:]):
        saliency = np.broadcast_to(np.clip(np.nan_to_num(values), 0, None), shape)
        return saliency / max(saliency.max(), 1e-12)
    values = values.reshape(-1, 2) if values.size == 0 else values
    if values.ndim != 2 or values.shape[1] != 2 or np.isnan(values).any():
        raise ValueError(f"highlight has the shape {values.shape}; {wanted}")
    return values


def _shade(
    axes: Axes,
    sampling_rate_hz: float,
    pieces: Sequence[_Piece],
    highlight: np.ndarray,
    baselines: Sequence[float],
    room: Sequence[tuple[float, float]],
) -> None:
    """Colour the stretches or the saliency of `_checked_highlight` behind the traces."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb
    from matplotlib.patches import Rectangle

    colour = to_rgb(_HIGHLIGHT)
    colours = LinearSegmentedColormap.from_list("saliency", [(*colour, 0.0), (*colour, 0.6)])
    for piece in pieces:
        below, above = room[piece.row]
        bottom = baselines[piece.row] - below
        if highlight.shape[1] != 2:
            right = piece.left_mm + (piece.stop - piece.start) / sampling_rate_hz * MM_PER_S
            axes.imshow(
                highlight[piece.lead : piece.lead + 1, piece.start : piece.stop],
                extent=(piece.left_mm, right, bottom, bottom + below + above),
                cmap=colours,
                vmin=0,
                vmax=1,
                aspect="auto",
                interpolation="nearest",
                zorder=2,
            )
            continue
        for start_s, end_s in highlight.tolist():
            start = max(start_s, piece.start / sampling_rate_hz)
            end = min(end_s, piece.stop / sampling_rate_hz)
            if end > start:
                left = piece.left_mm + (start - piece.start / sampling_rate_hz) * MM_PER_S
                size = ((end - start) * MM_PER_S, below + above)
                axes.add_patch(
                    Rectangle((left, bottom), *size, facecolor=_HIGHLIGHT, alpha=0.3, linewidth=0, zorder=2)
                )
