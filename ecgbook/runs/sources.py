"""Which experiments the source of a page loads, read from its code without running it."""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["loaded_experiments"]

_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HEAD = re.compile(r"\A(?:---\n.*?^---\n|(?::[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def loaded_experiments(page: Path) -> tuple[set[str], set[str]]:
    """The experiments that a notebook or a MyST page asks `results.load` for.

    A name may stand in the call, in a variable with a text, or in a loop over texts; and the call may stand
    in a function whose first argument is the name.

    Args:
        page: A ``.md`` or ``.ipynb`` file; others load nothing.

    Returns:
        Names, and arguments (as code) whose values cannot be read from the page.
    """
    if page.suffix not in (".md", ".ipynb"):
        return set(), set()
    body: list[ast.stmt] = []
    for cell in _cells(page):
        lines = cell.splitlines()
        plain = "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
        try:
            body += ast.parse(plain).body
        except SyntaxError:  # no Python: the page is executed elsewhere, which will say so
            continue
    return _names(list(ast.walk(ast.Module(body, []))))


def _cells(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8", errors="replace")
    if page.suffix == ".md":
        yield from (_HEAD.sub("", cell) for cell in _CELL.findall(text))
        return
    for cell in json.loads(text).get("cells", []):
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


def _names(nodes: Sequence[ast.AST]) -> tuple[set[str], set[str]]:
    calls = [node for node in nodes if isinstance(node, ast.Call) and node.args]
    loaders, parameters = {"results.load"}, set()
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.args.args]
    for _ in functions:  # a function may call a function that loads
        for function in functions:
            first = function.args.args[0].arg
            inside = (node for node in ast.walk(function) if isinstance(node, ast.Call) and node.args)
            if any(ast.unparse(c.func) in loaders and ast.unparse(c.args[0]) == first for c in inside):
                loaders.add(function.name)
                parameters.add(first)
    scopes: dict[ast.AST, dict[str, set[str]]] = {call: _assigned(nodes) for call in calls}
    for loop in nodes:  # outer loops come before inner ones
        bound = _bound(loop)
        for call in ast.walk(loop) if bound else ():
            if call in scopes:
                scopes[call] = {**scopes[call], **bound}
    names, unknown = set(), set()
    for call in calls:
        if ast.unparse(call.func) not in loaders:
            continue
        match call.args[0]:
            case ast.Constant(value=str(text)):
                names.add(text)
            case ast.Name(id=name) if name in scopes[call] or name in parameters:
                names |= scopes[call].get(name, set())
            case other:
                unknown.add(ast.unparse(other))
    return names, unknown


def _assigned(nodes: Sequence[ast.AST]) -> dict[str, set[str]]:
    """Variables that a text is assigned to, with the texts."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for name, texts in _texts(target, [node.value]):
                    found.setdefault(name, set()).update(texts)
    return found


def _bound(loop: ast.AST) -> dict[str, set[str]]:
    """Variables of a loop or comprehension over texts that are written out, with the texts."""
    parts = [loop] if isinstance(loop, ast.For) else getattr(loop, "generators", [])
    found: dict[str, set[str]] = {}
    for part in parts:
        if isinstance(part.iter, ast.Tuple | ast.List):
            found |= dict(_texts(part.target, part.iter.elts))
    return found


def _texts(target: ast.expr, given: Sequence[ast.expr]) -> Iterator[tuple[str, set[str]]]:
    """Names in a target of an assignment or loop that take texts, with these texts."""
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    for number, name in enumerate(names):
        each = [_element(value, number) if isinstance(target, ast.Tuple) else value for value in given]
        found = {v.value for v in each if isinstance(v, ast.Constant) and isinstance(v.value, str)}
        if isinstance(name, ast.Name) and found:
            yield name.id, found


def _element(value: ast.expr, number: int) -> ast.expr | None:
    """An element of a tuple or list that is written out."""
    if isinstance(value, ast.Tuple | ast.List) and number < len(value.elts):
        return value.elts[number]
    return None
