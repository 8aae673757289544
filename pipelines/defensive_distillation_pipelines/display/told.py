"""What a command found: for people on standard output, or as one JSON document for programs."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType

from defensive_distillation.errors import printable

_PIPE_WIDTH = 10_000  # columns where there is no terminal: no line is broken


@dataclass(frozen=True)
class Told:
    """What was found.

    Attributes:
        result: tables and lines for people.
        document: the same for programs, shares in [0, 1].
        notes: lines that say where to look next, which --quiet leaves out.
    """

    result: Sequence[RenderableType]
    document: Mapping[str, Any]
    notes: Sequence[str] = ()

    def tell(self, *, as_json: bool, quiet: bool) -> None:
        """Prints it."""
        if as_json:
            print(json.dumps(self.document, indent=2, ensure_ascii=False, allow_nan=False))
        else:
            show(*self.result, *(() if quiet else self.notes))


def show(*parts: RenderableType) -> None:
    """Prints tables and lines on standard output; in a pipe without blanks at the end of a line."""
    if sys.stdout.isatty():
        console = Console(highlight=False, markup=False, emoji=False)
        _print(console, parts)
        return
    text = io.StringIO()
    _print(Console(file=text, highlight=False, markup=False, emoji=False, width=_PIPE_WIDTH), parts)
    print("\n".join(line.rstrip() for line in text.getvalue().splitlines()), flush=True)


def _print(console: Console, parts: Sequence[RenderableType]) -> None:
    for part in parts:  # names of files and classes may hold anything
        console.print(printable(part) if isinstance(part, str) else part, soft_wrap=isinstance(part, str))
