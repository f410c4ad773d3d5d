"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

HOW_TO_GET_DATA = (
    "real data not found: set ECGKIT_DATA to a folder that holds ptbxl/ "
    "(and cpsc2018/, georgia/, csn/, sph/), for example after `ecgkit data download ptbxl`"
)

# The same examples at every run, whatever the machine is busy with. To look for new ones:
# pytest --hypothesis-profile=default
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in every test, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets. Skips where there is none, fails under ECGKIT_REQUIRE_DATA=1."""
    root = os.environ.get("ECGKIT_DATA")
    if root and (Path(root) / "ptbxl" / "ptbxl_database.csv").exists():
        return Path(root)
    if os.environ.get("ECGKIT_REQUIRE_DATA") == "1":
        pytest.fail(HOW_TO_GET_DATA)
    pytest.skip(HOW_TO_GET_DATA)
