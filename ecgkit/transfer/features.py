"""H-score, LogME and TransRate: transferability read from a source's features instead of its predictions."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from ecgkit.transfer.inputs import check_features
from ecgkit.transfer.leep import score_labels

__all__ = ["coding_rate", "h_score", "logme", "transrate"]


def h_score(features: Any, target_labels: Any) -> float:
    """H-score: the share of the features' variance that lies between classes; higher is better.

    tr(cov(f)^-1 cov(E[f | Y])), with the pseudo-inverse where features are linearly dependent. For a label
    with two outcomes it equals R^2 of the linear regression of the label on the features, so it is 1 as soon
    as there are as many independent features as records: use it with many more records than features.

    Args:
        features: Shape (n, D), any scale (the score ignores invertible linear maps and shifts).
        target_labels: Zeros and ones, shape (n, Y): mean over labels with both outcomes, each as two classes;
            or class numbers, shape (n,): the published score.

    Returns:
        In [0, classes - 1], so in [0, 1] for (n, Y).

    Raises:
        ValueError: If shapes do not fit, features are not finite, or every label is constant.

    Source:
        Bao, Li, Huang, Zhang, Zheng, Zamir and Guibas, "An Information-Theoretic Approach to Transferability
        in Task Transfer Learning", ICIP 2019 (definition of the H-score of a feature function).

    >>> round(h_score([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1]), 4)  # between 4, within 1/4
    0.9412
    """
    table = check_features(features).astype(np.float64)
    # Orthonormal columns that span the centred features: the score is what classes explain of them.
    left, values, _ = np.linalg.svd(table - table.mean(0), full_matrices=False)
    basis = left[:, values > np.linalg.norm(table) * max(table.shape) * np.finfo(np.float64).eps]

    def one(classes: np.ndarray) -> float:
        members = np.eye(classes.max() + 1)[classes]
        sums = members.T @ basis  # (C, rank)
        return float(((sums**2).sum(1) / members.sum(0)).sum())

    return score_labels(one, target_labels, len(table))


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
        target_labels: Zeros and ones, shape (n, Y): mean over labels with both outcomes; or class numbers,
            shape (n,): the published score.

    Returns:
        Nats per record; no sign is fixed.

    Raises:
        ValueError: If shapes do not fit, features are not finite or all 0, or every label is constant.

    Source:
        You, Liu, Wang and Long, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning",
        ICML 2021: section 4 (evidence, alpha and beta at its maximum) and Algorithm 1.

    >>> easy, hard = [[-1.0], [-1.1], [1.0], [1.1]], [[1.0], [-1.1], [-1.0], [1.1]]
    >>> logme(easy, [0, 0, 1, 1]) > logme(hard, [0, 0, 1, 1])
    True
    """
    table = check_features(features).astype(np.float64)
    left, values, _ = np.linalg.svd(table, full_matrices=False)
    held = values > values[0] * max(table.shape) * np.finfo(np.float64).eps
    if not held.any():
        raise ValueError("features are 0 everywhere")
    left, energy = left[:, held], values[held] ** 2

    def column(y: np.ndarray) -> float:
        return _evidence(energy, (left.T @ y) ** 2, float(y @ y), len(y)) / len(y)

    def one(classes: np.ndarray) -> float:
        return float(np.mean([column((classes == c).astype(np.float64)) for c in range(classes.max() + 1)]))

    if np.ndim(target_labels) == 1:
        return score_labels(one, target_labels, len(table))
    return score_labels(lambda label: column(label.astype(np.float64)), target_labels, len(table))


def transrate(features: Any, target_labels: Any, epsilon: float = 1e-4) -> float:
    """TransRate: coding rate of all features minus that within classes; higher is better.

    R(F) - sum_c (n_c / n) R(F_c), both on features centred by their overall mean: an estimate of the mutual
    information of features and label. Classes count by their share of records, which keeps the score at 0 or
    above; the short listing in the paper divides by the number of classes instead, the same for balanced
    classes. The score depends on the features' scale: compare sources on features of like scale.

    Args:
        features: Shape (n, D).
        target_labels: Zeros and ones, shape (n, Y): mean over labels with both outcomes, each as two classes;
            or class numbers, shape (n,): the published score.
        epsilon: Distortion, as in `coding_rate`.

    Returns:
        Nats, at least 0.

    Raises:
        ValueError: If shapes do not fit, features are not finite, `epsilon` is not positive, or every label
            is constant.

    Source:
        Huang, Huang, Rong, Yang and Wei, "Frustratingly Easy Transferability Estimation", ICML 2022: the
        definition of TransRate by coding rates, and its listing for centring and epsilon = 1e-4.

    >>> round(transrate([[-1.0], [-1.0], [1.0], [1.0]], [0, 1, 0, 1]), 6)  # knows nothing of the class
    0.0
    """
    table = check_features(features).astype(np.float64)
    table -= table.mean(0)
    whole = coding_rate(table, epsilon)

    def one(classes: np.ndarray) -> float:
        parts = [table[classes == c] for c in range(classes.max() + 1)]
        return whole - sum(len(part) / len(table) * coding_rate(part, epsilon) for part in parts)

    return max(score_labels(one, target_labels, len(table)), 0.0)


def coding_rate(features: np.ndarray, epsilon: float = 1e-4) -> float:
    """Nats per record that code the rows of a table up to a distortion: log det(I + F'F / (n epsilon)) / 2.

    Args:
        features: Shape (n, D), float64.
        epsilon: Distortion, more than 0. It is what the coding-rate literature calls epsilon^2 / D.

    Raises:
        ValueError: If `epsilon` is not positive.

    Source:
        Huang et al., "Frustratingly Easy Transferability Estimation", ICML 2022 (coding rate R(Z, epsilon)).

    >>> round(coding_rate(np.array([[1.0], [-1.0]]), epsilon=1.0), 4)  # log(2) / 2
    0.3466
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon must be more than 0, not {epsilon}")
    n, d = features.shape
    gram = features.T @ features if d <= n else features @ features.T  # the same non-zero eigenvalues
    return float(np.linalg.slogdet(np.eye(len(gram)) + gram / (n * epsilon))[1]) / 2


def _evidence(energy: np.ndarray, projected: np.ndarray, norm: float, n: int) -> float:
    """Largest log evidence over alpha and beta.

    With r = alpha / beta, y ~ N(0, (I + F F' / r) / beta), whose best beta is n / misfit(r).

    Args:
        energy: Eigenvalues of F'F that are not 0, shape (rank,).
        projected: Squares of y's coordinates along the left singular vectors, shape (rank,).
        norm: y'y.
        n: Number of records.
    """
    outside = max(norm - float(projected.sum()), 0.0)

    def negative(log_ratio: float) -> float:
        kept = 1 / (1 + energy * np.exp(-log_ratio))  # r / (s + r), shape (rank,)
        misfit = outside + float(kept @ projected)
        return -0.5 * (n * np.log(n / (2 * np.pi * misfit)) - n + float(np.log(kept).sum()))

    top = float(np.log(energy.max()))
    grid = np.linspace(top - 25, top + 25, 101)
    best = grid[int(np.argmin([negative(point) for point in grid]))]
    around = (best - 0.5, best + 0.5)
    found = minimize_scalar(negative, bounds=around, method="bounded", options={"xatol": 1e-8})
    return -min(float(found.fun), negative(best))
