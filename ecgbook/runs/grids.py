"""Sweep files: a grid of runs in YAML or JSON."""

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgbook.runs.run import Run

__all__ = ["expand", "read_sweep"]

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
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return expand(json.loads(text))
        import yaml

        try:
            return expand(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ValueError(f"not valid YAML: {error}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def expand(sweep: Mapping[str, Any]) -> list[Run]:
    """All runs of a sweep: every combination of the values listed in each block.

    A sweep has a name (``experiment``), ``defaults`` that hold for every block, and in ``grid`` one block or
    a list of blocks. Each field of a block is a field of `Run`, or ``params.<name>``. A list stands for one
    run per value (a value that is itself a list is written inside a list). The first field of a block varies
    slowest. A run that two blocks share is listed once.

    Raises:
        ValueError: If a field is missing, unknown or of a wrong type, or a list of values is empty.

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
        raise ValueError(f"unknown entry {', '.join(sorted(unknown))}; use experiment, defaults and grid")
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
        for combination in itertools.product(*values):
            run = _run(sweep["experiment"], dict(zip(fields, combination, strict=True)))
            runs.setdefault(run.hash, run)
    return list(runs.values())


def _run(experiment: str, fields: Mapping[str, Any]) -> Run:
    plain = {key: value for key, value in fields.items() if not key.startswith("params.")}
    params = {key[len("params.") :]: value for key, value in fields.items() if key.startswith("params.")}
    for name, value in params.items():
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            raise ValueError(
                f"params.{name} is the text {value!r}, not a number: write {float(value)} "
                "(YAML takes 1e-3 for a text, and 1.0e-3 for a number)"
            )
    return Run.from_dict({"experiment": experiment, **plain, "params": params})
