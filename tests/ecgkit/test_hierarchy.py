"""Propagation on the label tree and hidden groups, against loops and cases with a known answer."""

import numpy as np
import pytest

from ecgkit.datasets.labels_ptbxl import aggregation_matrix, classes_of, subclass_of, superclass_of
from ecgkit.evaluation import class_aucs, hidden_groups, propagate

RULES = {"sum": lambda values: min(sum(values), 1.0), "max": max, "mean": lambda v: sum(v) / len(v)}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("level", "parent"), [("subdiagnostic", subclass_of), ("superdiagnostic", superclass_of)]
)
def test_propagation_equals_a_loop_over_the_tree_of_ptbxl(rule: str, level: str, parent) -> None:
    codes, coarse = classes_of("diagnostic"), classes_of(level)
    scores = np.random.default_rng(0).random((5, len(codes))) / 4
    found = propagate(scores, aggregation_matrix(codes, level), rule)
    for row, record in zip(found, scores, strict=True):
        for value, name in zip(row, coarse, strict=True):
            children = [s for s, code in zip(record, codes, strict=True) if parent(code) == name]
            assert value == pytest.approx(RULES[rule](children))


def test_twice_one_level_is_once_two_levels_for_the_maximum() -> None:
    codes = classes_of("diagnostic")
    scores = np.random.default_rng(1).random((7, len(codes)))
    to_super = aggregation_matrix(codes, "superdiagnostic")
    to_sub = aggregation_matrix(codes, "subdiagnostic")
    sub_to_super = (to_sub.T.astype(int) @ to_super) > 0
    twice = propagate(propagate(scores, to_sub, "max"), sub_to_super, "max")
    assert np.array_equal(twice, propagate(scores, to_super, "max"))


def test_a_planted_hidden_group_is_found() -> None:
    rng = np.random.default_rng(2)
    y_true = np.zeros((300, 2), int)
    y_true[:100, 0] = 1  # the class under study
    y_true[:40, 1] = 1  # its hard part carries a second label
    y_score = rng.uniform(0.0, 0.4, (300, 2))
    y_score[:40, 1] += 0.6
    y_score[40:100, 0] += 0.6
    hard, easy = hidden_groups(y_true, y_score, 0)
    assert hard.rows.tolist() == list(range(40)) and easy.rows.tolist() == list(range(40, 100))
    assert hard.auc < 0.65 and easy.auc > 0.99
    whole = class_aucs(y_true[:, :1], y_score[:, :1])[0]  # an AUC is linear in the positives
    assert whole == pytest.approx(0.4 * hard.auc + 0.6 * easy.auc)
