"""The forest plot: one row per comparison, a point with its interval, small dots for single seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ecgbook.page.style import BLUE, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ForestRow", "forest"]


@dataclass(frozen=True)
class ForestRow:
    """One row of a forest plot.

    Attributes:
        label: Text at the left.
        value: Where the point lies.
        low: Lower end of the interval.
        high: Upper end of the interval.
        seeds: Values of the single seeds, shape (seeds,); none are drawn when empty.
        colour: Of point, interval and dots.
        paper: The paper's value, drawn as a diamond; None where it prints none.
    """

    label: str
    value: float
    low: float
    high: float
    seeds: ArrayLike = ()
    colour: str = BLUE
    paper: float | None = None


def forest(
    rows: Sequence[ForestRow], xlabel: str, reference: float | None = 0.0, axes: "Axes | None" = None
) -> "Axes":
    """Draw values with their intervals, the first row on top.

    Args:
        rows: What to draw.
        xlabel: Name of the horizontal axis, with its unit.
        reference: Where a grey vertical line stands; None for no line.
        axes: Where to draw; None makes a figure whose height suits the number of rows.

    Returns:
        The axes, for a legend or further lines.

    Examples:
        >>> axes = forest([ForestRow("ours", 0.91, 0.90, 0.92, paper=0.925)], "macro AUC", reference=None)
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['ours']
    """
    import matplotlib.pyplot as plt

    if axes is None:
        _, axes = plt.subplots(figsize=(7, 1.4 + 0.55 * max(len(rows), 1)), layout="constrained")
    for y, row in enumerate(rows):
        seeds = np.asarray(row.seeds, float)
        axes.plot(seeds, np.full(len(seeds), y - 0.25), ".", color=row.colour, alpha=0.6)
        error = [[row.value - row.low], [row.high - row.value]]
        axes.errorbar(row.value, y, xerr=error, fmt="o", color=row.colour, capsize=4)
        if row.paper is not None:
            axes.plot(row.paper, y, "D", color="white", markeredgecolor="black", markersize=7)
    if reference is not None:
        axes.axvline(reference, color=GREY, linewidth=1)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set(xlabel=xlabel)
    axes.invert_yaxis()
    return axes
