"""Every metric and transferability score on input at the edge: a defined value or one clear sentence."""

import inspect
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from ecgkit import evaluation as ev
from ecgkit import transfer

pytestmark = pytest.mark.filterwarnings("error")

# Eighths are the same in every precision. Two columns, each with both outcomes; one class per record.
TRUTH = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [0, 1], [1, 0]])
SCORE = np.array([[7, 2], [1, 6], [3, 4], [2, 7], [6, 3], [5, 1]]) / 8
DECIDED = (SCORE >= 0.5).astype(float)
BETWEEN = {  # what each takes beside the truth
    **dict.fromkeys(("class_aucs", "macro_auc", "micro_auc", "fmax", "fmax_with_threshold"), SCORE),
    **dict.fromkeys(("optimal_thresholds", "single_label_f1", "single_label_accuracy"), SCORE),
    **dict.fromkeys(("accuracy_at_half", "micro_precision", "macro_precision", "weighted_f1"), SCORE),
    **dict.fromkeys(("f1", "precision", "recall", "f_beta_g_beta"), DECIDED),
    **dict.fromkeys(("mae", "r2"), SCORE[:, :1]),
}
METRICS = {name: getattr(ev, name) for name in BETWEEN}
SCORES = {  # truth first, as the metrics
    **{name: lambda y, s, f=score: f(s, y) for name, score in transfer.SCORES.items()},
    "melep_per_label": lambda y, s: transfer.melep(s, y, per_label=True),
}
EVERY = METRICS | SCORES


def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    return (TRUTH[:, :1] if name in ("mae", "r2") else TRUTH), BETWEEN.get(name, SCORE)


def value(name: str, truth: object, score: object) -> np.ndarray:
    return np.asarray(EVERY[name](truth, score), dtype=float)


def test_the_table_holds_every_metric_of_the_package() -> None:
    functions = {name: getattr(ev, name) for name in ev.__all__ if inspect.isfunction(getattr(ev, name))}
    first_two = {name: list(inspect.signature(f).parameters)[:2] for name, f in functions.items()}
    metrics = {
        name for name, two in first_two.items() if two in (["y_true", "y_score"], ["y_true", "y_pred"])
    }
    assert metrics == set(METRICS) | {"hidden_groups"}


FORMS = {
    "list": lambda x: x.tolist(),
    "float32": lambda x: x.astype(np.float32),
    "half": lambda x: x.astype(np.float16),
    "column-major": np.asfortranarray,
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "object": lambda x: x.astype(object),
    "DataFrame": pd.DataFrame,
    "tensor": torch.tensor,
    "gradient": lambda x: torch.tensor(x, dtype=torch.float64, requires_grad=True),
    "half tensor": lambda x: torch.tensor(x, dtype=torch.float16),
    "bfloat16": lambda x: torch.tensor(x, dtype=torch.bfloat16, requires_grad=True),
    "list of tensors": lambda x: [torch.tensor(row) for row in x],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", EVERY)
def test_the_form_of_the_input_changes_nothing(name: str, form: str) -> None:
    truth, score = pair(name)
    expected = value(name, truth, score)
    assert np.isfinite(expected).all()
    assert np.array_equal(value(name, truth, FORMS[form](score)), expected)
    assert np.array_equal(value(name, FORMS[form](truth), score), expected)
    with torch.inference_mode():
        assert np.array_equal(value(name, truth.astype(bool), torch.tensor(score)), expected)


def put(table: np.ndarray, number: float) -> np.ndarray:
    table = table.astype(float)
    table[1, 0] = number
    return table


UNUSABLE = {
    "NaN score": lambda y, s: (y, put(s, np.nan)),
    "NaN truth": lambda y, s: (put(y, np.nan), s),
    "text": lambda y, s: (y, s.astype(str)),
    "objects": lambda y, s: (y, [[None] * s.shape[1]] * len(s)),
    "huge integer": lambda y, s: (y, [[10**400] * s.shape[1]] * len(s)),
    "masked": lambda y, s: (y, np.ma.masked_equal(s, s[0, 0])),
    "complex": lambda y, s: (y, s + 1j),
    "ragged": lambda y, s: (y, [[0.5], [0.5, 0.5]]),
    "number": lambda y, s: (1, 0.5),
    "nothing": lambda y, s: (None, None),
    "empty": lambda y, s: (y[:0], s[:0]),
    "no columns": lambda y, s: (y[:, :0], s[:, :0]),
    "three axes": lambda y, s: (y[..., None], s[..., None]),
    "lengths": lambda y, s: (y[:-1], s),
    "sparse": lambda y, s: (y, torch.tensor(s).to_sparse()),
    "infinite truth": lambda y, s: (put(y, np.inf), s),
}


@pytest.mark.parametrize("how", UNUSABLE)
@pytest.mark.parametrize("name", EVERY)
def test_unusable_input_is_one_clear_sentence(name: str, how: str) -> None:
    with pytest.raises(ValueError, match=r"y_|source|target|features|goodness") as error:
        value(name, *UNUSABLE[how](*pair(name)))
    assert type(error.value) is ValueError and "\n" not in str(error.value)


@pytest.mark.parametrize("name", [n for n in EVERY if n not in ("mae", "r2")])
def test_truth_that_is_not_0_or_1_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"0 (and|or) 1"):
        value(name, TRUTH * 0.5, BETWEEN.get(name, SCORE))


