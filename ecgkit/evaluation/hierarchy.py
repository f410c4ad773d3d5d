"""Scores on a hierarchy of labels: propagation to coarser classes, and groups hidden inside a class."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkit.evaluation.ranking import class_aucs

__all__ = ["HiddenGroup", "Rule", "hidden_groups", "propagate"]

Rule = Literal["sum", "max", "mean"]


def propagate(scores: ArrayLike, membership: ArrayLike, rule: Rule = "sum") -> NDArray[np.float64]:
    """Scores of coarse classes from the scores of their members.

    Args:
        scores: Probabilities of the fine classes, shape (N, K).
        membership: 1 where a fine class (row) belongs to a coarse one (column), shape (K, P); for PTB-XL
            from `ecgkit.datasets.labels_ptbxl.aggregation_matrix`.
        rule: "sum", capped at one; "max"; or "mean" over the members.

    Returns:
        Shape (N, P).

    Raises:
        ValueError: If shapes do not fit, a coarse class has no member, or the rule is not known.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section IV-A.

    >>> members = [[1, 0], [1, 0], [0, 1]]
    >>> propagate([[0.75, 0.5, 0.25]], members).tolist()
    [[1.0, 0.25]]
    >>> propagate([[0.75, 0.5, 0.25]], members, "mean").tolist()
    [[0.625, 0.25]]
    """
    score, member = np.asarray(scores, float), np.asarray(membership).astype(bool)
    if score.ndim != 2 or member.ndim != 2 or score.shape[1] != member.shape[0]:
        raise ValueError(f"scores {score.shape} and membership {member.shape} do not fit: (N, K) and (K, P)")
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
    """One group of the positives of a class.

    Attributes:
        rows: Which records are in the group, positions in the arrays given.
        auc: AUC of these positives against all negatives of the class.
    """

    rows: NDArray[np.int64]
    auc: float


def hidden_groups(
    y_true: ArrayLike, y_score: ArrayLike, column: int, groups: int = 2, seed: int = 0
) -> list[HiddenGroup]:
    """Group the positives of one class by what the model says about them, and judge each group by itself.

    The vectors of all scores of a record are clustered with k-means. A group with a much lower AUC than the
    others is hidden stratification: the class's single AUC does not tell of it.

    Args:
        y_true: Labels, shape (N, K).
        y_score: Probabilities, shape (N, K).
        column: The class.
        groups: Number of groups.
        seed: Seed of k-means.

    Returns:
        The groups, the lowest AUC first.

    Raises:
        ValueError: If the class has fewer positives than groups, or no negatives.

    Source:
        PTB-XL benchmark, section IV-B and Fig. 6; Oakden-Rayner et al., "Hidden stratification causes
        clinically meaningful failures in machine learning for medical imaging" (2020).

    >>> y_true = np.array([[1], [1], [1], [1], [0], [0]])
    >>> y_score = np.array([[0.9], [0.8], [0.1], [0.2], [0.5], [0.4]])
    >>> [(group.rows.tolist(), group.auc) for group in hidden_groups(y_true, y_score, 0)]
    [([2, 3], 0.0), ([0, 1], 1.0)]
    """
    from sklearn.cluster import KMeans

    truth, score = np.asarray(y_true).astype(bool), np.asarray(y_score, float)
    positive, negative = np.flatnonzero(truth[:, column]), np.flatnonzero(~truth[:, column])
    if len(positive) < groups or not len(negative):
        raise ValueError(
            f"class {column} has {len(positive)} positives and {len(negative)} negatives: "
            f"at least {groups} and 1 are needed"
        )
    member = KMeans(groups, n_init=10, random_state=seed).fit_predict(score[positive])
    found = []
    for group in np.unique(member):
        rows = positive[member == group]
        both = np.concatenate([rows, negative])
        auc = float(class_aucs(truth[both][:, [column]], score[both][:, [column]])[0])
        found.append(HiddenGroup(rows, auc))
    return sorted(found, key=lambda each: each.auc)
