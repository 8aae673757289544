"""Pieces of HTML. Whatever comes in as text goes out escaped; what is markup already says so by its type."""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from collections.abc import Sequence
from html import escape


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: str) -> Html:
    """`value` escaped, a number held together with its unit or the T with its value."""
    held = re.sub(r"(?<=\d) (?=[%×])|(?<=\bT) (?== )|(?<=\bT =) (?=\d)", "\N{NO-BREAK SPACE}", value)
    return Html(escape(held))


def tag(name: str, *content: str, **attributes: str | bool) -> Html:
    """An element; text is escaped, `Html` is not. `class_` is class; a True attribute stands alone."""
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not False
    )
    inner = "".join(part if isinstance(part, Html) else text(part) for part in content)
    return Html(f"<{name}{given}>{inner}</{name}>")


def join(parts: Sequence[str], between: str = "\n") -> Html:
    """Pieces one after the other, text escaped."""
    return Html(between.join(part if isinstance(part, Html) else text(part) for part in parts))


def image(png: bytes, alt: str) -> Html:
    """A PNG inside the page, with its size so that nothing jumps while it loads."""
    width, height = struct.unpack(">II", png[16:24])
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    return Html(f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}">')


def table(head: Sequence[str], body: Sequence[Sequence[str]], *, caption: str = "", kind: str = "") -> Html:
    """A table that scrolls in its own box where it is wider than the page; each row's first cell names it."""
    columns = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    lines = [tag("tr", tag("th", line[0], scope="row"), *(tag("td", cell) for cell in line[1:])) for line in body]
    title = tag("caption", caption) if caption else Html("")
    inside = tag("table", title, tag("thead", columns), tag("tbody", *lines))
    return tag(
        "div",
        inside,
        class_=f"scroll {kind}".strip(),
        tabindex="0",
        role="region",
        aria_label=caption or "Table",
    )


def fold(summary: str, *content: str, is_open: bool = False) -> Html:
    """Content that is folded away on a screen until asked for, and printed on paper."""
    return tag("details", tag("summary", summary), *content, open=is_open)


def cell(value: str, *below: str) -> Html:
    """A table's cell: a number, and smaller lines below it."""
    small = [tag("span", line, class_="range") for line in below if line]
    return join([tag("span", value, class_="value"), *small], "")
