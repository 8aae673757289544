"""A table of cells that a terminal gets in as many pieces as it is too narrow for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from defensive_distillation.errors import printable

Cell = str | Text


@dataclass(frozen=True)
class Grid:
    """Cells below heads; a piece begins with the first `keys` columns again.

    Attributes:
        heads: of the columns; one that begins with an empty line stands below the head before it, and stays with it.
        rows: their cells.
        keys: how many columns say what a row is about.
        left: columns whose cells begin at the left.
        footer: cells below a rule, none for no such row.
        narrow: lines, set in as they begin, that say the same where the table is too wide; none: it comes in pieces.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    keys: int = 1
    left: Collection[int] = (0,)
    footer: Sequence[str] = ()
    narrow: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the table, or pieces with an empty line between them."""
        if self.narrow and not self._fits(range(len(self.heads)), console, options):
            yield from (
                Padding(line.lstrip(), (0, 0, 0, len(line) - len(line.lstrip())), expand=False) for line in self.narrow
            )
            return
        for number, columns in enumerate(self._pieces(console, options)):
            if number:
                yield ""
            yield self._table(columns)

    def _pieces(self, console: Console, options: ConsoleOptions) -> list[list[int]]:
        keys = list(range(self.keys))
        pieces = [list(keys)]
        for group in self._groups():
            if len(pieces[-1]) > self.keys and not self._fits([*pieces[-1], *group], console, options):
                pieces.append(list(keys))
            pieces[-1] += group
        return pieces

    def _groups(self) -> list[list[int]]:
        groups: list[list[int]] = []
        for column in range(self.keys, len(self.heads)):
            if groups and self.heads[column].startswith("\n"):
                groups[-1].append(column)
            else:
                groups.append([column])
        return groups

    def _fits(self, columns: Sequence[int], console: Console, options: ConsoleOptions) -> bool:
        unbounded = options.update(width=10 * console.width)
        return Measurement.get(console, unbounded, self._table(columns)).maximum <= options.max_width

    def _table(self, columns: Sequence[int]) -> Table:
        table = Table(
            box=SIMPLE,
            padding=(0, 1, 0, 0),
            show_edge=False,
            pad_edge=False,
            show_footer=bool(self.footer),
            header_style="",
            footer_style="",
        )
        for column in columns:
            footer = self.footer[column] if self.footer else ""
            table.add_column(self.heads[column], footer, justify="left" if column in self.left else "right")
        for row in self.rows:
            cells = (row[column] for column in columns)
            table.add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in cells))
        return table
