"""Which attacks tables, figures and sentences tell of, and in which order: read off the suite."""

from __future__ import annotations

import re

from defensive_distillation.suite import registry as suite
from defensive_distillation.suite.specification import Attack

_BY_ATTACKER = ("naive", "adaptive", "gradient-free")
CARLINI_WAGNER = {"cw_l2": "L2", "cw_l0": "L0", "cw_linf": "L∞"}  # by norm


def bounded() -> list[str]:
    """The variants within balls, such as 'pgd/margin': by attacker, the naive first, then in the suite's order."""
    variants = [
        (variant.attacker, attack.variant_name(variant))
        for attack in suite.ATTACKS.values()
        if attack.family == "ball"
        for variant in attack.variants
    ]
    return [name for attacker, name in sorted(variants, key=lambda pair: _BY_ATTACKER.index(pair[0]))]


def by_distance() -> list[str]:
    """The attacks for the nearest sample, such as 'cw_l2'."""
    return [attack.name for attack in _family("distance")]


def other_by_budget() -> list[Attack]:
    """JSMA under other settings than the paper's."""
    return [attack for attack in _family("budget") if attack.name != "jsma"]


def iterated() -> Attack:
    """The strongest attack within a ball."""
    return next(attack for attack in _family("ball") if attack.iterates)


def condition(name: str) -> str:
    """The sanity condition that a variant is the weaker side of; '' for none."""
    attack = suite.ATTACKS.get(name.partition("/")[0])
    return attack.condition if attack else ""


def named(sentence: str) -> str:
    """`sentence` with 'pgd/margin' and so on as a reader calls them; 'noise' is a word as it is."""
    names = [name for name in (*bounded(), *by_distance()) if "/" in name or "_" in name]
    either = "|".join(re.escape(name) for name in names)
    return re.sub(rf"(?<![\w/])({either})(?![\w/])", lambda name: suite.title(name[0]), sentence)


def _family(family: str) -> list[Attack]:
    return [attack for attack in suite.ATTACKS.values() if attack.family == family]
