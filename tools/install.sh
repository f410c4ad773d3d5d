#!/usr/bin/env bash
# Make the virtual environment and install the package with the tools of the book: tools/install.sh VENV
# PyTorch first. Without an NVIDIA driver its CPU build is taken from PyTorch's own index, or, where that index cannot
# be reached, one fixed version from the ordinary index.
set -euo pipefail

venv=$1
python=${PYTHON:-python3}
torch_fallback=torch==2.13.0
cpu_index=https://download.pytorch.org/whl/cpu

"$python" - <<'CHECK'
import sys
if not (3, 11) <= sys.version_info[:2] < (3, 14):
    sys.exit(f"Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}: try `make PYTHON=python3.12 ...`")
CHECK
# Also where an earlier call was killed before pip was in it.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv "$venv"
py=$venv/bin/python

reachable() {
  "$py" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "$1" >/dev/null 2>&1
}

if "$py" -c 'import torch' 2>/dev/null; then
  echo "PyTorch is there"
elif nvidia-smi >/dev/null 2>&1 || [ "$(uname -s)" != Linux ]; then
  "$py" -m pip install --quiet torch
elif reachable "$cpu_index/torch/"; then
  "$py" -m pip install --quiet torch --index-url "$cpu_index"
else
  echo "PyTorch's CPU index cannot be reached: taking $torch_fallback from the ordinary index"
  "$py" -m pip install --quiet "$torch_fallback"
fi
"$py" -m pip install --quiet -e '.[book,dev]'
