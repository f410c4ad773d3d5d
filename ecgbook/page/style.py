"""How all figures of the book look: one palette, one call."""

__all__ = ["BLACK", "BLUE", "GREEN", "GREY", "ORANGE", "PURPLE", "SUPERCLASS_COLOURS", "use_style"]

#: Colours that readers with any colour vision tell apart.
#:
#: Source:
#:     Okabe and Ito, Color Universal Design, 2008.
BLACK, BLUE, ORANGE, GREEN, PURPLE = "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GREY = "#666666"

#: The superclasses of PTB-XL, in the order of the pages.
SUPERCLASS_COLOURS = {"NORM": GREEN, "MI": ORANGE, "STTC": "#E69F00", "CD": "#56B4E9", "HYP": PURPLE}


def use_style() -> None:
    """Set the look of figures (white, 110 dots per inch, 12 points) and show long cells of tables whole.

    Examples:
        >>> import matplotlib as mpl
        >>> with mpl.rc_context():
        ...     use_style()
        ...     mpl.rcParams["figure.dpi"]
        110.0
    """
    import matplotlib as mpl
    import pandas as pd

    mpl.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110, "font.size": 12})
    pd.set_option("display.max_colwidth", None)
