"""Tables for the book: each carries which runs its numbers come from, in a form that can be checked."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from ecgbook.page.text import interval
from ecgbook.runs.results import aggregate, run_fields

__all__ = ["Table", "paper_vs_ours", "provenance", "run_references"]


def run_references(frame: pd.DataFrame) -> list[str]:
    """One text per run, ``experiment/hash:content``, with the first 8 digits of the content's SHA-256.

    `ecgbook results check` finds them in the built pages and compares them with the records: it notices a run
    that is gone, and a page that is older than a record.
    """
    rows = zip(frame["experiment"], frame["hash"], frame["content_sha256"], strict=True)
    return sorted(f"{experiment}/{key}:{content[:8]}" for experiment, key, content in rows)


def provenance(frame: pd.DataFrame, with_seeds: bool = True) -> str:
    """One line that says where numbers come from: data, records, seeds, devices, dates.

    Args:
        frame: Rows of `ecgbook.runs.results.load`.
        with_seeds: Whether to say how many seeds a setting has.
    """
    if frame.empty:
        return "Not run yet."
    data = _listed(f"{name} {v}" for name, v in zip(frame["dataset"], frame["dataset_version"], strict=True))
    if "method" in frame and frame["method"].str.startswith("melep").all():  # they draw tasks of their own
        parts = frame[["records_train", "records_validation", "records_test"]]
        records = f"tasks drawn from {_span(parts.sum(axis=1))} records"
    else:
        records = f"{_span(frame['records_test'])} test records"
    seeds = ""
    if with_seeds:
        count = frame.groupby(run_fields(frame), dropna=False)["seed"].nunique()
        seeds = f", {_span(count)} {'seeds' if count.max() > 1 else 'seed'} per setting"
    dates = " to ".join(sorted({frame["date"].min()[:10], frame["date"].max()[:10]}))
    runs = f"{len(frame)} run{'s' * (len(frame) > 1)}"
    return (
        f"Data: {data}; {records}; {runs}{seeds}; "
        f"protocol: {_listed(frame['protocol'])}; device: {_listed(frame['device'])}; {dates}."
    )


def _span(counts: pd.Series) -> str:
    return "–".join(f"{int(n):,}" for n in sorted({counts.min(), counts.max()}))


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


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
