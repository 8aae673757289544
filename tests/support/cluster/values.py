"""Values as Kubeflow's driver sees them: their kinds, and where in a step's description parameters stand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "list", dict: "struct", type(None): "null"}
_ACCEPTED = {
    "NUMBER_DOUBLE": "number",
    "NUMBER_INTEGER": "number",
    "BOOLEAN": "bool",
    "LIST": "list",
    "STRUCT": "struct",
    "TASK_FINAL_STATUS": "struct",
    "TASK_CONFIG": "struct",
}


class _Any:
    """The value of a parameter that a fault has left without one."""

    def __repr__(self) -> str:
        return "any value"


ANY: Any = _Any()


@dataclass(frozen=True)
class Fault:
    """What the driver would refuse.

    Attributes:
        kind: missing, null, value, type, producer, twice, placeholder, exit or unknown.
        path: of the task, with the number of each iteration.
        name: of the input.
        why: as the driver says it, more or less.
    """

    kind: str
    path: tuple[str, ...]
    name: str
    why: str

    @property
    def task(self) -> tuple[str, ...]:
        """The path without iterations."""
        return tuple(part for part in self.path if not part.isdigit())

    def __str__(self) -> str:
        return f"{self.kind}: {'/'.join(self.path)}: {self.name}: {self.why}"


def kind(value: Any) -> str:
    """The kind of a value."""
    return _KINDS[type(value)]


def mismatch(wanted: str, value: Any, *, unset: bool) -> str | None:
    """Why a value is not taken for a parameter of the type `wanted`; None if it is.

    Args:
        wanted: the parameter's type.
        value: to be taken.
        unset: whether the driver has set it to null.
    """
    if value is ANY or (value is None and unset):
        return None
    if value is None:
        return "got null"
    if wanted == "STRING" or kind(value) == _ACCEPTED[wanted]:
        return None
    return f"type mismatch: expect {wanted}, got {kind(value)}"


def as_text(value: Any) -> Any:
    """A value where a text is wanted."""
    return value if isinstance(value, str) or value is ANY else json.dumps(value)


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """All texts below a value, each with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(item, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, f"{place}.{index}")


def parameters_of(asked: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What is said for Kubernetes by parameters, each with its place."""
    if isinstance(asked, list):
        for one in asked:
            yield from parameters_of(one, place)
    elif isinstance(asked, Mapping):
        if {"componentInputParameter", "runtimeValue", "taskOutputParameter"} & set(asked):
            yield place, asked
        else:
            for key, item in asked.items():
                yield from parameters_of(item, key)
