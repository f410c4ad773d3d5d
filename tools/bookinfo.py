"""What all scripts of the book build know: folders, version, the repository's address, the notebooks."""

import tomllib
from pathlib import Path

__all__ = ["BUILD", "ROOT", "colab_install_cell", "parts", "repository", "sources", "tag", "version"]

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"

_COLAB_CELL = """\
# On Google Colab: get ecgkit and the recorded runs as they were when this page was made. Elsewhere: nothing.
import importlib.util
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

if importlib.util.find_spec("google") and importlib.util.find_spec("google.colab"):
    source = os.environ.get("ECGKIT_COLAB_SOURCE", "/content/ecg-book")
    if not os.path.exists(source):
        clone = ["git", "clone", "--quiet", "--depth", "1", "--branch", "{tag}"]
        subprocess.run([*clone, "{repository}", source], check=True)
    if importlib.util.find_spec("ecgkit") is None:
        held = []  # what Colab has stays at Colab's version
        for name in ("torch", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "protobuf"):
            try:
                held.append(f"{{name}}=={{version(name)}}")
            except PackageNotFoundError:
                pass
        with open("held.txt", "w") as file:
            file.write("\\n".join(held))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", "held.txt"]
        subprocess.run([*pip, source + "[chapters]"], check=True)
        importlib.invalidate_caches()
    os.environ.setdefault("ECGKIT_RESULTS", os.path.join(source, "results"))
    import torch

    if not torch.cuda.is_available():
        print("No GPU is on: use Runtime > Change runtime type > T4 GPU, or keep PROFILE = 'quick'.")
"""


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def version() -> str:
    """The version of the package and so of the book."""
    return _project()["version"]


def tag() -> str:
    """The git tag that belongs to this version: where Colab finds the page's notebook and the package."""
    return f"v{version()}"


def repository() -> str:
    """The repository's address. pyproject.toml is the only file that holds it."""
    return _project()["urls"]["Repository"].rstrip("/")


def sources() -> list[Path]:
    """The notebooks' MyST sources, in reading order."""
    return sorted((ROOT / "notebooks").glob("*/*.md"))


def parts() -> dict[str, list[Path]]:
    """The sources by their folder."""
    found: dict[str, list[Path]] = {}
    for path in sources():
        found.setdefault(path.parent.name, []).append(path)
    return found


def colab_install_cell() -> str:
    """The first cell of every notebook for Colab, at this version's tag."""
    return _COLAB_CELL.format(repository=repository(), tag=tag())
