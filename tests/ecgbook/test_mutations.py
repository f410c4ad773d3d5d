"""A short run of `benchmarks/mutations.py`: damaged files of every kind, none of which breaks anything."""

import importlib.util
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "benchmarks" / "mutations.py"


@pytest.fixture(scope="module")
def mutations():
    spec = importlib.util.spec_from_file_location("mutations", _SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def targets(mutations, tmp_path_factory):
    return mutations.targets_by_kind(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("kind", ["header", "data file", "table", "result record"])
def test_damaged_files_are_read_right_or_refused(mutations, targets, kind):
    first = mutations.KINDS.index(kind)
    seen = set()
    for number in range(first, 400, len(mutations.KINDS)):
        target = mutations.choose(targets, number)
        verdict = mutations.judge_case(target, number, target.file.read_bytes())
        assert verdict in ("ok", "refused"), f"case {number}, {target.file.name}: {verdict}"
        seen.add(verdict)
    assert seen == {"ok", "refused"}


def test_the_judgement_tells_a_wrong_signal_and_a_traceback(mutations, targets):
    file = targets["data file"][0].file
    sound = file.read_bytes()
    for read, expected in ((lambda: None, "wrong"), (lambda: 1 / 0, "traceback ZeroDivisionError")):
        target = mutations.Target("data file", file, read, lambda value: False)
        assert mutations.judge_case(target, 0, sound).startswith(expected)
