"""PTB-XL: labels on a table made by hand, and the published numbers on the real data."""

import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_source import write_record

from ecgkit import datasets
from ecgkit.datasets import labels_ptbxl, ptbxl
from ecgkit.datasets.code_systems import TABLES
from ecgkit.datasets.labels_ptbxl import LEVELS, aggregate, classes_of, count_table, likelihoods, statements
from ecgkit.errors import DataNotFoundError, FormatError, RecordError, TableError

ROWS = [  # ecg_id, patient, age, sex, scp_codes, fold, drift, static, burst, electrodes
    (1, 11.0, 56.0, 1, "{'NORM': 100.0, 'SR': 0.0}", 1, None, None, None, None),
    (
        2,
        12.0,
        300.0,
        0,
        "{'IMI': 15.0, 'ASMI': 50.0, 'NDT': 100.0, 'AFIB': 0.0}",
        9,
        ", V6",
        None,
        None,
        None,
    ),
    (3, 13.0, None, 0, "{'PVC': 100.0, 'SR': 0.0}", 10, None, None, None, "V6"),
    (5, 12.0, 80.0, 1, "{'1AVB': 100.0, 'LNGQT': 0.0}", 9, "  ", ", alles,", "V1", None),
]


@pytest.fixture
def table() -> pd.DataFrame:
    names = ["ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", *ptbxl.QUALITY_CLASSES[1:]]
    frame = pd.DataFrame(ROWS, columns=names)
    frame["filename_lr"] = [f"records100/00000/{number:05d}_lr" for number in frame["ecg_id"]]
    frame["filename_hr"] = [f"records500/00000/{number:05d}_hr" for number in frame["ecg_id"]]
    return frame


