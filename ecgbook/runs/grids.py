"""Sweep files: a grid of runs in YAML or JSON."""

import itertools
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgbook.runs.run import Run

__all__ = ["MAX_RUNS", "expand", "read_sweep"]

MAX_RUNS = 100_000  # in one file
_MAX_BYTES, _MAX_VALUES, _MAX_DEPTH = 2**20, 50_000, 20  # of a sweep file
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def read_sweep(path: str | Path) -> list[Run]:
    """The runs of a sweep file, in the order of the file.

    Args:
        path: A ``.yaml`` or ``.json`` file; JSON needs no further package. See `expand` for what is in it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no sweep file; the message names it.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file: name a sweep file, .yaml or .json")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} has more than {_MAX_BYTES:,} bytes: that is no sweep file")
    try:
        sweep = (_json if path.suffix.lower() == ".json" else _yaml)(path.read_bytes())
        _check_size(sweep)
        return expand(sweep)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply for a sweep file") from None


def _json(content: bytes) -> Any:
    try:
        return json.loads(content, object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as error:
        raise ValueError(f"not a text in UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error}") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))} stands twice in one block")
    return dict(pairs)


def _yaml(content: bytes) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ValueError("YAML needs PyYAML: pip install pyyaml, or write the sweep as JSON") from error

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            if isinstance(node, yaml.MappingNode):
                _without_repeats([(str(key.value), None) for key, _ in node.value if key.value != "<<"])
            return super().construct_mapping(node, deep)

        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            if len(node.value) > _MAX_VALUES:
                raise yaml.YAMLError(f"more than {_MAX_VALUES:,} entries in one block")

    try:
        return yaml.load(content, Loader)
    except yaml.reader.ReaderError as error:
        raise ValueError(f"not a text in UTF-8: {error}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from error


def _check_size(value: Any) -> None:
    """Refuse what grows without end: a YAML file may refer to one list many times, or to itself."""
    count, level = 0, [value]
    for _ in range(_MAX_DEPTH):
        below = (
            inner
            for outer in level
            if isinstance(outer, Mapping | list)
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        )
        level = list(itertools.islice(below, _MAX_VALUES + 1))
        count += len(level)
        if count > _MAX_VALUES:
            raise ValueError(f"more than {_MAX_VALUES:,} values: that is no sweep file")
    if level:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep: that is no sweep file")


def expand(sweep: Mapping[str, Any]) -> list[Run]:
    """All runs of a sweep: every combination of the values listed in each block.

    A sweep has a name (``experiment``), ``defaults`` that hold for every block, and in ``grid`` one block or
    a list of blocks. Each field of a block is a field of `Run`, or ``params.<name>``. A list stands for one
    run per value (a value that is itself a list is written inside a list). The first field of a block varies
    slowest. A run that two blocks share is listed once.

    Raises:
        ValueError: If a field is missing, unknown or of a wrong type, a list of values is empty, or there are
            more than `MAX_RUNS` runs.

    >>> runs = expand({
    ...     "experiment": "demo",
    ...     "defaults": {"dataset": "synthetic", "dataset_version": "1", "task": "superdiagnostic",
    ...                  "method": "supervised", "protocol": "quick"},
    ...     "grid": {"seed": [0, 1], "model": ["fcn_wang", "lstm"], "params.epochs": 2},
    ... })
    >>> [(run.model, run.seed, run.params["epochs"]) for run in runs]
    [('fcn_wang', 0, 2), ('lstm', 0, 2), ('fcn_wang', 1, 2), ('lstm', 1, 2)]
    """
    if not isinstance(sweep, Mapping) or not {"experiment", "grid"} <= set(sweep):
        raise ValueError("a sweep needs `experiment` and `grid`")
    if unknown := set(sweep) - {"experiment", "description", "defaults", "grid"}:
        listed = ", ".join(sorted(map(str, unknown)))
        raise ValueError(f"unknown entry {listed}; use experiment, defaults and grid")
    blocks = sweep["grid"] if isinstance(sweep["grid"], list) else [sweep["grid"]]
    defaults = sweep.get("defaults") or {}
    runs: dict[str, Run] = {}
    if not blocks:
        raise ValueError("`grid` is empty: name at least one field, for example `seed: [0, 1]`")
    for part, block in (("defaults", defaults), *(("grid", block) for block in blocks)):
        if not isinstance(block, Mapping) or not all(isinstance(key, str) for key in block):
            raise ValueError(f"`{part}` holds {block!r}; fields with their values are wanted, `seed: 0`")
        if empty := [key for key, value in block.items() if value == []]:
            raise ValueError(f"no value for {', '.join(empty)}: the list is empty")
    for block in blocks:
        fields = {**block, **{key: value for key, value in defaults.items() if key not in block}}
        values = [value if isinstance(value, list) else [value] for value in fields.values()]
        if len(runs) + math.prod(map(len, values)) > MAX_RUNS:
            raise ValueError(f"more than {MAX_RUNS:,} runs: write several sweeps")
        for combination in itertools.product(*values):
            run = _run(sweep["experiment"], dict(zip(fields, combination, strict=True)))
            runs.setdefault(run.hash, run)
    return list(runs.values())


def _run(experiment: str, fields: Mapping[str, Any]) -> Run:
    plain = {key: value for key, value in fields.items() if not key.startswith("params.")}
    params = {key[len("params.") :]: value for key, value in fields.items() if key.startswith("params.")}
    if "params" in plain:
        raise ValueError("write each parameter by itself, for example `params.epochs: 5`, not `params`")
    for name, value in params.items():
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            raise ValueError(
                f"params.{name} is the text {value!r}, not a number: write {float(value)} "
                "(YAML takes 1e-3 for a text, and 1.0e-3 for a number)"
            )
    return Run.from_dict({"experiment": experiment, **plain, "params": params})
