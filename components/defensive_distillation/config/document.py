"""A file of settings, YAML or TOML, as plain values; whatever it holds, reading it ends soon."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, ClassVar

import yaml

from defensive_distillation.errors import ConfigurationError, first_line

MOST = 100_000  # values in a file, each counted as often as aliases repeat it


class _Loader(yaml.SafeLoader):
    """YAML without what settings have no use for: a key that stands twice, and sets, bytes and dates."""

    yaml_constructors: ClassVar[dict[str | None, Any]] = dict(yaml.SafeLoader.yaml_constructors)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_MERGE = "tag:yaml.org,2002:merge"
for _kind in ("set", "binary", "omap", "pairs"):
    del _Loader.yaml_constructors[f"tag:yaml.org,2002:{_kind}"]
_Loader.yaml_constructors["tag:yaml.org,2002:timestamp"] = yaml.SafeLoader.construct_yaml_str


def document(path: Path) -> dict[str, Any]:
    """The values of a file.

    Raises:
        ConfigurationError: if it cannot be read, or holds anything but keys and values.
    """
    content = _parsed(path, _text(path))
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: expected keys and values, got {type(content).__name__}")
    if _size(content, {}) > MOST:
        raise ConfigurationError(f"{path}: expected at most {MOST:,} values, got more; aliases repeat what they name")
    return content


def _text(path: Path) -> str:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ConfigurationError(f"{path}: expected a YAML or TOML file, got a pipe or a device")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: expected a readable YAML or TOML file, got: {error}") from error


def _parsed(path: Path, text: str) -> Any:
    try:
        return tomllib.loads(text) if path.suffix == ".toml" else yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise ConfigurationError(f"{path}: expected YAML or TOML, got: {first_line(error)}") from error


def _size(value: Any, known: dict[int, float]) -> float:
    """How many values there are once aliases are written out; without end for one that holds itself."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = float("inf")
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(one, known) for one in inner)
    return known[id(value)]
