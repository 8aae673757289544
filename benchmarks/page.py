"""docs/benchmarks.md: what was measured, on what, and what fell short."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from benchmarks import machine
from benchmarks.race import Outcome, ratio


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown, padded so that it reads well in a terminal too."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def race_table(outcomes: Sequence[Outcome], unit: str, extra: Sequence[tuple[str, str, str]] = ()) -> str:
    """A row for each contender; the first is ours, and the others' column 'ours is' says how many times its rate.

    `extra` are (key, title, format) of what else was counted.
    """
    ours = outcomes[0]
    head = ["", f"{unit} / CPU s", f"{unit} / s", "ours is", "memory, MiB", *(title for _, title, _ in extra)]
    rows = []
    for one in outcomes:
        if one.reason:
            rows.append([one.entry.title, one.reason, *([""] * (len(head) - 2))])
            continue
        times = "" if one is ours else f"{ratio(ours, one):.2f} ×"
        found = [format(one.figures[key], form) if key in one.figures else "" for key, _, form in extra]
        memory = f"{one.figures['memory'] / 2**20:,.0f}"
        rows.append([one.entry.title, f"{one.rate:.3g}", f"{one.wall_rate:.3g}", times, memory, *found])
    return table(head, rows)


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
    return table(["operator", "before, ms", "after, ms"], lines)


def head(limits: machine.Limits, rounds: int) -> str:
    """What was measured with, and the machine's limits."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions().items())
    rates = [
        ["matrix product, 1024×1024", f"{limits.matrix_product / 1e9:.1f} GFLOP/s"],
        *(
            [f"convolutions of {name}, forwards, batch 64", f"{rate / 1e9:.1f} GFLOP/s"]
            for name, rate in limits.convolution.items()
        ),
        ["copying 128 MiB, read and written", f"{limits.bandwidth / 1e9:.1f} GB/s"],
    ]
    return "\n".join(
        [
            f"Machine: {machine.description()}. {versions}. Commit {machine.commit()}, {datetime.date.today()}.",
            "",
            f"Everything on one core. Medians of {rounds} rounds, all contenders in turn in each round; ratios are",
            "medians of the rounds' ratios of processor time. Memory is the largest resident set of the whole process.",
            "",
            "## The limits of one core",
            "",
            table(["", ""], rates),
        ]
    )
