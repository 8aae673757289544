"""Defensive distillation (Papernot et al., IEEE S&P 2016) and the attacks that judge it."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Audit", "audit"]

_HOMES = {"audit": "audit", "Audit": "result"}


def __getattr__(name: str) -> Any:
    """`audit` and its result, which import PyTorch, when somebody asks for them; their types are in __init__.pyi."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.auditing.{_HOMES[name]}"), name)
