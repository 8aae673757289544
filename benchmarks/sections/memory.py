"""What the whole attack stage needs as its pairs grow."""

from __future__ import annotations

from benchmarks.page import measured, rounds_of
from benchmarks.programs.memory import FEATURES
from benchmarks.race import Entry, race
from benchmarks.sections.plan import Plan, Section

SOURCES = (100, 1_000, 10_000)  # images of the attack stage, each towards nine classes
ABOUT = f"""\
The whole stage on MNIST's size, from dataset and model to the artifact: the largest resident set,
PyTorch included. JSMA on logits with {FEATURES} features, one step a pair, since the memory of a
step is that of any other; what is kept of a pair grows by 5 bytes for each feature that changed."""


def _text(plan: Plan) -> str:
    found = race([Entry(f"{9 * sources:,} pairs", "memory", str(sources), {}) for sources in SOURCES], 1)
    rows = [[one.entry.title, one.reason or f"{one.figures['memory'] / 2**20:,.0f}"] for one in found]
    return f"{ABOUT}\n\n{measured(['', 'MiB'], rows, rounds_of(found))}"


SECTION = Section("Memory of the attack stage", _text)
