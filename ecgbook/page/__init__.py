"""What the pages share, so that a page shows its method and not its plumbing.

`style` draws (palette, one call), `queries` finds recorded runs, `text` writes numbers with their intervals,
`forest` draws differences with theirs, and `tables` shows a table with the runs behind it.
"""

from ecgbook.page.forest import ForestRow, forest
from ecgbook.page.queries import (
    compare,
    last_epoch,
    load,
    mean_over_seeds,
    pick,
    record_of,
    rows_of_table,
    same_seeds,
    settings_of_row,
)
from ecgbook.page.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SUPERCLASS_COLOURS, use_style
from ecgbook.page.tables import Table, paper_vs_ours
from ecgbook.page.text import (
    bootstrapped,
    estimate,
    interval,
    mean_text,
    metric_text,
    p_value,
    say,
    signed,
    verdict,
)
from ecgbook.runs.results import provenance

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "SUPERCLASS_COLOURS",
    "ForestRow",
    "Table",
    "bootstrapped",
    "compare",
    "estimate",
    "forest",
    "interval",
    "last_epoch",
    "load",
    "mean_over_seeds",
    "mean_text",
    "metric_text",
    "p_value",
    "paper_vs_ours",
    "pick",
    "provenance",
    "record_of",
    "rows_of_table",
    "same_seeds",
    "say",
    "settings_of_row",
    "signed",
    "use_style",
    "verdict",
]
