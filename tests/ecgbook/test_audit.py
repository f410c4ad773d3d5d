"""The rules find planted errors and leave clean tables alone; the findings can be repeated."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgbook import papers
from ecgbook.papers import auditing, rules
from ecgbook.papers.rules.sizes import resnet18_mib

positive = st.floats(0.05, 0.95)
relaxed = settings(deadline=None)  # a busy machine is no failure


# True values, rounded: no rule may object ----------------------------------------------------------------


@relaxed
@given(positive, positive, st.integers(1, 5))
def test_a_rounded_difference_is_never_an_alarm(a: float, b: float, digits: int) -> None:
    assert rules.difference(f"{a:.{digits}f}", f"{b:.{digits}f}", f"{b - a:+.{digits}f}").ok


@relaxed
@given(st.floats(1, 99), st.floats(1, 99))
def test_a_rounded_percentage_is_never_an_alarm(a: float, b: float) -> None:
    assert rules.relative_change(f"{a:.2f}", f"{b:.2f}", f"{100 * (a - b) / a:.1f}%").ok


@relaxed
@given(st.integers(1000, 20000), st.lists(st.integers(10_000, 2_000_000), min_size=1, max_size=8))
def test_true_effective_epochs_are_never_an_alarm(n: int, samples: list[int]) -> None:
    printed = [f"{s / 1000:.0f}K" for s in samples]
    epochs = [f"{s / n:.2f}" for s in samples]
    assert all(rules.quotient(s, f"{n / 1000:.2f}K", e).ok for s, e in zip(printed, epochs, strict=True))
    large = [(s, e) for s, e in zip(printed, epochs, strict=True) if float(e) > 0.01]
    if large:
        assert rules.common_divisor(*zip(*large, strict=True)).ok


@relaxed
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_true_sums_are_never_an_alarm_and_wrong_counts_always(parts: list[int]) -> None:
    assert rules.adds_up([f"{p / 1000:.0f}K" for p in parts], f"{sum(parts) / 1000:.0f}K").ok
    assert rules.adds_up([str(p) for p in parts], str(sum(parts))).ok
    assert not rules.adds_up([str(p) for p in parts], str(sum(parts) + 1)).ok


@relaxed
@given(st.integers(5, 5000), st.data())
def test_grim_passes_every_true_percentage(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.lists(st.integers(0, n), min_size=1, max_size=10))
    assert rules.on_grid([f"{100 * k / n:.2f}" for k in hits], n).ok


@relaxed
@given(st.floats(0.05, 0.95), st.lists(st.tuples(st.floats(5, 8), st.floats(5, 8)), min_size=1, max_size=8))
def test_true_mixtures_are_never_an_alarm(share: float, parts: list[tuple[float, float]]) -> None:
    rows = [(share * a + (1 - share) * b, a, b) for a, b in parts if abs(a - b) > 0.1]
    printed = [tuple(f"{x:.2f}" for x in row) for row in rows]
    if printed:
        assert rules.common_share(printed).ok
    assert all(rules.between(whole, rest).ok for whole, *rest in printed)


@relaxed
@given(st.sampled_from([0.9, 0.95, 0.98, 0.99]), st.integers(20, 200), st.sampled_from([16, 32, 128]))
def test_a_true_random_schedule_is_never_an_alarm(gamma: float, epochs: int, batch: int) -> None:
    """Count samples as a training loop would, batch by batch, in both conventions."""
    n = 40 * batch
    for first in (0, 1):
        kept = sum(40 * int(gamma ** (t + first) * batch) for t in range(epochs - 1)) + n
        assert rules.random_schedule(str(gamma), epochs, 1, f"{kept / n:.1f}").ok


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_independent_columns_are_not_called_tied_or_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, ratio = rng.uniform(0.5, 0.8, size=14), 0.97 + 0.01 * rng.normal(size=14)
    a, b = [f"{x:.4f}" for x in first], [f"{x:.4f}" for x in first * ratio]
    assert rules.tied_columns(a, b).ok
    assert rules.unlike({str(i): pair for i, pair in enumerate(zip(a, b, strict=True))}).ok
    assert not rules.tied_columns(a, [f"{x:.4f}" for x in 0.97 * first]).ok


@relaxed
@given(st.integers(10, 200), st.floats(-0.95, 0.95))
def test_a_true_p_value_is_never_an_alarm(n: int, r: float) -> None:
    from scipy import stats

    t = r * math.sqrt((n - 2) / (1 - r * r))
    p = float(2 * stats.t.sf(abs(t), n - 2))
    assert rules.correlation_p(f"{r:.3f}", n, f"{p:.1e}".replace("e", "×10^{") + "}").ok


def test_p_values_agree_with_another_library() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 50))
    found = stats.pearsonr(x, 0.5 * x + noise)
    printed = f"{found.pvalue:.2e}".replace("e", "×10^{") + "}"
    assert rules.correlation_p(f"{found.statistic:.4f}", 50, printed).ok
    assert not rules.correlation_p(f"{found.statistic:.4f}", 60, printed).ok


# Planted errors: each is found ---------------------------------------------------------------------------

PLANTED = {
    "one digit of a difference": lambda: rules.difference("0.6488", "0.6586", "+0.0101"),
    "a percentage of another row": lambda: rules.relative_change("20.00", "15.00", "20.0%"),
    "samples of another data set": lambda: rules.quotient("329K", "5.5K", "18.9"),
    "two training sets": lambda: rules.common_divisor(["1.74M", "1.54M"], ["100.0", "100.0"]),
    "another gamma": lambda: rules.random_schedule("0.98", 100, 1, "20.3"),
    "a lost part": lambda: rules.adds_up(["407", "15019", "4242"], "21837"),
    "a mean outside": lambda: rules.between("7.40", ["6.89", "7.38"]),
    "a threshold the wrong way": lambda: rules.monotone(["97K", "111K"], rising=False),
    "a best that is not": lambda: rules.best_of("0.64", {"a": "0.64", "b": "0.65"}),
    "a lowest that is not": lambda: rules.best_of("7.2", {"a": "7.2", "b": "7.1"}, highest=False),
    "a row against the sentence": lambda: rules.each_row(">", {"a": ("0.7", "0.6"), "b": ("0.5", "0.6")}),
    "a minority called most": lambda: rules.most_rows(">", {"a": ("0.7", "0.6"), "b": ("0.5", "0.6")}),
    "intervals apart": lambda: rules.error_bars_meet({"a": ".90(01)", "b": ".95(01)"}),
    "three records": lambda: rules.net_records("70.0", "70.3", 1000),
    "a count that no table has": lambda: rules.same_number("62", "67"),
    "an off-grid share": lambda: rules.on_grid(["33.4"], 30),
    "a choice without a candidate": lambda: rules.all_measured(["a", "b"], ["a"]),
    "repeated tasks": lambda: rules.enough_label_sets(4, [2], 7),
    "a size of other widths": lambda: rules.saved_size("2.24", widths=(32, 64, 128, 256)),
    "a change of nothing": lambda: rules.size_change("33.78", "33.20", metadata_units=5),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_error_is_found(name: str) -> None:
    assert not PLANTED[name]().ok


def test_a_clean_made_up_table_raises_no_alarm() -> None:
    """A whole small paper made from true values: samples, epochs, removals, gains, percentages."""
    rng = np.random.default_rng(1)
    n, epochs = 12_345, 50
    for _ in range(50):
        plain = int(rng.uniform(0.2, 0.6) * n * epochs)
        removed = int(rng.uniform(0.05, 0.3) * plain)
        ours, f1, gain = plain - removed, rng.uniform(0.5, 0.8), rng.uniform(-0.02, 0.02)
        k = [f"{x / 1000:.0f}K" for x in (plain, removed, ours)]
        assert rules.adds_up([k[2], k[1]], k[0]).ok
        assert rules.quotient(k[0], "12.3K", f"{plain / n:.1f}").ok
        assert rules.relative_change(
            f"{plain / n:.1f}", f"{ours / n:.1f}", f"{100 * removed / plain:.1f}%"
        ).ok
        assert rules.difference(f"{f1:.4f}", f"{f1 + gain:.4f}", f"{gain:+.4f}").ok


# The measures and the sizes, against independent truth ---------------------------------------------------


def test_the_size_is_that_of_a_network_built_layer_by_layer() -> None:
    """Compare the count by hand with PyTorch's own, for one stage."""
    from torch import nn

    def block(n_in: int, width: int) -> list[nn.Module]:
        layers: list[nn.Module] = [
            nn.Conv1d(n_in, width, 7, bias=False),
            nn.BatchNorm1d(width),
            nn.Conv1d(width, width, 7, bias=False),
            nn.BatchNorm1d(width),
            nn.Linear(width, width // 16, bias=False),
            nn.Linear(width // 16, width, bias=False),
        ]
        down = [nn.Conv1d(n_in, width, 1, bias=False), nn.BatchNorm1d(width)] if n_in != width else []
        return layers + down

    layers: list[nn.Module] = [nn.Conv1d(12, 64, 15, bias=False), nn.BatchNorm1d(64)]
    n_in = 64
    for width in (64, 128, 256, 512):
        layers += block(n_in, width) + block(width, width)
        n_in = width
    layers += [nn.Linear(3, 10), nn.Linear(522, 26)]
    state = nn.ModuleList(layers).state_dict()
    mib = sum(t.numel() * t.element_size() for t in state.values()) / 2**20
    assert resnet18_mib() == pytest.approx(mib)


# The audit itself ----------------------------------------------------------------------------------------


def test_every_check_can_be_repeated_from_its_cell() -> None:
    for check in auditing._checks():
        assert papers.repeat(check.cell) == check.outcome, check.cell


def test_the_findings() -> None:
    findings, checks = papers.audit(), papers.checks()
    assert len(findings) >= 50
    assert set(findings["work"]) == set(papers.WORKS)
    assert set(findings["severity"]) <= {"conclusion", "number", "detail"}
    assert set(findings["reading"]) <= {"typo", "rounding", "ambiguity", "contradiction"}
    assert findings["severity"].tolist() == sorted(
        findings["severity"], key=["conclusion", "number", "detail"].index
    )
    assert all(not papers.repeat(cell).ok for cell in findings["cell"])
    assert findings["failed"].sum() == (~checks["ok"].astype(bool)).sum()
    passed = papers.passed()
    assert set(passed["work"]) == set(papers.WORKS)
    assert passed["passed"].sum() + findings["failed"].sum() == len(checks)


def test_every_rule_is_used_on_more_than_one_number() -> None:
    used = papers.checks().groupby("rule").size()
    assert set(used.index) == set(rules.__all__) - {
        "Outcome",
        "on_grid",
    }  # on_grid is the core of on_some_grid
    assert (used > 1).all()


def test_the_chapter_lists_every_rule() -> None:
    page = Path(__file__).parents[2] / "notebooks" / "06_critical_reading" / "01_how_to_audit_a_table.md"
    section = page.read_text(encoding="utf-8").partition("## The rules\n")[2].partition("\n## ")[0]
    table = "".join(line for line in section.splitlines(keepends=True) if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", table)) == set(rules.__all__) - {"Outcome"}


def test_a_share_without_its_base_is_no_passed_check() -> None:
    found = papers.checks().query("topic in ['norm', 'norm_base']")
    assert len(found) == 2 and not found["ok"].any()


def test_every_entry_belongs_to_a_finding_and_names_another_explanation() -> None:
    findings = papers.audit()
    entries = {(work, topic) for work, topics in auditing._topics().items() for topic in topics}
    assert entries == set(zip(findings["work"], findings["topic"], strict=True))
    assert (findings["innocent"].str.len() > 20).all()
    assert (findings["says"].str.len() > 20).all()


def test_the_tone_accuses_nobody() -> None:
    said = " ".join(papers.audit()[["says", "innocent"]].to_numpy().ravel())
    assert not re.search(r"\b(fraud|fabricat|fake|cheat|dishonest|manipulat|invented)", said, re.I)


@pytest.mark.parametrize(
    "cell",
    [
        "1 + 1",
        "",
        "rules.Outcome(True, '1', '1')",
        "rules.no_rule('1')",
        "rules.adds_up('1')",
        "rules.difference(*'abc')",
        "rules.difference(().__class__.__base__.__subclasses__(), '1', '2')",
        "(lambda: rules.difference('1', '2', '1'))()",
        "__import__('os').system('true')",
        "rules.__class__('1')",
        "(" * 5000,
    ],
)
def test_a_repeated_cell_must_be_a_call_of_a_rule_with_plain_values(cell: str) -> None:
    with pytest.raises(ValueError, match="no call of a rule"):
        papers.repeat(cell)


def test_the_audit_of_no_work_is_an_error() -> None:
    with pytest.raises(ValueError, match="no work 'ptbxl'; there are ptbxl_benchmark"):
        papers.audit("ptbxl")
