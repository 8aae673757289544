"""Every attack that the pipeline has: the specifications in attacks/, and those of plugins.

DEFDISTILL_PLUGINS names the modules of others, separated by commas; each holds its `ATTACK`.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from defensive_distillation.plugins import with_plugins
from defensive_distillation.suite import attacks
from defensive_distillation.suite.specification import Attack, Attacker, Section


def _specifications() -> list[Attack]:
    modules = pkgutil.walk_packages(attacks.__path__, f"{attacks.__name__}.")
    return with_plugins("ATTACK", [import_module(module.name).ATTACK for module in modules if not module.ispkg])


ATTACKS: dict[str, Attack] = {attack.name: attack for attack in sorted(_specifications(), key=lambda one: one.order)}
"""Every attack by its name, in order."""

SECTIONS: dict[str, type[Section]] = {
    name: section for attack in ATTACKS.values() for name, section in attack.sections.items()
}
"""The settings of all attacks, by the names that they have in the settings of the stage `attack`."""

_VARIANTS = {attack.variant_name(variant): variant for attack in ATTACKS.values() for variant in attack.variants}


def title(name: str) -> str:
    """An attack or a variant for a reader: 'pgd/margin' is 'PGD on logits', 'square' is 'Square'."""
    if name in _VARIANTS:
        return _VARIANTS[name].title
    return ATTACKS[name].title if name in ATTACKS else name.replace("/", " on ")


def attacker(name: str) -> Attacker:
    """Who attacks by the variant called `name`; by an unknown one, who knows the defense."""
    return _VARIANTS[name].attacker if name in _VARIANTS else "adaptive"
