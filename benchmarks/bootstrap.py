"""Time the bootstrap of macro AUC and Fmax against a loop of scikit-learn, into benchmarks/bootstrap.json.

The table is as large as PTB-XL's test fold with all statements: 2,203 records, 71 classes, made-up scores.
The loop is timed on a few resamples and scaled up to 1,000; ours is timed in full; each is the best of three
times. Both see the same resamples, and the script stops if their values differ.

    python benchmarks/bootstrap.py
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from record import save
from sklearn.metrics import roc_auc_score

from ecgkit.evaluation import bootstrap, fmax, macro_auc

RECORDS, CLASSES, DRAWS = 2203, 71, 1000


def made_up_scores(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth with common and rare classes, one to several labels per record, and float32 probabilities."""
    rng = np.random.default_rng(seed)
    share = np.geomspace(0.3, 0.005, CLASSES)
    truth = (rng.random((RECORDS, CLASSES)) < share).astype(np.uint8)
    truth[np.arange(RECORDS), rng.choice(CLASSES, RECORDS, p=share / share.sum())] = 1
    logits = rng.normal(size=truth.shape) + 2.0 * truth - 3
    return truth, (1 / (1 + np.exp(-logits))).astype(np.float32)


def seconds_of(function: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """Best time of a few calls, and the value."""
    best, value = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        value = function()
        best = min(best, time.perf_counter() - start)
    return best, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loop-draws", type=int, default=20, help="resamples of the scikit-learn loop")
    options = parser.parse_args()
    truth, score = made_up_scores()

    def scikit_learn(y_true: np.ndarray, y_score: np.ndarray) -> float:
        return float(roc_auc_score(y_true, y_score, average="macro"))

    few = options.loop_draws
    # The call also evaluates the metric once on the whole set; that is taken off.
    one, _ = seconds_of(lambda: scikit_learn(truth, score))
    loop_seconds, loop = seconds_of(lambda: bootstrap(scikit_learn, truth, score, n=few))
    loop_per_draw = (loop_seconds - one) / few
    auc_seconds, auc = seconds_of(lambda: bootstrap(macro_auc, truth, score, n=DRAWS))
    fmax_seconds, best = seconds_of(lambda: bootstrap(fmax, truth, score, n=DRAWS))
    largest = float(np.abs(auc.draws[:few] - loop.draws).max())
    if largest > 1e-12:
        raise SystemExit(f"the two disagree by {largest}")
    measured = {
        "what": "bootstrap of the test set, seconds for all draws",
        "records": RECORDS,
        "classes": CLASSES,
        "draws": DRAWS,
        "macro_auc_seconds": round(auc_seconds, 3),
        "fmax_seconds": round(fmax_seconds, 3),
        "scikit_learn_loop": {
            "draws_timed": few,
            "seconds_per_draw": round(loop_per_draw, 5),
            "seconds_for_all_draws_extrapolated": round(loop_per_draw * DRAWS, 1),
        },
        "ratio_macro_auc": round(loop_per_draw * DRAWS / auc_seconds, 1),
        "largest_difference": largest,
        "macro_auc": str(auc),
        "fmax": str(best),
    }
    save(__file__, measured, threads=1)


if __name__ == "__main__":
    main()
