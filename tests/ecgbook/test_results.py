"""The results store, its tables, and the check that finds what is wrong with it."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_runner import fake_execute, make_run
from scipy import stats

from ecgbook.page.tables import Table, paper_vs_ours
from ecgbook.papers.verdicts import best_score
from ecgbook.runs.check import changed_code, check, check_record
from ecgbook.runs.records import (
    Predictions,
    content_sha256,
    load_predictions,
    read_predictions,
    read_record,
    record_path,
    results_folder,
    save_predictions,
    write_record,
)
from ecgbook.runs.results import aggregate, load, provenance, run_references
from ecgkit.errors import DamagedError, EcgkitError, FormatError, RecordError
from ecgkit.evaluation import class_aucs


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three seeds of two models."""
    for seed in range(3):
        for model in ("fake", "other"):
            fake_execute(make_run(seed, model, width=[8, 16]), tmp_path / "results", epoch_s=0.0)
    (tmp_path / "results" / "epochs.log").unlink()
    return tmp_path / "results"


def test_load_gives_a_tidy_table(results: Path) -> None:
    frame = load("demo", results)
    assert len(frame) == 6
    assert frame["model"].tolist() == ["fake"] * 3 + ["other"] * 3
    assert frame["seed"].tolist() == [0, 1, 2] * 2
    assert frame["params.width"].tolist() == ["[8, 16]"] * 6
    assert frame["epochs"].tolist() == [5] * 6
    assert (frame["macro_auc_low"] <= frame["macro_auc"]).all()
    assert frame["records_test"].tolist() == [40] * 6
    assert load("nothing", results).empty


def test_aggregate_is_the_mean_with_a_t_interval(results: Path) -> None:
    frame = load("demo", results)
    row = aggregate(frame).set_index("model").loc["fake"]
    values = frame.loc[frame["model"] == "fake", "macro_auc"].to_numpy()
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert row["seeds"] == 3
    assert (row["macro_auc"], row["macro_auc_low"]) == pytest.approx((values.mean(), low))
    assert row["macro_auc_high"] == pytest.approx(high)
    one = aggregate(frame[frame["seed"] == 0]).iloc[0]
    assert (one["seeds"], one["macro_auc_low"]) == (1, frame["macro_auc_low"].iloc[0])
    assert "macro_auc_seeds" not in row


def test_aggregate_drops_no_metric_and_counts_no_run_twice(results: Path) -> None:
    frame = load("demo", results).query("model == 'fake'")
    pd.testing.assert_frame_equal(aggregate(pd.concat([frame, frame, frame[:1]])), aggregate(frame))
    without = frame.assign(macro_auc=frame["macro_auc"].mask(frame["seed"] != 2))
    (row,) = aggregate(without).to_dict("records")
    last = frame[frame["seed"] == 2].iloc[0]  # only the last of three has the metric: its own interval
    assert (row["seeds"], row["macro_auc_seeds"], row["macro_auc"]) == (3, 1, last["macro_auc"])
    assert (row["macro_auc_low"], row["macro_auc_high"]) == (last["macro_auc_low"], last["macro_auc_high"])
    (row,) = aggregate(frame.assign(macro_auc=np.nan)).to_dict("records")
    assert np.isnan(row["macro_auc"]) and row["seeds"] == 3
    assert aggregate(load("nothing", results)).empty


def test_predictions_come_back_as_float16_with_labels_and_ids(tmp_path: Path) -> None:
    run = make_run()
    scores, labels = np.random.default_rng(0).random((7, 3)), np.eye(7, 3, dtype=np.uint8)
    ids = np.array([f"A{i}" for i in range(7)])
    learned = {"train": Predictions(np.arange(5), labels[:5], scores[:5])}
    save_predictions(tmp_path, run, Predictions(ids, labels, scores), learned)
    stored = load_predictions(run.hash[:6], tmp_path)
    assert stored.record_ids.tolist() == [f"A{i}" for i in range(7)]
    assert (stored.y_true == labels).all() and stored.y_true.dtype == np.uint8
    assert (stored.y_score == scores.astype(np.float16)).all()
    train = load_predictions(run.hash, tmp_path, "train")
    assert train.record_ids.tolist() == list(range(5)) and (train.y_true == labels[:5]).all()
    assert (train.y_score == scores[:5].astype(np.float16)).all()
    with pytest.raises(ValueError, match="no scores of validation records"):
        load_predictions(run.hash, tmp_path, "validation")
    for key in ("ffff", "", "*", "../x"):
        with pytest.raises(FileNotFoundError, match="0 files"):
            load_predictions(key, tmp_path)
    with pytest.raises(ValueError, match="do not fit"):
        save_predictions(tmp_path, run, Predictions(ids[:6], labels, scores))
    with pytest.raises(ValueError, match="5 train records"):
        save_predictions(tmp_path, run, stored, {"train": Predictions(np.arange(5), labels, scores)})


