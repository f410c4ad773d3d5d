"""Which training samples look unreliable, from what a network said of each in every epoch.

All scores take the logits of E epochs, shape (E, N, K), and the number of each sample's class, shape (N,):
one label per sample. They say nothing of direction; `SUSPECT` does.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax

__all__ = [
    "SUSPECT",
    "Cartography",
    "area_under_margin",
    "cartography",
    "dynamics",
    "el2n",
    "forgetting_events",
    "sample_loss",
]

SUSPECT = {
    "loss": 1,
    "EL2N": 1,
    "forgetting events": 1,
    "AUM": -1,
    "mean confidence": -1,
    "variability": 1,
    "largest probability": -1,
}
"""Scores of `dynamics`: 1 where a high value makes a sample suspect, -1 where a low one does."""


class Cartography(NamedTuple):
    """The coordinates of a sample on the map of its data set, each of shape (N,)."""

    confidence: NDArray[np.float64]  # mean probability of the sample's class over the epochs
    variability: NDArray[np.float64]  # standard deviation of it
    correctness: NDArray[np.float64]  # share of the epochs in which the sample is right


def _checked(logits: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    z, y = np.asarray(logits, np.float64), np.asarray(truth)
    if z.ndim != 3 or 0 in z.shape or y.shape != z.shape[1:2] or y.dtype.kind not in "iu":
        raise ValueError(
            f"logits have shape {z.shape} and truth {y.shape}, {y.dtype}; (epochs, samples, classes) and "
            "(samples,) whole numbers are wanted"
        )
    if y.min() < 0 or y.max() >= z.shape[2]:
        raise ValueError(f"truth names classes {y.min()} to {y.max()}; there are 0 to {z.shape[2] - 1}")
    return z, y.astype(np.int64)


def _of_truth(values: NDArray, truth: NDArray) -> NDArray:
    """What belongs to each sample's own class: (E, N, K) -> (E, N)."""
    return np.take_along_axis(values, truth[None, :, None], axis=2)[..., 0]


def sample_loss(logits: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Cross-entropy of each sample in each epoch, shape (E, N).

    Args:
        logits: Shape (E, N, K).
        truth: Class of each sample, whole numbers, shape (N,).

    Raises:
        ValueError: If the shapes do not fit, or a class does not exist.

    >>> sample_loss([[[0.0, 0.0]]], [1]).round(3)  # log 2
    array([[0.693]])
    """
    z, y = _checked(logits, truth)
    return -_of_truth(log_softmax(z, axis=2), y)


def el2n(logits: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Length of the error vector (probabilities minus the one-hot label), averaged over the epochs; (N,).

    Give it the first epochs alone: the score was made for the beginning of training.

    Args:
        logits: Shape (E, N, K).
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `sample_loss`.

    Source:
        Paul et al., "Deep learning on a data diet" (2021), Definition 2.2.

    >>> el2n([[[0.0, 0.0], [100.0, 0.0]]], [0, 1]).round(3)  # undecided; wholly wrong
    array([0.707, 1.414])
    """
    z, y = _checked(logits, truth)
    error = softmax(z, axis=2) - np.eye(z.shape[2])[y]
    return np.linalg.norm(error, axis=2).mean(axis=0)


def forgetting_events(logits: ArrayLike, truth: ArrayLike) -> NDArray[np.int64]:
    """How often a sample goes from right to wrong from one epoch to the next, shape (N,).

    A sample that was never right counts E, more than any other can reach.

    Args:
        logits: Shape (E, N, K).
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `sample_loss`.

    Source:
        Toneva et al., "An empirical study of example forgetting" (2019), section 3.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> forgetting_events([[right, wrong], [wrong, wrong], [right, wrong]], [0, 0])
    array([1, 3])
    """
    z, y = _checked(logits, truth)
    right = z.argmax(axis=2) == y  # (E, N)
    events = (right[:-1] & ~right[1:]).sum(axis=0)
    return np.where(right.any(axis=0), events, len(z))


def area_under_margin(logits: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Logit of the sample's class minus the largest other one, averaged over the epochs (AUM); shape (N,).

    Args:
        logits: Shape (E, N, K), at least two classes.
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `sample_loss`, and if there is one class only.

    Source:
        Pleiss et al., "Identifying mislabeled data using the area under the margin ranking" (2020).

    >>> area_under_margin([[[3.0, 1.0, 0.0]], [[2.0, 0.0, 4.0]]], [0])  # margins 2 and -2
    array([0.])
    """
    z, y = _checked(logits, truth)
    if z.shape[2] < 2:
        raise ValueError("a margin needs at least two classes")
    others = np.where(np.eye(z.shape[2], dtype=bool)[y], -np.inf, z)
    return (_of_truth(z, y) - others.max(axis=2)).mean(axis=0)


def cartography(logits: ArrayLike, truth: ArrayLike) -> Cartography:
    """Where each sample lies on the map of its data set: easy, hard, or ambiguous.

    Args:
        logits: Shape (E, N, K).
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `sample_loss`.

    Source:
        Swayamdipta et al., "Dataset cartography" (2020), section 2.1.

    >>> cartography([[[0.0, 0.0]], [[0.0, 100.0]]], [1])
    Cartography(confidence=array([0.75]), variability=array([0.25]), correctness=array([0.5]))
    """
    z, y = _checked(logits, truth)
    p = _of_truth(softmax(z, axis=2), y)
    return Cartography(p.mean(axis=0), p.std(axis=0), (z.argmax(axis=2) == y).mean(axis=0))


def dynamics(logits: ArrayLike, truth: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """All scores of this module by the names in `SUSPECT`, each of shape (N,).

    The loss is that of the last epoch, EL2N is of the first half of the epochs, the largest probability (the
    only one that does not look at the label) is the mean over the epochs.

    Args:
        logits: Shape (E, N, K).
        truth: Class of each sample, shape (N,).

    Raises:
        ValueError: As `area_under_margin`.
    """
    z, y = _checked(logits, truth)
    place = cartography(z, y)
    return {
        "loss": sample_loss(z[-1:], y)[0],
        "EL2N": el2n(z[: max(1, len(z) // 2)], y),
        "forgetting events": forgetting_events(z, y).astype(np.float64),
        "AUM": area_under_margin(z, y),
        "mean confidence": place.confidence,
        "variability": place.variability,
        "largest probability": softmax(z, axis=2).max(axis=2).mean(axis=0),
    }
