"""What a rerun changes: settings of its stage from the command line, and the name that they give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from defensive_distillation.config import STAGES, loading
from defensive_distillation.errors import ConfigurationError


def changes(stage: str, assignments: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The rerun's name and the changed settings, from assignments such as 'jsma.theta=0.5'.

    Raises:
        ConfigurationError: for an unknown stage, or what is no assignment.
    """
    if stage not in STAGES:
        raise ConfigurationError(f"stage: expected one of {', '.join(STAGES)}, got {stage!r}")
    title, values = f"rerun {stage}", dict[str, Any]()
    for path, value in sorted(_assignment(stage, assignment) for assignment in assignments):
        values = loading.merged(values, loading.nested(path.split("."), value))
        title += f" {path}={_shown(value)}"
    return title, values


def _shown(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _assignment(stage: str, assignment: str) -> tuple[str, Any]:
    """The path of a setting within its stage, and its value."""
    key, equals, value = assignment.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"--set: expected KEY=VALUE, got {assignment!r}")
    if key == "temperature":
        raise ConfigurationError("--set temperature: expected --model, which names the model of the earlier run")
    return key, loading.parse(value, loading.field_at(STAGES[stage], key.split(".")))
