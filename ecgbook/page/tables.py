"""Tables for the book: each carries which runs its numbers come from, in a form that can be checked."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ecgbook.page.text import interval
from ecgbook.runs.results import aggregate, provenance, run_references

__all__ = ["Table", "paper_vs_ours"]


@dataclass(frozen=True)
class Table:
    """A table to show in a notebook: the numbers, the runs behind them, and the provenance below it.

    Attributes:
        frame: What is shown.
        runs: The runs that it was computed from, rows of `ecgbook.runs.results.load`.
        command: Command that does runs which are missing; shown when there is none at all.
    """

    frame: pd.DataFrame
    runs: pd.DataFrame
    command: str = ""

    @property
    def caption(self) -> str:
        """The line below the table."""
        how = f" To run it: {self.command}" if self.runs.empty and self.command else ""
        return provenance(self.runs, with_seeds="seeds" not in self.frame) + how

    def _repr_html_(self) -> str:
        shown = self.frame.to_html(index=False, border=0, na_rep="–")
        # A narrow cell breaks an interval in one place alone.
        shown = re.sub(r"(?<=\d) (to|±) (?=[+-]?\d)", " \\1\N{NO-BREAK SPACE}", shown)
        references = " ".join(run_references(self.runs)) if len(self.runs) else ""
        return (
            f'<figure class="ecgkit-table" data-runs="{html.escape(references)}">'
            f"{shown}"
            f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return f"{self.frame.to_string(index=False)}\n{self.caption}"


def paper_vs_ours(
    paper: pd.DataFrame, ours: pd.DataFrame, on: Sequence[str], metric: str, digits: int = 3
) -> pd.DataFrame:
    """A paper's numbers beside ours, row by row of the paper.

    Args:
        paper: Columns `on` and ``paper``, the printed value.
        ours: Rows of `ecgbook.runs.results.load`.
        on: Fields of a run that say which row it belongs to, for example ``["task", "model"]``.
        metric: Name of the metric.
        digits: Decimals.

    Returns:
        Columns `on`, ``paper``, ``ours``, ``95 % interval`` (over seeds where there are several, else of the
        bootstrap), ``seeds`` and ``difference``; "not run" where we have no run.

    Raises:
        ValueError: If two configurations of ours belong to one row of the paper.
    """
    columns = list(on)
    means = pd.DataFrame(columns=[*columns, metric, "seeds"]) if ours.empty else aggregate(ours)
    if (double := means.duplicated(columns)).any():
        first = means.loc[double, columns].iloc[0].to_dict()
        raise ValueError(f"several configurations belong to {first}: select one before comparing")
    rows = []
    for row in paper.to_dict("records"):
        match = means[(means[columns] == pd.Series({c: row[c] for c in columns})).all(axis=1)]
        shown = {**{c: row[c] for c in columns}, "paper": f"{row['paper']:.{digits}f}"}
        if match.empty or pd.isna(match[metric].iloc[0]):
            rows.append(shown | {"ours": "not run", "95 % interval": "", "seeds": 0, "difference": ""})
            continue
        found = match.iloc[0]
        low, high = found[f"{metric}_low"], found[f"{metric}_high"]
        rows.append(
            shown
            | {
                "ours": f"{found[metric]:.{digits}f}",
                "95 % interval": interval(low, high, digits),
                "seeds": int(found["seeds"]),
                "difference": f"{found[metric] - row['paper']:+.{digits}f}",
            }
        )
    return pd.DataFrame(rows)
