"""What the metrics and scores of this package accept as numbers, and the checks they share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "as_array", "as_finite", "check_scores", "group_numbers", "to_numpy"]

LARGEST = 1e70  # larger numbers are refused where they are squared: sums of squares must stay finite


def to_numpy(values: Any, name: str) -> NDArray[Any]:
    """A NumPy array of what a list, a pandas table or a torch tensor holds, of whatever kind that is.

    Tensors may be on any device, of any precision (those of 8 or 16 bits become float32), and require a
    gradient.

    Raises:
        ValueError: If it is not a table: rows of different lengths, masked entries, or no rows at all.

    >>> import torch
    >>> to_numpy(torch.tensor([0.5], dtype=torch.bfloat16, requires_grad=True), "scores")
    array([0.5], dtype=float32)
    """
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            values = values.float() if values.is_floating_point() and values.itemsize < 4 else values
            values = values.resolve_conj().resolve_neg().numpy()
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} cannot be read as an array: {str(error).partition(chr(10))[0]}") from error
    if array.ndim == 0:
        raise ValueError(f"{name} must be an array with one row per record, not {values!r:.50}")
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries: leave their records out")
    return array


def as_array(values: Any, name: str) -> NDArray[Any]:
    """As `to_numpy`, for real numbers: the array is of booleans, integers or floating-point numbers.

    Raises:
        ValueError: If it holds anything else.

    >>> as_array(["0.5"], "scores")
    Traceback (most recent call last):
    ...
    ValueError: scores must hold real numbers, not <U3
    """
    array = to_numpy(values, name)
    if array.dtype == object and all(
        isinstance(value, (int, float, np.number, np.bool_)) for value in array.flat
    ):
        try:  # columns of several kinds of numbers, as pandas gives them
            array = array.astype(np.float64)
        except OverflowError as error:
            raise ValueError(f"{name} holds an integer that is too large") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, not {array.dtype}")
    return array


def as_finite(values: Any, name: str) -> NDArray[np.float64]:
    """As `as_array`, in float64, every number finite and at most 1e70 in size.

    Raises:
        ValueError: If a number is NaN, infinite or larger.
    """
    array = as_array(values, name).astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite: leave out the records whose value is not known")
    if array.size and np.abs(array).max() > LARGEST:
        raise ValueError(f"{name} holds numbers beyond {LARGEST:g}, whose squares overflow: use another unit")
    return array


def check_scores(y_true: Any, y_score: Any, name: str = "y_score") -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Check a pair of truth and scores, and return them as arrays (bool and floating), both (N, K).

    Raises:
        ValueError: If the arrays are not 2-D and of one shape, are empty, hold NaN, or if the truth holds
            anything but 0 and 1.
    """
    truth, score = as_array(y_true, "y_true"), as_array(y_score, name)
    if truth.ndim != 2 or truth.shape != score.shape:
        raise ValueError(
            f"y_true and {name} must both have shape (records, classes), "
            f"got {truth.shape} and {score.shape}; a single column is y[:, None]"
        )
    if truth.size == 0:
        raise ValueError(f"y_true is empty: its shape is {truth.shape}")
    if not ((truth == 0) | (truth == 1)).all():
        raise ValueError("y_true must hold only 0 and 1")
    if not np.issubdtype(score.dtype, np.floating):
        score = score.astype(np.float64)
    if np.isnan(score).any():
        rows, columns = np.nonzero(np.isnan(score))
        raise ValueError(f"{name} holds {len(rows)} NaN, the first for record {rows[0]}, class {columns[0]}")
    return truth.astype(np.bool_, copy=False), score


def group_numbers(groups: Any, n: int, name: str = "groups") -> NDArray[np.intp]:
    """Number 0, 1, ... of each record's group, such as its patient, in the order of the groups' names.

    Args:
        groups: Names or numbers of the groups, shape (n,).
        n: Number of records.
        name: What the error messages call them.

    Raises:
        ValueError: If there are not `n`, one is missing, or they cannot be ordered.

    >>> group_numbers(["b", "a", "b"], 3)
    array([1, 0, 1])
    """
    import pandas as pd

    array = to_numpy(groups, name)
    if array.shape != (n,):
        raise ValueError(f"{name} has {len(array)} entries for {n} records (its shape is {array.shape})")
    if pd.isna(array).any():
        raise ValueError(f"{name} has missing values: give each record without a patient its own group")
    try:
        return np.unique(array, return_inverse=True)[1]
    except TypeError as error:
        raise ValueError(f"{name} mixes kinds that cannot be ordered: make all of them text") from error
