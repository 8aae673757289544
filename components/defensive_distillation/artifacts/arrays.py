"""An artifact's numbers as NumPy's arrays, where PyTorch is not needed: one safetensors file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from defensive_distillation.artifacts import Artifact
from defensive_distillation.errors import ArtifactError

TENSORS = "tensors.safetensors"


def read_arrays(artifact: Artifact) -> dict[str, NDArray[Any]]:
    """The arrays of an artifact by name.

    Raises:
        ArtifactError: if its file holds none.
    """
    content = artifact.file(TENSORS).read_bytes()
    with safetensors_of(artifact.location):
        arrays: dict[str, NDArray[Any]] = load(content)
        return arrays


@contextmanager
def safetensors_of(what: str) -> Iterator[None]:
    """Where safetensors are read from `what`: anything else is an ArtifactError."""
    try:
        yield
    except SafetensorError as error:
        raise ArtifactError(f"{what}: expected safetensors, got something else: {error}") from error
