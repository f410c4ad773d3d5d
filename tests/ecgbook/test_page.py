"""What the pages share: numbers as text, questions to the runs, forest plots, one look."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from ecgbook import page
from ecgkit import evaluation

matplotlib.use("agg")


def contrast(a: str, b: str) -> float:
    """WCAG contrast ratio of two colours, by its own formula."""

    def luminance(colour: str) -> float:
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_the_palette_can_be_seen_on_white_and_told_apart() -> None:
    drawn = [page.BLACK, page.BLUE, page.ORANGE, page.GREEN, page.GREY]
    assert all(contrast(colour, "#FFFFFF") >= 3 for colour in drawn)  # what WCAG asks of graphics
    assert len(set(page.SUPERCLASS_COLOURS.values())) == len(page.SUPERCLASS_COLOURS) == 5


@pytest.mark.parametrize(
    "text, shown",
    [
        (page.signed(0.0004, 3), "0.000"),
        (page.signed(-0.0004, 3), "0.000"),
        (page.signed(-0.0006, 3), "-0.001"),
        (page.interval(-0.1, 0.25, 1, sign=True), "-0.1 to +0.2"),
        (page.estimate(0.5, 0.25, 0.75, 2), "0.50 (0.25 to 0.75)"),
        (page.estimate(0.01, -0.01, 0.03, 2, sign=True), "+0.01 (-0.01 to +0.03)"),
        (page.estimate(np.nan, np.nan, np.nan), "–"),
        (page.metric_text({"f1": 0.5}, "accuracy"), "–"),
        (page.mean_text([]), "not run"),
        (page.mean_text([0.25], 2), "0.25"),
        (page.p_value(0.001), "0.001"),
        (page.p_value(0.00099), "< 0.001"),
    ],
)
def test_numbers_as_text(text: str, shown: str) -> None:
    assert text == shown


def test_a_mean_has_the_interval_of_student() -> None:
    values = np.array([0.70, 0.74, 0.78])
    half = 4.302652729911275 * values.std(ddof=1) / np.sqrt(3)  # 97.5 % quantile of t with 2 degrees
    assert page.mean_text(values) == f"0.740 ({0.74 - half:.3f} to {0.74 + half:.3f})"


@pytest.mark.parametrize(
    "a, higher, lower",
    [
        ([0.9, 0.91, 0.92], "better", "worse"),
        ([0.5, 0.51, 0.53], "worse", "better"),
        ([0.6, 0.9, 0.8], "no difference shown", "no difference shown"),
    ],
)
def test_an_interval_without_zero_decides(a: list[float], higher: str, lower: str) -> None:
    found = evaluation.compare_seeds(a, [0.70, 0.72, 0.71])
    assert page.verdict(found) == higher
    assert page.verdict(found, higher_is_better=False) == lower


def runs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": ["dbpd", "dbpd", "erts_dbpd", "erts_dbpd", "srd"],
            "params.tau": [0.7, 0.3, 0.7, 0.7, np.nan],
            "params.gamma": [np.nan] * 4 + [0.8458],
            "params.rule": [None, None, "share", "threshold", None],
            "seed": [0, 0, 0, 1, 1],
            "f1": [0.70, 0.60, 0.75, 0.76, 0.65],
        }
    )


def test_runs_are_picked_by_method_and_settings() -> None:
    def picked(method: str, **settings: object) -> list[int]:
        return page.pick(runs(), method, **settings).index.tolist()

    assert picked("dbpd") == [0, 1]
    assert picked("dbpd", tau=0.7) == [0]
    assert picked("erts_dbpd", tau=0.7, rule="share") == [2]
    assert picked("srd", gamma=0.99 ** (100 / 6)) == [4]  # equal up to the third digit
    assert picked("full_data", tau=0.7) == []


def test_methods_are_compared_over_common_seeds() -> None:
    a = pd.DataFrame({"seed": [3, 1, 2], "f1": [0.9, 0.7, 0.8]})
    b = pd.DataFrame({"seed": [2, 3, 4], "f1": [0.7, 0.7, 0.1]})
    found, differences = page.compare(a, b, "f1")  # type: ignore[misc]
    assert differences.to_dict() == pytest.approx({3: 0.2, 2: 0.1})
    assert found.difference == pytest.approx(0.15)
    assert page.compare(a.head(1), b, "f1") is None
    assert page.compare(a.head(0), b, "f1") is None


def test_only_seeds_that_all_configurations_have_are_kept() -> None:
    assert page.same_seeds(runs(), ["method"]).empty  # dbpd has seed 0 alone, srd seed 1 alone
    two = runs()[runs()["method"] != "srd"]
    assert page.same_seeds(two, ["method"])["seed"].tolist() == [0, 0, 0]


def test_a_page_whose_experiment_was_never_run_has_its_columns() -> None:
    empty = page.load("no_such_experiment", "ptbxl", columns=["params.tau", "params.rule", "f1"])
    assert empty.empty
    assert page.pick(empty, "dbpd", tau=0.7, rule="share").empty


@pytest.mark.parametrize(
    "row, epochs, method, settings",
    [
        ("Baseline", 100, "full_data", {}),
        ("ERTS-SMRD τ=0.7 φ=0.5", 100, "erts_smrd", {"tau": 0.7, "phi": 0.5}),
        ("ERTS-SRD", 100, "erts_srd", {"gamma": 0.99}),
        ("SRD γ=0.98", 25, "srd", {"gamma": 0.98**4}),
    ],
)
def test_a_row_of_the_paper_says_its_settings(row: str, epochs: int, method: str, settings: dict) -> None:
    assert page.settings_of_row(row, epochs) == (method, pytest.approx(settings))


def test_a_forest_has_a_row_per_method_from_the_top() -> None:
    rows = [
        page.ForestRow("first", 0.1, -0.1, 0.3, seeds=[0.0, 0.2]),
        page.ForestRow("second", -0.2, -0.3, -0.1, colour=page.ORANGE, paper=0.05),
    ]
    axes = page.forest(rows, "difference")
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first row is on top
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    spans = [c.get_segments()[0][:, 0].tolist() for c in axes.collections]
    assert spans == [pytest.approx([-0.1, 0.3]), pytest.approx([-0.3, -0.1])]
    marks = [line.get_xdata() for line in axes.lines]
    assert any(np.array_equal(x, [0.0, 0.2]) for x in marks) and any(list(x) == [0.05] for x in marks)
    assert page.forest([], "nothing recorded").get_xlabel() == "nothing recorded"
