"""Scores on a hierarchy of labels: propagation to coarser classes, and groups hidden inside a class."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.arrays import as_array, as_finite, check_scores
from ecgkit.evaluation.ranking import class_aucs

__all__ = ["HiddenGroup", "hidden_groups", "propagate"]

_GROUPS = 2


def propagate(
    scores: ArrayLike, membership: ArrayLike, rule: Literal["sum", "max", "mean"] = "sum"
) -> NDArray[np.float64]:
    """Scores of coarse classes from the scores of their members.

    Args:
        scores: Probabilities of the fine classes, shape (N, K).
        membership: 1 where a fine class (row) belongs to a coarse one (column), else 0, shape (K, P); for
            PTB-XL from `ecgkit.datasets.labels_ptbxl.aggregation_matrix`.
        rule: "sum", capped at one; "max"; or "mean" over the members.

    Returns:
        Shape (N, P).

    Raises:
        ValueError: If shapes do not fit, a score is not in [0, 1], `membership` holds anything but 0 and 1, a
            coarse class has no member, or the rule is not known.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section IV-A.

    >>> members = [[1, 0], [1, 0], [0, 1]]
    >>> propagate([[0.75, 0.5, 0.25]], members).tolist()
    [[1.0, 0.25]]
    >>> propagate([[0.75, 0.5, 0.25]], members, "mean").tolist()
    [[0.625, 0.25]]
    """
    score, member = as_array(scores, "scores").astype(float), as_array(membership, "membership")
    if score.ndim != 2 or member.ndim != 2 or score.shape[1] != member.shape[0] or not member.size:
        raise ValueError(f"scores {score.shape} and membership {member.shape} do not fit: (N, K) and (K, P)")
    if not ((score >= -1e-6) & (score <= 1 + 1e-6)).all():  # rounding may carry a mean of ones past 1
        raise ValueError("scores must be probabilities in [0, 1]; logits need a sigmoid first")
    if not ((member == 0) | (member == 1)).all():
        raise ValueError("membership must hold only 0 and 1")
    member = member.astype(bool)
    if not member.any(axis=0).all():
        raise ValueError(f"coarse class {int(np.argmin(member.any(axis=0)))} has no member")
    if rule == "sum":
        return np.minimum(score @ member, 1.0)
    if rule == "mean":
        return score @ (member / member.sum(axis=0))
    if rule == "max":
        return np.stack([score[:, of].max(axis=1) for of in member.T], axis=1)
    raise ValueError(f"no rule {rule!r}; choose sum, max or mean")


@dataclass(frozen=True)
class HiddenGroup:
    """One group of the positives of a class."""

    rows: NDArray[np.int64]  # which records are in it, positions in the arrays given
    auc: float  # of these positives against all negatives of the class


def hidden_groups(y_true: ArrayLike, y_score: ArrayLike, column: int, seed: int = 0) -> list[HiddenGroup]:
    """Part the positives of one class in two by what the model says about them, and judge each by itself.

    The vectors of all scores of a record are clustered with k-means. A group with a much lower AUC than the
    other is hidden stratification: the class's single AUC does not tell of it.

    Args:
        y_true: Labels, 0/1, shape (N, K).
        y_score: Probabilities, shape (N, K).
        column: The class.
        seed: Seed of k-means.

    Returns:
        The two groups, the lower AUC first.

    Raises:
        ValueError: If labels are not 0/1, scores are not finite, there is no such class, it has fewer than
            two positives or no negatives, or its positives all have the same scores.

    Source:
        PTB-XL benchmark, section IV-B and Fig. 6; Oakden-Rayner et al., "Hidden stratification causes
        clinically meaningful failures in machine learning for medical imaging" (2020).

    >>> y_true = np.array([[1], [1], [1], [1], [0], [0]])
    >>> y_score = np.array([[0.9], [0.8], [0.1], [0.2], [0.5], [0.4]])
    >>> [(group.rows.tolist(), group.auc) for group in hidden_groups(y_true, y_score, 0)]
    [([2, 3], 0.0), ([0, 1], 1.0)]
    """
    from sklearn.cluster import KMeans

    truth, score = check_scores(y_true, y_score)
    score = as_finite(score, "y_score")
    if not 0 <= column < truth.shape[1]:
        raise ValueError(f"there is no class {column}: y_true has {truth.shape[1]}")
    positive, negative = np.flatnonzero(truth[:, column]), np.flatnonzero(~truth[:, column])
    if len(positive) < _GROUPS or not len(negative):
        raise ValueError(
            f"class {column} has {len(positive)} positives and {len(negative)} negatives: "
            f"at least {_GROUPS} and 1 are needed"
        )
    if len(np.unique(score[positive], axis=0)) < _GROUPS:
        raise ValueError(f"all positives of class {column} have the same scores: there is nothing to group")
    member = KMeans(_GROUPS, n_init=10, random_state=seed).fit_predict(score[positive])
    groups = []
    for group in range(_GROUPS):
        rows = positive[member == group]
        both = np.concatenate([rows, negative])
        auc = float(class_aucs(truth[both][:, [column]], score[both][:, [column]])[0])
        groups.append(HiddenGroup(rows, auc))
    return sorted(groups, key=lambda each: each.auc)