def test_a_whole_store_has_no_problems(results: Path) -> None:
    assert check(results) == []


def first(results: Path) -> Path:
    return sorted(results.glob("demo/*.json"))[0]


def rewrite(path: Path, seal: bool = True, **changes: object) -> None:
    """Write a record again with other values; a field that becomes ``...`` is left out."""
    record = {**json.loads(path.read_text()), **changes}
    record = {name: value for name, value in record.items() if value is not ...}
    if seal:
        record["content_sha256"] = content_sha256(record)
    path.write_text(json.dumps(record))


def test_a_number_edited_by_hand_is_found(results: Path) -> None:
    path = first(results)
    metrics = {"macro_auc": {"point": 0.99, "low": 0.98, "high": 1.0}}
    rewrite(path, seal=False, metrics=metrics)
    assert "was changed after the run wrote it" in check(results)[0]
    with pytest.raises(RecordError, match=path.name):
        load("demo", results)
    rewrite(path, metrics=metrics)  # even with a forged seal: the predictions tell
    assert "its predictions give" in check(results)[0]


def test_classes_and_counts_are_computed_again_too(results: Path) -> None:
    path = first(results)
    stored = load_predictions(path.stem, results)
    aucs, positives = class_aucs(stored.y_true, stored.y_score), stored.y_true.sum(axis=0)
    rows = [
        {"class": name, "auc": float(auc), "positives": {"train": 1, "validation": 1, "test": int(count)}}
        for name, auc, count in zip("abc", aucs, positives, strict=True)
    ]
    counted = {
        "accounting": {"backprop": 500, "dropped": 3},
        "samples_backprop": 500,
        "effective_epochs": 5.0,
    }
    curve = [{"epoch": 1, "dropped": 1}, {"epoch": 2, "dropped": 2}]
    rewrite(path, per_class=rows, curve=curve, **counted)
    assert check_record(path) == []
    for forged, message in (
        ({"per_class": [{**rows[0], "auc": 0.99}, *rows[1:]]}, "AUC of a is 0.99"),
        ({"per_class": [{**rows[0], "auc": None}, *rows[1:]]}, "AUC of a is None"),
        ({"per_class": rows[:2]}, "2 classes, but predictions for 3"),
        ({"per_class": [{**rows[0], "positives": {"test": 0}}, *rows[1:]]}, "0 positive test records of a"),
        ({"effective_epochs": 4.0}, "effective_epochs is not"),
        ({"samples_backprop": 400, "effective_epochs": 4.0}, "count different windows"),
        ({"curve": curve[:1]}, "the epochs add up to 1"),
    ):
        rewrite(path, **{"per_class": rows, "curve": curve, **counted, **forged})
        assert [message in problem for problem in check_record(path)] == [True], message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": 5}, "field device is not what a run writes: 5"),
        ({"curve": None}, "field curve is not"),
        ({"curve": [1]}, "field curve is not"),
        ({"schema": 2}, "has schema 2, not 1"),
        ({"status": "half"}, "status 'half' is neither"),
        ({"hash": "0" * 16}, "its run belongs to"),
        ({"run": {}}, "field run"),
        ({"run": {**make_run().to_dict(), "params": 5}}, "field run"),
        ({"metrics": {"macro_auc": {"point": 0.5, "low": 0.6, "high": 0.7}}}, "no point in an interval"),
        ({"data": {"records": {"train": 9, "validation": 9, "test": 41}}}, "40 predictions for 41"),
        ({"metrics": {"macro_auc": {"point": None, "low": 0.6, "high": 0.7}}}, "field metrics is not"),
        ({"metrics": {"macro_auc": 0.5}}, "field metrics is not"),
        (
            {"metrics": {"class_aucs": {"point": 0.5, "low": 0.5, "high": 0.5}}},
            "cannot be checked (TypeError",
        ),
        ({"samples_backprop": 10**400}, "field samples_backprop is not"),
        ({"effective_epochs": True}, "field effective_epochs is not"),
        ({"seconds": {"train": "long"}}, "field seconds is not"),
        ({"accounting": []}, "field accounting is not"),
        ({"per_class": [{"class": "a"}]}, "field per_class is not"),
        ({"data": {}}, "field data is not"),
        ({"intervals": "as drawn"}, "does not say how the interval of macro_auc was drawn"),
        ({"intervals": "bootstrap over test records, 99999999 draws, 95 %"}, "99,999,999 times"),
        ({"intervals": ...}, "field intervals is missing"),
        ({"config": ...}, "field config is missing"),
        ({"threads": ...}, "field threads is missing"),
        ({"predictions": "gone.npz"}, "are missing"),
        ({"predictions": None}, "names no predictions, but"),
        ({"predictions_sha256": "0" * 64}, "npz was changed after the run wrote it"),
    ],
)
def test_a_record_that_is_not_whole_is_found(results: Path, changes: dict[str, object], message: str) -> None:
    rewrite(first(results), **changes)
    problems = check_record(first(results))
    assert any(message in problem for problem in problems), problems
    assert all(problem.startswith(str(first(results))) for problem in problems)


