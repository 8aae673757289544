"""A step of JSMA on a photograph beside the passes that it is made of."""

from __future__ import annotations

from benchmarks.page import measured, rounds_of
from benchmarks.programs.photograph import CLASSES, SIDE
from benchmarks.race import Entry, race, ratio
from benchmarks.sections.plan import Plan, Section

NAMES = {"jsma": "JSMA, a step", "passes": "one forward and two backward passes"}


def _text(plan: Plan) -> str:
    outcomes = race([Entry(title, "photograph", name, {}) for name, title in NAMES.items()], plan.rounds)
    rows = [[one.entry.title, one.reason or f"{1e3 / one.rate:.1f}"] for one in outcomes]
    step, passes = outcomes
    return (
        f"{measured(['', 'CPU ms'], rows, rounds_of(outcomes))}\n\n"
        f"A step costs {1 / ratio(step, passes):.2f} times its passes: the search for the best of "
        f"{3 * SIDE**2 * (3 * SIDE**2 - 1) / 2:.1e} pairs is the rest."
    )


SECTION = Section(
    f"A photograph: `torchvision:resnet18`, {SIDE}×{SIDE}, {CLASSES:,} classes, {3 * SIDE**2:,} features", _text
)
