"""The checkout as a whole: one place for each fact, licences, small files, a whole package."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import ecgkit

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [p for name in done.stdout.split("\0") if name and (p := ROOT / name).is_file()]


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert ecgkit.__version__ == PROJECT["version"] == citation["version"]


def test_only_pyproject_holds_the_repository_address() -> None:
    address = PROJECT["urls"]["Repository"].removeprefix("https://")
    holders = [p.name for p in tracked() if p.suffix != ".ipynb" and address in p.read_text(errors="ignore")]
    assert holders == ["pyproject.toml"]


def test_environment_yml_is_in_step_with_pyproject() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    listed = {d.lower() for d in conda if isinstance(d, str)} - {"make", "pip"}
    renamed = {"torch": "pytorch"}
    wanted = {f"python{PROJECT['requires-python']}"}
    for requirement in [*PROJECT["dependencies"], *EXTRAS["data"]]:
        name, bound = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()  # type: ignore[union-attr]
        wanted.add(f"{renamed.get(name, name.lower())}{bound}")
    assert listed == wanted
    assert {"pip": ["-e .[book,dev]"]} in conda


def test_dependencies_have_lower_bounds_only() -> None:
    for requirement in [*PROJECT["dependencies"], *EXTRAS["data"], *EXTRAS["chapters"]]:
        assert requirement == "ecgkit[data]" or re.fullmatch(r"[\w.-]+>=[\d.]+", requirement)


def test_ci_covers_the_versions_of_python_that_the_package_takes() -> None:
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert ci["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_the_book_is_published_from_tags_only() -> None:
    publish = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())
    assert publish[True] == {"push": {"tags": ["v*"]}}  # YAML reads the key `on` as true


def test_the_weekly_run_on_colab_installs_the_checkout() -> None:
    """In a container github.workspace is a path of the host; in the checkout ecgkit needs no install."""
    text = (ROOT / ".github/workflows/colab-weekly.yml").read_text()
    assert "github.workspace" not in text
    assert 'ECGKIT_COLAB_SOURCE="$GITHUB_WORKSPACE"' in text and "--cwd /content" in text


@pytest.mark.slow
def test_the_readme_says_what_the_results_say() -> None:
    done = subprocess.run(
        [sys.executable, "tools/readme.py", "check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_licences() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert "CC-BY-4.0" in (ROOT / "LICENSE-text.md").read_text()
    assert PROJECT["license"] == "MIT"


def test_tracked_files_are_small() -> None:
    assert [p.name for p in tracked() if p.stat().st_size > 1_500_000] == []


def test_make_help_names_every_command() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    said = subprocess.run([make, "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.M)
    assert phony is not None
    assert set(re.findall(r"make ([a-z-]+)", said)) >= set(phony[1].split())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel, built from a copy of the checkout without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for package in ("ecgkit", "ecgbook"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(out), str(source)], check=True)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_carries_every_file_of_the_package(wheel: Path) -> None:
    import zipfile

    inside = set(zipfile.ZipFile(wheel).namelist())
    both = [p for package in ("ecgkit", "ecgbook") for p in (ROOT / package).rglob("*")]
    package = [p for p in both if p.is_file() and "__pycache__" not in p.parts]
    assert [n for p in package if (n := p.relative_to(ROOT).as_posix()) not in inside] == []


def colab_stand_in(folder: Path) -> Path:
    """A virtual environment that has what this one has, but not ecgkit, and a module named google.colab."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    # The last path of a .pth file: .pth files found there (the editable install of ecgkit) are not read.
    (site / "everything-else.pth").write_text(f"{Path(yaml.__file__).parent.parent}\n")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    return folder / "bin" / "python"


@pytest.mark.slow
def test_the_first_cell_installs_ecgkit_on_colab_and_nothing_else(tmp_path: Path, wheel: Path) -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    from bookinfo import colab_install_cell

    python = colab_stand_in(tmp_path / "venv")
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    before = {p.name for p in site.iterdir()}
    code = colab_install_cell() + "\nimport ecgbook, ecgkit; print(ecgkit.__file__)\n"
    (tmp_path / "cell.py").write_text(code)
    environment = {"ECGKIT_COLAB_SOURCE": str(wheel), "PIP_NO_INDEX": "1", "PATH": "/usr/bin:/bin"}
    bare = subprocess.run(
        [str(python), "-c", "import ecgkit"], cwd=tmp_path, env={}, capture_output=True, text=True
    )
    assert "No module named 'ecgkit'" in bare.stderr
    done = subprocess.run(
        [str(python), "cell.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout
    assert "No GPU is on" in done.stdout
    assert {p.name for p in site.iterdir()} - before == {
        *("ecgbook", "ecgkit", f"ecgkit-{ecgkit.__version__}.dist-info")
    }


def claim_installed(site: Path, name: str, version: str, requires: str = "") -> None:
    """Metadata as pip leaves it, without the package itself."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (info / "RECORD").touch()


def offer_wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """An empty wheel for `pip install --find-links`."""
    claim_installed(folder / f"{name}-{version}", name, version, requires)
    archive = shutil.make_archive(str(folder / f"{name}-{version}"), "zip", folder / f"{name}-{version}")
    Path(archive).rename(folder / f"{name}-{version}-py3-none-any.whl")


@pytest.mark.slow
def test_the_first_cell_leaves_the_pandas_of_colab(tmp_path: Path, wheel: Path) -> None:
    """Colab needs its pandas 2.2.2. The newest wfdb wants a newer one: take an older wfdb."""
    sys.path.insert(0, str(ROOT / "tools"))
    from bookinfo import colab_install_cell

    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    for requirement in [*PROJECT["dependencies"], *EXTRAS["data"], *EXTRAS["chapters"][1:]]:
        name, lowest = requirement.split(">=")
        if name != "wfdb":
            claim_installed(site, name, "2.2.2" if name == "pandas" else lowest)
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    (site / "torch.py").write_text("class cuda:\n    is_available = staticmethod(lambda: True)\n")
    offered = tmp_path / "offered"
    offer_wheel(offered, "pandas", "3.0.0")
    offer_wheel(offered, "wfdb", "4.1.2", "Requires-Dist: pandas>=1.3\n")
    offer_wheel(offered, "wfdb", "4.3.1", "Requires-Dist: pandas>=2.2.3\n")
    environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(offered), "PATH": "/usr/bin:/bin"}
    environment |= {"ECGKIT_COLAB_SOURCE": str(wheel), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(*arguments: str) -> str:
        command = [str(python), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # What the cell prevents:
    assert "pandas-3.0.0" in run("-m", "pip", "install", "--dry-run", f"{wheel}[data]")
    run("-c", colab_install_cell())
    listed = run("-m", "pip", "list", "--format", "freeze").splitlines()
    assert {"pandas==2.2.2", "wfdb==4.1.2", f"ecgkit=={ecgkit.__version__}"} <= set(listed)


def test_the_first_cell_does_nothing_elsewhere(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    from bookinfo import colab_install_cell

    cell = colab_install_cell().replace("subprocess.run(", "raise AssertionError(")
    done = subprocess.run([sys.executable, "-c", cell], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
