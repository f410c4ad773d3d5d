"""A synthetic ECG data set with known truth, in the layouts of the real sets.

A heart vector moves through each beat; a lead field, different for every patient, shows it in twelve leads.
Findings change the waves, the rhythm or the intervals; noise enters at the electrodes. What was put in is
written beside the records in ``truth.csv``.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ecgkit.datasets.synthetic.other_layouts import write_challenge, write_sph
from ecgkit.datasets.synthetic.plan import LAYOUTS
from ecgkit.datasets.synthetic.ptbxl_layout import write_ptbxl
from ecgkit.errors import StoreError
from ecgkit.files import write_error

__all__ = ["GENERATOR_VERSION", "LAYOUTS", "make_synthetic"]

#: Changes whenever the same arguments would give other bytes.
GENERATOR_VERSION = "2"

_MARKER = "synthetic.json"


def make_synthetic(
    out: str | Path,
    dataset: str = "ptbxl",
    n: int = 600,
    seed: int = 0,
    sampling_rates_hz: Sequence[int] = (100,),
    noise_share: float = 0.15,
    wrong_label_share: float = 0.03,
) -> Path:
    """Write a synthetic data set in a published layout.

    Record i depends on the seed, not on `n`: the first 100 of 600 records are those of ``n=100``.
    Called again with the same arguments it returns at once; with others, or after an update of the generator,
    it replaces what it wrote before. A folder that holds anything else is left alone.

    Args:
        out: Folder to make, for example ``cache/synthetic``. It appears when all records are written.
        dataset: Layout: ptbxl, cpsc2018, cpsc2018_extra, georgia, csn, ptb or sph.
        n: Number of records.
        seed: Seed of everything random.
        sampling_rates_hz: 100, 500 or both, for ptbxl; the other sets have one rate of their own.
        noise_share: Share of records with a planted disturbance, in [0, 1].
        wrong_label_share: Share of records with a planted wrong label, in [0, 1].

    Returns:
        `out`. Beside the layout's own files it holds ``truth.csv``, one row per record (see
        :func:`ecgkit.datasets.synthetic.truth.truth_row`), and ``synthetic.json`` with version and arguments.

    Raises:
        ValueError: If an argument is out of range.
        StoreError: If `out` cannot be written, or holds files that are not of this generator.

    >>> import pathlib, tempfile
    >>> root = make_synthetic(pathlib.Path(tempfile.mkdtemp()) / "ptbxl", n=2)
    >>> sorted(path.name for path in root.iterdir())
    ['ptbxl_database.csv', 'records100', 'scp_statements.csv', 'synthetic.json', 'truth.csv']
    """
    rates = tuple(int(rate) for rate in sampling_rates_hz)
    if dataset not in LAYOUTS:
        raise ValueError(f"no synthetic layout {dataset!r}; there are {', '.join(LAYOUTS)}")
    if n < 1 or not rates or not set(rates) <= {100, 500}:
        raise ValueError(
            f"n must be at least 1 and rates 100 or 500 Hz, not n={n}, sampling_rates_hz={rates}"
        )
    if not (0 <= noise_share <= 1 and 0 <= wrong_label_share <= 1):
        raise ValueError(f"shares must lie in [0, 1], not {noise_share} and {wrong_label_share}")
    out = Path(out)
    made_from = {
        "generator_version": GENERATOR_VERSION, "dataset": dataset, "n": n, "seed": seed,
        "sampling_rates_hz": list(rates), "noise_share": noise_share, "wrong_label_share": wrong_label_share,
    }  # fmt: skip
    text = json.dumps(made_from, indent=2) + "\n"
    if _is_made_from(out, text):
        return out
    if out.exists() and any(out.iterdir()) and not (out / _MARKER).exists():
        raise StoreError(f"{out} holds files that this generator did not write; choose an empty folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp"))
    except OSError as error:
        raise write_error(out, error) from error
    try:
        temporary.chmod(0o755)
        if dataset == "ptbxl":
            write_ptbxl(temporary, n, seed, rates, noise_share, wrong_label_share)
        elif dataset == "sph":
            write_sph(temporary, n, seed, noise_share, wrong_label_share)
        else:
            write_challenge(temporary, dataset, n, seed, noise_share, wrong_label_share)
        (temporary / _MARKER).write_text(text, encoding="utf-8", newline="\n")
        if _is_made_from(out, text):  # another process was quicker
            return out
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    except OSError as error:
        if _is_made_from(out, text):
            return out
        raise write_error(out, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def _is_made_from(folder: Path, text: str) -> bool:
    """Whether the folder was made by this generator from these arguments."""
    marker = folder / _MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8") == text
