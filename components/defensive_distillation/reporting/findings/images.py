"""How many images the numbers rest on, and which of them no attack has to fool."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.networks import models
from defensive_distillation.reporting.words import count, counted, label, series
from defensive_distillation.suite.registry import ATTACKS, title
from defensive_distillation.suite.specification import FEWEST

ROBUST, WORST = "robust accuracy", "worst case"


def images(network: Evaluation) -> dict[str, int]:
    """How many images each attack ('jsma', 'pgd', …), the robust accuracy and the worst case rest on, by name."""
    numbers: dict[str, int] = {}
    for name, attacked in network.by_attack:
        numbers[name] = min(attacked.sources, numbers.get(name, attacked.sources))
    if network.robust:
        numbers[ROBUST] = network.robust.samples
    if network.worst_case:
        numbers[WORST] = network.worst_case.sources
    return numbers


def few_images(evaluations: Sequence[Evaluation], *families: str) -> str:
    """A sentence on every number that rests on fewer than ten images, '' where none does.

    Args:
        evaluations: that the numbers are of.
        families: of the attacks ('budget', 'ball', 'distance', 'transfer'), or ROBUST and WORST; none for all.
    """
    fewest: dict[str, int] = {}
    for network in evaluations:
        for name, number in images(network).items():
            of = ATTACKS[name].family if name in ATTACKS else name
            if number < FEWEST and (not families or of in families):
                fewest[name] = min(number, fewest.get(name, number))
    by_number: dict[int, list[str]] = {}
    for name, number in fewest.items():
        by_number.setdefault(number, []).append(title(name) if name in ATTACKS else name)
    said = [
        f"{series(names)} rest{'s' if len(names) == 1 else ''} on {number} image{'s' if number > 1 else ''}"
        for number, names in sorted(by_number.items())
    ]
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}: take these numbers as an indication." if text else ""


def misclassified(evaluations: Sequence[Evaluation]) -> str:
    """How many of the attacked images are wrong without an attack, '' where none is or nothing was attacked.

    The controls decide as the undistilled network does.
    """
    said = {}
    for network in models(evaluations):
        given, wrong = max(
            ((one.sources + one.misclassified, one.misclassified) for _, one in network.by_attack), default=(0, 0)
        )
        if wrong:
            said[label(network)] = counted(given, "image", shown=f"{wrong} of {count(given)}")
    if not said:
        return ""
    equal = len(said) == len(models(evaluations)) > 1 and len(set(said.values())) == 1
    each = f"{next(iter(said.values()))}, of every network" if equal else "; ".join(map(": ".join, said.items()))
    return f"Misclassified without an attack, and in no rate: {each}."
