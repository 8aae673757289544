"""JSON as the programs of a cluster write it, whose bytes are counted."""

from __future__ import annotations

import json
from typing import Any

_ESCAPED = str.maketrans({"&": "\\u0026", "<": "\\u003c", ">": "\\u003e"})  # Go's encoder, for the sake of HTML


def text(value: Any) -> str:
    """A value in one line without blanks, numbers without a fraction as whole ones."""
    return json.dumps(_whole(value), separators=(",", ":"), ensure_ascii=False).translate(_ESCAPED)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def parameters(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Values by name as Argo lists them."""
    return [{"name": name, "value": value} for name, value in values.items()]
