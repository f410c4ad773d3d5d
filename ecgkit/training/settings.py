"""One check for every dataclass of settings: each number is of its kind and in its range."""

from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

__all__ = ["check_settings"]

_WANTED: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a finite number"}


def check_settings(
    settings: Any, at_least: Mapping[str, float] | None = None, above: Mapping[str, float] | None = None
) -> None:
    """Check every number, switch and choice of a dataclass against the type that it is declared with.

    Args:
        settings: An instance; call this in its ``__post_init__``.
        at_least: Smallest value of a field, by its name.
        above: What a field must be larger than, by its name.

    Raises:
        ValueError: If a field has a value of another type, or one out of range. A switch is no number, and
            NaN and infinity are not finite.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Settings:
    ...     epochs: int = 3
    >>> check_settings(Settings(2.5))
    Traceback (most recent call last):
    ...
    ValueError: epochs is 2.5; a whole number is wanted
    """
    hints = get_type_hints(type(settings))
    for field in fields(settings):
        value, kinds = getattr(settings, field.name), _alternatives(hints[field.name])
        if not any(_fits(value, kind) for kind in kinds):
            wanted = " or ".join(_described(kind) for kind in kinds)
            raise ValueError(f"{field.name} is {value!r}; {wanted} is wanted")
    for name, low in (at_least or {}).items():
        if (value := getattr(settings, name)) is not None and value < low:
            raise ValueError(f"{name} is {value}; it must be at least {low:g}")
    for name, low in (above or {}).items():
        if (value := getattr(settings, name)) is not None and value <= low:
            raise ValueError(f"{name} is {value}; it must be above {low:g}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    return kind is not NoneType or value is None


def _described(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    return "None" if kind is NoneType else _WANTED.get(kind, str(kind))
