"""How every figure looks, and how it becomes bytes: one palette, one font, the same PNG for the same numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from PIL import Image

# Narrow, so that 12 point letters are still read when a phone shrinks the figure to 350 pixels
WIDTH = 5.2  # inches
HEIGHT = 4.1
DPI = 190

INK = "#1c1c1c"
MUTED = "#5f6368"
FAINT = "#d9d9d9"


_STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 12,
    "axes.labelsize": 12,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 11.5,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.8,
    "lines.markersize": 7,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a class named '$5' is a name, not mathematics
}


Dash = Literal["-", "--", ":"]


@dataclass(frozen=True)
class Mark:
    """How one series is drawn."""

    label: str
    colour: str
    marker: str
    dash: Dash = "-"


@contextmanager
def style() -> Iterator[None]:
    """Keeps matplotlib as these figures want it, whatever the user's settings are, and as it was afterwards."""
    with rc_context(), warnings.catch_warnings():
        rcdefaults()
        rcParams.update(_STYLE)
        # a class name in a script that DejaVu lacks is drawn as boxes; the page's text has it
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def figure(height: float = HEIGHT) -> Figure:
    """An empty figure of the common width. Call it within `style()`."""
    made = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def png(drawn: Figure, *, dpi: float = DPI, colours: int = 96) -> bytes:
    """The figure as a PNG of at most `colours` colours; the same bytes for the same figure."""
    with style():
        if isinstance(drawn.get_layout_engine(), ConstrainedLayoutEngine):
            # laid out once, for a second layout starts from the first and moves things by a hair
            drawn.set_dpi(DPI)
            drawn.draw_without_rendering()
            drawn.set_layout_engine("none")
        drawn.set_dpi(dpi)
        canvas: Any = FigureCanvasAgg(drawn)  # its methods carry no types
        canvas.draw()
        image = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")
    data = BytesIO()
    image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        data, format="PNG", compress_level=6
    )
    return data.getvalue()


def panel_figure(number: int, *, shared: bool) -> tuple[Figure, list[Axes]]:
    """A figure of `number` panels, two a row."""
    columns = min(2, number)
    lines = -(-number // columns)
    drawn = figure(1.3 + (1.55 if lines > 1 else 2.4) * lines)  # one row leaves the label of y no less room
    grid = drawn.subplots(lines, columns, sharex=True, sharey=shared, squeeze=False)
    places = list(grid.flat)
    for axes in places[number:]:
        axes.set_visible(False)
    if number % columns:  # the panel above the empty place is the last of its column
        grid[-2, -1].tick_params(axis="x", labelbottom=True)
    return drawn, places[:number]


def name_panel(axes: Axes, name: str) -> None:
    """The name above a panel, smaller where it is long."""
    axes.set_title(shorten_middle(name, 32), fontsize=12 if len(name) <= 20 else 9, loc="left")


def legend(drawn: Figure, handles: Sequence[Line2D], *, columns: int = 2) -> None:
    """One legend above the panels, where it covers no data."""
    if handles:
        drawn.legend(handles=list(handles), loc="outside upper left", ncols=columns, columnspacing=1.2)


def handle(mark: Mark, *, hollow: bool = False, line: bool = True) -> Line2D:
    """A legend's sample of `mark`."""
    return Line2D([], [], **look(mark, hollow=hollow, line=line))


def look(mark: Mark, *, hollow: bool = False, line: bool = True) -> dict[str, Any]:
    """How matplotlib is told of `mark`: its points hollow or filled, with or without a line between them."""
    return {
        "color": mark.colour,
        "marker": mark.marker,
        "linestyle": mark.dash if line else "none",
        "markerfacecolor": "white" if hollow else mark.colour,
        "label": mark.label,
    }


def shorten_middle(text: str, length: int) -> str:
    """`text` in at most `length` characters, cut in the middle: names often differ in their last letters."""
    tail = length // 3
    return text if len(text) <= length else f"{text[: length - tail - 1].rstrip()}…{text[-tail:].lstrip()}"


def message(text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    with style():
        drawn = figure(1.2)
        drawn.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, wrap=True)
    return drawn
