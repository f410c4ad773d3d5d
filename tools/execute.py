"""Execute the notebooks with papermill, two at a time, and keep what has not changed.

    python tools/execute.py [--data synthetic|ptbxl] [--profile quick|full] [--force] [PATH.md ...]

Results: _build/executed/<data>-<profile>/<part>/NN_name.ipynb and times.json beside them. A notebook is
executed again when its source, the packages, the parameters, the recorded runs, the benchmarks or
the versions have changed.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as installed
from pathlib import Path

import nbformat
from bookinfo import BUILD, ROOT, sources
from colab import read_source

from ecgkit.datasets.download import default_root

__all__ = ["accepts", "execute", "execute_all"]

SEED = 0


def _hash_of(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def state_of_the_code() -> str:
    """Hash of all that a notebook's outputs depend on beside its own text."""
    packages = [p for name in ("ecgkit", "ecgbook") for p in (ROOT / name).rglob("*")]
    inputs = [p for p in packages if p.is_file() and "__pycache__" not in p.parts]
    inputs += [p for p in (ROOT / "results").rglob("*") if p.is_file() and ".state" not in p.parts]
    inputs += (ROOT / "benchmarks").glob("*.json")
    versions = [
        platform.python_version(),
        *(installed(n) for n in ("torch", "numpy", "pandas", "matplotlib")),
    ]
    return _hash_of(inputs) + " ".join(versions) + Path(__file__).read_text(encoding="utf-8")


def accepts(source: Path, data: str) -> bool:
    """Whether a notebook runs on this data set: synthetic, or named in its front matter."""
    return data == "synthetic" or data in read_source(source).metadata.ecgkit.get("data", [])


def _failing_cell(path: Path, source: nbformat.NotebookNode) -> str:
    """Which cell of the source failed, and how; empty when no cell shows an error."""
    own = [cell["id"] for cell in source.cells]
    for cell in nbformat.read(path, as_version=4).cells if path.exists() else []:
        for output in cell.get("outputs", []):
            if output.output_type == "error" and cell["id"] in own:
                where = f"cell {own.index(cell['id']) + 1} of {len(own)} (id {cell['id']})"
                trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
                return f"{where}, {output.ename}: {output.evalue}\n{cell.source}\n{trace[-3000:]}"
    return ""


def execute(source: Path, data: str, profile: str, force: bool, code: str) -> dict:
    """Execute one notebook, or take it from the cache. Returns its entry for times.json.

    Raises:
        RuntimeError: When a cell fails; names the notebook and the cell.
    """
    name = source.relative_to(ROOT).as_posix()
    data = data if accepts(source, data) else "synthetic"
    parameters = {"PROFILE": profile, "DATA": data, "SEED": SEED}
    # A notebook runs in its own folder: a relative name would not do. Some load real data in any case.
    root = str(default_root().resolve()) if data != "synthetic" or os.environ.get("ECGKIT_DATA") else ""
    key = hashlib.sha256(f"{source.read_text()}{parameters}{root}{code}".encode()).hexdigest()[:24]
    kept, entry = BUILD / "cache" / f"{key}.ipynb", BUILD / "cache" / f"{key}.json"
    if force or not (kept.exists() and entry.exists()):
        work = BUILD / "work" / key
        work.mkdir(parents=True, exist_ok=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        notebook = read_source(source)
        nbformat.write(notebook, work / "in.ipynb")
        command = [sys.executable, "-m", "papermill", str(work / "in.ipynb"), str(work / "out.ipynb")]
        for name_of, value in parameters.items():
            command += ["-r" if isinstance(value, str) else "-p", name_of, str(value)]
        command += ["-k", "python3", "--cwd", str(source.parent)]
        command += ["--no-progress-bar", "--execution-timeout", "1800"]
        # These results alone: the key knows no others, and the scoreboard beside the pages reads them.
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "ECGKIT_RESULTS": str(ROOT / "results")}
        environment |= {"ECGKIT_DATA": root} if root else {}
        environment.pop("MPLBACKEND", None)  # the kernel's own backend puts the figures on the page
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode:
            why = _failing_cell(work / "out.ipynb", notebook) or f"no cell of its own:\n{done.stderr[-3000:]}"
            raise RuntimeError(f"{name} failed in {why}")
        _tidy(work / "out.ipynb", notebook)
        entry.write_text(json.dumps({"seconds": round(seconds, 1), "data": data, "profile": profile}))
        (work / "out.ipynb").replace(kept)
        shutil.rmtree(work)
    return {"notebook": name, **json.loads(entry.read_text()), "key": key}


def _tidy(path: Path, source: nbformat.NotebookNode) -> None:
    """Drop papermill's traces, and its cell of parameters where it only repeats the page's own."""
    notebook = nbformat.read(path, as_version=4)
    own = next((c.source for c in source.cells if "parameters" in c.metadata.get("tags", [])), "")
    cells = []
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            lines = [line for line in cell.source.splitlines() if line and not line.startswith("#")]
            if all(line in own for line in lines):
                continue
            cell.metadata = nbformat.NotebookNode(tags=["injected-parameters"])
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        cells.append(cell)
    notebook.cells = cells
    notebook.metadata.pop("papermill", None)
    nbformat.write(notebook, path)


def execute_all(data: str, profile: str, force: bool = False, only: list[Path] | None = None) -> Path:
    """Execute all notebooks, two at a time; returns the folder of the results.

    Raises:
        SystemExit: If no notebook runs on `data`, or some failed; names all of these.
    """
    if not any(accepts(source, data) for source in sources()):
        raise SystemExit(f"no notebook runs on {data!r}: choose synthetic, or a data set that one names")
    out = BUILD / "executed" / f"{data}-{profile}"
    shutil.rmtree(out, ignore_errors=True)
    code, entries, failures = state_of_the_code(), [], []
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = {s: pool.submit(execute, s, data, profile, force, code) for s in only or sources()}
        for source, job in jobs.items():
            try:
                entry = job.result()
            except RuntimeError as error:
                failures.append(str(error))
                continue
            target = out / source.parent.name / f"{source.stem}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(BUILD / "cache" / f"{entry['key']}.ipynb", target)
            entries.append(entry)
            print(f"{entry['notebook']}: {entry['seconds']} s on {entry['data']}", flush=True)
    if failures:
        raise SystemExit("\n\n".join([f"{len(failures)} notebook(s) failed", *failures]))
    (out / "times.json").write_text(json.dumps(entries, indent=1))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--profile", default="quick", choices=["quick", "full"])
    parser.add_argument("--force", action="store_true", help="execute also what has not changed")
    parser.add_argument("only", nargs="*", type=lambda p: Path(p).resolve())
    a = parser.parse_args()
    execute_all(a.data, a.profile, a.force, a.only)


if __name__ == "__main__":
    main()
