"""Numbers as they are printed: a value, how finely it is printed, and so all the values it can stand for."""

import re
from dataclasses import dataclass

__all__ = ["Printed", "number"]

_SCALE = {"": 1.0, "%": 1.0, "k": 1e3, "m": 1e6}
_PATTERN = re.compile(
    r"(?P<sign>[+-]?)(?P<digits>\d[\d,]*\.?\d*|\.\d+)(?:\((?P<spread>\d+)\))?"
    r"(?:\s*[×x]\s*10\^\{?(?P<power>[+-]?\d+)\}?)?(?P<unit>[kKmM%]?)"
)


@dataclass(frozen=True)
class Printed:
    """A printed number.

    Attributes:
        value: The number itself; a percentage keeps its size, so "13.3%" is 13.3.
        step: One unit of its last printed digit.
        spread: The half-width in brackets, 0.006 for ".925(06)", else 0.
        exact: Whether it is a count: a whole number without a unit stands for itself alone.
    """

    value: float
    step: float
    spread: float = 0.0
    exact: bool = False

    @property
    def low(self) -> float:
        """The smallest number that rounds to this one."""
        return self.value if self.exact else self.value - self.step / 2

    @property
    def high(self) -> float:
        """The largest number that rounds to this one."""
        return self.value if self.exact else self.value + self.step / 2


def number(text: str) -> Printed:
    """Read a printed number.

    Args:
        text: As printed: "0.6488", "1.74M", "281K", "13.3%", "+0.0098", "21,837", ".925(06)", "8.1×10^{-13}".

    Raises:
        ValueError: If the text is no number.

    >>> number(".925(06)")
    Printed(value=0.925, step=0.001, spread=0.006, exact=False)
    >>> number("1.74M").low, number("281K").step
    (1735000.0, 1000.0)
    >>> number("21,837").exact, number("18%").exact
    (True, False)
    """
    match = _PATTERN.fullmatch(text.strip().replace("−", "-").lstrip("≈"))
    if match is None:
        raise ValueError(f"{text!r} is not a printed number")
    digits = match["digits"].replace(",", "")
    decimals = len(digits.partition(".")[2])
    shift = int(match["power"] or 0)
    scale = _SCALE[match["unit"].lower()]
    value = float(f"{match['sign']}{digits}e{shift}") * scale
    step = float(f"1e{shift - decimals}") * scale
    exact = not (decimals or match["unit"] or match["power"] or match["spread"])
    return Printed(value, step, int(match["spread"] or 0) * step, exact)
