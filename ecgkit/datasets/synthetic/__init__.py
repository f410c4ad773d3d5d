"""A synthetic ECG data set with known truth, in the layouts of the real sets.

A heart vector moves through each beat; a lead field, different for every patient, shows it in twelve leads.
Findings change the waves, the rhythm or the intervals; noise enters at the electrodes. What was put in is
written beside the records in ``truth.csv``.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgkit.datasets.synthetic.layouts import write_challenge, write_ptbxl, write_sph
from ecgkit.datasets.synthetic.records import LAYOUTS
from ecgkit.errors import EcgkitError, StoreError
from ecgkit.files import sha256_file, write_error

__all__ = ["GENERATOR_VERSION", "LAYOUTS", "make_synthetic"]

#: Changes whenever the same arguments would give other bytes.
GENERATOR_VERSION = "2"

_MARKER = "synthetic.json"


def make_synthetic(
    out: str | Path,
    dataset: str = "ptbxl",
    n: int = 600,
    seed: int = 0,
    sampling_rates_hz: int | Sequence[int] = (100,),
    noise_share: float = 0.15,
    wrong_label_share: float = 0.03,
) -> Path:
    """Write a synthetic data set in a published layout.

    Record i depends on the seed, not on `n`: the first 100 of 600 records are those of ``n=100``.
    Called again with the same arguments it returns at once; with others, or after an update of the generator,
    it replaces what it wrote before, as long as all of that is unchanged and nothing else lies beside it.
    No other file is ever deleted or overwritten.

    Args:
        out: Folder to make, for example ``cache/synthetic``. It appears when all records are written.
        dataset: Layout: ptbxl, cpsc2018, cpsc2018_extra, georgia, csn, ptb or sph.
        n: Number of records.
        seed: Seed of everything random, at least 0.
        sampling_rates_hz: 100, 500 or both, for ptbxl; the other sets have one rate of their own.
        noise_share: Share of records with a planted disturbance, in [0, 1].
        wrong_label_share: Share of records with a planted wrong label, in [0, 1].

    Returns:
        `out`. Beside the layout's own files it holds ``truth.csv``, one row per record (see
        :func:`ecgkit.datasets.synthetic.records.truth_row`), and ``synthetic.json`` with version, arguments
        and the list of the files.

    Raises:
        ValueError: If an argument is out of range.
        StoreError: If `out` cannot be written, or holds anything that this generator did not write.

    >>> import pathlib, tempfile
    >>> root = make_synthetic(pathlib.Path(tempfile.mkdtemp()) / "ptbxl", n=2)
    >>> sorted(path.name for path in root.iterdir())
    ['ptbxl_database.csv', 'records100', 'scp_statements.csv', 'synthetic.json', 'truth.csv']
    """
    given, out, rates = Path(out), Path(out).absolute(), tuple(np.atleast_1d(sampling_rates_hz).tolist())
    if dataset not in LAYOUTS:
        raise ValueError(f"no synthetic layout {dataset!r}; there are {', '.join(LAYOUTS)}")
    if n < 1 or n % 1 != 0 or not rates or not set(rates) <= {100, 500}:
        raise ValueError(
            f"n must be at least 1 and rates 100 or 500 Hz, not n={n}, sampling_rates_hz={rates}"
        )
    if seed < 0 or seed % 1 != 0:
        raise ValueError(f"seed must be a whole number from 0, not {seed}")
    if not (0 <= noise_share <= 1 and 0 <= wrong_label_share <= 1):
        raise ValueError(f"shares must lie in [0, 1], not {noise_share} and {wrong_label_share}")
    rates = tuple(map(int, rates))
    made_from = {
        "generator_version": GENERATOR_VERSION, "dataset": dataset, "n": n, "seed": seed,
        "sampling_rates_hz": list(rates), "noise_share": noise_share, "wrong_label_share": wrong_label_share,
    }  # fmt: skip
    temporary = None
    try:
        if _is_made_from(out, made_from):
            return given
        _require_ours(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp"))
        temporary.chmod(0o755)
        if dataset == "ptbxl":
            write_ptbxl(temporary, n, seed, rates, noise_share, wrong_label_share)
        elif dataset == "sph":
            write_sph(temporary, n, seed, noise_share, wrong_label_share)
        else:
            write_challenge(temporary, dataset, n, seed, noise_share, wrong_label_share)
        files = {name: sha256_file(temporary / name) for name in sorted(_files(temporary))}
        marker = {**made_from, "files": files}
        text = json.dumps({**marker, "seal": _seal(marker)}, indent=2) + "\n"
        (temporary / _MARKER).write_text(text, encoding="utf-8", newline="\n")
        _put_in_place(temporary, out)
    except OSError as error:
        if _is_made_from(out, made_from):  # another process was quicker
            return given
        if isinstance(error, EcgkitError):
            raise
        raise write_error(out, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return given


def _seal(marker: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(marker, sort_keys=True).encode()).hexdigest()


def _marker(folder: Path) -> dict[str, Any]:
    """What the folder's marker says; empty when there is none that can be read."""
    try:
        if not (folder / _MARKER).is_file():
            return {}
        marker = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _is_made_from(folder: Path, made_from: Mapping[str, Any]) -> bool:
    """Whether the folder was made by this generator from these arguments, and all its files are there."""
    marker = _marker(folder)
    if not marker or any(marker.get(name) != value for name, value in made_from.items()):
        return False
    files = marker.get("files")
    return not isinstance(files, dict) or files.keys() <= _files(folder)


def _files(folder: Path) -> set[str]:
    """Relative names of everything in a folder that is no folder itself; links are not followed."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _require_ours(out: Path) -> set[str]:
    """The files of a folder, all of which this generator wrote.

    Raises:
        StoreError: If `out` is no folder, or holds a file that the generator did not write, or one that was
            changed since.
    """
    if out.is_symlink() and not out.exists():
        raise StoreError(f"{out} is a link that leads nowhere; choose another folder")
    if not out.exists():
        return set()
    if not out.is_dir():
        raise StoreError(f"{out} is a file; choose a folder")
    there, marker = _files(out), _marker(out)
    if not there:
        return set()
    seal, files = marker.pop("seal", None), marker.get("files")
    if _MARKER in there and (not isinstance(files, dict) or seal != _seal(marker)):
        raise StoreError(
            f"{out / _MARKER} is no list of what was made there; choose another folder, or delete {out} by "
            "hand if nothing in it is yours"
        )
    other = min(there - {_MARKER} - set(files or ()), default=None)
    if other is not None:
        raise StoreError(
            f"{out} holds {other}, which this generator did not write; choose an empty folder or one to make"
        )
    for name in sorted(there - {_MARKER}):
        if (out / name).is_symlink() or sha256_file(out / name) != (files or {})[name]:
            raise StoreError(f"{out / name} was changed since it was made; choose an empty folder to keep it")
    return there


def _put_in_place(new: Path, out: Path) -> None:
    """Move a finished folder to `out`, instead of the files that this generator wrote there."""
    written = _require_ours(out)
    for name in written:
        (out / name).unlink()
    if not out.exists():
        new.rename(out)
        return
    for folder in sorted({parent for name in written for parent in (out / name).parents}, reverse=True):
        if folder != out and folder.is_relative_to(out):
            folder.rmdir()
    children = sorted(new.iterdir(), key=lambda path: path.name == _MARKER)  # last, it says that all is there
    for child in children:
        child.rename(out / child.name)
