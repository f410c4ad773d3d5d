"""Questions to the recorded runs: which ones, what they have in common, how two methods differ."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecgbook.runs.results import load as load_runs
from ecgbook.runs.results import read_record, results_folder
from ecgkit.evaluation import SeedComparison, compare_seeds, mean_interval

__all__ = [
    "compare",
    "last_epoch",
    "load",
    "mean_over_seeds",
    "pick",
    "record_of",
    "rows_of_table",
    "same_seeds",
    "settings_of_row",
]

_GREEK = {"τ": "tau", "γ": "gamma", "φ": "phi"}


def load(experiment: str, dataset: str | None = None, columns: Iterable[str] = ()) -> pd.DataFrame:
    """The recorded runs of an experiment, with every column that a page asks for.

    Args:
        experiment: Folder of the results.
        dataset: Only runs on this data set; None for all.
        columns: Columns to add, empty, where no run has them: a page does not fail because nothing was run.

    Returns:
        Rows of `ecgbook.runs.results.load`.

    Examples:
        >>> "params.tau" in load("erts_ptbxl", "ptbxl", columns=["params.tau"])
        True
    """
    runs = load_runs(experiment)
    if dataset is not None:
        runs = runs[runs["dataset"] == dataset]
    return runs.reindex(columns=list(dict.fromkeys([*runs.columns, *columns])))


def pick(runs: pd.DataFrame, method: str, **settings: Any) -> pd.DataFrame:
    """The runs of a method with these settings (columns ``params.<name>``).

    Args:
        runs: Rows of `load`.
        method: Name of the method.
        settings: Values of parameters; a text must be equal, a number within 0.002 (tables round).

    Examples:
        >>> runs = pd.DataFrame({"method": ["dbpd", "dbpd", "srd"], "params.tau": [0.3, 0.7, None]})
        >>> pick(runs, "dbpd", tau=0.7).index.tolist()
        [1]
    """
    part = runs[runs["method"] == method]
    for name, value in settings.items():
        there = part[f"params.{name}"]
        if isinstance(value, str):
            part = part[there == value]
        else:
            part = part[np.isclose(there.astype(float), value, atol=2e-3)]
    return part


def settings_of_row(row: str, epochs: int = 100) -> tuple[str, dict[str, float]]:
    """Method and settings of a row of the tables of ERTS, for a training of so many epochs.

    The paper trains 100 epochs; for fewer, γ of SRD is raised to a power that ends at the same share.

    Examples:
        >>> settings_of_row("ERTS-DBPD τ=0.7 φ=0.9")
        ('erts_dbpd', {'tau': 0.7, 'phi': 0.9})
        >>> settings_of_row("SRD γ=0.99", epochs=50)
        ('srd', {'gamma': 0.9801})
    """
    name, *printed = row.split()
    if name == "Baseline":
        return "full_data", {}
    found = {_GREEK[text[0]]: float(text[2:]) for text in printed}
    if row == "ERTS-SRD":  # of Table 2: no setting is printed
        found["gamma"] = 0.99
    if "gamma" in found:
        found["gamma"] **= 100 / epochs
    return name.lower().replace("-", "_"), found


def rows_of_table(
    table: str, runs: pd.DataFrame, epochs: int | None = None
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Each row of a table of ERTS, with the filter's rule and our runs; the paper leaves the rule open.

    Args:
        table: For example "Table 2".
        runs: Rows of `load`.
        epochs: Length of our trainings; None takes it from the runs.

    Examples:
        >>> [(row, rule) for row, rule, mine in rows_of_table("Table 2", load("erts_ptbxl"))][-2:]
        [('ERTS-SRD', 'share'), ('ERTS-SRD', 'threshold')]
    """
    from ecgbook import papers

    if epochs is None:
        epochs = int(runs["epochs"].iloc[0]) if len(runs) else 100
    for row in dict.fromkeys(papers.tables("erts", table)["row"]):
        method, settings = settings_of_row(row, epochs)
        for rule in ("share", "threshold") if row.startswith("ERTS") else ("",):
            yield row, rule, pick(runs, method, **settings, **({"rule": rule} if rule else {}))


def same_seeds(runs: pd.DataFrame, settings: Sequence[str]) -> pd.DataFrame:
    """The runs of the seeds that every configuration has, so that none is judged by other seeds.

    Args:
        runs: Rows with a column ``seed``.
        settings: Columns that tell configurations apart.

    Examples:
        >>> runs = pd.DataFrame({"method": ["a", "a", "b"], "seed": [0, 1, 1]})
        >>> same_seeds(runs, ["method"])["seed"].tolist()
        [1, 1]
    """
    if runs.empty:
        return runs
    seeds = runs.groupby(list(settings), dropna=False)["seed"].agg(set)
    return runs[runs["seed"].isin(set.intersection(*seeds))]


def compare(a: pd.DataFrame, b: pd.DataFrame, metric: str) -> tuple[SeedComparison, pd.Series] | None:
    """Difference of a metric, `a` minus `b`, over the seeds that both have.

    Returns:
        The comparison, and the differences with the seeds as index; None with fewer than two common seeds.

    Examples:
        >>> a = pd.DataFrame({"seed": [0, 1, 2], "f1": [0.8, 0.9, 0.7]})
        >>> b = pd.DataFrame({"seed": [1, 2, 3], "f1": [0.8, 0.5, 0.1]})
        >>> found, differences = compare(a, b, "f1")
        >>> round(found.difference, 2), differences.index.tolist()
        (0.15, [1, 2])
    """
    both = a[["seed", metric]].merge(b[["seed", metric]], on="seed", suffixes=("", "_b"))
    if len(both) < 2:
        return None
    differences = (both[metric] - both[f"{metric}_b"]).set_axis(both["seed"], axis=0)
    return compare_seeds(both[metric], both[f"{metric}_b"]), differences


def mean_over_seeds(runs: pd.DataFrame, metric: str) -> tuple[float, float, float]:
    """Mean of a metric, and its 95 % interval over seeds; of one run the interval that is stored beside it.

    Examples:
        >>> runs = pd.DataFrame({"auc": [0.9], "auc_low": [0.88], "auc_high": [0.92]})
        >>> mean_over_seeds(runs, "auc")
        (0.9, 0.88, 0.92)
    """
    if len(runs) > 1:
        found = mean_interval(runs[metric].to_numpy(float))
        return found.mean, found.low, found.high
    run = runs.iloc[0]
    return float(run[metric]), float(run[f"{metric}_low"]), float(run[f"{metric}_high"])


def record_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """The whole record behind a row of `load`: its curve, its configuration, its times.

    Raises:
        RecordError: If it cannot be read.

    Examples:
        >>> record_of(load("erts_ptbxl").iloc[0])["status"]
        'finished'
    """
    return read_record(results_folder() / run["experiment"] / f"{run['hash']}.json")


def last_epoch(run: Mapping[str, Any]) -> dict[str, Any]:
    """The end of a recorded run's curve: what the last epoch measured.

    Args:
        run: A row of `load`.

    Raises:
        RecordError: If its record cannot be read.

    Examples:
        >>> "validation_single_label_f1" in last_epoch(load("erts_ptbxl").iloc[0])
        True
    """
    return record_of(run)["curve"][-1]
