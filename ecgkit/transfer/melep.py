"""MELEP: how far a target task lies from what a pre-trained multi-label classifier knows."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from ecgkit.evaluation.arrays import as_array
from ecgkit.transfer.inputs import check_labels, check_probabilities

__all__ = ["label_weights", "melep"]

_BLOCK = 2**16  # values per block of rows: half a MiB in float64, small enough for a processor's cache
_HALVINGS = 4  # 16 likelihoods (31 at the odd end) are multiplied before one logarithm is taken


def melep(
    source_probabilities: Any,
    target_labels: Any,
    weights: Literal["paper", "authors"] = "paper",
    per_label: bool = False,
    source_weights: Any = None,
) -> float | np.ndarray:
    r"""Multi-label Expected Log of Empirical Predictions; lower means easier to transfer.

    For each pair of a target label y and a source label z, with theta_i the source's probability of z for
    record i, and t and s 0 or 1::

        (1)  P(t, s)   = 1/n sum of (theta_i if s = 1 else 1 - theta_i) over the records with y_i = t
        (2)  P(s)      = P(0, s) + P(1, s)
        (3)  P(t | s)  = P(t, s) / P(s)
        (4)  phi(y, z) = -1/n sum_i log(P(y_i | 1) theta_i + P(y_i | 0) (1 - theta_i))
        (5)  MELEP     = sum_y w_y (1/Z sum_z phi(y, z)) / Y

    0 <= phi(y, z) <= H(y): 0 if source label z tells y with certainty, the entropy H(y) of the label if the
    source's probability of z is the same for every record. A record's likelihood is at least 1 / (4 n), so
    probabilities of exactly 0 and 1 are harmless; where Eq. (3) is 0 / 0, its factor in Eq. (4) is 0.

    Args:
        source_probabilities: What the pre-trained model says about the target's records: probabilities in
            [0, 1], shape (n, Z); NumPy array or torch tensor.
        target_labels: Truth of the target task, zeros and ones, shape (n, Y).
        weights: "paper": w_y = positives / negatives and the sum over labels divided by Y, as Eq. (5) is
            printed. "authors": w_y = positives / n and the sum divided by the sum of the weights, as in the
            authors' code: a true weighted mean, which never exceeds the largest label entropy.
            They differ in value and in how they rank sources.
        per_label: Return (1/Z) sum_z phi(y, z) for each target label instead of their weighted average; the
            label weights then play no part.
        source_weights: Weights of the source labels, shape (Z,), none negative; they are scaled to sum to 1
            and take the place of 1/Z. None: all equal, as in Eq. (5).

    Returns:
        A float, or with `per_label` a float64 array of shape (Y,). A label that is the same in all records
        has phi = 0: there is nothing to predict.

    Raises:
        ValueError: If shapes do not fit, a probability is outside [0, 1] or NaN, a label is not 0 or 1,
            `weights` or `source_weights` are unusable, no label has a positive, or, with weights="paper", a
            label has no negative (its weight would be infinite). With `per_label` the last two are no error.

    Source:
        Nguyen, Duong and Do, "MELEP: A Novel Predictive Measure of Transferability in Multi-Label ECG
        Diagnosis", 2024: Eqs. (1)-(5) of section 2.1; `per_label` and `source_weights` are the two extensions
        of its section 4 ("Considerable extensions"). weights="authors" is the computation of the code that
        the paper names (cuongvng/melep-ecg).

    Example:
        A source that is right with certainty, one that knows nothing, and one in between:

        >>> labels = [[1], [0], [1], [0]]
        >>> melep([[1.0], [0.0], [1.0], [0.0]], labels)
        0.0
        >>> round(melep([[0.3], [0.3], [0.3], [0.3]], labels), 4)  # log 2
        0.6931
        >>> round(melep([[0.9], [0.1], [0.8], [0.2]], labels), 4)
        0.2955
    """
    theta = check_probabilities(source_probabilities)
    labels = check_labels(target_labels, len(theta))
    _check_weights(weights)
    share = _source_shares(source_weights, theta.shape[1])  # 1/Z each
    if per_label:
        return _mean_phi(theta, labels, share)
    weight = label_weights(labels, weights)  # w_y / Y; first, so that a hopeless call fails before the work
    return float(weight @ _mean_phi(theta, labels, share))  # Eq. (5)


def label_weights(target_labels: Any, weights: Literal["paper", "authors"] = "paper") -> np.ndarray:
    """The factor of each target label in MELEP, its divisor included.

    Args:
        target_labels: Zeros and ones, shape (n, Y).
        weights: "paper": positives / negatives / Y. "authors": positives / sum of positives.

    Returns:
        float64 array, shape (Y,).

    Raises:
        ValueError: If no label has a positive, or with "paper" one has no negative, or `weights` is unknown.

    Source:
        MELEP (Nguyen et al., 2024), Eq. (5), and the authors' code for "authors".

    >>> label_weights([[1, 1], [0, 1], [0, 1], [0, 0]], "paper")  # 1/3 / 2 and 3/1 / 2
    array([0.16666667, 1.5       ])
    >>> label_weights([[1, 1], [0, 1], [0, 1], [0, 0]], "authors")
    array([0.25, 0.75])
    """
    labels = check_labels(target_labels)
    _check_weights(weights)
    n, count = labels.shape
    positives = np.count_nonzero(labels, axis=0).astype(np.float64)
    if not positives.any():
        raise ValueError("no target label has a positive record: MELEP weighs labels by their positives")
    if weights == "authors":
        return positives / positives.sum()
    full = np.flatnonzero(positives == n)
    if len(full):
        raise ValueError(
            f"target label(s) {', '.join(map(str, full))} are positive in every record, so Eq. (5)'s weight "
            'positives / negatives is infinite: leave them out or use weights="authors"'
        )
    return positives / (n - positives) / count


def _check_weights(weights: str) -> None:
    if weights not in ("paper", "authors"):
        raise ValueError(f'weights must be "paper" or "authors", not {weights!r}')


def _source_shares(source_weights: Any, count: int) -> np.ndarray:
    if source_weights is None:
        return np.full(count, 1 / count)
    shares = as_array(source_weights, "source_weights").astype(np.float64)
    if shares.shape != (count,) or not np.isfinite(shares.sum()) or (shares < 0).any() or not shares.any():
        raise ValueError(
            f"source_weights must be {count} finite numbers, none negative and not all 0; "
            f"got shape {shares.shape}"
        )
    return shares / shares.sum()


def _mean_phi(theta: np.ndarray, labels: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Eqs. (1)-(4) for all pairs, then the mean of phi over source labels: shape (Y,)."""
    given = _positive_given(theta, labels)
    # Rounding can put a certain record's likelihood a hair above 1.
    return np.maximum(-(share @ _log_likelihood(theta, labels, given)) / len(theta), 0.0)


