"""Every defense: the files beside this one, each of which holds a `DEFENSE`, and those of plugins.

DEFDISTILL_PLUGINS names the modules of others, separated by commas; each holds its `DEFENSE`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from defensive_distillation import defenses
from defensive_distillation.defenses.specification import Defense
from defensive_distillation.plugins import with_plugins


def _specifications() -> list[Defense]:
    names = [
        name for _, name, _ in pkgutil.iter_modules(defenses.__path__) if name not in ("registry", "specification")
    ]
    return with_plugins("DEFENSE", [import_module(f"{defenses.__name__}.{name}").DEFENSE for name in sorted(names)])


DEFENSES: dict[str, Defense] = {defense.name: defense for defense in _specifications()}
"""Every defense by its name."""


def all_parameters(defense: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a defense that there is, checked, and with its defaults for those that are not given.

    One that is None is left out: it is what the dataset or the other parameters decide.
    """
    return DEFENSES[defense].settings.model_validate(dict(parameters)).model_dump(mode="json", exclude_none=True)
