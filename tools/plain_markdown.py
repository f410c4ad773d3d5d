"""Turn MyST Markdown into plain Markdown, for readers of the notebooks on Colab."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

__all__ = ["read_bibliography", "references", "to_plain"]

_ADMONITIONS = {"note", "tip", "hint", "warning", "caution", "danger", "important", "attention", "error"}
_ADMONITIONS |= {"admonition", "seealso", "margin", "sidebar", "topic", "exercise", "solution", "dropdown"}
_DROPPED = {"toctree", "tableofcontents", "contents"}
_FENCE = re.compile(r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:.-]+)\}[ \t]*(?P<argument>.*)$")
_OPTION = re.compile(r"^:(?P<key>[\w-]+):[ \t]*(?P<value>.*)$")
_ROLE = re.compile(r"\{(?P<role>[\w:.-]+)\}`(?P<text>[^`]+)`")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s#]+\.(?:md|ipynb))(?P<anchor>#[^)]*)?\)")
_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def read_bibliography(path: Path) -> dict[str, dict[str, str]]:
    """The entries of a BibTeX file: key to its fields (lower-case names) as plain text with accents."""
    if not path.exists():
        return {}
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    def plain(latex: str) -> str:
        return " ".join(str(Text.from_latex(latex)).replace("\N{NO-BREAK SPACE}", " ").split())

    entries = {}
    for key, entry in parse_file(str(path), bib_format="bibtex").entries.items():
        entries[key] = {name.lower(): plain(value) for name, value in entry.fields.items()}
        names = [
            ", ".join(
                plain(" ".join(part))
                for part in (p.prelast_names + p.last_names, p.first_names + p.middle_names)
                if part
            )
            for p in entry.persons.get("author", [])
        ]
        if names:
            entries[key]["author"] = " and ".join(names)
    return entries


def references(bibliography: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The entries as the lines of a Markdown list, by author and year."""
    lines = []
    for entry in sorted(bibliography.values(), key=lambda e: (_authors(e), e.get("year", ""))):
        names = [
            " ".join(reversed([p.strip() for p in n.split(",", 1)])) for n in entry["author"].split(" and ")
        ]
        where = [
            entry[k] for k in ("journal", "booktitle", "school", "howpublished", "publisher") if k in entry
        ]
        if "doi" in entry:
            where.append(f"[doi:{entry['doi']}](https://doi.org/{entry['doi']})")
        elif "eprint" in entry:
            where.append(f"[arXiv:{entry['eprint']}](https://arxiv.org/abs/{entry['eprint']})")
        title = entry["title"].rstrip(".")
        lines.append(
            f"- {', '.join(names)} ({entry.get('year', 'n.d.')}). {title}. {', '.join(where)}.".replace(
                " .", ""
            )
        )
    return lines


def _authors(entry: Mapping[str, str]) -> str:
    names = [n.split(",")[0] if "," in n else n.split()[-1] for n in entry.get("author", "?").split(" and ")]
    return names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."


