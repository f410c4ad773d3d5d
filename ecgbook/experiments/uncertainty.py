"""An ensemble of one network from several seeds, and its spread beside how sure the annotator was."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata

from ecgbook.experiments.method import Progress, RunResult, Splits, total_seconds, train_config
from ecgbook.experiments.supervised import train_and_predict
from ecgbook.runs.run import Run
from ecgkit.datasets.labels_ptbxl import likelihoods

__all__ = ["correlations", "ensemble", "spread_by_likelihood", "spread_pairs"]

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def ensemble(
    run: Run, parts: Splits, device: torch.device, checkpoint: Path, progress: Progress | None
) -> RunResult:
    """Train `members` networks (a parameter of the run, default 10) that differ in their seed alone.

    The scores are the mean over the members. The table has the spread of the members, the standard deviation
    of their scores, by the likelihood that the annotator gave; "correlation" is Spearman's between the two.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section IV-C and Fig. 7.
    """
    members = run.params.get("members", 10)
    if type(members) is not int or members < 2:
        raise ValueError(f"members is {members!r}; a spread needs at least 2")
    rest = replace(run, params={k: v for k, v in run.params.items() if k != "members"})
    config = train_config(rest)
    trained = []
    for member in range(members):

        def step(done: int, of: int, before: int = member * config.epochs) -> None:
            if progress is not None:
                progress(before + done, members * config.epochs)

        one = replace(rest, seed=1000 * run.seed + member)
        own = checkpoint.with_name(f"{checkpoint.stem}_{member}{checkpoint.suffix}")
        trained.append(train_and_predict(one, parts, config, device, own, step))
    scores = np.stack([np.asarray(member.scores, np.float64) for member in trained])  # (M, N, K)
    pairs = spread_pairs(scores, likelihoods(parts.test.meta, parts.test.classes))
    return RunResult(
        scores=scores.mean(axis=0),
        config={**asdict(config), "members": members},
        curve=[{"member": float(m), **entry} for m, one in enumerate(trained) for entry in one.curve],
        samples_backprop=sum(member.samples_backprop for member in trained),
        seconds=total_seconds(member.seconds for member in trained),
        values=correlations(pairs, seed=run.seed),
        intervals="bootstrap over test records, 500 draws, 95 %",
        table=spread_by_likelihood(pairs),
    )


def spread_pairs(scores: np.ndarray, likelihood: np.ndarray) -> pd.DataFrame:
    """One row for each statement that was made with a likelihood.

    Args:
        scores: Scores of the members, shape (members, N, K).
        likelihood: In [0, 1], NaN where the statement was not made and 0 where no likelihood was given, shape
            (N, K).

    Returns:
        Columns record, statement (row and column of `likelihood`), likelihood, spread (the standard deviation
        over the members) and score (their mean).

    >>> spread_pairs(np.array([[[0.2, 0.5]], [[0.6, 0.5]]]), np.array([[0.8, np.nan]]))
       record  statement  likelihood  spread  score
    0       0          0         0.8     0.2    0.4
    """
    rows, columns = np.nonzero(likelihood > 0)
    return pd.DataFrame(
        {
            "record": rows,
            "statement": columns,
            "likelihood": likelihood[rows, columns],
            "spread": scores.std(axis=0)[rows, columns],
            "score": scores.mean(axis=0)[rows, columns],
        }
    )


def spread_by_likelihood(pairs: pd.DataFrame) -> list[dict[str, Any]]:
    """Quantiles of the spread for each likelihood, in percent, as rows of plain values.

    "outliers" counts the statements whose spread lies above the third quartile by more than one and a half
    times the distance of the quartiles.
    """
    rows = []
    percents = (100 * pairs["likelihood"]).round().astype(int).to_numpy()
    for percent in np.unique(percents):
        spread = pairs["spread"].to_numpy()[percents == percent]
        found = {f"q{round(100 * q):02d}": float(np.quantile(spread, q)) for q in _QUANTILES}
        fence = found["q75"] + 1.5 * (found["q75"] - found["q25"])
        counts = {"statements": len(spread), "outliers": int((spread > fence).sum())}
        rows.append({"likelihood": int(percent), **counts, "mean": float(spread.mean()), **found})
    return rows


def correlations(pairs: pd.DataFrame, seed: int = 0, draws: int = 500) -> dict[str, dict[str, float]]:
    """Spearman's correlation of spread and likelihood, with an interval from resampled records.

    "correlation" is over all pairs. "correlation_within" takes both ranks relative to their mean among the
    same statement, so that a statement which is always unsure does not count. Without pairs, nothing.
    """
    if len(pairs) < 3 or pairs["likelihood"].nunique() < 2:
        return {}
    ranks = np.stack([rankdata(pairs["spread"].round(9)), rankdata(pairs["likelihood"])], axis=1)
    _, statement = np.unique(pairs["statement"], return_inverse=True)
    count = np.bincount(statement)[:, None]
    means = np.stack([np.bincount(statement, column) for column in ranks.T], axis=1) / count
    records, record = np.unique(pairs["record"], return_inverse=True)
    rng = np.random.default_rng(seed)
    weights = [
        np.bincount(rng.integers(0, len(records), len(records)), minlength=len(records)) for _ in range(draws)
    ]
    found = {}
    for name, values in (("correlation", ranks), ("correlation_within", ranks - means[statement])):
        point = _correlation(values, np.ones(len(pairs)))
        drawn = [_correlation(values, weight[record]) for weight in weights]
        if np.isfinite(point) and np.isfinite(drawn).all():
            low, high = np.quantile(drawn, [0.025, 0.975])
            found[name] = {"point": point, "low": float(low), "high": float(high)}
    return found


def _correlation(values: np.ndarray, weight: Sequence[float] | np.ndarray) -> float:
    """Pearson's correlation of two columns, weighted."""
    covariance = np.cov(values.T, aweights=np.asarray(weight), ddof=0)
    scale = float(np.sqrt(covariance[0, 0] * covariance[1, 1]))
    return float(covariance[0, 1] / scale) if scale > 0 else float("nan")
