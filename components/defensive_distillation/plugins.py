"""Modules outside this package that bring an attack or a defense, named by DEFDISTILL_PLUGINS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from defensive_distillation.errors import ConfigurationError

PLUGINS = "DEFDISTILL_PLUGINS"


def modules() -> Iterator[ModuleType]:
    """The modules that the variable names, separated by commas.

    Raises:
        ConfigurationError: for one that cannot be imported.
    """
    for name in _names():
        try:
            yield import_module(name)
        except ImportError as error:
            raise ConfigurationError(f"{PLUGINS}: expected importable modules, got {name!r}: {error}") from error


def sources() -> list[Path]:
    """The files of these modules; none is imported for it."""
    specs = (find_spec(name) for name in _names())
    return [Path(spec.origin) for spec in specs if spec and spec.origin]


def _names() -> list[str]:
    return [name for part in os.environ.get(PLUGINS, "").split(",") if (name := part.strip())]
