"""The datasets known by name: each module beside this one is a dataset, and the module's name is the dataset's.

A module has a function `source`, which returns a `Source`. Where the files of a dataset can lie in a folder that the
user names, `source` takes that folder as `data_root`. No module is imported before its dataset is asked for.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from defensive_distillation.datasets.source import Source

NAMED = tuple(module.name for module in pkgutil.iter_modules(__path__))


def named(name: str, data_root: str | None = None) -> Source:
    """The dataset `name`, one of `NAMED`; `data_root` only for one that takes it."""
    return _opener(name)() if data_root is None else _opener(name)(data_root=Path(data_root))


def with_data_root() -> tuple[str, ...]:
    """Those of `NAMED` that take a `data_root`."""
    return tuple(name for name in NAMED if "data_root" in inspect.signature(_opener(name)).parameters)


def _opener(name: str) -> Callable[..., Source]:
    opener: Callable[..., Source] = importlib.import_module(f"{__name__}.{name}").source
    return opener
