"""What the book's pages need beyond Jupyter Book: a small Sphinx extension."""

from typing import Any

from sphinx.application import Sphinx

__all__ = ["setup"]


def _skip_field_aliases(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples: Python's own text for them says nothing."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def _without_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Drop the scripts of the live-code button, which is off: they name a host outside the book."""

    def is_thebe(script: Any) -> bool:
        said = f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', {}).get('body', '')}"
        return "thebe" in said.lower()

    context["script_files"] = [s for s in context.get("script_files", []) if not is_thebe(s)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", _skip_field_aliases)
    app.connect("html-page-context", _without_thebe, priority=990)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
