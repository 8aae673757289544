"""How much of it: everything within 45 minutes of two cores, or, fast, what says most within minutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import machine
from benchmarks.race import Entry


@dataclass(frozen=True)
class Plan:
    """What a section is told.

    Attributes:
        rounds: times that each contender runs.
        fast: small sizes, and no contender that takes a minute.
    """

    rounds: int
    fast: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        text: measures, and returns what stands below the heading.
        fast: whether it is part of the fast page.
    """

    title: str
    text: Callable[[Plan], str]
    fast: bool = False


# what the page calls a peer, and its packages; the version is that of the first
PEERS = {
    "art": ("ART", ("adversarial-robustness-toolbox",)),
    "adversarial_library": ("adversarial-library", ("adv-lib",)),
    "cleverhans": ("CleverHans", ("cleverhans", "tensorflow-cpu")),
    "foolbox": ("foolbox", ("foolbox",)),
    "lightning": ("Lightning", ("lightning",)),
    "torchattacks": ("torchattacks", ("torchattacks",)),
}


def of_peer(peer: str, module: str, name: str, settings: Mapping[str, Any], *, note: str = "") -> Entry:
    """A contender of one of `PEERS`, called by its name, its version and a note."""
    title, needs = PEERS[peer]
    known = " ".join(filter(None, (title, machine.installed(needs[0]))))
    return Entry(known + (f", {note}" if note else ""), module, name, settings, needs)
