"""Settings from a preset, a YAML or TOML file over it, and `stage.key=value` over both."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from defensive_distillation.config import STAGES, ExperimentConfig, experiment
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.settings import shown

TRAINING = ("train_teacher", "train_student", "train_defended")
_PRESETS = files("defensive_distillation.config").joinpath("presets")
PRESETS = tuple(sorted(file.name.removesuffix(".yaml") for file in _PRESETS.iterdir() if file.name.endswith(".yaml")))


def load(preset: str, file: str | None = None, assignments: Sequence[str] = ()) -> ExperimentConfig:
    """The settings of a sweep.

    Args:
        preset: digits, mnist-short, mnist or cifar10.
        file: YAML or TOML with keys as in ExperimentConfig; `train` in it stands for all trainings.
        assignments: 'stage.key=value', 'stage.section.key=value', 'train.key=value' for all trainings, or
            'key=value'.

    Raises:
        ConfigurationError: if the file cannot be read, or a setting is unknown or out of range.
    """
    return experiment(values(preset, file, assignments))


def values(preset: str, file: str | None = None, assignments: Sequence[str] = ()) -> dict[str, Any]:
    """The same before it is checked, as plain values."""
    settings = preset_values(preset)
    if file is not None:
        settings = merged(settings, read_file(Path(file)))
    for assignment in assignments:
        settings = merged(settings, assigned(assignment))
    return settings


def preset_values(name: str) -> dict[str, Any]:
    """The values of a preset.

    Raises:
        ConfigurationError: if there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    import yaml

    values: dict[str, Any] = yaml.safe_load(_PRESETS.joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return values


def read_file(path: Path) -> dict[str, Any]:
    """A YAML or TOML file as plain values; `train` stands for all trainings."""
    from defensive_distillation.config.document import document  # imports yaml

    return _expanded(document(path), str(path))


def assigned(assignment: str) -> dict[str, Any]:
    """The values that 'stage.key=value' sets; as of `load`."""
    key, equals, value = assignment.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigurationError(f"--set: expected stage.key=value, got {assignment!r}")
    stage = STAGES.get(TRAINING[0] if path[0] == "train" else path[0])
    parsed = parse(value.strip(), field_at(stage, path[1:]) if len(path) > 1 else field_at(ExperimentConfig, path))
    return _expanded(nested(path, parsed), f"--set {assignment}")


def stage_changes(stage: str, assignments: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Settings of one stage from 'key=value' or 'section.key=value', and all of them as one text.

    Raises:
        ConfigurationError: for an unknown stage, or what is no assignment.
    """
    if stage not in STAGES:
        raise ConfigurationError(f"stage: expected one of {', '.join(STAGES)}, got {stage!r}")
    changes: dict[str, Any] = {}
    shown = ""
    for key, value in sorted(_stage_assignment(stage, assignment) for assignment in assignments):
        changes = merged(changes, nested(key.split("."), value))
        shown += f" {key}={'+'.join(map(str, value)) if isinstance(value, list) else value}"
    return changes, shown


def _stage_assignment(stage: str, assignment: str) -> tuple[str, Any]:
    key, equals, value = assignment.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"--set: expected KEY=VALUE, got {assignment!r}")
    if key == "temperature":
        raise ConfigurationError("--set temperature: expected --model, which names the model of the earlier run")
    return key, parse(value, field_at(STAGES[stage], key.split(".")))


def nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    """{'a': {'b': value}} for the path a, b."""
    for key in reversed(path):
        value = {key: value}
    settings: dict[str, Any] = value
    return settings


def field_at(model: type[BaseModel] | None, path: Sequence[str]) -> FieldInfo | None:
    """The field of a model at a path through its sections, None if there is none."""
    for number, key in enumerate(path, start=1):
        field = model.model_fields.get(key) if model else None
        if field is None or number == len(path):
            return field
        model = section(field)
    return None


def section(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that holds settings of its own, None of any other."""
    kind: Any = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def described(field: FieldInfo) -> str:
    """What a setting means, from the field or its type."""
    given = field.description or next((d for one in field.metadata if (d := getattr(one, "description", None))), "")
    return str(given)


def parse(text: str, field: FieldInfo | None) -> Any:
    """A value from the command line for a setting, None for an unknown one; the models do the rest.

    Commas separate the values of a setting that takes several, and 'none' is no value where there may be none.
    """
    annotation = field.annotation if field else None
    if typing.get_origin(annotation) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if typing.get_origin(annotation) is dict:
        return dict(part.strip().partition("=")[::2] for part in text.split(",") if part.strip())
    return None if text.lower() == "none" and types.NoneType in typing.get_args(annotation) else text


def _expanded(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    expanded: dict[str, Any] = {}
    # `train` first: what is said of one of the trainings stands, wherever it stands
    for key, value in sorted(content.items(), key=lambda item: item[0] != "train"):
        if (key in STAGES or key == "train") and not isinstance(value, Mapping):
            raise ConfigurationError(f"{where}: expected settings below {key}, got {shown(value)}")
        for stage in TRAINING if key == "train" else (key,):
            expanded = merged(expanded, {stage: value})
    return expanded


def merged(below: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `below`, section by section."""
    both = dict(below)
    for key, value in over.items():
        known = both.get(key)
        both[key] = merged(known, value) if isinstance(value, Mapping) and isinstance(known, Mapping) else value
    return both
