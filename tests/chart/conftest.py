from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

CHART = Path(__file__).parents[2] / "charts" / "defensive-distillation"

Render = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="session")
def render() -> Render:
    """Renders the chart with values as Helm does, with the schema, and gives the objects as {'Kind/name': object}."""

    def objects(values: dict[str, Any] | None = None, *, chart: Path = CHART) -> dict[str, dict[str, Any]]:
        with helm_python.Chart.load(chart) as loaded:
            loaded.validate_schema(values or {})
            files = loaded.render(values or {}, name="nightly", namespace="team")
        texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
        found = [one for text in texts for one in yaml.safe_load_all(text) if one]
        named = {f"{one['kind']}/{one['metadata']['name']}": one for one in found}
        assert len(named) == len(found), "two objects of one kind and name"
        return named

    return objects


@pytest.fixture(scope="session")
def notes() -> Callable[..., str]:
    """What Helm tells after an install."""

    def text(values: dict[str, Any] | None = None) -> str:
        with helm_python.Chart.load(CHART) as loaded:
            files = loaded.render(values or {}, name="nightly", namespace="team")
        return files[f"{CHART.name}/templates/NOTES.txt"]

    return text
