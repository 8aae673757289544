"""Two processes of one thread that attack at once, as shards do."""

from __future__ import annotations

from benchmarks.page import measured, rounds_of
from benchmarks.race import Entry, race, ratio
from benchmarks.sections.plan import Plan, Section

NAMES = {"1": "one process", "2": "two processes"}
ABOUT = "JSMA on logits as above, MNIST architecture, each process with one thread on a core of its own."


def _text(plan: Plan) -> str:
    one, two = found = race(
        [Entry(title, "workers", name, {}) for name, title in NAMES.items()], plan.rounds, whole=True
    )
    rows = [[each.entry.title, each.reason or f"{each.wall_rate:.2f}"] for each in found]
    told = f"Two processes do {ratio(two, one, 'seconds'):.2f} times the work of one in the same time."
    return f"{ABOUT}\n\n{measured(['', 'pairs / s'], rows, rounds_of(found))}\n\n{told}"


SECTION = Section("Two shards of an attack at once", _text)
