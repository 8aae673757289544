"""The samples of an evaluation, for the report and for MLflow."""

from __future__ import annotations

import io

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.arrays import read_arrays
from defensive_distillation.reporting.figures.samples import example_sheet, sample_grid
from defensive_distillation.reporting.grid import Examples, Grid

_EXAMPLES = "examples"  # what stands before the dot in the names of their tensors


def grids(artifact: Artifact) -> dict[str, Grid]:
    """The grids of JSMA in an evaluation, by output."""
    tensors = read_arrays(artifact)
    classes = tuple(artifact.facts["evaluation"]["dataset"]["classes"])
    outputs = [name.removesuffix(".present") for name in tensors if name.endswith(".present")]
    return {
        output: Grid.of({name: tensors[f"{output}.{name}"] for name in ("images", "success", "present")}, classes)
        for output in outputs
    }


def examples(artifact: Artifact) -> Examples | None:
    """What each attack made of the same sources, None if the evaluation holds none."""
    facts = artifact.facts.get(_EXAMPLES)
    if not facts or not facts["attacks"] or not facts["labels"]:
        return None
    tensors = read_arrays(artifact)
    arrays = {name: tensors[f"{_EXAMPLES}.{name}"] for name in ("originals", "images", "success")}
    return Examples.of(arrays, facts)


def pictures(artifact: Artifact) -> dict[str, bytes]:
    """The samples of an evaluation as PNG files, by path."""
    drawn = {f"samples/jsma_{output}.png": sample_grid(grid) for output, grid in grids(artifact).items()}
    if (sheet := examples(artifact)) is not None:
        drawn["samples/examples.png"] = example_sheet(sheet)
    files = {}
    for path, figure in drawn.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        files[path] = buffer.getvalue()
    return files
