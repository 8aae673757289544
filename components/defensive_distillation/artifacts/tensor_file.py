"""The file in which an artifact keeps its numbers, and how it is read where PyTorch is not needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from defensive_distillation.artifacts import Artifact
from defensive_distillation.errors import ArtifactError

TENSORS = "tensors.safetensors"


def arrays(artifact: Artifact) -> dict[str, NDArray[Any]]:
    """The tensors of an artifact as NumPy's arrays, by name.

    Raises:
        ArtifactError: if its file holds none.
    """
    content = artifact.file(TENSORS).read_bytes()
    with expected(artifact.location):
        found: dict[str, NDArray[Any]] = load(content)
        return found


def write(folder: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays as one safetensors file, the same bytes for the same values."""
    content: bytes = save({name: np.ascontiguousarray(value) for name, value in tensors.items()})
    (folder / TENSORS).write_bytes(content)


@contextmanager
def expected(what: str) -> Iterator[None]:
    """Where safetensors are read from `what`: anything else is an ArtifactError."""
    try:
        yield
    except SafetensorError as error:
        raise ArtifactError(f"{what}: expected safetensors, got something else: {error}") from error
