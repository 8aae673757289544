"""Which defenses there are, one a file, found by itself; PyTorch is not needed before one trains.

A defense outside this package joins by DEFDISTILL_PLUGINS, the names of modules that are separated by commas; each
module holds its `DEFENSE`.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from defensive_distillation.defenses.specification import Defense, DefenseSettings
from defensive_distillation.plugins import modules

__all__ = ["DEFENSES", "Defense", "DefenseSettings"]


def _specifications() -> list[Defense]:
    names = [f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__) if module.name != "specification"]
    found: list[Defense] = [import_module(name).DEFENSE for name in names]
    return found + [module.DEFENSE for module in modules() if hasattr(module, "DEFENSE")]


DEFENSES: dict[str, Defense] = {defense.name: defense for defense in _specifications()}
"""Every defense by its name."""
