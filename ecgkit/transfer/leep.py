"""LEEP and NCE: the two scores that MELEP descends from, read from a source's predictions alone."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ecgkit.transfer.inputs import as_array, check_features, check_labels, check_probabilities, varying_labels

__all__ = ["leep", "nce", "score_labels"]


def leep(source_probabilities: Any, target_labels: Any) -> float:
    """Log Expected Empirical Prediction; higher (closer to 0) means easier to transfer.

    The published score takes one source distribution per record (rows that sum to 1) and one target class
    per record. Rows are therefore divided by their sum (a row of zeros becomes uniform), which leaves a
    softmax as it is; several target labels are scored one by one, as two classes each, and averaged.

    Args:
        source_probabilities: Shape (n, Z), in [0, 1].
        target_labels: Zeros and ones, shape (n, Y); or class numbers, shape (n,), for the published score.

    Returns:
        Mean log-likelihood in nats, at most 0 and at least minus the entropy of the labels. With (n, Y),
        labels that are the same in all records are left out of the mean.

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

    return min(score_labels(one, target_labels, len(theta)), 0.0)


def nce(source_probabilities: Any, target_labels: Any) -> float:
    """Negative conditional entropy -H(Y | Z); higher (closer to 0) means easier to transfer.

    Z is the source's one most probable label of each record (the first of equals), as when NCE is computed
    for a pre-trained model whose source labels are not known on the target's records. Where the source is
    that certain (one-hot rows), NCE equals LEEP.

    Args:
        source_probabilities: Shape (n, Z), in [0, 1].
        target_labels: Zeros and ones, shape (n, Y); or class numbers, shape (n,), for the published score.

    Returns:
        Between minus the entropy of the labels and 0, in nats. With (n, Y), the mean over labels that have
        both outcomes, each as two classes.

    Raises:
        ValueError: If shapes do not fit, values are out of range, or every label is constant.

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

    return min(score_labels(one, target_labels, len(theta)), 0.0)


def score_labels(one: Callable[[np.ndarray], float], target_labels: Any, n: int) -> float:
    """Apply a score of one classification task to single-label or multi-label targets.

    Args:
        one: The score, given class numbers 0 ... C-1, shape (n,).
        target_labels: Class numbers, shape (n,): `one` as published. Zeros and ones, shape (n, Y): the mean
            of `one` over the columns that have both outcomes.
        n: Number of records of the source table.

    Raises:
        ValueError: If the labels do not fit or are all constant.

    >>> score_labels(lambda classes: float(classes.sum()), [[1, 0, 1], [1, 1, 0]], 2)
    1.0
    """
    target_labels = as_array(target_labels, "target_labels")
    if target_labels.ndim == 1:
        classes = check_features(target_labels[:, None], "target_labels")[:, 0]
        if len(classes) != n:
            raise ValueError(f"target_labels have {len(classes)} rows, the source has {n}")
        if (classes < 0).any() or (classes != np.floor(classes)).any():
            raise ValueError("target_labels of shape (n,) must be class numbers 0, 1, 2, ...")
        values, numbers = np.unique(classes, return_inverse=True)
        if len(values) < 2:
            raise ValueError("every record has the same target class, so there is nothing to predict")
        return one(numbers)
    labels = check_labels(target_labels, n)
    return float(np.mean([one(labels[:, k].astype(np.intp)) for k in varying_labels(labels)]))
