"""Checks shared by the transferability scores: what a source and a target table may hold."""

from typing import Any

import numpy as np

__all__ = ["as_array", "check_features", "check_labels", "check_probabilities", "varying_labels"]


def as_array(values: Any, name: str) -> np.ndarray:
    """Numbers as a NumPy array, whatever held them.

    Args:
        values: NumPy array, torch tensor (any device) or nested list, any shape.
        name: What the error message calls it.

    Raises:
        ValueError: If it does not hold real numbers.

    >>> import torch
    >>> as_array(torch.tensor([0.5], dtype=torch.bfloat16), "scores")
    array([0.5], dtype=float32)
    """
    if hasattr(values, "detach"):  # a torch tensor, perhaps on a graphics card, perhaps of bfloat16
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() and values.itemsize < 4 else values).numpy()
    table = np.asarray(values)
    if table.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, not {table.dtype}")
    return table


def check_features(values: Any, name: str = "features") -> np.ndarray:
    """A finite table of real numbers, one row per record.

    Args:
        values: NumPy array, torch tensor (any device) or nested list, shape (n, D).
        name: What the error messages call it.

    Returns:
        The same numbers as a NumPy array, shape (n, D), not copied where that can be avoided.

    Raises:
        ValueError: If it is not 2-D, is empty, or holds NaN or infinity.

    >>> check_features([[0.5, 2.0]]).shape
    (1, 2)
    """
    table = as_array(values, name)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"{name} must have shape (n, columns), none of them 0; got {table.shape}")
    low, high = table.min(), table.max()  # both are NaN if any value is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{name} hold NaN or infinity")
    return table


def check_probabilities(values: Any, name: str = "source_probabilities") -> np.ndarray:
    """A table of probabilities, one row per record, one column per source label.

    Args:
        values: NumPy array, torch tensor (any device) or nested list, shape (n, Z).
        name: What the error messages call it.

    Returns:
        NumPy array, shape (n, Z).

    Raises:
        ValueError: If it is not 2-D, is empty, or holds NaN or a value outside [0, 1].

    >>> check_probabilities([[-1.5, 2.0]])
    Traceback (most recent call last):
    ...
    ValueError: source_probabilities must lie in [0, 1], found -1.5 to 2; logits need a sigmoid first
    """
    table = check_features(values, name)
    low, high = float(table.min()), float(table.max())
    if low < 0 or high > 1:
        raise ValueError(f"{name} must lie in [0, 1], found {low:g} to {high:g}; logits need a sigmoid first")
    return table


def check_labels(values: Any, n: int, name: str = "target_labels") -> np.ndarray:
    """Binary labels, one row per record, one column per target label.

    Args:
        values: Zeros and ones (or booleans) as NumPy array, torch tensor or nested list, shape (n, Y).
        n: Number of records of the source table.
        name: What the error messages call it.

    Returns:
        Array of booleans, shape (n, Y).

    Raises:
        ValueError: If it is not 2-D, has no column, has another number of rows than `n`,
            or holds anything but 0 and 1.

    >>> check_labels([[1, 0], [0, 1]], 2).dtype
    dtype('bool')
    """
    table = as_array(values, name)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"{name} must have shape (n, labels), none of them 0; got {table.shape}")
    if len(table) != n:
        raise ValueError(f"{name} have {len(table)} rows, the source has {n}: one row per record in both")
    if table.dtype == bool:
        return table
    positive = table == 1
    if not (positive | (table == 0)).all():
        raise ValueError(f"{name} must be 0 or 1 everywhere (no NaN, no probabilities)")
    return positive


def varying_labels(labels: np.ndarray) -> np.ndarray:
    """Which label columns have both outcomes: the ones a per-label mean is taken over.

    Args:
        labels: Booleans, shape (n, Y).

    Returns:
        Column numbers, ascending.

    Raises:
        ValueError: If every label has the same value in all records.

    >>> varying_labels(np.array([[True, True], [False, True]]))
    array([0])
    """
    share = labels.mean(0)
    columns = np.flatnonzero((share > 0) & (share < 1))
    if not len(columns):
        raise ValueError("every target label is the same in all records, so there is nothing to predict")
    return columns
