"""An artifact's numbers as PyTorch's tensors: one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.arrays import TENSORS, safetensors_of
from defensive_distillation.errors import ArtifactError


def read_tensors(artifact: Artifact, names: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of an artifact by name.

    Raises:
        ArtifactError: if its file holds none, or others than `names`.
    """
    tensors = unpack(artifact.file(TENSORS).read_bytes(), artifact.location)
    if set(tensors) != set(names):
        raise ArtifactError(f"{artifact.location}: expected tensors {', '.join(names)}, got {', '.join(tensors)}")
    return tensors


def write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors as one safetensors file, the same bytes for the same values."""
    (folder / TENSORS).write_bytes(pack(tensors))


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors bytes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content: bytes = save(plain)
    return content


def unpack(content: bytes, what: str) -> dict[str, Tensor]:
    """The tensors in safetensors bytes.

    Raises:
        ArtifactError: if they are not that.
    """
    with safetensors_of(what):
        tensors: dict[str, Tensor] = load(content)
        return tensors
