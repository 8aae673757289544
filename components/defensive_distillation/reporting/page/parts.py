"""What the page is made of: cells, tables, figures, verdicts, as the templates take them; text is escaped there."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.figures.exhibits import EXHIBITS
from defensive_distillation.reporting.measures import robust_within
from defensive_distillation.reporting.words import MASKED, column_per_cent, label, per_cent_range

DASH = "–"


@dataclass(frozen=True)
class Cell:
    """A table's cell that is more than its text.

    Attributes:
        text: of the cell.
        kind: class of the text, such as 'value'; '' for none.
        below: smaller lines; empty ones are left out.
        bar: 'fooled' or 'right', which have their colours everywhere, and a share in [0, 1], drawn below the text.
        differs: whether a mark says that the paper did something else.
    """

    text: str
    kind: str = "value"
    below: tuple[str, ...] = ()
    bar: tuple[str, float] | None = None
    differs: bool = False


@dataclass(frozen=True)
class Table:
    """A table that scrolls in its own box where it is wider than the page; each row's first cell names it."""

    head: Sequence[str]
    body: Sequence[Sequence[str | Cell]]
    caption: str = ""
    kind: str = ""

    def __post_init__(self) -> None:
        """Leaves out columns that hold nothing but dashes: what was not run is no column."""
        rows = [self.head, *self.body]
        told = [any(row[place] != DASH for row in self.body) for place in range(len(self.head))]
        kept = [place for place, tells in enumerate(told) if tells or not self.body]
        object.__setattr__(self, "head", [rows[0][place] for place in kept])
        object.__setattr__(self, "body", [[row[place] for place in kept] for row in rows[1:]])


@dataclass(frozen=True)
class Image:
    """A PNG inside the page, with its size so that nothing jumps while it loads."""

    png: bytes
    alt: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height

    @property
    def base64(self) -> str:
        """Its bytes as text."""
        return b64encode(self.png).decode()

    @property
    def length(self) -> int:
        """About how many characters it takes in the page."""
        return 4 * -(-len(self.png) // 3) + len(self.alt) + 70


@dataclass(frozen=True)
class Shown:
    """A figure with its title and what is said below it.

    Attributes:
        title: '' for none.
        image: the figure itself.
        caption: '' where the template has it.
        name: of the anchor, '' for none.
    """

    title: str
    image: Image
    caption: str = ""
    name: str = ""


def exhibits(names: Sequence[str], ordered: Sequence[Evaluation], pngs: Mapping[str, bytes]) -> list[Shown]:
    """Figures of the sweep by their names."""
    by_name = {exhibit.name: exhibit for exhibit in EXHIBITS}
    return [
        Shown(exhibit.title, Image(pngs[exhibit.name], exhibit.alt(ordered)), name=exhibit.name)
        for exhibit in map(by_name.__getitem__, names)
    ]


def verdict_cell(network: Evaluation) -> Cell:
    """'masked' and so on, coloured."""
    return Cell(MASKED[network.masking.masked], f"verdict {network.masking.masked}")


def robust_cell(network: Evaluation, radius: float | None) -> Cell | str:
    """The robust accuracy within a radius, with its interval below."""
    found = robust_within(network, radius)
    if found is None:
        return DASH
    return Cell(column_per_cent(found[0]), below=(per_cent_range(found[1]),), bar=("right", found[0]))


def with_label(network: Evaluation, *cells: str | Cell) -> list[str | Cell]:
    """A row that a network's title begins."""
    return [label(network), *cells]
