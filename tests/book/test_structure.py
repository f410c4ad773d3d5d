"""The structure: who may import whom, what an import costs, and one name for one file."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Each folder imports only from itself and from those before it.
LAYERS = {
    "ecgkit": (
        *("errors", "files", "tabular", "signals", "datasets", "models", "evaluation", "explain"),
        *("training", "transfer", "compression", "cli_train", "cli"),
    ),
    "ecgbook": ("runs", "experiments", "papers", "page", "cli"),
}
HEAVY = (
    *("h5py", "joblib", "matplotlib", "pandas", "pywt", "requests", "scipy", "sklearn", "typer"),
    *("wfdb", "yaml"),
)


def imports_of(path: Path) -> set[str]:
    """Modules of the two packages that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in LAYERS}


def place(name: str) -> int:
    """Where a module stands: the number of its folder in its package, from the bottom."""
    package, *rest = name.split(".")
    return LAYERS[package].index(rest[0]) if rest and rest[0] in LAYERS[package] else -1


@pytest.mark.parametrize("package", LAYERS)
def test_no_import_runs_upward(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name in imports_of(path):
            if name.startswith("ecgbook"):
                assert package == "ecgbook", f"{module} imports {name}"
            if name.split(".")[0] == package and place(module) >= 0:
                assert place(name) <= place(module), f"{module} imports {name}"


@pytest.mark.parametrize("package", LAYERS)
def test_every_folder_has_its_place(package: str) -> None:
    names = {p.stem for p in (ROOT / package).iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert names - {"__init__", "__main__"} == set(LAYERS[package])


@pytest.mark.parametrize("package", LAYERS)
def test_no_circle(package: str) -> None:
    """Files import each other in one order, imports inside functions included."""
    files = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
        for p in (ROOT / package).rglob("*.py")
    }
    edges = {}
    for module, path in files.items():
        wanted = {name if name in files else name.rpartition(".")[0] for name in imports_of(path)}
        edges[module] = {name for name in wanted if name in files} - {module, package}
    while leaves := {m for m, below in edges.items() if not below}:
        edges = {m: below - leaves for m, below in edges.items() if m not in leaves}
    assert not edges, f"files that import each other in a circle, or rest on one: {sorted(edges)}"


@pytest.mark.parametrize("package", LAYERS)
def test_no_file_name_stands_twice(package: str) -> None:
    counts = Counter(p.name for p in (ROOT / package).rglob("*.py") if p.name != "__init__.py")
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize(
    "code",
    [
        "import ecgkit, ecgkit.models, ecgkit.training, ecgkit.explain",
        "from ecgkit import models; models.create('xresnet1d101', leads=12, classes=5)",
    ],
)
def test_networks_and_training_need_torch_and_numpy_only(code: str) -> None:
    code += f"\nimport sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
