"""docs/benchmarks.md: a section for each part, under every table the machine and the commit that it was measured on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.race import Outcome, ratio

HEAD = """# Benchmarks

Written by `make bench`, a section at a time; `make bench ONLY=jsma` measures one of them again. Everything on one core.
Contenders are processes of their own that run in turn, A B C A B C …, a tenth of a second each until all have ended,
and new ones each round: so neither the moods of a machine that others use, too, nor the place where a process finds its
memory is in a ratio. Those of the attacks on trained networks are kept, and take turns of a whole run. Figures are
medians of the rounds, ratios medians of the rounds' ratios of processor time. 'ours is' says how many times a
contender's rate the first row has. Memory is the largest resident set of the whole process."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown, padded so that it reads well in a terminal too."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def measured(head: Sequence[str], rows: Sequence[Sequence[str]], rounds: int) -> str:
    """A table with the machine, the commit and the number of rounds under it."""
    return f"{table(head, rows)}\n\n{machine.caption(rounds)}"


def rate(value: float) -> str:
    """With three digits, or as a whole number where it has more."""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"


def race_table(
    outcomes: Sequence[Outcome], unit: str, extra: Sequence[tuple[str, str, str]] = (), *, memory: bool = True
) -> str:
    """A row for each contender; the first is ours, and the others' column 'ours is' says how many times its rate.

    `extra` are (key, title, format) of what else was counted; a figure that is no number leaves its cell empty.
    """
    ours = outcomes[0]
    head = ["", f"{unit} / CPU s", f"{unit} / s", "ours is", *(["memory, MiB"] if memory else [])]
    head += [title for _, title, _ in extra]
    rows = []
    for one in outcomes:
        if one.reason:
            rows.append([one.entry.title, one.reason, *([""] * (len(head) - 2))])
            continue
        times = "" if one is ours or ours.reason else f"{ratio(ours, one):.2f} ×"
        counted = [(one.figures.get(key, math.nan), form) for key, _, form in extra]
        found = [format(value, form) if math.isfinite(value) else "" for value, form in counted]
        held = [f"{one.figures['memory'] / 2**20:,.0f}"] if memory else []
        rows.append([one.entry.title, rate(one.rate), rate(one.wall_rate), times, *held, *found])
    return measured(head, rows, rounds_of(outcomes))


def profile_table(before: Outcome, after: Outcome, rows: int = 10) -> str:
    """The operators that take longest, before and after, in milliseconds of their own for each unit of work."""
    if before.reason or after.reason:
        return before.reason or after.reason
    spent = [
        {key[3:]: value / one.figures["work"] for key, value in one.figures.items() if key.startswith("op ")}
        for one in (before, after)
    ]
    order = sorted({*spent[0], *spent[1]}, key=lambda key: -max(one.get(key, 0.0) for one in spent))
    lines = [[f"`{key}`", *(f"{one.get(key, 0.0):.2f}" for one in spent)] for key in order[:rows]]
    lines.append(["all operators", *(f"{sum(one.values()):.2f}" for one in spent)])
    return measured(["operator", "before, ms", "after, ms"], lines, 1)


def rounds_of(outcomes: Iterable[Outcome]) -> int:
    """How often those that could run did."""
    return max((len(one.rounds) for one in outcomes), default=0)


def sections(path: Path) -> dict[str, str]:
    """What the page holds by now, by heading; nothing where there is none."""
    if not path.is_file():
        return {}
    parts = re.split(r"^## (.+)\n", path.read_text(), flags=re.MULTILINE)[1:]
    return {title: text.strip("\n") for title, text in zip(parts[::2], parts[1::2], strict=True)}


def write(path: Path, found: Mapping[str, str]) -> None:
    """The page of these sections, in their order, in place of what was there."""
    parts = [HEAD, *(f"## {title}\n\n{text}" for title, text in found.items())]
    beside = path.with_name(f".{path.name}.part")
    beside.write_text("\n\n".join(parts) + "\n")
    beside.replace(path)
