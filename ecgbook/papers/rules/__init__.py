"""All rules of the audit, to be applied to any paper: ``from ecgbook.papers import rules``.

A rule takes numbers as they are printed and returns an `Outcome`: whether they can be right, what is printed
and what the rule implies.
"""

from ecgbook.papers.rules.arithmetic import (
    Outcome,
    adds_up,
    between,
    common_divisor,
    common_share,
    difference,
    quotient,
    random_schedule,
    relative_change,
    same_number,
)
from ecgbook.papers.rules.chance import (
    beyond_sampling_error,
    correlation_beyond,
    correlation_p,
    enough_label_sets,
    net_records,
)
from ecgbook.papers.rules.digits import last_digits, on_grid, on_some_grid, tied_columns, unlike
from ecgbook.papers.rules.measures import known_answer
from ecgbook.papers.rules.order import all_measured, best_of, each_row, error_bars_meet, monotone, most_rows
from ecgbook.papers.rules.sizes import saved_size, size_change

__all__ = [
    "Outcome",
    "adds_up",
    "all_measured",
    "best_of",
    "between",
    "beyond_sampling_error",
    "common_divisor",
    "common_share",
    "correlation_beyond",
    "correlation_p",
    "difference",
    "each_row",
    "enough_label_sets",
    "error_bars_meet",
    "known_answer",
    "last_digits",
    "monotone",
    "most_rows",
    "net_records",
    "on_grid",
    "on_some_grid",
    "quotient",
    "random_schedule",
    "relative_change",
    "same_number",
    "saved_size",
    "size_change",
    "tied_columns",
    "unlike",
]
