"""What each change to the network brought, and where the time of an operator went."""

from __future__ import annotations

from benchmarks.page import measured, profile_table, rate, rounds_of
from benchmarks.programs.changes import BATCH, PAIRS
from benchmarks.programs.changes import STEPS as CHANGES
from benchmarks.race import Entry, race, ratio
from benchmarks.sections.plan import Plan, Section
from benchmarks.work import STEPS

ABOUT = f"""\
The MNIST architecture from PyTorch's own layers to ours; each line keeps the changes before it, and computes
the same. JSMA on logits, {PAIRS} pairs at once, {STEPS} steps each; training at batch {BATCH}, where weights need their
gradients. Below, the operators that take longest, from PyTorch's profiler, before and after all changes."""
ATTACKED = ("frozen", "remembered")  # changes that a training knows nothing of
KINDS = {"jsma": ("JSMA", "pairs"), "training": ("Training", "images")}


def _text(plan: Plan) -> str:
    parts = [ABOUT]
    for kind, (title, unit) in KINDS.items():
        names = [name for name in CHANGES if kind == "jsma" or name not in ATTACKED]
        outcomes = race([Entry(CHANGES[name], "changes", name, {"kind": kind}) for name in names], plan.rounds)
        first, *_ = outcomes
        rows = [
            [one.entry.title, *([one.reason, ""] if one.reason else [rate(one.rate), f"{ratio(one, first):.2f} ×"])]
            for one in outcomes
        ]
        parts += [f"### {title}", measured(["", f"{unit} / CPU s", "of the first"], rows, rounds_of(outcomes))]
        ends = [Entry(name, "changes", name, {"kind": kind, "profiled": True}) for name in (names[0], names[-1])]
        before, after = race(ends, 1)
        parts.append(profile_table(before, after))
    return "\n\n".join(parts)


SECTION = Section("What each change brought", _text)
