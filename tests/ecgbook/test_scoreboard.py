"""The scoreboard: every verdict is computed; it changes when runs arrive; page, badge and command."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ecgbook import papers
from ecgbook.cli import app
from ecgbook.papers.gaps import DRAWS
from ecgbook.papers.scoreboard import VERDICTS, badge, claims, markdown
from ecgbook.papers.verdicts import TESTS, best_score
from ecgbook.runs.records import write_record
from ecgbook.runs.run import Run

# What every record holds, and no verdict looks at.
REST: dict[str, Any] = {
    "intervals": "made up",
    "per_class": [],
    "config": {},
    "curve": [],
    "samples_backprop": 8,
    "effective_epochs": 100.0,
    "seconds": {"train": 1.0},
    "peak_memory_mib": None,
    "device": "made up",
    "threads": 1,
    "versions": {},
    "commit": "unknown",
    "predictions": None,
    "data": {"records": {"train": 8, "validation": 1, "test": 1}},
    "date": "2026-01-01T00:00:00+00:00",
}
MODELS = ("resnet1d_wang", "xresnet1d101", "inception1d", "fcn_wang", "lstm", "lstm_bidir")


def record(
    results: Path,
    point: float,
    model: str = "none",
    method: str = "supervised",
    task: str = "form",
    experiment: str = "ptbxl_benchmark",
    metric: str = "macro_auc",
    half: float = 0.01,
    seed: int = 0,
    **fields: Any,
) -> None:
    """Write a made-up finished run."""
    run = Run(
        experiment,
        str(fields.get("dataset", "ptbxl")),
        "1.0.3",
        task,
        model,
        method,
        "paper",
        seed,
        100,
        fields.get("params", {}),
    )
    value = {"point": point, "low": point - half, "high": point + half}
    write_record(
        results,
        {
            **REST,
            "status": "finished",
            "run": run.to_dict(),
            "metrics": {metric: value},
            "seconds": {"train": fields.get("seconds", 1.0)},
            "effective_epochs": fields.get("effective_epochs", 100.0),
        },
    )


def record_seeds(results: Path, point: float, *names: str, **fields: Any) -> None:
    """Three seeds of a setting; their luck differs a little from setting to setting."""
    rng = np.random.default_rng(round(1000 * point))
    for seed in range(3):
        record(results, point + 0.001 * rng.standard_normal(), *names, seed=seed, **fields)


def verdict(results: Path, key: str) -> str:
    board = papers.scoreboard(results)
    return str(board.loc[board["key"] == key, "verdict"].iloc[0])


def test_claims_carry_no_verdict_and_name_a_test() -> None:
    assert len(claims()) >= 40
    assert len({c["key"] for c in claims()}) == len(claims())
    for claim in claims():
        assert set(claim) <= {"key", "work", "place", "claim", "test", "say"}
        assert claim["test"] in TESTS
        assert "{" not in str(claim["claim"])
        assert not {"verdict", "word", "result"} & set(claim.get("say", {}))
    assert {c["work"] for c in claims()} == set(papers.WORKS) - {"erts_review"}
    assert {c["test"] for c in claims()} == set(TESTS)


def test_without_runs_everything_that_needs_one_is_open(tmp_path: Path) -> None:
    board = papers.scoreboard(tmp_path)
    needs_runs = board["test"].isin(["better", "level", "near_print", "correlates", "above"])
    assert (board.loc[needs_runs, "verdict"] == "open").all()
    assert not (board.loc[~needs_runs, "verdict"] == "open").any()
    assert (board["runs"] == "").all()
    assert set(board["verdict"]) <= set(VERDICTS)


@pytest.mark.parametrize(
    ("aucs", "expected"),
    [
        ((0.90, 0.89, 0.88, 0.80, 0.80, 0.80), "reproduced"),
        ((0.89, 0.89, 0.88, 0.89, 0.80, 0.80), "undecided"),
        ((0.80, 0.80, 0.80, 0.90, 0.80, 0.80), "not"),
    ],
)
def test_the_strongest_model_follows_from_the_runs(
    tmp_path: Path, aucs: tuple[float, ...], expected: str
) -> None:
    for model, auc in list(zip(MODELS, aucs, strict=True))[:-1]:
        record_seeds(tmp_path, auc, model)
    assert verdict(tmp_path, "ptbxl-strongest-5") == "open"  # one model of six is missing
    record_seeds(tmp_path, aucs[-1], MODELS[-1])
    assert verdict(tmp_path, "ptbxl-strongest-5") == expected
    assert verdict(tmp_path, "ptbxl-strongest-6") == "open"  # another task


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [(0.80, "reproduced"), (0.892, "partly"), (0.90, "undecided"), (0.95, "not")],
)
def test_the_margin_follows_from_the_paired_difference(
    tmp_path: Path, baseline: float, expected: str
) -> None:
    for model in MODELS[:3]:
        record_seeds(tmp_path, 0.90, model)
    record_seeds(tmp_path, baseline, method="wavelet_nn")
    assert verdict(tmp_path, "ptbxl-margin-5") == expected


def test_what_shares_neither_seeds_nor_predictions_is_not_compared(tmp_path: Path) -> None:
    for model in MODELS[:3]:
        record(tmp_path, 0.90, model)  # one seed without stored predictions
    record(tmp_path, 0.60, method="wavelet_nn")
    board = papers.scoreboard(tmp_path).set_index("key")
    assert board.loc["ptbxl-margin-5", "verdict"] == "open"
    assert "no seed or test records in common" in str(board.loc["ptbxl-margin-5", "ours"])


def test_a_configuration_may_come_from_another_experiment(tmp_path: Path) -> None:
    where: dict[str, Any] = {"experiment": "ptbxl_benchmark_reduced", "task": "superdiagnostic"}
    for model in MODELS[:3]:
        record_seeds(tmp_path, 0.90, model, **where)
    record_seeds(tmp_path, 0.80, method="wavelet_nn", **where)  # not this one
    assert verdict(tmp_path, "ptbxl-margin-reduced") == "open"
    record_seeds(tmp_path, 0.95, method="wavelet_nn", task="superdiagnostic")
    assert verdict(tmp_path, "ptbxl-margin-reduced") == "not"


@pytest.mark.parametrize(("auc", "expected"), [(0.757, "reproduced"), (0.80, "partly"), (0.90, "not")])
def test_a_printed_value_is_compared_with_its_interval(tmp_path: Path, auc: float, expected: str) -> None:
    record(tmp_path, auc, method="wavelet_nn", half=0.02)  # printed: .757(32)
    assert verdict(tmp_path, "ptbxl-wavelet-5") == expected


@pytest.mark.parametrize(("r", "expected"), [(-0.7, "reproduced"), (-0.55, "partly"), (-0.2, "not")])
def test_a_correlation(tmp_path: Path, r: float, expected: str) -> None:
    where: dict[str, Any] = {"dataset": "csn", "params": {"source": "ptbxl", "validation_share": 0.0}}
    record(tmp_path, r, "resnet1d101", experiment="melep", metric="correlation", half=0.1, **where)
    assert verdict(tmp_path, "melep-r-1") == expected
    assert verdict(tmp_path, "melep-r-2") == "open"


@pytest.mark.parametrize(
    ("auc", "confidence", "expected"),
    [(0.7, 0.6, "reproduced"), (0.7, 0.8, "partly"), (0.55, 0.5, "undecided"), (0.35, 0.4, "not")],
)
def test_focus_must_beat_chance_and_confidence(tmp_path, auc, confidence, expected) -> None:
    say = next(c["say"] for c in claims() if c["key"] == "erts-noise")
    (where,) = say["a"]
    params = {k.split(".")[1]: v for k, v in where.items() if "." in k}
    run = Run(
        "erts_planted",
        "ptbxl",
        "1.0.3",
        "superdiagnostic",
        "resnet18",
        "planted",
        "reduced",
        0,
        params=params,
    )
    values = {"noise_auc": auc, "confidence_auc": confidence}
    metrics = {k: {"point": v, "low": v - 0.1, "high": v + 0.1} for k, v in values.items()}
    made_up = {**REST, "status": "finished", "metrics": metrics}
    write_record(tmp_path, {"run": run.to_dict(), **made_up})
    assert TESTS["above"](tmp_path, say).word == expected


def test_seeds_that_differ_in_an_ignored_parameter_count_together(tmp_path: Path) -> None:
    for seed, (gain, sizes) in enumerate([(0.06, "85 5500"), (0.09, "85 5500"), (0.07, "85")]):
        where: dict[str, Any] = {"experiment": "transfer", "metric": "gain_85", "params": {"records": sizes}}
        record(tmp_path, gain, "resnet1d_wang", "transfer", seed=seed, **where)
    board = papers.scoreboard(tmp_path).set_index("key")
    assert board.loc["ptbxl-transfer-reduced", "verdict"] == "reproduced"
    assert len(str(board.loc["ptbxl-transfer-reduced", "runs"]).split()) == 3


@pytest.mark.parametrize(("half", "expected"), [(0.005, "reproduced"), (0.02, "undecided")])
def test_equal_seeds_do_not_hide_the_luck_of_the_test_patients(
    tmp_path: Path, half: float, expected: str
) -> None:
    for seed in range(3):  # nearly the same leak in each, so that an interval over seeds alone is tiny
        where: dict[str, Any] = {"experiment": "leakage", "metric": "leak", "half": half}
        record(tmp_path, 0.01 + 1e-5 * seed, "resnet1d_wang", "leakage", seed=seed, **where)
    assert verdict(tmp_path, "ptbxl-leakage") == expected


def test_effective_epochs_and_seconds_are_compared_the_lower_the_better(tmp_path: Path) -> None:
    tau: dict[str, Any] = {"tau": 0.7}
    erts: dict[str, Any] = {**tau, "phi": 0.9, "rule": "share"}
    for method, epochs, params in (("erts_dbpd", 20.0, erts), ("dbpd", 30.0, tau), ("full_data", 100.0, {})):
        for seed in (0, 1):
            cost: dict[str, Any] = {
                "effective_epochs": epochs * (1 + seed / 100),
                "seconds": epochs * (1 + seed / 100),
                "params": params,
            }
            where: dict[str, Any] = {"experiment": "erts_ptbxl", "metric": "single_label_f1", "seed": seed}
            record(tmp_path, 0.6, "resnet18", method, **where, **cost)
    assert verdict(tmp_path, "erts-ee-2") == "reproduced"
    assert verdict(tmp_path, "erts-pdd-1") == "reproduced"
    assert verdict(tmp_path, "erts-ee-1") == "open"  # the other rule
    slow: dict[str, Any] = {"effective_epochs": 5.0, "params": {**tau, "granularity": "epoch"}}
    record(tmp_path, 0.6, "resnet18", "dbpd", experiment="erts_ptbxl", metric="single_label_f1", **slow)
    assert verdict(tmp_path, "erts-ee-2") == "reproduced"  # a run with another parameter is another setting


def test_micro_auc_is_computed_from_the_stored_predictions(tmp_path: Path) -> None:
    from ecgbook.runs.records import Predictions, save_predictions
    from ecgkit.evaluation import micro_auc

    rng = np.random.default_rng(0)
    y = (rng.random((200, 3)) < 0.3).astype(np.uint8)
    aucs = {}
    for model, noise in (("light_resnet18/E1", 2.0), ("light_resnet18/E17", 0.5)):
        where: dict[str, Any] = {"experiment": "light_resnet18", "task": "superdiagnostic"}
        record(tmp_path, 0.9, model, **where)
        run = Run("light_resnet18", "ptbxl", "1.0.3", "superdiagnostic", model, "supervised", "paper", 0)
        scores = (y + noise * rng.normal(size=y.shape)).astype(np.float16)
        save_predictions(tmp_path, run, Predictions(np.arange(200), y, scores))
        aucs[model] = micro_auc(y, scores.astype(np.float32))
    board = papers.scoreboard(tmp_path).set_index("key")
    assert board.loc["thesis-better-1", "verdict"] == "reproduced"
    assert f"{aucs['light_resnet18/E17']:.3f}" in str(board.loc["thesis-better-1", "ours"])
    assert board.loc["thesis-better-2", "verdict"] == "open"  # micro precision is not recorded


def test_seeds_are_averaged(tmp_path: Path) -> None:
    for seed, auc in enumerate((0.70, 0.76, 0.82)):
        record(tmp_path, auc, "lstm", seed=seed)
    score = best_score(tmp_path, "ptbxl_benchmark", [{"task": "form", "model": "lstm"}], "macro_auc")
    assert score is not None
    assert score.point == pytest.approx(0.76)
    assert score.low < 0.70 < 0.82 < score.high  # Student's t of three seeds is wide
    assert len(score.runs) == 3


LEVEL = {"experiment": "e", "metric": "macro_auc", "a": [{"model": "lstm"}], "b": [{"model": "fcn_wang"}]}


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ((0.001, -0.001, 0.0), "reproduced"),  # no loss of 0.01 or more
        ((-0.005, -0.009, -0.007), "partly"),  # behind for certain, by less than 0.01
        ((-0.03, -0.031, -0.032), "not"),
        ((0.02, -0.02, 0.0), "undecided"),  # the interval of three seeds tells nothing
    ],
)
def test_level_is_judged_by_the_paired_difference(
    tmp_path: Path, gaps: tuple[float, ...], expected: str
) -> None:
    for seed, gap in enumerate(gaps):
        base = 0.8 + 0.05 * seed  # the seeds differ much more than the networks
        record(tmp_path, base + gap, "lstm", experiment="e", seed=seed)
        record(tmp_path, base, "fcn_wang", experiment="e", seed=seed)
    found = TESTS["level"](tmp_path, LEVEL)
    assert found.word == expected
    assert f"{np.mean(gaps):+.3f}" in found.ours and "3 seeds" in found.ours
    assert len(found.runs) == 6


def test_level_of_one_seed_is_paired_over_the_test_records(tmp_path: Path) -> None:
    from ecgbook.runs.records import Predictions, save_predictions
    from ecgkit.evaluation import macro_auc, paired_bootstrap

    rng = np.random.default_rng(0)
    y = (rng.random((300, 3)) < 0.3).astype(np.uint8)
    scores = {}
    for model, noise in (("lstm", 0.6), ("fcn_wang", 0.4)):
        record(tmp_path, 0.9, model, experiment="e")
        assert TESTS["level"](tmp_path, LEVEL).word == "open"
        run = Run("e", "ptbxl", "1.0.3", "form", model, "supervised", "paper", 0)
        scores[model] = (y + noise * rng.normal(size=y.shape)).astype(np.float16)
        save_predictions(tmp_path, run, Predictions(np.arange(300), y, scores[model]))
    gap = paired_bootstrap(
        macro_auc, y, *(scores[m].astype(np.float32) for m in ("lstm", "fcn_wang")), n=DRAWS, seed=0
    )
    found = TESTS["level"](tmp_path, LEVEL)
    assert gap.high < 0 and gap.difference < -0.01
    assert found.word == "not"
    assert f"{gap.difference:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}" in found.ours


def test_a_verdict_names_its_runs(tmp_path: Path) -> None:
    record(tmp_path, 0.757, method="wavelet_nn")
    board = papers.scoreboard(tmp_path).set_index("key")
    row = board.loc["ptbxl-wavelet-5"]
    assert row["runs"].startswith("ptbxl_benchmark/")
    assert "made up" in row["provenance"]
    assert "0.757" in row["ours"]


def test_closed_forms(tmp_path: Path) -> None:
    assert verdict(tmp_path, "thesis-size-1") == "reproduced"
    assert (
        TESTS["size_reduction"](tmp_path, {"model": "E18", "mb": "0.60", "saved": "99.2%"}).word == "partly"
    )
    assert TESTS["size_reduction"](tmp_path, {"model": "E18", "mb": "1.28", "saved": "90.0%"}).word == "not"


def test_the_page_and_the_badge(tmp_path: Path) -> None:
    board = papers.scoreboard(tmp_path)
    page = markdown(board)
    assert page.count("**open**") == (board["verdict"] == "open").sum()
    assert all(
        len(line.split("|")) == 6 for line in page.splitlines() if line.startswith("| ") and "**" in line
    )
    picture = ElementTree.fromstring(badge(board))
    assert f"{(board['verdict'] == 'open').sum()} open" in str(picture.get("aria-label"))
    assert "http://www.w3.org/2000/svg" in str(picture.tag)


def test_the_command(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["scoreboard", "--work", "erts", "--results", str(tmp_path), "--badge", str(tmp_path / "b.svg")]
    )
    assert done.exit_code == 0, done.output
    assert "erts-f1-1" in done.output
    assert "melep" not in done.output
    assert (tmp_path / "b.svg").read_text().startswith("<svg")
    assert CliRunner().invoke(app, ["scoreboard", "--work", "nobody"]).exit_code == 1


def test_the_board_is_a_plain_table() -> None:
    board = papers.scoreboard()
    assert isinstance(board, pd.DataFrame)
    assert not board.isna().any().any()
