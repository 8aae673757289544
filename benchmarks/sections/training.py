"""An epoch by our loop, the least that a loop can do, a tutorial's and Lightning's."""

from __future__ import annotations

from benchmarks.page import race_table
from benchmarks.race import Entry, race, ratio
from benchmarks.sections.jsma import TITLES
from benchmarks.sections.plan import Plan, Section, of_peer

IMAGES = {"papernot_mnist": 1280, "papernot_cifar10": 384}
NAMES = {"ours": "ours", "bare": "bare loop", "plain": "plain PyTorch, DataLoader"}
ABOUT = """\
One epoch at batch 128, T = 20, dropout and momentum. The bare loop runs forward, backward and step on one
batch that is there already, with our layers; the plain loop is a DataLoader and the network of PyTorch's
own layers, and so is Lightning's. Outside the passes and the step is all but the time from the begin of a
forward pass to the end of the optimiser's step after it."""


def _text(plan: Plan) -> str:
    parts = [ABOUT]
    for architecture, count in IMAGES.items():
        settings = {"architecture": architecture, "count": count}
        entries = [Entry(title, "training", name, settings) for name, title in NAMES.items()]
        outcomes = race([*entries, of_peer("lightning", "training", "lightning", settings)], plan.rounds)
        extra = [("outside", "outside the passes and the step", ".1%")]
        parts += [f"### {TITLES[architecture]} architecture", race_table(outcomes, "images", extra)]
        parts.append(f"Ours reaches {ratio(outcomes[0], outcomes[1]):.0%} of the bare loop's rate.")
    return "\n\n".join(parts)


SECTION = Section("Training", _text)
