"""Read 10,000 damaged headers, data files, tables and result records, and count what goes wrong.

Every case is a sound file with one to three changes (bits, bytes, pieces, fields), drawn from a fixed seed.
It is read in a process of its own with 4 GiB of memory. A case fails if

- reading raises anything but an error of ecgkit's own (counted as traceback),
- the process ends or takes more than 20 seconds (crash, hang),
- a signal comes out that is not the right one (wrong): not the original where a checksum guards it, not what
  wfdb reads of the same header, not finite, or of an impossible size; or a table, of which one cell was
  changed, differs in other rows.

    python benchmarks/mutations.py              # 10,000 cases, into benchmarks/mutations.json
    python benchmarks/mutations.py --cases 500  # fewer, printed only
"""

import argparse
import csv
import io
import json
import multiprocessing
import operator
import resource
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import wfdb

from ecgbook.runs.records import read_record as read_result
from ecgkit.datasets import ptbxl, sph
from ecgkit.datasets.labels_challenge import read_labels
from ecgkit.errors import EcgkitError
from ecgkit.signals import STANDARD_LEADS, Record, read_record

CASES, SEED, SECONDS, MEMORY = 10_000, 2026, 20.0, 4 * 2**30
SAMPLES = 200
KINDS = ("header", "data file", "table", "result record")
NASTY = (
    "", "0", "-1", "1e999", "1e-300", "nan", "NaN", "inf", "9" * 40, "9" * 5000, "1e30", "0.5", "x", "²", "~",
    "\0", "-", "../a", "a/b", "500/2", "(", "1e5", "65536", "2147483648", "16x2", "212", "8", "mV", "{",
    "[[[[", "''", "male",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A sound file: its kind, its folder and name, how it is read, and what must come out."""

    kind: str
    file: Path
    read: Callable[[], Any]
    judge: Callable[[Any], bool]


def digital_signal() -> np.ndarray:
    return np.random.default_rng(0).integers(-900, 900, (12, SAMPLES)).astype("<i2")


def header_text(digital: np.ndarray, file: str, form: str) -> str:
    lines = [
        f"{file} {form} 1000(0)/mV 16 0 {row[0]} {int(row.sum(dtype=int)) % 65536} 0 {lead}"
        for row, lead in zip(digital, STANDARD_LEADS, strict=True)
    ]
    return "\n".join([f"a 12 500 {SAMPLES}", *lines, "#Age: 65", "#Sex: Female", "#Dx: 59118001", ""])


def plausible(record: Record) -> bool:
    signal = record.signal_mv
    sound = signal.ndim == 2 and signal.shape[0] == 12 and bool(np.isfinite(signal).all())
    return sound and bool(np.abs(signal).max() <= 1e6) and 10 <= record.sampling_rate_hz <= 1e5


def agrees_with_wfdb(header: Path, record: Record) -> bool:
    """Whether wfdb, where it reads the header at all, gives the same signal."""
    if not plausible(record):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = wfdb.rdrecord(str(header.with_suffix("")))
        names = [name.casefold() for name in theirs.sig_name]
        signal = theirs.p_signal.T[[names.index(lead.casefold()) for lead in STANDARD_LEADS]]
    except Exception:  # wfdb raises many kinds of errors
        return True
    if any(unit != "mV" for unit in theirs.units):
        return True
    return signal.shape == record.signal_mv.shape and np.allclose(signal, record.signal_mv, 1e-5, 1e-6)


def targets(folder: Path) -> list[Target]:
    """All sound files, each in a folder of its own."""
    digital = digital_signal()
    signal = (digital / 1000).astype(np.float32)

    def make(name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    def right(record: Record) -> bool:
        return plausible(record) and np.array_equal(record.signal_mv, signal)

    def close(record: Record) -> bool:
        """Nothing guards these values: a few may change, but not their number."""
        return plausible(record) and record.signal_mv.shape == signal.shape

    def reading(path: Path) -> Callable[[], Record]:
        return partial(read_record, path)

    found = []
    dat = make("dat")
    (dat / "a.hea").write_text(header_text(digital, "a.dat", "16"))
    digital.T.tofile(dat / "a.dat")
    mat4, mat5, packed = make("mat4"), make("mat5"), make("packed")
    for place in (mat4, mat5, packed):
        (place / "a.hea").write_text(header_text(digital, "a.mat", "16+24"))
    scipy.io.savemat(mat4 / "a.mat", {"val": digital}, format="4")
    scipy.io.savemat(mat5 / "a.mat", {"val": digital})
    scipy.io.savemat(packed / "a.mat", {"val": digital}, do_compression=True)
    for place, file in ((dat, "a.dat"), (mat4, "a.mat"), (mat5, "a.mat"), (packed, "a.mat")):
        found.append(Target("data file", place / file, reading(place / "a.hea"), right))
    for place in (dat, mat4):
        header = place / "a.hea"
        found.append(Target("header", header, reading(header), partial(agrees_with_wfdb, header)))
    for form in ("212", "24", "516"):
        place = make(form)
        wfdb.wrsamp(
            "a", fs=500, units=["mV"] * 12, sig_name=list(STANDARD_LEADS),
            d_signal=digital.T.astype(np.int64), fmt=[form] * 12, adc_gain=[1000.0] * 12,
            baseline=[0] * 12, write_dir=str(place),
        )  # fmt: skip
        data = min(file for file in place.iterdir() if file.suffix != ".hea")  # FLAC: one of two files
        judge = close if form == "24" else right  # Checksums of 16 bits do not see the highest of 24.
        found.append(Target("data file", data, reading(place / "a.hea"), judge))
    for name, compressed in (("struct", False), ("struct_packed", True)):
        file = make(name) / "A0001.mat"
        ecg = {"sex": "Male", "age": 74.0, "data": signal.astype(np.float64)}
        scipy.io.savemat(file, {"ECG": ecg}, do_compression=compressed)
        found.append(Target("data file", file, reading(file), right if compressed else close))
    for name, options in (("h5", {}), ("h5_packed", {"compression": "gzip", "chunks": (12, 100)})):
        file = make(name) / "A00001.h5"
        with h5py.File(file, "w") as h5:
            h5.create_dataset("ecg", data=signal.astype(np.float16), **options)
        found.append(Target("data file", file, reading(file), close))
    return found + tables(make("tables")) + results(make("results"))


def tables(folder: Path) -> list[Target]:
    """Small tables in the layouts that are published."""
    database = [
        {
            "ecg_id": i, "patient_id": f"{15000 + i}.0", "age": f"{40 + i}.0", "sex": i % 2, "height": "",
            "weight": 63.0, "nurse": 2.0, "site": 0.0, "device": "CS-12   E",
            "recording_date": "1984-11-09 09:17:34",
            "report": "sinusrhythmus", "scp_codes": "{'NORM': 100.0, 'SR': 0.0}", "heart_axis": "",
            "infarction_stadium1": "", "infarction_stadium2": "", "validated_by": "", "second_opinion": False,
            "initial_autogenerated_report": False, "validated_by_human": True, "baseline_drift": "",
            "static_noise": " , I-V1,  ", "burst_noise": "", "electrodes_problems": "", "extra_beats": "",
            "pacemaker": "", "strat_fold": i % 10 + 1, "filename_lr": f"records100/00000/{i:05d}_lr",
            "filename_hr": f"records500/00000/{i:05d}_hr",
        }
        for i in range(1, 13)
    ]  # fmt: skip
    metadata = [
        {"ECG_ID": f"A{i:05d}", "AHA_Code": "22;23", "Patient_ID": f"S{i:05d}", "Age": 50 + i,
         "Sex": "FM"[i % 2], "N": 5000, "Date": "2020-03-04"}
        for i in range(1, 13)
    ]  # fmt: skip
    reference = [
        {"Recording": f"A{i:04d}", "First_label": i % 9 + 1, "Second_label": "", "Third_label": ""}
        for i in range(1, 13)
    ]
    found = []
    for name, rows, read in (
        ("ptbxl_database.csv", database, ptbxl.read_metadata),
        ("metadata.csv", metadata, lambda file: sph.read_metadata(file.parent)),
        ("REFERENCE.csv", reference, read_labels),
    ):
        file = folder / name
        with file.open("w", newline="") as text:
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        found.append(Target("table", file, partial(read, file), partial(same_elsewhere, cells(read(file)))))
    return found


def cells(frame: Any) -> list[list[str]]:
    return [[str(cell) for cell in row] for row in frame.itertuples(index=False)]


def same_elsewhere(before: list[list[str]], frame: Any) -> bool:
    """Whether at most one row differs, and none is lost."""
    after = cells(frame)
    if len(before) != len(after):
        return False
    kept = Counter(map(tuple, before)) & Counter(map(tuple, after))
    return kept.total() >= len(before) - 1


def results(folder: Path) -> list[Target]:
    """Recorded runs of the repository."""
    files = sorted(Path(__file__).parents[1].glob("results/*/*.json"))
    files = [file for file in files if not file.parent.name.startswith(".")][::40]
    found = []
    for source in files:
        (folder / source.parent.name).mkdir(exist_ok=True)
        file = folder / source.parent.name / source.name
        shutil.copy(source, file)
        same = partial(operator.eq, json.loads(file.read_text()))
        found.append(Target("result record", file, partial(read_result, file), same))
    return found


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes of bits, bytes, pieces or fields."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        size = len(data)
        at = int(rng.integers(0, max(1, min(size, 400) if rng.random() < 0.5 else size)))
        end = at + int(rng.integers(1, 9))
        match int(rng.integers(0, 7)):
            case 0:
                changed = bytes([data[at] ^ 1 << int(rng.integers(0, 8))]) if size else b"x"
                data = data[:at] + changed + data[at + 1 :]
            case 1:
                data = data[:at] + rng.bytes(1) + data[at + 1 :]
            case 2:
                data = data[:at] + data[end:]
            case 3:
                data = data[:at] + rng.bytes(end - at) + data[at:]
            case 4:
                data = data[:at] + data[at:end] * 2 + data[end:]
            case 5:
                data = data[:at] if rng.random() < 0.3 else data[:at] + b"\xff" * (end - at) + data[end:]
            case _:
                start = max(data.rfind(sign, 0, at) for sign in b" \n\t,/:")
                stops = [stop for sign in b" \n\t,/:" if (stop := data.find(sign, at)) >= 0]
                nasty = NASTY[int(rng.integers(0, len(NASTY)))].encode()
                data = data[: start + 1] + nasty + data[min(stops, default=size) :]
    return data


def with_another_cell(data: bytes, rng: np.random.Generator) -> bytes:
    """A table with one cell replaced."""
    rows = list(csv.reader(io.StringIO(data.decode())))
    row = rows[int(rng.integers(1, len(rows)))]
    row[int(rng.integers(0, len(row)))] = NASTY[int(rng.integers(0, len(NASTY)))]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def judge_case(target: Target, number: int, sound: bytes) -> str:
    """ "ok", "refused", "wrong" or the error that came out."""
    rng = np.random.default_rng([SEED, number])
    one_cell = target.kind == "table" and rng.random() < 0.5
    data = with_another_cell(sound, rng) if one_cell else mutated(sound, rng)
    target.file.write_bytes(data)
    guarded = (target.kind != "table" or one_cell) and data != sound
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = target.read()
        return "wrong" if guarded and not target.judge(value) else "ok"
    except EcgkitError:
        return "refused"
    except Exception as error:  # Whatever else it is: a user would see it.
        return f"traceback {type(error).__name__}: {str(error)[:200]}"
    finally:
        target.file.write_bytes(sound)


def targets_by_kind(folder: Path) -> dict[str, list[Target]]:
    every = targets(folder)
    return {kind: [target for target in every if target.kind == kind] for kind in KINDS}


def choose(by_kind: dict[str, list[Target]], number: int) -> Target:
    """The target of a case: kinds in turn, and their files in turn."""
    same = by_kind[KINDS[number % len(KINDS)]]
    return same[number // len(KINDS) % len(same)]


def work(connection: Connection, folder: str) -> None:
    """A process that judges the cases whose numbers it is sent."""
    Path(folder).mkdir()
    by_kind = targets_by_kind(Path(folder))
    sound = {target.file: target.file.read_bytes() for same in by_kind.values() for target in same}
    if not all(target.judge(target.read()) for same in by_kind.values() for target in same):
        raise SystemExit("a sound file is not read as it should be")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    connection.send("ready")
    while (number := connection.recv()) is not None:
        target = choose(by_kind, number)
        verdict = judge_case(target, number, sound[target.file])
        connection.send((verdict, str(target.file.relative_to(folder))))


def run(cases: int) -> tuple[dict[str, Counter], list[str]]:
    """Verdicts by kind of file, and the first failures in words."""
    counts: dict[str, Counter] = {kind: Counter() for kind in KINDS}
    failures: list[str] = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as place:
        process, connection, started = None, None, 0
        for number in range(cases):
            if process is None or connection is None:
                connection, child = context.Pipe()
                started += 1
                process = context.Process(target=work, args=(child, f"{place}/{started}"), daemon=True)
                process.start()
                child.close()
                connection.recv()  # "ready"; an EOFError if the sound files could not be written
            connection.send(number)
            kind, where = KINDS[number % len(KINDS)], ""
            try:
                verdict, where = connection.recv() if connection.poll(SECONDS) else ("hang", "")
            except (EOFError, ConnectionError):
                verdict = "crash"
            if verdict in ("crash", "hang"):
                process.kill()
                process.join()
                process = None
            counts[kind][verdict.split()[0]] += 1
            if verdict not in ("ok", "refused"):
                failures.append(f"case {number}, {kind} {where}: {verdict}")
        if process is not None and connection is not None:
            connection.send(None)
            process.join()
    return counts, failures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--before", type=Path, help="counts of an earlier version, to be kept beside")
    parser.add_argument("--out", type=Path, help="write the counts to this file, and not to mutations.json")
    options = parser.parse_args()
    counts, failures = run(options.cases)
    print("\n".join(failures[:40]))
    names = ("ok", "refused", "traceback", "crash", "hang", "wrong")
    table = {kind: {name: count[name] for name in names} for kind, count in counts.items()}
    if options.out or options.cases != CASES:
        text = json.dumps(table, indent=1)
        print(text)
        if options.out:
            options.out.write_text(text + "\n")
        return
    from record import save

    measured = {
        "what": "damaged files, by what came of reading them",
        "cases": CASES,
        "seed": SEED,
        "now": table,
    }
    if options.before:
        measured["before"] = json.loads(options.before.read_text())
    save(__file__, measured, threads=1)


if __name__ == "__main__":
    main()