@pytest.mark.parametrize("name", EVERY)
def test_an_infinite_score_is_a_rank_or_refused(name: str) -> None:
    truth, _ = pair(name)
    best = np.where(truth == 1, np.inf, -np.inf)
    if name in ("class_aucs", "macro_auc", "micro_auc", "fmax", "single_label_f1", "single_label_accuracy"):
        assert (value(name, truth, best) == 1).all()
    elif name == "optimal_thresholds":
        assert (value(name, truth, best) == np.inf).all()
    elif name == "fmax_with_threshold":
        assert value(name, truth, best).tolist() == [1, np.inf, 1, 1]
    else:
        with pytest.raises(ValueError, match=r"infinity|only 0 and 1|finite|logits"):
            value(name, truth, best)


ONE = np.array([[1, 0]]), np.array([[0.75, 0.25]])
SAME = np.full(SCORE.shape, 0.5)
NONE = np.zeros((6, 2), int)
H = np.log(2)  # entropy of a label that half of the records have
CASES = {  # truth, scores; then each metric's value
    "no positives": (
        (NONE, SCORE, DECIDED),
        {"class_aucs": np.nan, "optimal_thresholds": np.inf, "f1": 0, "precision": 0, "recall": 0}
        | {"weighted_f1": 0}
        | {"micro_precision": 0, "macro_precision": 0, "accuracy_at_half": 1 / 2, "f_beta_g_beta": 0}
        | {"melep_per_label": 0},
    ),
    "nothing true or predicted": (
        (NONE, np.zeros((6, 2)), np.zeros((6, 2))),
        {"class_aucs": np.nan, "optimal_thresholds": np.inf, "f1": 0, "precision": 0, "recall": 0}
        | {"weighted_f1": 0}
        | {"micro_precision": 0, "macro_precision": 0, "accuracy_at_half": 1, "melep_per_label": 0},
    ),
    "all positive": (
        (NONE + 1, SCORE, NONE + 1.0),
        {"class_aucs": np.nan, "fmax": 1, "f1": 1, "precision": 1, "recall": 1, "f_beta_g_beta": 1}
        | {"weighted_f1": 2 / 3}
        | {"micro_precision": 1, "macro_precision": 1, "optimal_thresholds": 1 / 8, "accuracy_at_half": 1 / 2}
        | {"melep_authors": 0, "melep_per_label": 0},
    ),
    "one record": (
        (*ONE, np.array([[1, 0]])),
        {"class_aucs": np.nan, "micro_auc": 1, "fmax": 1, "f1": 0.5, "precision": 0.5, "recall": 0.5}
        | {
            "weighted_f1": 1,
            "f_beta_g_beta": 1,
            "micro_precision": 1,
            "macro_precision": 0.5,
            "accuracy_at_half": 1,
        }
        | {
            "optimal_thresholds": (0.75, np.inf),
            "single_label_f1": 0.5,
            "single_label_accuracy": 1,
            "mae": 1 / 4,
        }
        | {"melep_authors": 0, "melep_per_label": 0},
    ),
    "constant": (
        (TRUTH, SAME, np.ones((6, 2))),
        {"class_aucs": 0.5, "macro_auc": 0.5, "micro_auc": 0.5, "fmax": 2 / 3, "optimal_thresholds": 0.5}
        | {
            "f1": 2 / 3,
            "precision": 1 / 2,
            "recall": 1,
            "f_beta_g_beta": (5 / 6, 1 / 2),
            "mae": 1 / 2,
            "r2": 0,
        }
        | {"micro_precision": 1 / 2, "macro_precision": 1 / 2, "accuracy_at_half": 1 / 2}
        | {
            "weighted_f1": 2 / 3,
            "single_label_accuracy": 1 / 2,
            "single_label_f1": 1 / 3,
            "h_score": 0,
            "transrate": 0,
        }
        | {"leep": -H, "nce": -H, "melep": H, "melep_authors": H, "melep_per_label": H},
    ),
}
ELSEWHERE = ("fmax_with_threshold", "logme")  # several numbers; no closed form


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [n for n in EVERY if n not in ELSEWHERE])
def test_what_can_be_defined_is_and_the_rest_says_why_not(name: str, case: str) -> None:
    (truth, score, decided), defined = CASES[case]
    given = decided if BETWEEN.get(name) is DECIDED else score
    if name in ("mae", "r2"):
        truth, given = truth[:, :1], given[:, :1]
    if name in defined:
        np.testing.assert_allclose(value(name, truth, given), defined[name], rtol=0, atol=1e-12)
    elif name != "mae":  # it is defined everywhere
        with pytest.raises(ValueError, match=r"no |same|only one|exactly one|every record|undefined"):
            value(name, truth, given)


