"""Settings from a preset, a YAML or TOML file over it, and `stage.key=value` over both."""

from __future__ import annotations

import copy
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from defensive_distillation.config import STAGES, ExperimentConfig, experiment, preset_values
from defensive_distillation.errors import ConfigurationError

TRAINING = ("train_teacher", "train_student")


def load(preset: str, file: str | None = None, assignments: Sequence[str] = ()) -> ExperimentConfig:
    """The settings of a sweep.

    Args:
        preset: digits, mnist-short, mnist or cifar10.
        file: YAML or TOML with keys as in ExperimentConfig; `train` in it stands for both trainings.
        assignments: 'stage.key=value', 'train.key=value' for teacher and student, or 'key=value'.

    Raises:
        ConfigurationError: if the file cannot be read, or a setting is unknown or out of range.
    """
    return experiment(values(preset, file, assignments))


def values(preset: str, file: str | None = None, assignments: Sequence[str] = ()) -> dict[str, Any]:
    """The same before it is checked, as plain values."""
    merged = copy.deepcopy(preset_values(preset))
    if file is not None:
        _merge(merged, read_file(Path(file)))
    for assignment in assignments:
        _merge(merged, _assigned(assignment))
    return merged


def read_file(path: Path) -> dict[str, Any]:
    """A YAML or TOML file as plain values; `train` stands for both trainings."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: expected a readable YAML or TOML file, got: {error}") from error
    try:
        if path.suffix == ".toml":
            content: Any = tomllib.loads(text)
        else:
            import yaml

            content = yaml.safe_load(text)
    except Exception as error:  # yaml.YAMLError is not known before the import
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{path}: expected YAML or TOML, got: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: expected keys and values, got {type(content).__name__}")
    return _expanded(content, str(path))


def _assigned(assignment: str) -> dict[str, Any]:
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(f"--set: expected stage.key=value, got {assignment!r}")
    stage, dot, name = key.strip().partition(".")
    config = STAGES.get(TRAINING[0] if stage == "train" else stage)
    fields = (config.model_fields if config else {}) if dot else ExperimentConfig.model_fields
    parsed = parse(value.strip(), fields.get(name or stage))
    return _expanded({stage: {name: parsed}} if dot else {stage: parsed}, f"--set {assignment}")


def parse(text: str, field: FieldInfo | None) -> Any:
    """A value from the command line for a setting, None for an unknown one; the models do the rest.

    Commas separate the values of a setting that takes several, and 'none' is no value where there may be none.
    """
    annotation = field.annotation if field else None
    if typing.get_origin(annotation) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    return None if text.lower() == "none" and types.NoneType in typing.get_args(annotation) else text


def _expanded(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    expanded: dict[str, Any] = {}
    # `train` first: what is said of one of the two trainings stands, wherever it stands
    for key, value in sorted(content.items(), key=lambda item: item[0] != "train"):
        if (key in STAGES or key == "train") and not isinstance(value, Mapping):
            raise ConfigurationError(f"{where}: expected settings below {key}, got {value!r}")
        for stage in TRAINING if key == "train" else (key,):
            expanded.setdefault(stage, {}).update(value) if isinstance(value, Mapping) else expanded.update(
                {stage: value}
            )
    return expanded


def _merge(into: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), Mapping):
            into[key] = {**into[key], **value}
        else:
            into[key] = value
