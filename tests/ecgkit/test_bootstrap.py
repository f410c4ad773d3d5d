"""Resamples, their batched metrics, and what the intervals cover."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from ecgkit import evaluation as ev


def example(seed: int, n: int = 60, k: int = 4, levels: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, k)) < 0.3).astype(np.uint8)
    truth[np.arange(n), rng.integers(0, k, n)] = 1
    score = np.round((truth + rng.normal(size=(n, k))) * levels / 4) / levels  # many ties
    return truth, score.astype(np.float32)


def resamples(truth, n, **options):
    counts = np.concatenate([batch for batch, _ in ev.resample_counts(truth, n, **options)])
    return [np.repeat(np.arange(len(truth)), row) for row in counts]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_macro_auc_equals_scikit_learn_on_each_draw(seed):
    truth, score = example(seed)
    result = ev.bootstrap(ev.macro_auc, truth, score, n=20, seed=seed)
    expected = [roc_auc_score(truth[i], score[i]) for i in resamples(truth, 20, seed=seed)]
    assert result.draws == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [ev.macro_auc, ev.micro_auc, ev.fmax])
@pytest.mark.parametrize("by_patient", [False, True])
def test_batched_metrics_equal_the_loop(metric, by_patient):
    truth, score = example(1)
    truth[5] = 0  # a record without labels
    groups = np.repeat(np.arange(30), 2) if by_patient else None
    fast = ev.bootstrap(metric, truth, score, n=130, groups=groups)
    slow = ev.bootstrap(lambda y, s: metric(y, s), truth, score, n=130, groups=groups)
    assert fast.draws == pytest.approx(slow.draws, abs=1e-12)
    assert (fast.point, fast.redrawn) == (slow.point, slow.redrawn)


def test_batched_metrics_equal_the_loop_with_lost_classes():
    truth, score = example(2, n=20, k=6)
    truth[:, 0] = 0
    truth[4, 0] = 1
    truth[:, 1] = 1  # no AUC at all
    for metric in (ev.macro_auc, ev.fmax):
        fast = ev.bootstrap(metric, truth, score, n=60, redraw=False)
        slow = ev.bootstrap(lambda y, s, m=metric: m(y, s), truth, score, n=60, redraw=False)
        assert fast.draws == pytest.approx(slow.draws, abs=1e-12)


def test_large_tables_are_evaluated_in_slices(monkeypatch):
    truth, score = example(3)
    whole = ev.bootstrap(ev.fmax, truth, score, n=50).draws
    monkeypatch.setattr("ecgkit.evaluation.resampled._ENTRIES", 7 * truth.size)
    assert (ev.bootstrap(ev.fmax, truth, score, n=50).draws == whole).all()


def test_resamples_depend_on_the_seed_alone():
    truth, _ = example(0)
    long, short = resamples(truth, 250, seed=3), resamples(truth, 120, seed=3)
    assert all((a == b).all() for a, b in zip(long, short, strict=False))
    assert not (resamples(truth, 1, seed=4)[0] == short[0]).all()
    assert all(len(index) == len(truth) for index in long)


def test_counts_are_those_of_drawing_with_replacement():
    counts = np.concatenate([c for c, _ in ev.resample_counts(np.zeros(50), 2000)])
    assert counts.mean() == 1
    assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.02)  # binomial with 50 trials of 1/50
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.005)


def test_a_resample_without_a_class_is_redrawn():
    truth = np.zeros((20, 2), dtype=int)
    truth[0, 0], truth[:10, 1] = 1, 1
    batches = list(ev.resample_counts(truth, 400))
    counts = np.concatenate([c for c, _ in batches])
    assert counts.shape == (400, 20)
    assert (counts[:, 0] > 0).all()
    # The one positive record is missed with chance (1 - 1/20)^20 = 0.358.
    thrown = sum(t for _, t in batches)
    assert thrown / (thrown + 400) == pytest.approx(0.358, abs=0.06)
    kept_all = np.concatenate([c for c, _ in ev.resample_counts(truth, 400, redraw=False)])
    assert (kept_all[:, 0] == 0).mean() == pytest.approx(0.358, abs=0.07)


def test_a_class_that_nearly_every_record_has_keeps_a_negative():
    truth = np.ones((20, 1), dtype=int)
    truth[3] = 0
    counts = np.concatenate([c for c, _ in ev.resample_counts(truth, 200)])
    assert (counts[:, 3] > 0).all()
    ev.bootstrap(ev.macro_auc, truth, np.arange(20.0)[:, None], n=50)
    with pytest.raises(ValueError, match="redraw=True"):
        ev.bootstrap(ev.macro_auc, truth, np.arange(20.0)[:, None], n=50, redraw=False)


def test_regression_targets_are_never_redrawn():
    assert ev.bootstrap(lambda y, s: float(y.mean()), np.arange(5.0), np.zeros(5), n=50).redrawn == 0


def test_hopeless_redraws_stop():
    truth = np.eye(30)
    with pytest.raises(ValueError, match=r"rarest has 1 .*redraw=False"):
        list(ev.resample_counts(truth, 10))


def test_patients_are_drawn_whole():
    patients = np.array([3, 1, 1, 7, 7, 7])
    for counts, _ in ev.resample_counts(np.arange(6) / 10, 50, groups=patients):
        assert (counts[:, 1] == counts[:, 2]).all()
        assert (counts[:, 3] == counts[:, 4]).all() and (counts[:, 4] == counts[:, 5]).all()
        assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_each_record_its_own_patient_is_the_plain_bootstrap():
    truth, score = example(0)
    plain = ev.bootstrap(ev.macro_auc, truth, score, n=30)
    assert ev.bootstrap(ev.macro_auc, truth, score, n=30, groups=np.arange(len(truth))) == plain


def test_any_metric_works():
    age = np.random.default_rng(0).normal(60, 10, 200)
    guess = age + 3
    result = ev.bootstrap(lambda y, s: float(np.abs(y - s).mean()), age, guess, n=20)
    assert (result.point, result.low, result.high) == pytest.approx((3, 3, 3))
    mean = ev.bootstrap(lambda y, s: float(s.mean()), age, guess, n=2000)
    half = 1.96 * guess.std() / np.sqrt(200)
    assert (mean.low, mean.high) == pytest.approx((guess.mean() - half, guess.mean() + half), abs=0.15)


def test_quantiles_and_the_authors_variant():
    truth, score = example(6)
    paper = ev.bootstrap(ev.macro_auc, truth, score, n=1000)
    assert (paper.low, paper.high) == pytest.approx(tuple(np.quantile(paper.draws, [0.025, 0.975])))
    authors = ev.bootstrap(ev.macro_auc, truth, score, n=100, level=0.9)
    assert (authors.low, authors.high) == pytest.approx(tuple(np.quantile(paper.draws[:100], [0.05, 0.95])))


def test_the_papers_notation():
    def result(point, low, high):
        return ev.BootstrapResult(point, low, high, 0.95, 1000, 0, np.empty(0))

    assert str(result(0.743, 0.736, 0.752)) == "0.743(09)"
    assert ev.paper_notation(result(0.5, 0.5, 0.5)) == "0.500(00)"
    assert ev.paper_notation(result(0.9304, 0.8, 0.95)) == "0.930(130)"


def test_the_interval_covers_a_known_auc():
    rng = np.random.default_rng(0)
    shift = 1.0
    auc = norm.cdf(shift / np.sqrt(2))
    truth = np.repeat([[0], [1]], 60, axis=0)
    hits = 0
    for seed in range(150):
        score = rng.normal(size=(120, 1)) + shift * truth
        result = ev.bootstrap(ev.macro_auc, truth, score, n=300, level=0.9, seed=seed)
        hits += result.low <= auc <= result.high
    assert 0.82 <= hits / 150 <= 0.97  # 90 % +- 3 standard errors


def test_paired_bootstrap_uses_the_same_resamples():
    truth, a = example(0)
    b = np.random.default_rng(1).normal(size=a.shape)
    pair = ev.paired_bootstrap(ev.macro_auc, truth, a, b, n=200)
    draws = [ev.bootstrap(ev.macro_auc, truth, s, n=200).draws for s in (a, b)]
    assert pair.draws == pytest.approx(draws[0] - draws[1], abs=1e-15)
    assert pair.difference == pytest.approx(ev.macro_auc(truth, a) - ev.macro_auc(truth, b))
    assert pair.low > 0 and pair.p_value == pytest.approx(2 / 201)
    back = ev.paired_bootstrap(ev.macro_auc, truth, b, a, n=200)
    assert (back.low, back.high, back.p_value) == pytest.approx((-pair.high, -pair.low, pair.p_value))


def test_paired_bootstrap_of_a_model_with_itself():
    truth, score = example(0)
    pair = ev.paired_bootstrap(ev.fmax, truth, score, score, n=50)
    assert (pair.difference, pair.low, pair.high, pair.p_value) == (0, 0, 0, 1)


def test_all_pairs_at_once_equal_the_pairs_one_by_one():
    truth, a = example(0)
    rng = np.random.default_rng(1)
    scores = {"a": a, "b": a + 0.5 * rng.normal(size=a.shape), "c": rng.normal(size=a.shape)}
    found = ev.paired_bootstraps(ev.macro_auc, truth, scores, n=150)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    for (first, second), gap in found.items():
        alone = ev.paired_bootstrap(ev.macro_auc, truth, scores[first], scores[second], n=150)
        assert gap == alone and (gap.draws == alone.draws).all()
    with pytest.raises(ValueError, match="at least two"):
        ev.paired_bootstraps(ev.macro_auc, truth, {"a": a})


def test_paired_p_values_are_fair_under_no_difference():
    rng = np.random.default_rng(0)
    truth = np.repeat([[0], [1]], 60, axis=0)
    p_values = []
    for seed in range(100):
        a, b = rng.normal(size=(2, 120, 1)) + truth
        p_values.append(ev.paired_bootstrap(ev.macro_auc, truth, a, b, n=200, seed=seed).p_value)
    assert np.mean(np.array(p_values) < 0.1) == pytest.approx(0.1, abs=0.09)


GOOD, SCORED = example(0)
GAPS = np.where(np.arange(60) == 7, np.nan, 1.0)


@pytest.mark.parametrize(
    ("metric", "options", "words"),
    [
        (ev.macro_auc, {"level": 95}, "level"),
        (ev.macro_auc, {"level": np.nan}, "level"),
        (ev.macro_auc, {"n": 0}, "n must be"),
        (ev.macro_auc, {"n": 10.5}, "n must be"),
        (ev.macro_auc, {"groups": [1, 2, 3]}, "groups has 3 entries"),
        (ev.macro_auc, {"groups": [np.nan] * 60}, "missing values"),
        (ev.macro_auc, {"groups": np.zeros((60, 2))}, r"its shape is \(60, 2\)"),
        (ev.macro_auc, {"groups": np.array(["a", 1] * 30, dtype=object)}, "make all of them text"),
        (lambda y, s: np.nan, {}, "is nan on a resample of 60 records"),
        (lambda y, s: np.inf, {}, "is inf on a resample"),
        (lambda y, s: float(s.max() if y[:, 0].sum() > 15 else "nan"), {}, "defined on every resample"),
        (ev.class_aucs, {}, "class_aucs must give one number"),
        (lambda y, s: None, {}, "must give one number, but gave NoneType"),
        (lambda y, s: "high", {}, "must give one number"),
    ],
)
def test_errors(metric, options, words):
    for draw in (
        lambda: ev.bootstrap(metric, GOOD, SCORED, **options),
        lambda: ev.paired_bootstrap(metric, GOOD, SCORED, -SCORED, **options),
    ):
        with pytest.raises(ValueError, match=words):
            draw()


@pytest.mark.parametrize(
    ("truth", "words"), [(GOOD[:10], "has 10 records"), (GOOD[:0], "0"), (1, "one row per")]
)
def test_truth_that_does_not_fit_the_scores(truth, words):
    with pytest.raises(ValueError, match=words):
        ev.bootstrap(ev.fmax, truth, SCORED)


def test_a_metric_without_a_value_for_a_model_decides_nothing():
    """A single NaN has neither sign: counted among the draws it would give the smallest p-value."""
    with pytest.raises(ValueError, match="defined on every resample"):
        ev.paired_bootstrap(lambda y, s: float(s.mean()), np.arange(60.0), GAPS, np.zeros(60), n=50)


def test_tensors_are_resampled_like_arrays():
    expected = ev.bootstrap(ev.macro_auc, GOOD, SCORED, n=20)
    tensors = torch.tensor(GOOD), torch.tensor(SCORED, requires_grad=True)
    assert ev.bootstrap(ev.macro_auc, *tensors, n=20, groups=torch.arange(60)) == expected
    assert ev.bootstrap(lambda y, s: torch.tensor(s).mean(), *tensors, n=20).point == pytest.approx(
        SCORED.mean()
    )