class _Converter:
    def __init__(
        self,
        base: str,
        folder: str,
        bibliography: Mapping[str, Mapping[str, str]],
        values: Mapping[str, str],
    ) -> None:
        self.base, self.folder, self.bibliography, self.values = base, folder, bibliography, values

    def address(self, target: str, raw: bool = False) -> str:
        """A file of the repository as an address that works away from the repository."""
        if re.match(r"^[a-z]+:", target):
            return target
        parts: list[str] = []
        for part in PurePosixPath(self.folder, target).parts:
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        return f"{self.base}/{'raw' if raw else 'blob'}/{self.values['tag']}/{'/'.join(parts)}"

    def cite(self, keys: str, textual: bool) -> str:
        said = []
        for key in (k.strip() for k in keys.split(",")):
            if key not in self.bibliography:
                raise ValueError(f"cited but not in book/references.bib: {key}")
            entry = self.bibliography[key]
            year = entry.get("year", "n.d.")
            said.append(f"{_authors(entry)} ({year})" if textual else f"{_authors(entry)}, {year}")
        return ", ".join(said) if textual else f"({'; '.join(said)})"

    def role(self, match: re.Match[str]) -> str:
        role, text = match["role"], match["text"]
        if role.startswith("cite"):
            return self.cite(text, textual=role in ("cite:t", "cite:ct"))
        if role == "math":
            return f"${text}$"
        if role in ("sub", "sup"):
            return f"<{role}>{text}</{role}>"
        shown = re.sub(r"\s*<[^>]*>$", "", text)
        if role.startswith("py:") or role in ("func", "class", "meth", "mod", "attr", "data", "exc", "code"):
            return f"`{shown.split('.')[-1] if shown.startswith('~') else shown}`"
        if role in ("ref", "numref", "eq", "doc", "download") and shown == text:
            name = PurePosixPath(text).name
            return self.values.get(f"label:{name}", f"*{re.sub('[-_]', ' ', name)}*")
        return shown

    def inline(self, line: str) -> str:
        line = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda m: self.values[m[1]], line)
        line = _ROLE.sub(self.role, line)
        line = _IMAGE.sub(lambda m: f"![{m['alt']}]({self.address(m['target'], raw=True)})", line)
        return _LINK.sub(self.link, line)

    def link(self, match: re.Match[str]) -> str:
        address = self.address(match["target"])
        if "/notebooks/" in address:  # on Colab, go from notebook to notebook
            address = re.sub(r"\.md$", ".ipynb", address)
        return f"[{match['text']}]({address}{match['anchor'] or ''})"

    def directive(self, name: str, argument: str, options: dict[str, str], body: list[str]) -> list[str]:
        text = self.blocks(body)
        if name in _DROPPED:
            return []
        if name == "math":
            number = self.values.get(f"label:{options.get('label')}", "").strip("()")
            return ["$$", *body, *([f"\\tag{{{number}}}"] if number else []), "$$"]
        if name in ("figure", "image"):
            alt = options.get("alt", "")
            caption = [f"*{' '.join(text)}*"] if any(text) else []
            return [f"![{alt}]({self.address(argument, raw=True)})", "", *caption]
        if name in _ADMONITIONS:
            title = self.inline(argument) or name.capitalize()
            if "dropdown" in options.get("class", "") or name in ("dropdown", "solution"):
                return ["<details>", f"<summary>{title}</summary>", "", *text, "", "</details>"]
            return [f"> **{title}**", ">", *(f"> {line}".rstrip() for line in text)]
        if name == "table":
            return [f"**{self.inline(argument)}**", "", *text]
        if name == "list-table":
            return self.list_table(argument, text)
        if name == "glossary":
            return [
                f"**{line}**" if line and not line[0].isspace() and line[0] != ":" else line for line in text
            ]
        if name in ("tab-set", "grid", "div"):
            return text
        if name in ("tab-item", "grid-item-card", "card"):
            return [f"**{self.inline(argument)}**", "", *text]
        if name == "bibliography":
            return references(self.bibliography)
        raise ValueError(
            f"no plain form is known for the directive {{{name}}}: add it to tools/plain_markdown.py"
        )

    def list_table(self, title: str, lines: list[str]) -> list[str]:
        rows: list[list[str]] = []
        for line in lines:
            if line.startswith("* - "):
                rows.append([line[4:]])
            elif line.startswith("  - "):
                rows[-1].append(line[4:])
            elif line.strip():
                rows[-1][-1] += " " + line.strip()
        head, *rest = [f"| {' | '.join(row)} |" for row in rows]
        return [f"**{self.inline(title)}**", "", head, "|" + " --- |" * len(rows[0]), *rest]

    def blocks(self, lines: list[str]) -> list[str]:
        """Convert the lines of one block; directives may hold others."""
        out: list[str] = []
        i = 0
        while i < len(lines):
            opening = _FENCE.match(lines[i])
            plain = re.match(r"^(`{3,}|~{3,})(?!\{)", lines[i])
            if opening or plain:
                fence = opening["fence"] if opening else plain[1]  # type: ignore[index]
                closing = re.compile(rf"^{re.escape(fence[0])}{{{len(fence)},}}\s*$")
                end = next((j for j in range(i + 1, len(lines)) if closing.match(lines[j])), None)
                if end is None:
                    raise ValueError(f"this fence is never closed: {lines[i]}")
                body = lines[i + 1 : end]
                if not opening:
                    out += lines[i : end + 1]
                else:
                    options = {}
                    while body and (option := _OPTION.match(body[0])):
                        options[option["key"]] = option["value"]
                        body = body[1:]
                    while body and not body[0].strip():
                        body = body[1:]
                    out += self.directive(opening["name"], opening["argument"].strip(), options, body)
                i = end + 1
                continue
            if not re.match(r"^(\([\w:.-]+\)=|%.*)$", lines[i]):
                out.append(self.inline(lines[i]))
            i += 1
        return out


def to_plain(
    text: str,
    *,
    base: str,
    folder: str,
    values: Mapping[str, str],
    bibliography: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Convert one Markdown cell.

    Args:
        text: The cell in MyST Markdown.
        base: Address of the repository.
        folder: The notebook's folder inside the repository, for relative links and pictures.
        values: What the substitutions `{{ name }}` stand for; holds at least `tag`. A key `label:NAME` says
            how a reference to NAME is written.
        bibliography: Entries for citations, see `read_bibliography`.

    Raises:
        ValueError: For a directive, a citation or a fence that cannot be converted.
    """
    converter = _Converter(base, folder, bibliography or {}, values)
    text = _ROLE.sub(lambda role: role[0].replace("\n", " "), text)  # a role may go on in the next line
    return "\n".join(converter.blocks(text.split("\n"))).strip("\n")