def test_the_memory_may_be_unknown(results: Path) -> None:
    rewrite(first(results), peak_memory_mib=None)  # as on Windows
    assert check(results) == []


def test_an_interval_that_was_forged_is_found(results: Path) -> None:
    value = read_record(first(results))["metrics"]["macro_auc"]
    for end, shift in (("low", -0.01), ("high", 0.01)):
        rewrite(first(results), metrics={"macro_auc": {**value, end: value[end] + shift}})
        assert ["interval of macro_auc is" in problem for problem in check(results)] == [True]
    rewrite(first(results), metrics={"macro_auc": value})
    assert check(results) == []


def test_predictions_that_are_damaged_are_a_problem_and_a_copy_of_them_is_another(results: Path) -> None:
    path = first(results).with_suffix(".npz")
    content = path.read_bytes()
    (results / "other").mkdir()
    (results / "other" / path.name).write_bytes(content)
    assert check(results) == [f"{results / 'other' / path.name}: predictions without a record"]
    (results / "other" / path.name).unlink()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    for damaged in (content[:-30], b"", b"no zip", bytes(flipped)):
        path.write_bytes(damaged)
        assert ["cannot be" in problem and str(path) in problem for problem in check(results)] == [True]
        with pytest.raises(RecordError, match=path.name):
            load_predictions(path.stem, results)


def write_arrays(path: Path, **changes: Any) -> None:
    """Write predictions again with other arrays."""
    with np.load(path) as stored:
        np.savez_compressed(path, **{**dict(stored), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"y_score": np.zeros((40, 3), np.complex64)},
        {"y_score": np.zeros((40, 3), "U5")},
        {"y_score": np.zeros((39, 3), np.float16)},
        {"y_score": np.zeros(40, np.float16), "y_true": np.zeros(40, np.uint8)},
        {"y_score": np.array([{}], object)},
        {"record_ids": np.arange(39)},
    ],
)
def test_predictions_of_another_form_are_damaged(results: Path, changes: dict[str, Any]) -> None:
    path = first(results).with_suffix(".npz")
    write_arrays(path, **changes)
    with pytest.raises(DamagedError, match=rf"{path} cannot be read .* restore it, or delete it"):
        read_predictions(path)
    assert len(check(results)) == 1


