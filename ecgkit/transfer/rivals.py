"""The scores that MELEP is measured against: LEEP and NCE, H-score, LogME and TransRate.

LEEP and NCE read a source's predictions, the others its features. All take class numbers, shape (n,), which
gives the published score, or zeros and ones, shape (n, Y): then the score is the mean over the labels that
have both outcomes, each as two classes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ecgkit.evaluation.arrays import as_array
from ecgkit.transfer.inputs import (
    check_features,
    check_labels,
    check_probabilities,
    check_table,
)

__all__ = ["h_score", "leep", "logme", "nce", "transrate"]

_EPSILON = 1e-4  # distortion of TransRate's code, as in its listing


def _over_labels(one: Callable[[np.ndarray], float], target_labels: Any, n: int) -> float:
    """Apply a score of one classification task, given class numbers 0 ... C-1, to targets of either form."""
    target_labels = as_array(target_labels, "target_labels")
    if target_labels.ndim != 1:
        labels = check_labels(target_labels, n)
        varying = labels[:, labels.any(axis=0) & ~labels.all(axis=0)]
        if not varying.size:
            raise ValueError("every target label is the same in all records, so there is nothing to predict")
        return float(np.mean([one(label) for label in varying.T.astype(np.intp)]))
    classes = check_table(target_labels[:, None], "target_labels")[:, 0]
    if len(classes) != n:
        raise ValueError(f"target_labels have {len(classes)} rows, the source has {n}")
    if (classes < 0).any() or (classes != np.floor(classes)).any():
        raise ValueError("target_labels of shape (n,) must be class numbers 0, 1, 2, ...")
    values, numbers = np.unique(classes, return_inverse=True)
    if len(values) < 2:
        raise ValueError("every record has the same target class, so there is nothing to predict")
    return one(numbers)


# --- From the source's predictions


def leep(source_probabilities: Any, target_labels: Any) -> float:
    """Log Expected Empirical Prediction; higher (closer to 0) means easier to transfer.

    The published score takes one source distribution per record (rows that sum to 1). Rows are therefore
    divided by their sum (a row of zeros becomes uniform), which leaves a softmax as it is.

    Args:
        source_probabilities: Shape (n, Z), in [0, 1].
        target_labels: Zeros and ones, shape (n, Y), or class numbers, shape (n,).

    Returns:
        Mean log-likelihood in nats, at most 0 and at least minus the entropy of the labels.

    Raises:
        ValueError: If shapes do not fit, values are out of range, or every label is constant.

    Source:
        Nguyen, Hassner, Seeger and Archambeau, "LEEP: A New Measure to Evaluate Transferability of Learned
        Representations", ICML 2020: section 3 (joint, conditional, mean log of the expected empirical
        prediction).

    >>> leep([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    0.0
    >>> round(leep([[0.9, 0.1], [0.2, 0.8]], [0, 1]), 4)
    -0.2911
    """
    theta = check_probabilities(source_probabilities).astype(np.float64)
    total = theta.sum(1, keepdims=True)
    theta = np.where(total > 0, theta / np.where(total > 0, total, 1), 1 / theta.shape[1])
    marginal = theta.sum(0)
    marginal[marginal == 0] = 1  # a source label that never occurs has only factors of 0

    def one(classes: np.ndarray) -> float:
        members = np.eye(classes.max() + 1)[classes]  # (n, C), one-hot
        given = (members.T @ theta) / marginal  # (C, Z)
        predicted = theta @ given.T  # (n, C)
        return float(np.log(predicted[np.arange(len(classes)), classes]).mean())

    return min(_over_labels(one, target_labels, len(theta)), 0.0)


def nce(source_probabilities: Any, target_labels: Any) -> float:
    """Negative conditional entropy -H(Y | Z); higher (closer to 0) means easier to transfer.

    Z is the source's one most probable label of each record (the first of equals), as when NCE is computed
    for a pre-trained model whose source labels are not known on the target's records. Where the source is
    that certain (one-hot rows), NCE equals LEEP.

    Args:
        source_probabilities: Shape (n, Z), in [0, 1].
        target_labels: Zeros and ones, shape (n, Y), or class numbers, shape (n,).

    Returns:
        Between minus the entropy of the labels and 0, in nats.

    Raises:
        ValueError: As `leep`.

    Source:
        Tran, Nguyen and Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019
        (conditional entropy of the target labels given the source labels).

    >>> nce([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    0.0
    """
    theta = check_probabilities(source_probabilities)
    dummy = theta.argmax(1)

    def one(classes: np.ndarray) -> float:
        joint = np.zeros((classes.max() + 1, theta.shape[1]))
        np.add.at(joint, (classes, dummy), 1 / len(dummy))
        given = joint / np.where(joint.sum(0) > 0, joint.sum(0), 1)
        held = joint > 0
        return float((joint[held] * np.log(given[held])).sum())

    return min(_over_labels(one, target_labels, len(theta)), 0.0)


# --- From the source's features


def h_score(features: Any, target_labels: Any) -> float:
    """H-score: the share of the features' variance that lies between classes; higher is better.

    tr(cov(f)^-1 cov(E[f | Y])), with the pseudo-inverse where features are linearly dependent. For a label
    with two outcomes it equals R^2 of the linear regression of the label on the features, so it is 1 as soon
    as there are as many independent features as records: use it with many more records than features.

    Args:
        features: Shape (n, D), any scale (the score ignores invertible linear maps and shifts).
        target_labels: Zeros and ones, shape (n, Y), or class numbers, shape (n,).

    Returns:
        In [0, classes - 1], so in [0, 1] for (n, Y).

    Raises:
        ValueError: If shapes do not fit, features are not finite or beyond 1e70, or every label is constant.

    Source:
        Bao, Li, Huang, Zhang, Zheng, Zamir and Guibas, "An Information-Theoretic Approach to Transferability
        in Task Transfer Learning", ICIP 2019 (definition of the H-score of a feature function).

    >>> round(h_score([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1]), 4)  # between 4, within 1/4
    0.9412
    """
    table = check_features(features)
    # Orthonormal columns that span the centred features: the score is what classes explain of them.
    left, values, _ = np.linalg.svd(table - table.mean(0), full_matrices=False)
    basis = left[:, values > np.linalg.norm(table) * max(table.shape) * np.finfo(np.float64).eps]

    def one(classes: np.ndarray) -> float:
        members = np.eye(classes.max() + 1)[classes]
        sums = members.T @ basis  # (C, rank)
        return float(((sums**2).sum(1) / members.sum(0)).sum())

    return _over_labels(one, target_labels, len(table))


def logme(features: Any, target_labels: Any) -> float:
    """LogME: maximum log evidence per record of Bayesian linear regression on the features; higher is better.

    Each label column y (0/1) has the prior w ~ N(0, I / alpha) and the likelihood y ~ N(F w, I / beta); the
    evidence is maximised over alpha and beta, divided by n and averaged over columns. The paper treats
    classes so, one one-hot column each; a multi-label target needs no other rule. The paper climbs by a
    fixed-point iteration; here beta is eliminated in closed form and alpha / beta is searched on a grid, then
    refined, within a factor of e^25 of the largest eigenvalue of F'F either way. That reaches the same
    maximum, and a finite value where features fit the labels exactly and the evidence has no maximum.

    Args:
        features: Shape (n, D), used as they are (no centring, no intercept), as in the paper.
        target_labels: Zeros and ones, shape (n, Y), or class numbers, shape (n,).

    Returns:
        Nats per record; no sign is fixed.

    Raises:
        ValueError: As `h_score`, or if features are 0 everywhere.

    Source:
        You, Liu, Wang and Long, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning",
        ICML 2021: section 4 (evidence, alpha and beta at its maximum) and Algorithm 1.

    >>> easy, hard = [[-1.0], [-1.1], [1.0], [1.1]], [[1.0], [-1.1], [-1.0], [1.1]]
    >>> logme(easy, [0, 0, 1, 1]) > logme(hard, [0, 0, 1, 1])
    True
    """
    table = check_features(features)
    left, values, _ = np.linalg.svd(table, full_matrices=False)
    held = values > values[0] * max(table.shape) * np.finfo(np.float64).eps
    if not held.any():
        raise ValueError("features are 0 everywhere")
    left, energy = left[:, held], values[held] ** 2

    def column(y: np.ndarray) -> float:
        return _evidence(energy, (left.T @ y) ** 2, float(y @ y), len(y)) / len(y)

    def one(classes: np.ndarray) -> float:
        return float(np.mean([column((classes == c).astype(np.float64)) for c in range(classes.max() + 1)]))

    target_labels = as_array(target_labels, "target_labels")
    if target_labels.ndim == 1:
        return _over_labels(one, target_labels, len(table))
    return _over_labels(lambda label: column(label.astype(np.float64)), target_labels, len(table))


def _evidence(energy: np.ndarray, projected: np.ndarray, norm: float, n: int) -> float:
    """Largest log evidence over alpha and beta.

    With r = alpha / beta, y ~ N(0, (I + F F' / r) / beta), whose best beta is n / misfit(r).

    Args:
        energy: Eigenvalues of F'F that are not 0, shape (rank,).
        projected: Squares of y's coordinates along the left singular vectors, shape (rank,).
        norm: y'y.
        n: Number of records.
    """
    from scipy.optimize import minimize_scalar

    outside = max(norm - float(projected.sum()), 0.0)

    def negative(log_ratio: float) -> float:
        kept = 1 / (1 + energy * np.exp(-log_ratio))  # r / (s + r), shape (rank,)
        misfit = outside + float(kept @ projected)
        return -0.5 * (n * np.log(n / (2 * np.pi * misfit)) - n + float(np.log(kept).sum()))

    top = float(np.log(energy.max()))
    grid = np.linspace(top - 25, top + 25, 101)
    best = grid[int(np.argmin([negative(point) for point in grid]))]
    around = (best - 0.5, best + 0.5)
    refined = minimize_scalar(negative, bounds=around, method="bounded", options={"xatol": 1e-8})
    return -min(float(refined.fun), negative(best))


def transrate(features: Any, target_labels: Any) -> float:
    """TransRate: coding rate of all features minus that within classes; higher is better.

    R(F) - sum_c (n_c / n) R(F_c), both on features centred by their overall mean: an estimate of the mutual
    information of features and label. Classes count by their share of records, which keeps the score at 0 or
    above; the short listing in the paper divides by the number of classes instead, the same for balanced
    classes. The score depends on the features' scale: compare sources on features of like scale.

    Args:
        features: Shape (n, D).
        target_labels: Zeros and ones, shape (n, Y), or class numbers, shape (n,).

    Returns:
        Nats, at least 0.

    Raises:
        ValueError: As `h_score`.

    Source:
        Huang, Huang, Rong, Yang and Wei, "Frustratingly Easy Transferability Estimation", ICML 2022: the
        definition of TransRate by coding rates, and its listing for centring and epsilon = 1e-4.

    >>> round(transrate([[-1.0], [-1.0], [1.0], [1.0]], [0, 1, 0, 1]), 6)  # knows nothing of the class
    0.0
    """
    table = check_features(features)
    table -= table.mean(0)
    whole = _coding_rate(table)

    def one(classes: np.ndarray) -> float:
        parts = [table[classes == c] for c in range(classes.max() + 1)]
        return whole - sum(len(part) / len(table) * _coding_rate(part) for part in parts)

    return max(_over_labels(one, target_labels, len(table)), 0.0)


def _coding_rate(table: np.ndarray) -> float:
    """Nats per record that code the rows, shape (n, D): log det(I + F'F / (n epsilon)) / 2."""
    n, d = table.shape
    gram = table.T @ table if d <= n else table @ table.T  # the same non-zero eigenvalues
    return float(np.linalg.slogdet(np.eye(len(gram)) + gram / (n * _EPSILON))[1]) / 2