def _blocks(theta: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows a few at a time, theta in float64, so that memory beside the input stays at O(Y Z)."""
    rows = max(2**_HALVINGS, _BLOCK // max(theta.shape[1], labels.shape[1]))
    for start in range(0, len(theta), rows):
        yield theta[start : start + rows].astype(np.float64), labels[start : start + rows]


def _positive_given(theta: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Eqs. (1)-(3): P(t = 1 | s) of each pair, shape (Z, s, Y)."""
    joint = np.zeros((2, 2, labels.shape[1], theta.shape[1]))  # n P(t, s): shape (t, s, Y, Z)
    for yes, positive in _blocks(theta, labels):
        true = positive.astype(np.float64).T  # (Y, rows)
        for s, probability in ((0, 1 - yes), (1, yes)):
            joint[1, s] += true @ probability
            joint[0, s] += (1 - true) @ probability
    marginal = joint.sum(0)
    # A source value s that never occurs, 0 / 0, meets only factors of 0 in Eq. (4).
    given = joint[1] / np.where(marginal > 0, marginal, 1)  # (s, Y, Z)
    return np.ascontiguousarray(given.transpose(2, 0, 1))


def _log_likelihood(theta: np.ndarray, labels: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The sum of Eq. (4) over the records, for each pair, shape (Z, Y); `given` as `_positive_given`."""
    total = np.zeros((theta.shape[1], labels.shape[1]))
    for yes, positive in _blocks(theta, labels):
        outcomes = np.stack([1 - yes, yes], -1)  # (rows, Z, s)
        negative = 1.0 - positive  # (rows, Y)
        for z in range(len(given)):
            likelihood = outcomes[:, z] @ given[z]  # P(t = 1) of each record, (rows, Y)
            likelihood -= negative  # where the label is 0: minus P(t = 0)
            total[z] += np.log(np.abs(_products(likelihood))).sum(0)
    return total


def _products(table: np.ndarray) -> np.ndarray:
    """Multiply rows by rows, in place, until a sixteenth is left: fewer logarithms, columns kept apart.

    No product underflows: each factor is at least 1 / (4 n), and at most 31 meet in one product.
    """
    for _ in range(_HALVINGS):
        half, odd = divmod(len(table), 2)
        if not half:
            break
        if odd:
            table[0] *= table[-1]
        np.multiply(table[:half], table[half : 2 * half], out=table[:half])
        table = table[:half]
    return table
