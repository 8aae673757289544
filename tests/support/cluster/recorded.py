"""Answers of a real cluster: Kubernetes 1.34, Argo Workflows 4.0.8, Kubeflow Pipelines 2.17.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "cluster" / "recorded"


def recorded(name: str) -> dict[str, Any]:
    """The whole of a recorded answer, with its status and the request."""
    whole: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return whole


def answer(name: str) -> Any:
    """What the server said."""
    return recorded(name)["response"]
