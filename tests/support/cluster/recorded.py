"""Answers of a real cluster: Kubernetes 1.34, Argo Workflows 4.0.8, Kubeflow Pipelines 2.17.0."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_MOMENT = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"')
_NEVER = ("0001", "1970")  # how Kubeflow writes 'not yet'
FOLDER = Path(__file__).parents[2] / "cluster" / "recorded"


def recorded(name: str) -> dict[str, Any]:
    """The whole of a recorded answer, with its status and the request."""
    whole: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return whole


def as_of_now(told: Any) -> Any:
    """An answer as if it were given now: all its moments are moved so that the last of them is."""
    text = json.dumps(told)
    moments = {moment for moment in _MOMENT.findall(text) if not moment.startswith(_NEVER)}
    late = datetime.now(UTC) - max(map(datetime.fromisoformat, moments), default=datetime.now(UTC))
    for moment in moments:
        moved = datetime.fromisoformat(moment) + late
        text = text.replace(f'"{moment}"', f'"{moved.strftime("%Y-%m-%dT%H:%M:%S")}Z"')
    return json.loads(text)


def answer(name: str) -> Any:
    """What the server said."""
    return recorded(name)["response"]