@pytest.fixture
def folder(tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the published layout, with a cache of its own."""
    root = tmp_path / "data" / "ptbxl"
    (root / "records100" / "00000").mkdir(parents=True)
    table.to_csv(root / "ptbxl_database.csv", index=False)
    rng = np.random.default_rng(0)
    for name in table["filename_lr"]:
        write_record(root / name, rng.integers(-2000, 2000, (12, 1000)).astype(np.int16))
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "cache"))
    return root


def expected(task: str) -> list[set[str]]:
    return {
        "all": [{"NORM", "SR"}, {"IMI", "ASMI", "NDT", "AFIB"}, {"PVC", "SR"}, {"1AVB", "LNGQT"}],
        "diagnostic": [{"NORM"}, {"IMI", "ASMI", "NDT"}, set(), {"1AVB", "LNGQT"}],
        "subdiagnostic": [{"NORM"}, {"IMI", "AMI", "STTC"}, set(), {"_AVB", "STTC"}],
        "superdiagnostic": [{"NORM"}, {"MI", "STTC"}, set(), {"CD", "STTC"}],
        "form": [set(), {"NDT"}, {"PVC"}, {"LNGQT"}],
        "rhythm": [{"SR"}, {"AFIB"}, {"SR"}, set()],
        "sex": [{"female"}, set(), set(), {"female"}],
        "quality": [
            set(),
            {"any", "baseline_drift"},
            {"electrodes_problems"},
            {"any", "static_noise", "burst_noise"},
        ],
    }[task]


@pytest.mark.parametrize("task", [task for task in ptbxl.TASKS if task != "age"])
def test_labels_of_a_table_made_by_hand(folder: Path, task: str) -> None:
    ds = datasets.load("ptbxl", folder, task=task)
    found = [{name for name, made in zip(ds.classes, row, strict=True) if made} for row in ds.labels]
    assert found == expected(task)
    assert list(ds.classes) == sorted(ds.classes) or task == "quality"
    every_record = task in ("sex", "quality")
    assert ds.labelled().meta["record_id"].tolist() == [
        number for number, made in zip([1, 2, 3, 5], expected(task), strict=True) if made or every_record
    ]


def test_ages_above_89_are_unknown_and_marked(folder: Path) -> None:
    ds = datasets.load("ptbxl", folder, task="age")
    np.testing.assert_array_equal(ds.labels[:, 0], [56, np.nan, np.nan, 80])
    np.testing.assert_array_equal(ds.meta["age"], [56, np.nan, np.nan, 80])
    assert ds.meta["age_over_89"].tolist() == [False, True, False, False]
    assert ds.labelled().labels[:, 0].tolist() == [56, 80]


def test_a_root_may_hold_the_data_set_or_be_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    direct, above = datasets.load("ptbxl", folder), datasets.load("ptbxl", folder.parent)
    monkeypatch.setenv("ECGKIT_DATA", str(folder.parent))
    assert direct.fingerprint == above.fingerprint == datasets.load("ptbxl").fingerprint
    monkeypatch.setenv("ECGKIT_DATA", str(folder / "records100"))
    with pytest.raises(DataNotFoundError, match=r"ecgkit data download ptbxl.*ECGKIT_DATA.*synthetic"):
        datasets.load("ptbxl")


def test_wrong_names_are_answered_with_the_right_ones(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"no data set 'ptb_xl'; there are .*ptbxl"):
        datasets.load("ptb_xl")
    with pytest.raises(ValueError, match="no task 'super'; it has superdiagnostic"):
        datasets.load("ptbxl", folder, task="super")
    with pytest.raises(ValueError, match="100, 500 Hz, not at 250 Hz"):
        datasets.load("ptbxl", folder, sampling_rate_hz=250)
    with pytest.raises(DataNotFoundError, match="lists 4 records of ptbxl but holds none of them at 500 Hz"):
        datasets.load("ptbxl", folder, sampling_rate_hz=500)


# One cell changed: column, its text, and what is said of it. Line 3 of the file is record 2.
BAD_CELLS = [
    ("ecg_id", "1.5", "is no whole number"),
    ("ecg_id", "1", "was listed before, in line 2"),
    ("ecg_id", "1e30", "is not a number from 0"),
    ("ecg_id", "", "holds no number"),
    ("ecg_id", "\u00b2", "is no number"),
    ("patient_id", "1e30", "is not a number from 0"),
    ("patient_id", "-4", "is not a number from 0"),
    ("patient_id", "1,234", "is no number"),  # a spreadsheet's thousands, or a decimal comma
    ("age", "old", "is no number"),
    ("age", "150", "is no age"),
    ("age", "inf", "is no number"),
    ("sex", "male", "is not one of 0, 1"),
    ("sex", "0.5", "is not one of 0, 1"),
    ("scp_codes", "__import__('os')", "is no list such as"),
    ("scp_codes", "{'NORM': 'x'}", "is no list such as"),
    ("scp_codes", "{'NORM': 1e999}", "is no list such as"),
    ("scp_codes", "{'NORM': -1}", "is no list such as"),
    ("scp_codes", "[" * 5000, "is no list such as"),
    ("scp_codes", "", "is no list such as"),
    ("strat_fold", "11", "is not a number from 1 to 10"),
    ("strat_fold", "03. Jan", "is no number"),
    ("filename_lr", "", "holds nothing"),
    ("filename_lr", "records100/00000/00001_lr", "was listed before"),  # the same signals twice
    ("validated_by_human", "no", "is not one of true, 1, false, 0"),
    ("height", "tall", "is no number"),
    ("report", "a\x1fb", "holds a control character"),
]


@pytest.mark.parametrize(("column", "cell", "problem"), BAD_CELLS)
def test_a_bad_cell_is_named(folder: Path, table: pd.DataFrame, column: str, cell: str, problem: str) -> None:
    """One bad cell used to wipe its column, or to give a record the wrong number."""
    table = table.assign(validated_by_human=True, height=170, report="").astype({column: object})
    table.loc[1, column] = cell
    table.to_csv(folder / "ptbxl_database.csv", index=False)
    with pytest.raises(TableError) as raised:
        datasets.load("ptbxl", folder)
    said = str(raised.value)
    assert f"ptbxl_database.csv, line 3 (ecg_id {cell if column == 'ecg_id' and cell else ''}" in said
    assert f"column {column}: " in said and problem in said and "correct this cell" in said


def test_an_unknown_statement_and_a_missing_column(folder: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="nowhere"):
        ptbxl.read_metadata(tmp_path / "nowhere.csv")
    table.drop(columns="strat_fold").to_csv(folder / "ptbxl_database.csv")
    with pytest.raises(TableError, match="no column 'strat_fold'"):
        ptbxl.read_metadata(folder)
    table.assign(scp_codes="{'XYZ': 1.0}").to_csv(folder / "ptbxl_database.csv")
    with pytest.raises(TableError, match=r"record 1, column scp_codes: unknown statement 'XYZ'"):
        ptbxl.read_labels(ptbxl.read_metadata(folder))


SPREADSHEET: dict[str, Callable[[str], bytes]] = {
    "BOM": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "semicolons, decimal commas": lambda text: ";".join(requoted(text)).encode(),
    "quoted": lambda text: pd.read_csv(io.StringIO(text), dtype=str).to_csv(index=False, quoting=1).encode(),
    "empty rows and columns": lambda text: (
        "\n".join(line + ",," for line in text.splitlines()) + "\n" + ",,,,\n" * 3
    ).encode(),
    "blanks around cells": lambda text: text.replace(",9,", ", 9 ,").encode(),
    "backslashes": lambda text: text.replace("/", "\\").encode(),
    "endings": lambda text: text.replace("_lr,records", "_lr.hea,records").encode(),
    "decimals": lambda text: text.replace(",9,", ",9.0,").encode(),
}


def requoted(text: str) -> list[str]:
    """The pieces of the table with semicolons between them: 56.0 is 56,0, commas in texts stay."""
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    frame["age"] = frame["age"].str.replace(".", ",")
    return frame.to_csv(index=False, sep=";").split(";")


@pytest.mark.parametrize("change", SPREADSHEET.values(), ids=SPREADSHEET)
def test_what_spreadsheets_do_to_a_table(folder: Path, change: Callable[[str], bytes]) -> None:
    path = folder / "ptbxl_database.csv"
    before = datasets.load("ptbxl", folder)
    assert change(path.read_text()) != path.read_bytes()
    path.write_bytes(change(path.read_text()))
    after = datasets.load("ptbxl", folder)
    assert after.fingerprint == before.fingerprint and after.labels.tolist() == before.labels.tolist()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text[: text.rindex(",9,")], "column strat_fold"),  # cut within the last row
        (lambda text: text.rpartition(",")[0], "column filename_hr"),
        (lambda text: text.replace(",9,", ",9,,,,,,,,,,1", 1), "more cells than"),
        (lambda text: text.replace('"', "", 1), "column|more cells"),
        (lambda text: text.replace(",10,", ',10,"', 1), "quotation marks"),
        (lambda text: text.replace("records100", "\udcff"), "not in UTF-8"),
        (lambda text: "PK\x03\x04" + text, "spreadsheet"),
        (lambda text: text.replace("patient_id", "ecg_id", 1), "no column 'patient_id'"),
    ],
)
def test_damaged_metadata_are_refused(folder: Path, damage: Callable[[str], str], message: str) -> None:
    path = folder / "ptbxl_database.csv"
    text = path.read_text().rstrip("\n")
    assert damage(text) != text
    path.write_text(damage(text), errors="surrogateescape")
    with pytest.raises(RecordError, match=rf"ptbxl_database\.csv.*({message})"):
        ptbxl.read_metadata(folder)


@pytest.mark.parametrize("name", ["ptbxl_database.csv", "scp_statements.csv"])
def test_a_folder_pipe_or_device_as_a_table(folder: Path, name: str) -> None:
    """They are refused at once: reading a pipe or /dev/zero has no end."""
    path = folder / name
    path.unlink(missing_ok=True)
    path.mkdir()
    for _ in range(3):
        with pytest.raises(FormatError, match=rf"{name} is a folder or device"):
            datasets.load("ptbxl", folder)
        path.rmdir() if path.is_dir() else path.unlink()
        if hasattr(os, "mkfifo"):
            os.mkfifo(path)


def test_rows_that_are_lost_from_the_table_are_told(folder: Path, table: pd.DataFrame) -> None:
    table.drop(index=1).to_csv(folder / "ptbxl_database.csv", index=False)
    with pytest.warns(
        UserWarning, match=r"1 of 4 records are left out: .*00002_lr\.hea: .* does not list it"
    ):
        assert len(datasets.load("ptbxl", folder)) == 3
    table[:3].to_csv(folder / "ptbxl_database.csv", index=False)
    with pytest.raises(TableError, match="ends before record 00005_lr; download it again"):
        datasets.load("ptbxl", folder)


def test_half_a_record_and_other_peoples_files(folder: Path) -> None:
    records = folder / "records100" / "00000"
    (records / "._00001_lr.hea").write_bytes(b"\0\5\x16\7")  # macOS
    (records / ".DS_Store").write_bytes(b"\0")
    (records / "00002_lr.dat").unlink()
    (records / "00003_lr.hea").unlink()
    expected = r"2 of 4 .*00002_lr\.hea: its \.dat file is not here; .*00003_lr\.dat: its header"
    with pytest.warns(UserWarning, match=expected):
        assert datasets.load("ptbxl", folder).meta["record_id"].tolist() == [1, 5]


def test_names_in_capital_letters(folder: Path) -> None:
    before = datasets.load("ptbxl", folder)
    for path in list((folder / "records100").rglob("*.*")):
        path.rename(path.with_name(path.name.upper()))
    assert datasets.load("ptbxl", folder).fingerprint == before.fingerprint


def test_records_behind_links_are_found(folder: Path, tmp_path: Path) -> None:
    before = datasets.load("ptbxl", folder)
    (folder / "records100").rename(tmp_path / "elsewhere")
    (folder / "records100").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path)  # a loop
    assert datasets.load("ptbxl", folder).fingerprint == before.fingerprint


def test_records_without_a_patient_stay_apart(folder: Path, table: pd.DataFrame) -> None:
    table.assign(patient_id=[11, None, None, 12]).to_csv(folder / "ptbxl_database.csv", index=False)
    assert datasets.load("ptbxl", folder).meta["patient"].tolist() == [11, -3, -4, 12]


def test_a_missing_sex_stays_missing(folder: Path, table: pd.DataFrame) -> None:
    table.assign(sex=[1, None, 0, 0]).to_csv(folder / "ptbxl_database.csv", index=False)
    ds = datasets.load("ptbxl", folder, task="sex")
    assert ds.meta["sex"].fillna("?").tolist() == ["female", "?", "male", "male"]
    assert ds.known.tolist() == [True, False, True, True]


def test_hierarchy() -> None:
    table = statements()
    assert [len(classes_of(level)) for level in LEVELS] == [71, 44, 23, 5, 19, 12]
    assert classes_of("superdiagnostic") == labels_ptbxl.SUPERCLASSES
    both = table.index[table["diagnostic"] & table["form"]]
    assert sorted(both) == ["DIG", "LNGQT", "NDT", "NST_"]  # 44 + 19 + 12 = 71 + 4
    for code in table.index:
        diagnostic = bool(table.at[code, "diagnostic"])
        assert (labels_ptbxl.superclass_of(code) is not None) == diagnostic
        assert (labels_ptbxl.subclass_of(code) is not None) == diagnostic
    with pytest.raises(KeyError, match="none of the 71"):
        labels_ptbxl.superclass_of("XYZ")


def test_aggregation_agrees_with_a_loop_over_statements() -> None:
    codes = classes_of("all")
    rng = np.random.default_rng(0)
    probabilities = rng.random((20, len(codes))) / 3
    made = (rng.random((20, len(codes))) < 0.05).astype(np.uint8)
    for level, of in (
        ("subdiagnostic", labels_ptbxl.subclass_of),
        ("superdiagnostic", labels_ptbxl.superclass_of),
    ):
        summed, joined = aggregate(probabilities, codes, level), aggregate(made, codes, level)
        assert joined.dtype == np.uint8
        for column, name in enumerate(classes_of(level)):
            children = [number for number, code in enumerate(codes) if of(code) == name]
            np.testing.assert_allclose(
                summed[:, column], np.minimum(probabilities[:, children].sum(axis=1), 1)
            )
            np.testing.assert_array_equal(joined[:, column], made[:, children].any(axis=1))


def test_likelihoods(folder: Path) -> None:
    meta = datasets.load("ptbxl", folder).meta
    found = likelihoods(meta, ["IMI", "NDT", "SR"])
    np.testing.assert_array_equal(
        found,
        np.array([[np.nan, np.nan, 0], [0.15, 1, np.nan], [np.nan, np.nan, 0], [np.nan] * 3], np.float32),
    )


# The real data

TABLE_I = {  # the benchmark's Table I as printed: classes, then records with 0, 1, 2, 3, >= 4 labels
    "diagnostic": (44, 407, 15019, 4242, 1515, 654),
    "subdiagnostic": (24, 407, 16272, 4079, 920, 159),
    "superdiagnostic": (5, 407, 15239, 4171, 1439, 581),
    "form": (19, 12849, 6693, 1672, 524, 99),
    "rhythm": (12, 771, 20923, 142, 1, 0),
    "all": (71, 0, 705, 11247, 5114, 4771),
}


@pytest.mark.real_data
def test_table_i_with_the_metadata_of_1_0_1(real_data: Path) -> None:
    meta = ptbxl.read_metadata(real_data / "ptbxl" / "ptbxl_database_v1.0.1.csv")
    assert len(meta) == 21837 and meta.attrs["version"] == "1.0.1"
    labels = ptbxl.read_labels(meta)
    ours = count_table({level: labels[level] for level in LEVELS})
    printed = pd.DataFrame.from_dict(TABLE_I, orient="index", columns=ours.columns)
    for level in ("diagnostic", "form", "rhythm", "all"):
        assert ours.loc[level].tolist() == printed.loc[level].tolist()
    # The printed rows of sub- and superclasses are exchanged, and there are 23 subclasses, not 24.
    assert ours.loc["subdiagnostic"].tolist() == [23, *printed.loc["superdiagnostic"].tolist()[1:]]
    assert ours.loc["superdiagnostic"].tolist() == [5, *printed.loc["subdiagnostic"].tolist()[1:]]
    assert meta["age"].max() == 95  # 1.0.1 does not hide ages


@pytest.mark.real_data
def test_the_published_numbers_of_1_0_3(real_data: Path) -> None:
    ds = datasets.load("ptbxl", real_data / "ptbxl")
    assert len(ds) == 21799 and ds.version == "1.0.3" and ds.signals.shape == (21799, 12, 1000)
    assert ds.meta["patient"].nunique() == 18869
    assert dict(zip(ds.classes, ds.labels.sum(axis=0).tolist(), strict=True)) == {
        "NORM": 9514,
        "MI": 5469,
        "STTC": 5235,
        "CD": 4898,
        "HYP": 2649,
    }
    assert len(ds) - len(ds.labelled()) == 411
    train, validation, test = ds.split()
    assert len(test) == 2198 and len(train) + len(validation) + len(test) == 21799
    assert (ds.meta.groupby("patient")["fold"].nunique() == 1).all()
    age = datasets.load("ptbxl", real_data / "ptbxl", task="age").labelled()
    assert np.nanmax(age.labels) <= 89 and len(age) == 21799 - 89 - int(ds.meta["age_over_89"].sum())
    quality = datasets.load("ptbxl", real_data / "ptbxl", task="quality")
    assert 0.22 <= quality.labels[:, 0].mean() < 0.23  # "about 22 %", section III-D


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "1AVB,first degree AV block,1.0",
            "1AVB,first degree AV block,x",
            "column diagnostic: 'x' is not one",
        ),
        ("1AVB,first", "2AVB,first", "'2AVB' was listed before"),
        ("CD,_AVB", ",_AVB", "column diagnostic_class: '' is no class"),
        ("1AVB,first", ",first", "'' holds nothing"),
        (",rhythm,", ",rythm,", "no column 'rhythm'"),
    ],
)
def test_a_bad_cell_among_the_statements_is_named(folder: Path, old: str, new: str, message: str) -> None:
    text = (TABLES / "scp_statements.csv").read_text()
    assert old in text
    (folder / "scp_statements.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(TableError, match=rf"scp_statements\.csv.*{message}"):
        datasets.load("ptbxl", folder)


def test_a_table_of_statements_is_read_anew(folder: Path) -> None:
    own, text = folder / "scp_statements.csv", (TABLES / "scp_statements.csv").read_text()
    own.write_text(text.replace(",,,", ", ,,", 1))  # a blank in an empty cell wiped the rhythm statements
    assert [len(datasets.load("ptbxl", folder, task=task).classes) for task in ("all", "rhythm")] == [71, 12]
    own.write_text("".join(row for row in text.splitlines(keepends=True) if not row.startswith("WPW")))
    assert len(datasets.load("ptbxl", folder, task="all").classes) == 70


@pytest.mark.real_data
def test_the_tables_of_statements_agree(real_data: Path) -> None:
    published = statements(real_data / "ptbxl" / "scp_statements.csv")
    pd.testing.assert_frame_equal(published, statements())


@pytest.mark.real_data
@pytest.mark.parametrize("rate", [100, 500])
def test_signals_equal_those_of_wfdb(real_data: Path, rate: int) -> None:
    import wfdb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not all records need be there at 500 Hz
        ds = datasets.load("ptbxl", real_data / "ptbxl", sampling_rate_hz=rate)
    for row in np.random.default_rng(rate).choice(len(ds), 10, replace=False):
        number = int(ds.meta["record_id"].iloc[row])
        suffix = "lr" if rate == 100 else "hr"
        stem = (
            real_data / "ptbxl" / f"records{rate}" / f"{number // 1000 * 1000:05d}" / f"{number:05d}_{suffix}"
        )
        record = wfdb.rdrecord(str(stem), physical=False)
        assert [name.lower() for name in record.sig_name] == [name.lower() for name in ds.leads]
        assert record.fs == ds.sampling_rate_hz and set(record.adc_gain) == {1 / ds.mv_per_unit}
        np.testing.assert_array_equal(ds.signals[row], record.d_signal.T)


@pytest.mark.real_data
def test_likelihoods_of_all_records(real_data: Path) -> None:
    meta = datasets.load("ptbxl", real_data / "ptbxl").meta
    found = likelihoods(meta)
    percent, count = np.unique(found[~np.isnan(found)] * 100, return_counts=True)
    common = dict(zip(percent.round(1).tolist(), count.tolist(), strict=True))
    assert common == {0: 28992, 10: 1, 14: 1, 15: 1752, 30: 1, 34: 1, 35: 417, 50: 3246, 80: 2222, 100: 24374}
    assert count.sum() == sum(len(json.loads(text)) for text in meta["scp_codes"])