@pytest.mark.parametrize("name", [n for n, score in transfer.SCORES.items() if score.reads == "features"])
def test_features_of_any_size_that_can_be_squared(name: str) -> None:
    score = transfer.SCORES[name]
    plain = score(SCORE - 0.3, TRUTH)
    for size in (1e-60, 1e60):
        scaled = score((SCORE - 0.3) * size, TRUTH)
        assert np.isfinite(scaled) and (name == "transrate" or scaled == pytest.approx(plain, rel=1e-9))
    for size in (1e-200, 1e200, 1e308):
        with pytest.raises(ValueError, match="scale them first"):
            score(SCORE * size, TRUTH)


@pytest.mark.parametrize("metric", [ev.mae, ev.r2])
def test_numbers_whose_squares_overflow_are_refused(metric) -> None:
    with pytest.raises(ValueError, match="overflow"):
        metric([1e200, 1.0], [1.0, 2.0])
    if metric is ev.r2:
        with pytest.raises(ValueError, match="all true values are the same"):
            metric([0.1] * 3, [0.1, 0.2, 0.3])  # their mean is rounded, so their sum of squares is not 0


SIX = np.arange(6.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(ev.f1, TRUTH, DECIDED, "samples"), "average must be"),
        (partial(ev.f1, TRUTH, SCORE), "y_pred must hold only 0 and 1"),
        (partial(ev.f_beta_g_beta, TRUTH, DECIDED, 0), "beta must be positive"),
        (partial(ev.f_beta_g_beta, TRUTH, DECIDED, np.inf), "beta must be positive"),
        (partial(ev.f_beta_g_beta, TRUTH, DECIDED, 1e200), "beta must be positive"),
        (partial(ev.optimal_thresholds, TRUTH, SCORE, "auc"), "metric must be"),
        (partial(ev.fmax, TRUTH, SCORE, []), "thresholds must"),
        (partial(ev.fmax, TRUTH, SCORE, [0.5, np.nan]), "thresholds must"),
        (partial(ev.apply_thresholds, SCORE, [0.5] * 3), "do not fit"),
        (partial(ev.apply_thresholds, SCORE[0], 0.5), "do not fit"),
        (partial(ev.apply_thresholds, SCORE, [0.5, np.nan]), "thresholds holds 1 NaN"),
        (partial(ev.apply_thresholds, put(SCORE, np.nan), 0.5), "y_score holds 1 NaN"),
        (partial(ev.micro_precision, TRUTH, SCORE * 9), "logits need a sigmoid"),
        (partial(ev.propagate, SCORE, [[1]]), "do not fit"),
        (partial(ev.propagate, SCORE, np.ones((2, 0))), "do not fit"),
        (partial(ev.propagate, SCORE, [[1, 0], [1, 0]]), "coarse class 1 has no member"),
        (partial(ev.propagate, SCORE, [[0.5], [1]]), "membership must hold only 0 and 1"),
        (partial(ev.propagate, put(SCORE, np.nan), [[1], [1]]), "probabilities"),
        (partial(ev.propagate, SCORE * 9, [[1], [1]]), "probabilities"),
        (partial(ev.propagate, SCORE, [[1], [1]], "min"), "no rule 'min'"),
        (partial(ev.hidden_groups, TRUTH * 0.5, SCORE, 0), "only 0 and 1"),
        (partial(ev.hidden_groups, put(TRUTH, np.nan), SCORE, 0), "only 0 and 1"),
        (partial(ev.hidden_groups, TRUTH, put(SCORE, np.inf), 0), "finite"),
        (partial(ev.hidden_groups, TRUTH, SCORE, 2), "no class 2"),
        (partial(ev.hidden_groups, TRUTH, SCORE, -1), "no class -1"),
        (partial(ev.hidden_groups, TRUTH[:2], SCORE[:2], 0), "1 positives"),
        (partial(ev.hidden_groups, TRUTH, SAME, 0), "nothing to group"),
        (partial(ev.mean_interval, [0.9]), "at least two seeds"),
        (partial(ev.mean_interval, [0.9, np.nan]), "not finite"),
        (partial(ev.mean_interval, [1e200, 2e200]), "overflow"),
        (partial(ev.mean_interval, [0.9, 0.8], 1), "level"),
        (partial(ev.compare_seeds, [0.9, 0.8], [0.7, 0.8, 0.9]), "paired=False"),
        (partial(ev.compare_seeds, [0.9, 0.8], ["a", "b"]), "b must hold real numbers"),
        (partial(ev.compare_seeds, [0.9, 0.8], [0.7, 0.9], level=95), "level"),
        (partial(ev.detectable_difference, sd=0, n=3), "out of range"),
        (partial(ev.detectable_difference, sd=np.nan, n=3), "out of range"),
        (partial(ev.detectable_difference, sd=np.inf, n=3), "out of range"),
        (partial(ev.holm, [0.5, 1.5]), "between 0 and 1"),
        (partial(ev.holm, [0.5, np.nan]), "between 0 and 1"),
        (partial(transfer.correlation, [1, 2, 3], [1, 2]), "same length"),
        (partial(transfer.correlation, [1, 2], [1, 2]), "at least 3"),
        (partial(transfer.correlation, [1, 2, np.nan], [1, 2, 3]), "x must be finite"),
        (partial(transfer.partial_correlation, SIX, SIX, SIX), "do not belong together"),
        (partial(transfer.partial_correlation, SIX, SIX, SIX[:5, None]), "do not belong together"),
        (partial(transfer.partial_correlation, SIX, SIX, SIX[:, None] * np.nan), "given must be finite"),
        (partial(transfer.rank_correlation, [1, 2, 3], [1, 2]), "one of each per candidate"),
        (partial(transfer.rank_correlation, [1, np.nan, 3], [1, 2, 3]), "goodness holds NaN"),
        (partial(transfer.regret, [1, np.nan, 3], [1, 2, 3]), "goodness holds NaN"),
        (partial(transfer.regret, [1, 2, 3], [1, np.nan, 3]), "outcome must be finite"),
        (partial(transfer.regret, [], []), "one of each per candidate"),
        (partial(transfer.expected_regret, [1, np.nan]), "outcome must be finite"),
        (partial(transfer.label_weights, 1), "target_labels"),
    ],
)
def test_an_argument_out_of_range_is_named(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
