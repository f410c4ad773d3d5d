"""Which networks no other network beats in both cost and quality."""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["pareto_front"]


def pareto_front(cost: ArrayLike, quality: ArrayLike) -> np.ndarray:
    """Mask of the entries that no other entry dominates: none costs no more and is no worse, with one better.

    Args:
        cost: Shape (N,); less is better.
        quality: Shape (N,); more is better.

    Returns:
        bool, shape (N,).

    Raises:
        ValueError: If the shapes differ.

    >>> pareto_front([1, 2, 3, 3], [0.8, 0.7, 0.9, 0.9]).tolist()
    [True, False, True, True]
    """
    c, q = np.asarray(cost, float), np.asarray(quality, float)
    if c.ndim != 1 or c.shape != q.shape:
        raise ValueError(f"cost has the shape {c.shape} and quality {q.shape}; both must be (N,)")
    no_worse = (c[:, None] <= c) & (q[:, None] >= q)  # [i, j]: i is no worse than j
    better = (c[:, None] < c) | (q[:, None] > q)
    return np.asarray(~(no_worse & better).any(axis=0))
