"""Execute the notebooks for Colab that guard an output, and fail when such an output has moved (nbval)."""

import os
import subprocess
import sys

import nbformat
from bookinfo import ROOT, sources
from colab import GUARD

__all__ = ["main"]


def main() -> int:
    paths = []
    for path in (p.with_suffix(".ipynb") for p in sources()):
        cells = nbformat.read(path, as_version=4).cells
        if any(GUARD in cell.metadata.get("tags", []) for cell in cells):
            paths.append(str(path.relative_to(ROOT)))
    if not paths:
        print("no notebook guards an output")
        return 1
    # -o addopts: the doctest option of the package's tests does not go with notebooks.
    options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "--nbval-lax"]
    options += ["--nbval-cell-timeout", "1800", "-n", "2", "--dist", "loadfile"]
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "ECGKIT_RESULTS": str(ROOT / "results")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *paths], cwd=ROOT, env=environment
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
