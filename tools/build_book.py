"""Execute the notebooks and build the static book in _build/html.

python tools/build_book.py [--data synthetic|ptbxl] [--profile quick|full] [--force]
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bookinfo import BUILD, ROOT, sources
from execute import execute_all
from stage import stage

__all__ = ["main"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Execute the notebooks and build the static book in _build/html."
    )
    parser.add_argument("--data", default="synthetic", help="data set of the notebooks that accept it")
    parser.add_argument("--profile", default="quick", choices=["quick", "full"])
    parser.add_argument("--force", action="store_true", help="execute also what has not changed")
    a = parser.parse_args()
    folder = stage(execute_all(a.data, a.profile, a.force))
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    # -W: warnings are errors; -n: every cross-reference must resolve.
    command = ["jupyter-book", "build", str(folder), "--path-output", str(ROOT)]
    command += ["-W", "-n", "--keep-going", "--all"]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(command, env={**os.environ, "PATH": paths, "PYTHONWARNINGS": "ignore"})
    if done.returncode:
        print("the book was not built: see the warnings above", file=sys.stderr)
        return done.returncode
    for path in sources():  # what the download button gives: the notebook for Colab, readable everywhere
        offered = BUILD / "html" / "_sources" / path.relative_to(ROOT).with_suffix(".ipynb")
        shutil.copyfile(path.with_suffix(".ipynb"), offered)
    return 0


if __name__ == "__main__":
    sys.exit(main())
