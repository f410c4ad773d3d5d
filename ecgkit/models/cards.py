"""Model cards: what a network is, where it is from, what it takes, how it is trained here, and its limits.

A card holds facts in words. Sizes, layers and recorded results are not written in it:
`ecgbook.page.model_pages` computes them when it makes the pages of the book.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["CARDS", "COMMON_LIMIT", "INTENDED_USE", "Chapter", "ModelCard", "card_of"]

INTENDED_USE = (
    "Learning and research. The network comes without trained weights, and nothing here was tested on "
    "patients in care: it is no medical device, and its output is no medical advice."
)
COMMON_LIMIT = (
    "Recorded runs use all twelve leads, and the data and the sampling rate that they name. What holds for "
    "fewer leads, another device or another hospital has to be measured anew."
)


@dataclass(frozen=True)
class Chapter:
    """A chapter of the book; `page` is its source below ``notebooks/``, without the ending."""

    title: str
    page: str


@dataclass(frozen=True)
class ModelCard:
    """What a reader should know of a family of networks before using one.

    Attributes:
        name: Name of the family and of its page.
        title: Heading of the page.
        models: Names for `ecgkit.models.create`, or for `create` of the module that `factory` names.
        about: What the network is, in a few sentences.
        source: Works that the network comes from, and where in them.
        classes: Number of classes that sizes are computed for.
        samples: Length of the window that sizes are computed for, in samples.
        window: The same in words.
        options: Arguments of `create` besides leads and classes, each with what it does.
        trained: How it is trained in this book.
        limits: What to know before trusting a result, one sentence or two each.
        chapters: Where the book uses it.
        drawn: Those of `models` whose layers the page lists.
        variants: Options of further rows in the table of sizes, each with its ``model``.
        factory: Module whose `create` builds the network.
        needs_samples: Whether the network takes records of one length alone, its option ``samples``.
    """

    name: str
    title: str
    models: tuple[str, ...]
    about: str
    source: str
    classes: int
    samples: int
    window: str
    options: Mapping[str, str]
    trained: str
    limits: tuple[str, ...]
    chapters: tuple[Chapter, ...]
    drawn: tuple[str, ...]
    variants: tuple[Mapping[str, Any], ...] = ()
    factory: str = "ecgkit.models"
    needs_samples: bool = False


def _cards() -> Mapping[str, ModelCard]:
    with Path(__file__).with_name("cards.toml").open("rb") as file:
        tables = tomllib.load(file)
    cards = {}
    for name, table in tables.items():
        whole = {
            "options": {},
            **table,
            "name": name,
            "chapters": tuple(Chapter(*parts) for parts in table["chapters"]),
        }
        lists = {key: tuple(value) for key, value in whole.items() if isinstance(value, list)}
        cards[name] = ModelCard(**{**whole, **lists})
    return MappingProxyType(cards)


CARDS: Mapping[str, ModelCard] = _cards()
"""One card per family."""


def card_of(model: str) -> ModelCard:
    """The card that a network stands on.

    Raises:
        KeyError: If it stands on none.

    >>> card_of("light_resnet18/E12").name
    'light_resnet18'
    """
    for card in CARDS.values():
        if model in card.models:
            return card
    raise KeyError(f"no card describes {model!r}")
