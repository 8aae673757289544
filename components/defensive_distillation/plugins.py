"""Modules outside this package that bring an attack or a defense, named by DEFDISTILL_PLUGINS."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol, TypeVar

from defensive_distillation.errors import ConfigurationError, first_line

PLUGINS = "DEFDISTILL_PLUGINS"


class Named(Protocol):
    """An attack or a defense."""

    @property
    def name(self) -> str:
        """In settings."""


T = TypeVar("T", bound=Named)


def with_plugins(kind: Literal["ATTACK", "DEFENSE"], built_in: Iterable[T]) -> list[T]:
    """The specifications that lie here and those of the modules that the variable names, separated by commas.

    Raises:
        ConfigurationError: for a module that cannot be imported, that holds neither an attack nor a defense, or whose
            name for it is taken.
    """
    known = {one.name: one for one in built_in}
    for module in _modules():
        if not hasattr(module, "ATTACK") and not hasattr(module, "DEFENSE"):
            raise ConfigurationError(f"{PLUGINS}: expected ATTACK or DEFENSE in {module.__name__}, found neither")
        one: T | None = getattr(module, kind, None)
        if one is not None and known.setdefault(one.name, one) is not one:
            raise ConfigurationError(
                f"{PLUGINS}: expected a name of its own for the {kind} of {module.__name__}, "
                f"got {one.name!r}, which there is already"
            )
    return list(known.values())


def _modules() -> Iterator[ModuleType]:
    for name in _names():
        try:
            yield import_module(name)
        except Exception as error:  # whatever a module of others does
            raise ConfigurationError(
                f"{PLUGINS}: expected importable modules, got {name!r}: {first_line(error)}"
            ) from error


def sources() -> list[Path]:
    """The files of these modules; none is imported for it."""
    specs = (find_spec(name) for name in _names())
    return [Path(spec.origin) for spec in specs if spec and spec.origin]


def places() -> list[Path]:
    """What must lie on Python's path for them, each a file or the folder of a package; none is imported for it."""
    specs = {name: find_spec(name) for name in sorted({name.partition(".")[0] for name in _names()})}
    found = [next(iter(spec.submodule_search_locations or ()), spec.origin) for spec in specs.values() if spec]
    return [Path(place) for place in found if place]


def _names() -> list[str]:
    return [name for part in os.environ.get(PLUGINS, "").split(",") if (name := part.strip())]