def test_predictions_that_unpack_to_gigabytes_are_not_read(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecgbook.runs.records._MAX_UNPACKED", 2**20)
    path = first(results).with_suffix(".npz")
    write_arrays(path, y_true=np.zeros((40, 2**15), np.uint8))
    with pytest.raises(DamagedError, match="more than 1,048,576 bytes"):
        read_predictions(path)


def test_a_record_twice_among_the_predictions_or_a_nan_is_found(results: Path) -> None:
    path = first(results).with_suffix(".npz")
    write_arrays(path, record_ids=np.array([0, *range(39)]))
    assert ["hold a record twice" in problem for problem in check(results)] == [True]
    write_arrays(path, y_score=np.full((40, 3), np.nan, np.float16))
    assert ["cannot be checked (ValueError" in problem for problem in check(results)] == [True]


def test_a_copy_of_a_record_is_not_another_run(results: Path) -> None:
    path = first(results)
    for copy in (path.with_stem("0" * 16), results / "other" / path.name):
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
        with pytest.raises(DamagedError, match=rf"{copy}: its run belongs to demo/{path.name}"):
            load(copy.parent.name, results)
        copy.unlink()


@pytest.mark.parametrize("name", ["", "/abs", "..", "*", "a/b"])
def test_what_names_no_experiment_is_an_argument_error(results: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a folder"):
        load(name, results)


def test_what_is_no_record_ends_in_one_sentence(results: Path) -> None:
    path = first(results)
    content = path.read_bytes()
    for damaged in (b"[" * 10**5, b"\xff", b"{}", b"[]", b"1" * 5000, b"", b'{"a": "\\ud800"}'):
        path.write_bytes(damaged)
        with pytest.raises(DamagedError, match=rf"{path} .*run again"):
            read_record(path)
    path.write_bytes(content)
    rewrite(path, schema=2)
    with pytest.raises(FormatError, match="schema 2"):
        read_record(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="do the run"):
        read_record(path)
    os.mkfifo(path)  # reading it would wait for ever
    with pytest.raises(DamagedError, match="take it out"):
        read_record(path)


def test_mutated_records_never_end_in_a_traceback(results: Path) -> None:
    """Bytes changed at random, and fields replaced at random under a new seal."""
    path, rng = first(results), np.random.default_rng(0)
    text, predictions = path.read_bytes(), path.with_suffix(".npz").read_bytes()
    values: list[Any] = [None, True, -1, 10**30, 1e300, "", "x", [], [None], {}, {"a": None}, [[]], [{}]]
    refused = 0
    for number in range(120):
        path.write_bytes(text)
        path.with_suffix(".npz").write_bytes(predictions)
        if number % 2:
            file = path if number % 4 == 1 else path.with_suffix(".npz")
            mutated = bytearray(file.read_bytes())
            for place in rng.integers(0, len(mutated), rng.integers(1, 4)):
                mutated[place] = rng.integers(0, 256)
            file.write_bytes(mutated)
        else:
            changed = json.loads(text)
            inside = changed
            while True:  # walk to a random place
                keys = list(inside) if isinstance(inside, dict) else range(len(inside))
                key = keys[rng.integers(len(keys))]
                if not isinstance(inside[key], dict | list) or not inside[key] or rng.random() < 0.3:
                    break
                inside = inside[key]
            inside[key] = values[rng.integers(len(values))]
            path.write_text(json.dumps({**changed, "content_sha256": content_sha256(changed)}))
        try:
            frame = load("demo", results)
            aggregate(frame)
            best_score(results, "demo", [{"model": "fake"}, {"model": "other"}], "macro_auc")
            load_predictions(path.stem, results)
        except EcgkitError as error:
            assert str(path.with_suffix("")) in str(error)
            refused += 1
        for problem in check_record(path):
            assert str(path.with_suffix("")) in problem, problem
    assert 60 < refused < 120, "the mutations are too harmless, or nothing is read at all"


def test_code_that_cannot_be_identified_is_counted(results: Path) -> None:
    assert changed_code(results) == []
    rewrite(first(results), commit="abc+changes")
    assert changed_code(results) == [f"demo/{first(results).stem}"]
    first(results).write_text("{")
    assert changed_code(results) == []


def test_files_that_are_torn_or_alone_are_found(results: Path) -> None:
    path = first(results)
    other = sorted(results.glob("demo/*.json"))[1]
    other.write_text(other.read_text().replace('"threads": 1', '"threads": NaN'))  # which JSON does not know
    path.write_text(path.read_text()[:100])
    (results / "demo" / "stray.npz").touch()
    (results / "demo" / "notes.txt").touch()
    problems = check(results)
    assert sum("is not a whole JSON file" in problem for problem in problems) == 2
    assert any("without a record" in p for p in problems)
    assert any("does not belong" in p for p in problems)


def test_a_nan_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_record(tmp_path, {"run": make_run().to_dict(), "status": "finished", "x": float("nan")})
    assert not list(tmp_path.rglob("*.*"))


def test_pages_are_compared_with_the_records(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = load("demo", results)
    page = tmp_path / "page.html"
    page.write_text(Table(runs[["model", "macro_auc"]], runs)._repr_html_())
    assert len(run_references(runs)) == 6
    assert check(results, [page]) == []
    rewrite(first(results), commit="another")
    assert "shows an older record" in check(results, [tmp_path])[0]
    first(results).write_text(first(results).read_text()[:100])
    of_record, of_page = check(results, [page])
    assert "is not a whole JSON file" in of_record and of_page == f"{page}: {of_record}"
    first(results).with_suffix(".npz").unlink()
    first(results).unlink()
    assert "not in the results" in check(results, [page])[0]
    source = tmp_path / "chapter.md"
    source.write_text('runs = results.load("demo")\nothers = results.load("planned")\n')
    assert "'planned'" in check(results, [source])[0]
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "s.yaml").write_text("experiment: planned\n")
    assert check(results, [source]) == []


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("ecgkit: {results: [demo, planned]}", "loads 'planned', which is neither"),
        ("ecgkit: {results: demo}", "a list of experiments is wanted"),
        ("ecgkit: [", "front matter is not valid YAML"),
        ("ecgkit: {data: [ptbxl]}", None),
        ("kernelspec: {name: python3}", None),
    ],
)
def test_experiments_that_a_page_declares_must_exist(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, message: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "chapter.md"
    source.write_text(f"---\n{head}\n---\nText.\n")
    problems = check(results, [source])
    assert [message in problem for problem in problems if message] == [True] * (message is not None)
    assert len(problems) == (message is not None)


def test_a_notebook_declares_what_it_loads_in_its_metadata(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(json.dumps({"cells": [], "metadata": {"ecgkit": {"results": ["demo", "planned"]}}}))
    assert ["'planned'" in problem for problem in check(results, [notebook])] == [True]
    notebook.write_text("[1")
    assert ["is no notebook" in problem for problem in check(results, [notebook])] == [True]


def test_references_survive_in_a_stored_notebook(results: Path, tmp_path: Path) -> None:
    runs = load("demo", results)
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(json.dumps({"outputs": [{"data": {"text/html": [Table(runs, runs)._repr_html_()]}}]}))
    assert check(results, [notebook]) == []
    first(results).with_suffix(".npz").unlink()
    first(results).unlink()
    assert "not in the results" in check(results, [notebook])[0]


def test_provenance_and_paper_beside_ours(results: Path) -> None:
    runs = load("demo", results)
    line = provenance(runs)
    total = int(runs[["records_train", "records_validation", "records_test"]].sum(axis=1).iloc[0])
    assert f"tasks drawn from {total:,} records" in provenance(runs.assign(method="melep_folds"))
    assert "synthetic 1; 40 test records; 6 runs, 3 seeds per setting" in line
    longer = runs.assign(**{"params.width": ["[8, 16]"] * 5 + ["[8]"]})  # another setting, one seed
    assert "6 runs, 1–3 seeds per setting" in provenance(longer)
    assert "1 run, 1 seed per setting" in provenance(runs[:1])
    assert "6 runs; protocol" in Table(aggregate(runs)[["model", "seeds"]], runs).caption
    assert "3 seeds per setting" in Table(runs[["model", "seed"]], runs).caption
    paper = pd.DataFrame({"task": "toy", "model": ["fake", "missing"], "paper": [0.925, 0.5]})
    table = paper_vs_ours(paper, runs, ["task", "model"], "macro_auc")
    mean = runs.loc[runs["model"] == "fake", "macro_auc"].mean()
    assert table["ours"].tolist() == [f"{mean:.3f}", "not run"]
    assert table["seeds"].tolist() == [3, 0]
    assert table["difference"].tolist() == [f"{mean - 0.925:+.3f}", ""]
    with pytest.raises(ValueError, match="several configurations"):
        paper_vs_ours(paper[["task", "paper"]], runs, ["task"], "macro_auc")
    empty = load("nothing", results)
    assert "ecgbook sweep x" in repr(Table(empty, empty, "ecgbook sweep x"))
    assert paper_vs_ours(paper, empty, ["task", "model"], "macro_auc")["ours"].tolist() == ["not run"] * 2


def test_an_interval_breaks_in_one_place() -> None:
    frame = pd.DataFrame({"a": ["0.9 ± 0.1", "0.9 (0.8 to 1.0)", "-0.1 to +0.2", "to be or not"]})
    shown = Table(frame, pd.DataFrame())._repr_html_()
    for words in ("0.9 ±\xa00.1", "0.9 (0.8 to\xa01.0)", "-0.1 to\xa0+0.2", "to be or not"):
        assert words in shown


def test_a_record_says_what_was_written(results: Path) -> None:
    run = make_run(0, "fake", width=[8, 16])
    record = read_record(record_path(results, run))
    assert record["hash"] == run.hash
    assert record["content_sha256"] == content_sha256(record)


def test_the_results_folder_is_found_from_a_notebooks_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECGKIT_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    checkout = Path(__file__).parents[2] / "results"
    assert results_folder().resolve() == checkout.resolve()
    assert results_folder(to_write=True) == Path("results")  # never the checkout
    (tmp_path / "results").mkdir()
    assert results_folder() == Path("results")
    monkeypatch.setenv("ECGKIT_RESULTS", str(tmp_path / "elsewhere"))
    assert results_folder() == tmp_path / "elsewhere"
    assert results_folder("mine") == Path("mine")
