"""All selection methods by name."""

from dataclasses import fields
from typing import Any

from ecgkit.training.selection.filters import Control, Filter
from ecgkit.training.selection.methods import (
    Dbpd,
    FullData,
    Hardest,
    Mistakes,
    RandomShare,
    SelfPaced,
    Smrd,
    Srd,
    Uncertain,
)
from ecgkit.training.selection.selector import Selector

__all__ = ["create", "names"]

_BASES: dict[str, type[Selector]] = {
    "full_data": FullData,
    "random_share": RandomShare,
    "hardest": Hardest,
    "mistakes": Mistakes,
    "uncertain": Uncertain,
    "self_paced": SelfPaced,
    "dbpd": Dbpd,
    "smrd": Smrd,
    "srd": Srd,
}
_PREFIXES: dict[str, tuple[type[Filter], dict[str, Any], set[str]]] = {
    "erts": (Filter, {"by": "focus"}, {"phi", "rule"}),
    "control": (Control, {"by": "focus"}, {"phi", "rule"}),
    "filtered": (Filter, {"rule": "share"}, {"phi", "by", "q"}),
}
"""What stands before the name of a base method: the kind of filter, what is fixed, what can be set."""
_FILTERS = {f"{prefix}_{base}": (prefix, base) for prefix in _PREFIXES for base in ("dbpd", "smrd", "srd")}


def names() -> tuple[str, ...]:
    """Names of all selection methods, for `create`."""
    return (*_BASES, *_FILTERS)


def create(name: str, **settings: Any) -> Selector:
    """Make a selection method.

    Args:
        name: One of `names()`. "erts_dbpd" is ERTS on top of DBPD; "control_dbpd" removes as many at random;
            "filtered_dbpd" removes a share by another score, which `by` names.
        settings: tau, gamma, share, start, step, phi, rule, by or q, as the method has them.

    Raises:
        ValueError: If there is no such method, or it has no such setting.

    >>> create("erts_srd", gamma=0.98, phi=0.9)
    Filter(base=Srd(gamma=0.98), phi=0.9, rule='threshold', by='focus', q=0.9)
    """
    if name not in names():
        raise ValueError(f"no selection method {name!r}; there are {', '.join(names())}")
    prefix, base = _FILTERS.get(name, (None, name))
    own = {f.name for f in fields(_BASES[base])}  # type: ignore[arg-type]
    kind, fixed, free = _PREFIXES[prefix] if prefix else (None, {}, set())
    known = own | free
    if unknown := set(settings) - known:
        raise ValueError(
            f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known)) or 'none'}"
        )
    selector = _BASES[base](**{key: value for key, value in settings.items() if key in own})
    if kind is None:
        return selector
    rest = {key: value for key, value in settings.items() if key not in own}
    return kind(selector, **fixed, **rest)
