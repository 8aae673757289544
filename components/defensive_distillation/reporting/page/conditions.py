"""Which sanity conditions of the attacks hold; those that fail as findings, with what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from defensive_distillation.evaluation.results import Condition, Evaluation
from defensive_distillation.reporting import attacks
from defensive_distillation.reporting.page.parts import DASH, Cell, Table, with_label
from defensive_distillation.reporting.words import CONDITIONS, count, label, series

_ATTACKERS = {"naive": "through the softmax at T = 1", "adaptive": "through the logits"}


def of_conditions(ordered: Sequence[Evaluation]) -> dict[str, Any]:
    """A table or a line an attacker, what failed, and what holds; nothing without conditions."""
    ran = [network for network in ordered if network.conditions]
    if not ran:
        return {}
    passes = [
        f"{label(network)}, {_ATTACKERS[one.attacker]}, {_name(one.name)}: {_sentence(one)}"
        for network in ran
        for one in network.conditions
        if one.passed
    ]
    return {
        "by_attacker": [part for attacker in _ATTACKERS if (part := _by_attacker(ran, attacker))],
        "failures": _failures(ran),
        "passes": passes,
        "number": count(len(passes)),
    }


def _by_attacker(ran: Sequence[Evaluation], attacker: str) -> Table | str:
    """What holds for one attacker: a line where everything does, else a table."""
    made = [one for network in ran for one in network.conditions if one.attacker == attacker]
    if not made:
        return ""
    if all(one.passed for one in made):
        return f"An attacker {_ATTACKERS[attacker]}: all {count(len(made))} conditions hold."
    named = dict.fromkeys(one.name for one in made)
    names = [*(name for name in CONDITIONS if name in named), *(name for name in named if name not in CONDITIONS)]
    return Table(
        ["", *map(_name, names)],
        [with_label(network, *(_mark(network, attacker, name) for name in names)) for network in ran],
        f"An attacker {_ATTACKERS[attacker]}",
        "marks",
    )


def _mark(network: Evaluation, attacker: str, name: str) -> Cell | str:
    """Whether one condition holds, of every attack that it was checked on."""
    passed = [one.passed for one in network.conditions if (one.attacker, one.name) == (attacker, name)]
    if not passed:
        return DASH
    return "holds" if all(passed) else Cell("fails", "fails")


def _failures(ran: Sequence[Evaluation]) -> list[tuple[str, str, list[str]]]:
    """What failed by network and attacker, with what it means."""
    items = []
    for network in ran:
        for attacker, how in _ATTACKERS.items():
            failures = [one for one in network.conditions if one.attacker == attacker and not one.passed]
            if failures:
                means = series(list(dict.fromkeys(one.meaning for one in failures)))
                sentences = [f"{_name(one.name)}: {_sentence(one)}" for one in failures]
                items.append((f"{label(network)}, {how}", means, sentences))
    return items


def _sentence(condition: Condition) -> str:
    """The condition's sentence, the attacks in it by their names for a reader."""
    told = attacks.named(condition.sentence)
    return told if told.endswith(".") else f"{told}."


def _name(name: str) -> str:
    return CONDITIONS.get(name, name.replace("_", " "))
