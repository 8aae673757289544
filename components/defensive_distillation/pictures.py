"""The sample grids of an evaluation, for the report and for MLflow."""

from __future__ import annotations

import io

from defensive_distillation.artifacts import Artifact
from defensive_distillation.codecs import TENSORS, unpack
from defensive_distillation.reporting import Grid
from defensive_distillation.reporting.figures import sample_grid


def grids(artifact: Artifact) -> dict[str, Grid]:
    """The grids in an evaluation, by output."""
    tensors = unpack(artifact.file(TENSORS).read_bytes(), artifact.location)
    classes = tuple(artifact.facts["evaluation"]["dataset"]["classes"])
    outputs = dict.fromkeys(name.partition(".")[0] for name in tensors)
    return {
        output: Grid(
            images=tensors[f"{output}.images"].numpy(),
            success=tensors[f"{output}.success"].numpy(),
            present=tensors[f"{output}.present"].numpy(),
            classes=classes[: len(tensors[f"{output}.images"])],
        )
        for output in outputs
    }


def pictures(artifact: Artifact) -> dict[str, bytes]:
    """The grids of an evaluation as PNG files, by path."""
    files = {}
    for output, grid in grids(artifact).items():
        buffer = io.BytesIO()
        sample_grid(grid).savefig(buffer, format="png", dpi=100)
        files[f"samples/jsma_{output}.png"] = buffer.getvalue()
    return files
