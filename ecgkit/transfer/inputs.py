"""Checks shared by the transferability scores: what a source and a target table may hold."""

from typing import Any

import numpy as np

from ecgkit.evaluation.arrays import LARGEST, as_array

__all__ = ["check_features", "check_labels", "check_probabilities", "check_table"]


def check_table(values: Any, name: str) -> np.ndarray:
    """A finite table of real numbers, one row per record.

    Args:
        values: NumPy array, torch tensor (any device and precision) or nested list, shape (n, D).
        name: What the error messages call it.

    Returns:
        The same numbers as a NumPy array, shape (n, D), not copied where that can be avoided.

    Raises:
        ValueError: If it is not 2-D, is empty, or holds NaN or infinity.

    >>> check_table([[0.5, 2.0]], "features").shape
    (1, 2)
    """
    table = as_array(values, name)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"{name} must have shape (n, columns), none of them 0; got {table.shape}")
    low, high = table.min(), table.max()  # both are NaN if any value is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{name} hold NaN or infinity")
    return table


def check_features(values: Any) -> np.ndarray:
    """The features of a source, float64, shape (n, D), of a size whose squares neither overflow nor vanish.

    Raises:
        ValueError: As `check_table`, or if the largest feature lies outside 1e-70 to 1e70 (0 is allowed).
    """
    table = check_table(values, "features").astype(np.float64)
    largest = float(np.abs(table).max())
    if largest and not 1 / LARGEST <= largest <= LARGEST:
        raise ValueError(f"features go up to {largest:g}: their squares are out of range; scale them first")
    return table


def check_probabilities(values: Any, name: str = "source_probabilities") -> np.ndarray:
    """A table of probabilities, one row per record, one column per source label, shape (n, Z).

    Raises:
        ValueError: As `check_table`, or if a value is outside [0, 1].

    >>> check_probabilities([[-1.5, 2.0]])
    Traceback (most recent call last):
    ...
    ValueError: source_probabilities must lie in [0, 1], found -1.5 to 2; logits need a sigmoid first
    """
    table = check_table(values, name)
    low, high = float(table.min()), float(table.max())
    if low < 0 or high > 1:
        raise ValueError(f"{name} must lie in [0, 1], found {low:g} to {high:g}; logits need a sigmoid first")
    return table


def check_labels(values: Any, n: int | None = None, name: str = "target_labels") -> np.ndarray:
    """Binary labels, one row per record, one column per target label.

    Args:
        values: Zeros and ones (or booleans) as NumPy array, torch tensor or nested list, shape (n, Y).
        n: Number of records of the source table; None: any.
        name: What the error messages call it.

    Returns:
        Array of booleans, shape (n, Y).

    Raises:
        ValueError: If it is not 2-D, is empty, has another number of rows than `n`, or holds anything but 0
            and 1.

    >>> check_labels([[1, 0], [0, 1]], 2).dtype
    dtype('bool')
    """
    table = as_array(values, name)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"{name} must have shape (n, labels), none of them 0; got {table.shape}")
    if n is not None and len(table) != n:
        raise ValueError(f"{name} have {len(table)} rows, the source has {n}: one row per record in both")
    if table.dtype == bool:
        return table
    positive = table == 1
    if not (positive | (table == 0)).all():
        raise ValueError(f"{name} must be 0 or 1 everywhere (no NaN, no probabilities)")
    return positive
