"""Modules outside this package that bring an attack or a defense, named by DEFDISTILL_PLUGINS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from defensive_distillation.errors import ConfigurationError

PLUGINS = "DEFDISTILL_PLUGINS"


def modules() -> Iterator[ModuleType]:
    """The modules that the variable names, separated by commas.

    Raises:
        ConfigurationError: for one that cannot be imported.
    """
    for name in filter(None, (part.strip() for part in os.environ.get(PLUGINS, "").split(","))):
        try:
            yield import_module(name)
        except ImportError as error:
            raise ConfigurationError(
                f"{PLUGINS}: expected modules that can be imported, got {name!r}: {error}"
            ) from error
