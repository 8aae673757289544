"""Kubeflow's index of finished steps, with places as they lie in the store.

Kubeflow's own has absolute places in its entries and in their keys: in a workspace that was copied or moved it would
find nothing, or what lies in the one that it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp.local import cache, config

_WORK = "work"  # where a step keeps unfinished work, which decides nothing of its result


def use(kept: Path) -> None:
    """Has Kubeflow's runner keep its index so; after `kfp.local.init`, which begins with a fresh one.

    Args:
        kept: the file that tells what was found in it: the place of an artifact in the store a line.
    """
    told = config.LocalExecutionConfig.instance
    cache._cache_singleton = _Index(told.cache_root, Path(told.pipeline_root), kept)
    cache._cache_singleton_root = told.cache_root


class _Index(cache.LocalCache):  # type: ignore[misc]
    def __init__(self, cache_root: str, store: Path, kept: Path) -> None:
        super().__init__(cache_root)
        self._store, self._kept = store, kept

    def compute_key(self, *, arguments: dict[str, Any], **others: Any) -> str:
        told = {name: self._inside(self._serialize_value_for_key(value)) for name, value in arguments.items()}
        step = {name: value for name, value in told.pop("step", {}).items() if name != _WORK}
        key: str = super().compute_key(arguments={**told, "step": step}, **others)
        return key

    def get(self, key: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = super().get(key)
        if found is not None:
            with self._kept.open("a") as file:
                file.writelines(f"{self._relative(artifact.uri)}\n" for artifact in found.values())
        return found

    def _serialize_outputs(self, outputs: dict[str, Any]) -> dict[str, Any]:
        return {name: self._inside(value) for name, value in super()._serialize_outputs(outputs).items()}

    def _deserialize_outputs(self, serialized: dict[str, Any]) -> dict[str, Any]:
        here = {name: _led(value, self._absolute) for name, value in serialized.items()}
        found: dict[str, Any] = super()._deserialize_outputs(here)
        return found

    def _inside(self, value: Any) -> Any:
        return _led(value, self._relative)

    def _relative(self, place: str) -> str:
        return place.removeprefix(f"{self._store}/")

    def _absolute(self, place: str) -> str:
        return place if "://" in place else str(self._store / place)


def _led(value: Any, lead: Callable[[str], str]) -> Any:
    """The JSON of an output or an argument with the places of its artifacts, one or a list, led elsewhere."""
    if _is_artifact(value):
        return {**value, "uri": lead(value["uri"])}
    if isinstance(value, list):
        return [_led(one, lead) for one in value]
    if isinstance(value, dict) and cache._ARTIFACT_LIST_MARKER in value:
        return {**value, "artifacts": [_led(one, lead) for one in value["artifacts"]]}
    return value


def _is_artifact(value: Any) -> bool:
    return isinstance(value, dict) and cache._ARTIFACT_MARKER in value
