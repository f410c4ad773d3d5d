"""Numbers as text: a value with its interval, a difference with its sign, a p-value with its bound."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "bootstrapped",
    "estimate",
    "interval",
    "mean_text",
    "metric_text",
    "p_value",
    "say",
    "signed",
    "verdict",
]

NOT_RUN = "not run"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign; one that rounds to zero has none.

    Examples:
        >>> signed(0.0123), signed(-0.0123), signed(-0.0001)
        ('+0.012', '-0.012', '0.000')
    """
    text = f"{value:+.{digits}f}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def interval(low: float, high: float, digits: int = 3, sign: bool = False) -> str:
    """The two ends of an interval; with their signs where it is one of a difference.

    Examples:
        >>> interval(0.79, 0.834)
        '0.790 to 0.834'
        >>> interval(-0.01, 0.02, digits=2, sign=True)
        '-0.01 to +0.02'
    """
    form = f"{'+' if sign else ''}.{digits}f"
    return f"{low:{form}} to {high:{form}}"


def estimate(value: float, low: float, high: float, digits: int = 3, sign: bool = False) -> str:
    """A value and its interval; a dash where there is none.

    Examples:
        >>> estimate(0.812, 0.79, 0.834)
        '0.812 (0.790 to 0.834)'
        >>> estimate(float("nan"), 0, 1)
        '–'
    """
    if np.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f} ({interval(low, high, digits, sign)})"


def metric_text(run: Mapping[str, Any], metric: str, digits: int = 3) -> str:
    """A metric of a recorded run (a row of `ecgbook.runs.results.load`) with the interval stored beside it.

    Examples:
        >>> metric_text({"macro_auc": 0.9, "macro_auc_low": 0.88, "macro_auc_high": 0.92}, "macro_auc")
        '0.900 (0.880 to 0.920)'
    """
    value, low, high = (float(run.get(metric + end, np.nan)) for end in ("", "_low", "_high"))
    return estimate(value, low, high, digits)


def mean_text(values: ArrayLike, digits: int = 3) -> str:
    """Mean over seeds with its 95 % Student t interval; of one seed the value alone.

    Args:
        values: One value for each seed, shape (seeds,).
        digits: Decimals.

    Examples:
        >>> mean_text([0.7, 0.8, 0.9], 2)
        '0.80 (0.55 to 1.05)'
        >>> mean_text([0.7]), mean_text([])
        ('0.700', 'not run')
    """
    from ecgkit.evaluation import mean_interval

    seeds = np.asarray(values, float)
    if len(seeds) == 0:
        return NOT_RUN
    if len(seeds) == 1:
        return f"{seeds[0]:.{digits}f}"
    found = mean_interval(seeds)
    return estimate(found.mean, found.low, found.high, digits)


def bootstrapped(
    metric: Callable[[NDArray[Any], NDArray[Any]], float],
    y_true: ArrayLike,
    y_score: ArrayLike,
    digits: int = 3,
    **options: Any,
) -> str:
    """A metric with its 95 % bootstrap interval over the records.

    Args:
        metric: Takes labels and scores; see `ecgkit.evaluation`.
        y_true: Labels, one row per record.
        y_score: Scores, one row per record.
        digits: Decimals.
        options: For `ecgkit.evaluation.bootstrap`: `n`, `seed`, `level`.

    Examples:
        >>> from ecgkit import evaluation
        >>> bootstrapped(evaluation.mae, np.array([50.0, 60.0]), np.array([51.0, 61.0]), digits=1, n=100)
        '1.0 (1.0 to 1.0)'
    """
    from ecgkit.evaluation import bootstrap

    found = bootstrap(metric, y_true, y_score, **options)
    return estimate(found.point, found.low, found.high, digits)


def p_value(p: float, digits: int = 3) -> str:
    """A p-value; one that would round to zero as a bound.

    Examples:
        >>> p_value(0.04321), p_value(0.00001)
        ('0.043', '< 0.001')
    """
    bound = 10.0**-digits
    return f"{p:.{digits}f}" if p >= bound else f"< {bound:.{digits}f}"


def verdict(found: Any, higher_is_better: bool = True) -> str:
    """What a difference with its interval (`low`, `high`) shows: an interval without 0 decides.

    Examples:
        >>> from ecgkit.evaluation import compare_seeds
        >>> verdict(compare_seeds([0.80, 0.81, 0.82], [0.70, 0.71, 0.73]))
        'better'
    """
    if found.low <= 0 <= found.high:
        return "no difference shown"
    return "better" if (found.low > 0) == higher_is_better else "worse"


def say(text: str) -> None:
    """Print a sentence in lines of at most 72 characters.

    Examples:
        >>> say("The widest interval is 0.031 wide: read the rows of the table with that in mind.")
        The widest interval is 0.031 wide: read the rows of the table with that
        in mind.
    """
    print(textwrap.fill(text, 72))
