"""The data-set cards as pages of the book: ``python -m ecgbook.page.dataset_cards book/cards``."""

import sys
from pathlib import Path

from ecgkit.datasets.cards import CARDS, Card, Reference
from ecgkit.files import atomic_write

__all__ = ["to_markdown", "write_cards"]


def to_markdown(card: Card) -> str:
    """The card as a page of the book.

    >>> to_markdown(CARDS["georgia"]).splitlines()[0]
    '# Georgia 12-lead ECG Challenge Database (G12EC)'
    """
    facts = [f"| {label} | {value} |" for label, value in card.facts() if label != "Page"]
    page = f"<{card.page}>" if card.page else "made by `ecgkit`"
    parts = [
        f"# {card.title}",
        f'`datasets.load("{card.name}")`, version {card.version}, {page}',
        card.about,
        "\n".join(["| | |", "|---|---|", *facts]),
        "## Known problems",
        "\n".join(f"- {problem}" for problem in card.problems),
        "## References",
        "\n".join(f"- {_linked(reference)}" for reference in card.references),
    ]
    return "\n\n".join(parts) + "\n"


def _linked(reference: Reference) -> str:
    if not reference.doi:
        return reference.text
    return f"{reference.text} [doi:{reference.doi}](https://doi.org/{reference.doi})"


def _overview() -> str:
    """One table of all data sets, with links to their pages."""
    rows = [
        f"| [{name}]({name}.md) | {card.records:,} | {', '.join(map(str, card.sampling_rates_hz))} "
        f"| {card.duration} | {card.coding} | {card.labels} | {card.licence} |"
        for name, card in CARDS.items()
    ]
    head = [
        "| data set | records | rate (Hz) | duration | coding | codes | licence |",
        "|---|---|---|---|---|---|---|",
    ]
    text = "Every data set that `ecgkit` loads has a card: what it is, its terms, splits and known problems."
    return "\n\n".join(["# Data sets", text, "\n".join([*head, *rows])]) + "\n"


def write_cards(folder: str | Path) -> list[Path]:
    """Write every card as ``<folder>/<name>.md``, and ``<folder>/index.md`` with a table of them.

    >>> import tempfile
    >>> sorted(path.name for path in write_cards(tempfile.mkdtemp()))[:2]
    ['cpsc2018.md', 'cpsc2018_extra.md']
    """
    pages = {name: to_markdown(card) for name, card in CARDS.items()} | {"index": _overview()}
    paths = []
    for name, text in pages.items():
        path = Path(folder) / f"{name}.md"
        with atomic_write(path) as file:
            file.write(text)
        paths.append(path)
    return paths


if __name__ == "__main__":
    write_cards(sys.argv[1])
