"""The synthetic data set, checked by measuring its signals and reading its files with other libraries."""

import ast
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import io, signal

from ecgkit.datasets import synthetic
from ecgkit.datasets.synthetic import GENERATOR_VERSION, LAYOUTS, make_synthetic
from ecgkit.datasets.synthetic.findings import FINDINGS
from ecgkit.datasets.synthetic.records import (
    Patient,
    SyntheticRecord,
    draw_patient,
    fold_of,
    make_record,
)
from ecgkit.errors import StoreError

LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
SUPERCLASSES = ["NORM", "MI", "STTC", "CD", "HYP"]


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic(
        tmp_path_factory.mktemp("ptbxl") / "ptbxl", n=300, noise_share=0.2, wrong_label_share=0.1
    )


@pytest.fixture(scope="module")
def tables(ptbxl: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_csv(ptbxl / "ptbxl_database.csv"), pd.read_csv(ptbxl / "truth.csv")


@pytest.fixture(scope="module")
def units(ptbxl: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> np.ndarray:
    """The stored integers, (records, leads, samples)."""
    files = [ptbxl / f"{name}.dat" for name in tables[0].filename_lr]
    return np.stack([np.fromfile(file, "<i2").reshape(-1, 12).T for file in files])


def patients(where: Callable[[Patient], bool], count: int, **changes: object) -> list[Patient]:
    drawn = (draw_patient(np.random.default_rng([11, number]), number) for number in range(1, 5000))
    found = []
    for patient in drawn:
        if where(patient):
            found.append(replace(patient, **changes))
        if len(found) == count:
            break
    assert len(found) == count
    return found


def records(
    where: Callable[[Patient], bool],
    count: int,
    keep: Callable[[SyntheticRecord], bool] = lambda record: True,
    **changes: object,
) -> list[SyntheticRecord]:
    """Clean records of some patients, recorded again until `keep` is content."""
    out = []
    for patient in patients(where, count, **changes):
        for attempt in range(400):
            rng = np.random.default_rng([5, patient.number, attempt])
            record = make_record(patient, rng, noise_share=0.0, wrong_label_share=0.0)
            if keep(record):
                out.append(record)
                break
    assert len(out) == count
    return out


def speed(record: SyntheticRecord) -> np.ndarray:
    """How fast the signal moves in all leads together, smoothed over 20 ms."""
    slope = np.abs(np.gradient(signal.savgol_filter(record.signal_mv, 9, 3, axis=1), axis=1)).sum(axis=0)
    return np.convolve(slope, np.ones(5) / 5, "same")


def r_times(record: SyntheticRecord) -> np.ndarray:
    """QRS complexes found in the signal, in seconds."""
    energy = np.convolve(speed(record), np.ones(50) / 50, "same")
    peaks, _ = signal.find_peaks(energy, height=0.4 * np.percentile(energy, 98), distance=130)
    return peaks / 500.0


def qrs_ms(record: SyntheticRecord) -> float:
    """Median width of QRS: where the signal moves faster than 7 % of its fastest."""
    fast, widths = speed(record), []
    for time, kind in record.beats[1:-1]:
        at = round(500 * time)
        part = fast[at - 60 : at + 60]
        if kind == "N" and len(part) == 120:
            over = part > 0.07 * part.max() + np.percentile(fast, 25)
            widths.append(2.0 * (np.flatnonzero(over)[-1] - np.flatnonzero(over)[0]))
    return float(np.median(widths))


def test_leads_obey_einthoven_and_goldberger_exactly() -> None:
    (record,) = records(lambda p: True, 1)
    one, two, three, avr, avl, avf = record.signal_mv[:6]
    np.testing.assert_allclose(three, two - one, atol=1e-12)
    np.testing.assert_allclose(avr + avl + avf, 0.0, atol=1e-12)
    np.testing.assert_allclose(avr, -(one + two) / 2, atol=1e-12)
    np.testing.assert_allclose(avl, (one - three) / 2, atol=1e-12)
    np.testing.assert_allclose(avf, (two + three) / 2, atol=1e-12)


def test_rounded_leads_obey_them_within_rounding(units: np.ndarray) -> None:
    wide = units.astype(int)
    assert np.abs(wide[:, 2] - (wide[:, 1] - wide[:, 0])).max() <= 1
    assert np.abs(wide[:, 3:6].sum(axis=1)).max() <= 1
    assert np.abs(wide).max(axis=(1, 2)).min() > 300


@pytest.mark.parametrize(("rhythm", "low", "high"), [("SBRAD", 38, 60), ("SR", 53, 103), ("STACH", 100, 145)])
def test_measured_heart_rate(rhythm: str, low: float, high: float) -> None:
    for record in records(
        lambda p: not p.rhythm, 6, lambda r: r.rhythm == rhythm and not set(r.severity) & {"PVC", "PAC"}
    ):
        rate = 60.0 / np.diff(r_times(record)).mean()
        assert low < rate < high
        assert rate == pytest.approx(record.heart_rate_bpm, rel=0.06)


def test_beats_found_in_the_signal_are_those_of_the_truth() -> None:
    for record in records(lambda p: True, 25, lambda r: "PACE" not in r.severity):
        true = np.array([time for time, _ in record.beats if 0.15 < time < 9.85])
        found = r_times(record)
        missed = [t for t in true if np.abs(found - t).min() > 0.08]
        assert len(missed) <= 1, (record.severity, missed)


def test_atrial_fibrillation_is_irregular_and_sinus_rhythm_is_not() -> None:
    def spread(record: SyntheticRecord) -> float:
        gaps = np.diff(r_times(record))
        return float(gaps.std() / gaps.mean())

    def quiet(record: SyntheticRecord) -> bool:
        return not set(record.severity) & {"PVC", "PAC", "SARRH"}

    fibrillating = [spread(r) for r in records(lambda p: p.rhythm == "AFIB", 8, quiet)]
    sinus = [spread(r) for r in records(lambda p: "NORM" in p.severity, 8, quiet)]
    assert min(fibrillating) > 0.09 > 0.08 > max(sinus)


def test_left_bundle_branch_block_is_wide_and_normal_is_not() -> None:
    blocked = [qrs_ms(r) for r in records(lambda p: "CLBBB" in p.severity and not p.rhythm, 6)]
    normal = [qrs_ms(r) for r in records(lambda p: "NORM" in p.severity, 12)]
    assert min(blocked) > 120
    assert 65 < np.median(normal) < 105
    assert max(normal) < 120


def test_left_bundle_branch_block_looks_like_one() -> None:
    for record in records(lambda p: "CLBBB" in p.severity and not p.rhythm, 5):
        spans = [s for s in record.evidence if s.finding == "CLBBB"][1:-1]
        mean = np.array(
            [
                record.signal_mv[[6, 11], round(500 * s.start_s) : round(500 * s.start_s) + 75].mean(axis=1)
                for s in spans
            ]
        )
        assert (mean[:, 0] < 0).all()  # a deep S in V1 ...
        assert np.median(mean[:, 1]) > 0  # ... and a broad R in V6


def test_right_bundle_branch_block_ends_to_the_right() -> None:
    for record in records(lambda p: set(p.severity) == {"CRBBB"} and not p.rhythm, 5):
        late = np.array(
            [record.signal_mv[[0, 6], round(500 * (t + 0.05))] for t, k in record.beats[1:-1] if k == "N"]
        )
        assert (np.median(late, axis=0) * [-1, 1] > 0.05).all()  # S in I, R' in V1


def test_ventricular_premature_beats_are_early_wide_and_followed_by_a_pause() -> None:
    for record in records(
        lambda p: not p.rhythm, 6, lambda r: "PVC" in r.severity and r.rhythm in ("SR", "SBRAD")
    ):
        times, kinds = zip(*record.beats, strict=True)
        usual = np.median(np.diff([t for t, k in record.beats if k == "N"]))
        spans = [s for s in record.evidence if s.finding == "PVC"]
        inside = [i for i, k in enumerate(kinds) if k == "V" and 0 < i < len(kinds) - 1]
        assert spans
        for i in inside:
            assert times[i] - times[i - 1] < 0.8 * usual
            assert times[i + 1] - times[i - 1] == pytest.approx(2 * usual, rel=0.2)
            assert any(s.start_s < times[i] < s.end_s for s in spans)
            at = round(500 * times[i])
            assert np.abs(record.signal_mv[:, max(at - 40, 0) : at + 60]).max() > 0.3


def test_long_pr_interval_of_first_degree_block(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    truth = tables[1]
    blocked = truth.findings.map(lambda text: "1AVB" in json.loads(text))
    normal = truth.superclasses == '["NORM"]'
    assert (truth.pr_ms[blocked].dropna() >= 200).all()
    assert truth.pr_ms[normal].between(110, 215).all()
    assert truth.qrs_ms[normal].between(65, 115).all()
    fibrillating = truth.findings.map(lambda text: "AFIB" in json.loads(text))
    assert truth.pr_ms[fibrillating].isna().all()


def test_normal_records_have_the_textbook_pattern(
    units: np.ndarray, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    normal = units[(tables[1].findings == '{"NORM": 1.0, "SR": 1.0}') & ~tables[1].noisy] / 1000.0
    normal = normal - np.median(normal, axis=2, keepdims=True)
    top = np.median(np.percentile(normal, 99.7, axis=2), axis=0)
    bottom = -np.median(np.percentile(normal, 0.3, axis=2), axis=0)
    assert top[6] < top[7] < top[8] < top[9]  # R grows from V1 to V4
    assert bottom[6] > top[6] and bottom[11] < top[11]  # rS in V1, qR in V6
    assert bottom[3] > top[3]  # aVR looks the other way
    assert 0.3 < top[1] < 1.5 and 0.6 < top[10] < 2.0
    assert (tables[0].heart_axis[tables[1].superclasses == '["NORM"]'] == "MID").sum() > 10


def test_women_have_a_longer_qt_and_smaller_voltages() -> None:
    people = patients(lambda p: "NORM" in p.severity, 300)
    women, men = ([p for p in people if p.sex == sex] for sex in ("female", "male"))
    assert np.mean([p.qtc_s for p in women]) - np.mean([p.qtc_s for p in men]) > 0.006
    size = [np.median([np.abs(p.field).mean() for p in group]) for group in (women, men)]
    assert size[0] < size[1]


def test_planted_hum_is_at_50_hz_in_its_leads() -> None:
    rng, seen = np.random.default_rng(0), 0
    for patient in patients(lambda p: True, 60):
        record = make_record(patient, rng, noise_share=1.0)
        hum = [n for n in record.noise if n.kind == "mains"]
        if len(record.noise) == 1 and hum and hum[0].leads:
            rates, power = signal.periodogram(record.signal_mv, 500)
            at_50 = power[:, np.abs(rates - 50) < 0.4].sum(axis=1)
            assert LEADS[int(np.argmax(at_50))] in hum[0].leads
            seen += 1
    assert seen


def test_evidence_lies_in_the_record(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for row in tables[1].itertuples():
        spans = json.loads(str(row.evidence))
        assert {span["finding"] for span in spans} == set(json.loads(str(row.findings)))
        for span in spans + json.loads(str(row.noise)):
            assert 0.0 <= span["start_s"] < span["end_s"] <= 10.0
            assert span["leads"] and set(span["leads"]) <= set(LEADS)


def test_wrong_labels_are_those_of_the_truth(ptbxl: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    database, truth = tables
    statements = pd.read_csv(ptbxl / "scp_statements.csv", index_col=0)
    classes = statements[statements.diagnostic == 1].diagnostic_class.to_dict()
    assert (database.ecg_id == truth.record_id).all()
    said = [
        {classes[code] for code in ast.literal_eval(text) if code in classes} for text in database.scp_codes
    ]
    true = [set(json.loads(text)) for text in truth.superclasses]
    assert said == [set(json.loads(text)) for text in truth.reported_superclasses]
    assert [a != b for a, b in zip(said, true, strict=True)] == truth.wrong_label.tolist()
    assert 0.05 < truth.wrong_label.mean() < 0.16
    for name in SUPERCLASSES:
        assert sum(name in each for each in said) > 20
    for code, finding in FINDINGS.items():
        assert finding.superclass == classes.get(code, ""), code


def test_quality_columns_name_the_planted_noise(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    database, truth = tables
    columns = {
        "baseline_drift": "baseline_drift",
        "mains": "static_noise",
        "muscle": "static_noise",
        "burst": "burst_noise",
        "electrode_pop": "electrodes_problems",
    }
    assert 0.1 < truth.noisy.mean() < 0.3
    for row, planted in zip(database.itertuples(), truth.noise, strict=True):
        noted = {name for name in set(columns.values()) if isinstance(getattr(row, name), str)}
        assert noted == {columns[one["kind"]] for one in json.loads(planted)}


def test_patients_stay_in_one_fold(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    database = tables[0]
    assert database.groupby("patient_id").strat_fold.nunique().max() == 1
    assert database.patient_id.nunique() < len(database)
    assert set(database.strat_fold) == set(range(1, 11))
    assert sorted(fold_of(3, patient) for patient in range(11, 21)) == list(range(1, 11))


def test_headers_agree_with_wfdb(
    ptbxl: Path, tables: tuple[pd.DataFrame, pd.DataFrame], units: np.ndarray
) -> None:
    wfdb = pytest.importorskip("wfdb")
    for name, digital in zip(tables[0].filename_lr[:12], units[:12], strict=True):
        record = wfdb.rdrecord(str(ptbxl / name), physical=False)
        assert (digital == record.d_signal.T).all()
        assert [s.upper() for s in record.sig_name] == [lead.upper() for lead in LEADS]
        assert (record.fs, record.sig_len) == (100, 1000)
        assert record.checksum == [int(c) for c in digital.astype(int).sum(axis=1) % 65536]
        assert record.init_value == digital[:, 0].tolist()
        assert record.adc_gain == [1000.0] * 12


def test_both_rates_show_the_same_heart(tmp_path: Path) -> None:
    root = make_synthetic(tmp_path / "a", n=2, sampling_rates_hz=(100, 500))
    low = np.fromfile(root / "records100/00000/00001_lr.dat", "<i2").reshape(-1, 12)
    high = np.fromfile(root / "records500/00000/00001_hr.dat", "<i2").reshape(-1, 12)
    assert low.shape == (1000, 12) and high.shape == (5000, 12)
    smooth = signal.decimate(high.astype(float), 5, ftype="fir", axis=0)
    assert np.corrcoef(smooth[:, 1], low[:, 1])[0, 1] > 0.98


# Of all files of four records (one of ptb) made from seed 3 by version 2 of the generator.
DIGESTS = {
    "ptbxl": "b3ca5571f3a5d834",
    "cpsc2018": "4268136effa03d0c",
    "cpsc2018_extra": "a1693bdef93ba3aa",
    "georgia": "c026f80bded83c30",
    "csn": "92190e6202ae502b",
    "ptb": "407093aa82be2d24",
    "sph": "9cfc34d31503b076",
}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bytes_again_and_no_dependence_on_n(layout: str, tmp_path: Path) -> None:
    n = 1 if layout == "ptb" else 4
    first, second = (contents(make_synthetic(tmp_path / name, layout, n=n, seed=3)) for name in "ab")
    assert first == second
    digest = hashlib.sha256()
    for name in sorted(first, key=lambda name: Path(name).parts):
        if name != "synthetic.json" and not name.endswith(".h5"):  # HDF5's own bytes vary with its version
            digest.update(name.encode() + first[name])
    assert digest.hexdigest()[:16] == DIGESTS[layout], "raise GENERATOR_VERSION, and pin anew"
    more = contents(make_synthetic(tmp_path / "c", layout, n=n + 1, seed=3))
    signals = [name for name in first if name.endswith((".dat", ".mat", ".h5", ".hea"))]
    assert signals and all(more[name] == first[name] for name in signals)
    assert more["truth.csv"].startswith(first["truth.csv"])
    other = contents(make_synthetic(tmp_path / "d", layout, n=1, seed=4))
    assert other["truth.csv"] != first["truth.csv"]


@pytest.mark.parametrize("layout", ["cpsc2018", "cpsc2018_extra", "georgia", "csn", "ptb"])
def test_challenge_layouts(layout: str, tmp_path: Path) -> None:
    root = make_synthetic(tmp_path / layout, layout, n=2 if layout == "ptb" else 16)
    truth = pd.read_csv(root / "truth.csv", index_col="record_id")
    dotted = 0
    for header in sorted(root.glob("*.hea")):
        lines = header.read_text().splitlines()
        first = lines[0].split()
        values = io.loadmat(header.with_suffix(".mat"))["val"]
        assert values.dtype == np.int16 and values.shape == (12, int(first[3]))
        dotted += first[0].endswith(".mat")
        assert first[0].removesuffix(".mat") == header.stem and header.stem in truth.index
        for row, line in zip(values, lines[1:13], strict=True):
            parts = line.split()
            assert int(parts[5]) == row[0] and (int(parts[6]) - int(row.astype(int).sum())) % 65536 == 0
            assert parts[0] == f"{header.stem}.mat" and parts[1] in ("16+24", "16x1+24")
        assert [line.split()[-1] for line in lines[1:13]] == LEADS
        seconds = values.shape[1] / int(first[2])
        assert 6 <= seconds <= (60 if layout.startswith("cpsc") else 120)
        said = {line.split(":")[0].strip("# "): line.split(":")[1].strip() for line in lines[13:]}
        assert (
            said["Sex"] in ("Male", "Female")
            and said["Dx"]
            and (said["Age"] == "NaN" or int(said["Age"]) > 17)
        )
    assert (dotted > 0) == (layout == "georgia")
    if layout == "cpsc2018":
        reference = pd.read_csv(root / "REFERENCE.csv")
        assert reference.columns.tolist() == ["Recording", "First_label", "Second_label", "Third_label"]
        assert reference.First_label.between(1, 9).all() and len(reference) == 16


def test_sph_layout(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    root = make_synthetic(tmp_path / "sph", "sph", n=6)
    table, codes = (
        pd.read_csv(root / "metadata.csv", dtype={"AHA_Code": str}),
        pd.read_csv(root / "codes.csv"),
    )
    for row in table.itertuples():
        with h5py.File(root / "records" / f"{row.ECG_ID}.h5") as file:
            assert file["ecg"].shape == (12, row.N) and file["ecg"].dtype == np.float16
            assert np.abs(file["ecg"][()]).max() > 0.2
        assert {int(c) for part in str(row.AHA_Code).split(";") for c in part.split("+")} <= set(codes.Code)


def test_it_returns_at_once_when_nothing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_synthetic(tmp_path / "a", n=1)
    monkeypatch.setattr(synthetic, "write_ptbxl", lambda *args: pytest.fail("wrote again"))
    assert make_synthetic(tmp_path / "a", n=1) == root
    assert json.loads((root / "synthetic.json").read_text())["generator_version"] == GENERATOR_VERSION


def test_superclasses_can_be_learnt_but_not_trivially(
    units: np.ndarray, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """Height, depth and spread of each lead, and a linear model, already tell more than chance."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    x = units - np.median(units, axis=2, keepdims=True)
    features = np.concatenate(
        [np.percentile(x, q, axis=2) for q in (0.3, 20, 80, 99.7)] + [x.std(axis=2)], axis=1
    )
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    test = (tables[0].strat_fold > 7).to_numpy()
    aucs = []
    for name in SUPERCLASSES:
        y = tables[1].superclasses.str.contains(name).to_numpy()
        model = LogisticRegression(C=0.05, max_iter=500).fit(features[~test], y[~test])
        aucs.append(roc_auc_score(y[test], model.decision_function(features[test])))
    assert 0.65 < np.mean(aucs) < 0.97


@pytest.mark.real_data
def test_ptbxl_tables_have_the_real_columns(real_data: Path, ptbxl: Path) -> None:
    ours, real = (pd.read_csv(root / "ptbxl_database.csv") for root in (ptbxl, real_data / "ptbxl"))
    assert ours.columns.tolist() == real.columns.tolist()
    for column in real:
        if ours[column].notna().any():
            assert ours[column].dtype == real[column].dtype, column
    for column in ("device", "heart_axis", "infarction_stadium1", "pacemaker"):
        assert set(ours[column].dropna()) <= set(real[column].dropna()), column
    codes = {code for text in ours.scp_codes for code in ast.literal_eval(text)}
    assert codes <= {code for text in real.scp_codes for code in ast.literal_eval(text)}
    statements = [
        pd.read_csv(root / "scp_statements.csv", index_col=0) for root in (ptbxl, real_data / "ptbxl")
    ]
    assert statements[0].columns.tolist() == statements[1].columns.tolist()
    assert set(statements[0].index) == set(statements[1].index)


@pytest.mark.real_data
def test_normal_records_are_as_large_as_real_ones(
    real_data: Path, units: np.ndarray, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    real = pd.read_csv(real_data / "ptbxl" / "ptbxl_database.csv")
    names = real.filename_lr[real.scp_codes.str.startswith("{'NORM': 100.0, 'SR'")].iloc[::30]
    theirs = np.stack([np.fromfile(real_data / "ptbxl" / f"{n}.dat", "<i2").reshape(-1, 12).T for n in names])
    ours = units[(tables[1].superclasses == '["NORM"]') & ~tables[1].noisy]
    ratio = np.median(ours.std(axis=2), axis=0) / np.median(theirs.std(axis=2), axis=0)
    assert (ratio > 0.6).all() and (ratio < 1.6).all(), ratio


def test_other_arguments_replace_what_was_made(tmp_path: Path) -> None:
    root = make_synthetic(tmp_path / "a", "georgia", n=3)
    make_synthetic(root, n=2)
    assert len(pd.read_csv(root / "truth.csv")) == 2 and not list(root.glob("*.mat"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert contents(root) == contents(make_synthetic(tmp_path / "b", n=2))


def _foreign(root: Path) -> None:
    (root / "georgia").mkdir()
    (root / "georgia" / "E00001.hea").write_text("downloaded")


def _old_marker(root: Path) -> None:
    marker = json.loads((root / "synthetic.json").read_text())
    del marker["files"], marker["seal"]
    (root / "synthetic.json").write_text(json.dumps(marker))


def _forged_marker(root: Path) -> None:
    """The list of what may be deleted is believed only with its seal."""
    _foreign(root)
    text = (root / "synthetic.json").read_text()
    digest = hashlib.sha256(b"downloaded").hexdigest()
    (root / "synthetic.json").write_text(
        text.replace('"files": {', f'"files": {{"georgia/E00001.hea": "{digest}",')
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_foreign, "georgia/E00001.hea, which this generator did not write"),
        (lambda root: (root / "truth.csv").write_text("corrected"), "truth.csv was changed since"),
        (_old_marker, "no list of what was made"),
        (_forged_marker, "no list of what was made"),
        (lambda root: (root / "synthetic.json").write_text("[" * 10_000), "no list of what was made"),
        (lambda root: (root / "synthetic.json").unlink(), "did not write"),
        (lambda root: (root / "link").symlink_to(root), "did not write"),
        (lambda root: os.mkfifo(root / "pipe"), "did not write"),
    ],
)
def test_nothing_else_is_deleted(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    root = make_synthetic(tmp_path / "data", n=1)
    change(root)
    before = contents(root)
    with pytest.raises(StoreError, match=message):
        make_synthetic(root, n=2)
    assert contents(root) == before and [path.name for path in tmp_path.iterdir()] == ["data"]


def test_files_that_are_gone_are_made_again(tmp_path: Path) -> None:
    root = make_synthetic(tmp_path / "data", n=1)
    before = contents(root)
    shutil.rmtree(root / "records100")
    assert contents(make_synthetic(root, n=1, sampling_rates_hz=100)) == before


def test_places_that_are_no_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for place in ("file", "file/below", "nowhere", "a" * 5000):
        with pytest.raises(StoreError, match=place):
            make_synthetic(tmp_path / place, n=1)
    assert (tmp_path / "file").read_text() == "mine" and not (tmp_path / "gone").exists()
    (tmp_path / "here" / "empty").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert make_synthetic(".", n=1) == Path() and (Path() / "truth.csv").exists()
    make_synthetic(".", n=2)
    assert len(pd.read_csv("truth.csv")) == 2 and Path("empty").is_dir()


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    root = make_synthetic(tmp_path / "a", n=1)
    before = contents(root)
    monkeypatch.setattr(synthetic, "write_ptbxl", full)
    with pytest.raises(StoreError, match="the disk is full"):
        make_synthetic(root, n=2)
    assert contents(root) == before and [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"dataset": "mimic"}, {"n": 0}, {"n": 1.5}, {"n": 1, "seed": -1}, {"sampling_rates_hz": (250,)},
        {"sampling_rates_hz": ()}, {"noise_share": 1.5}, {"noise_share": float("nan")},
        {"wrong_label_share": -0.1},
    ],
)  # fmt: skip
def test_arguments_are_checked(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"synthetic layout|n must be|shares must|seed must"):
        make_synthetic(tmp_path / "a", **wrong)  # type: ignore[arg-type]
