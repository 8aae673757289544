"""How datasets, models, soft labels and attacks look as files: safetensors for numbers, the manifest for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor, nn

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.tensor_file import TENSORS, expected
from defensive_distillation.datasets.dataset import Dataset, content_digest
from defensive_distillation.errors import ArtifactError, DatasetError
from defensive_distillation.evaluation.stored_attack import StoredAttack
from defensive_distillation.networks.architectures import build


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
    with expected(what):
        tensors: dict[str, Tensor] = load(content)
        return tensors


def _tensors(artifact: Artifact, names: Sequence[str]) -> dict[str, Tensor]:
    tensors = unpack(artifact.file(TENSORS).read_bytes(), artifact.location)
    if set(tensors) != set(names):
        raise ArtifactError(f"{artifact.location}: expected tensors {', '.join(names)}, got {', '.join(tensors)}")
    return tensors


# dataset


def dataset_facts(dataset: Dataset) -> dict[str, Any]:
    """What the manifest says about a dataset."""
    return {
        "name": dataset.name,
        "classes": list(dataset.classes),
        "image_shape": list(dataset.image_shape),
        "train_images": len(dataset.train_images),
        "test_images": len(dataset.test_images),
        "content": content_digest(dataset),
    }


def dataset_tensors(dataset: Dataset) -> dict[str, Tensor]:
    """The tensors of a dataset: images uint8 (N, C, H, W), labels int64 (N,)."""
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return {name: getattr(dataset, name) for name in names}


def read_dataset(artifact: Artifact) -> Dataset:
    """The dataset in an artifact, checked: shapes, labels in range, no class without images."""
    names = ("train_images", "train_labels", "test_images", "test_labels")
    try:
        return Dataset(artifact.facts["name"], tuple(artifact.facts["classes"]), **_tensors(artifact, names))
    except DatasetError as error:
        raise ArtifactError(f"{artifact.location}: {error}") from error


# model


def read_model(artifact: Artifact, dataset: Dataset | None = None) -> nn.Module:
    """The network in an artifact, in evaluation mode.

    Raises:
        ArtifactError: if the weights do not fit the architecture, or the network does not fit `dataset`.
    """
    facts = artifact.facts
    shape: tuple[int, int, int] = tuple(facts["image_shape"])
    if dataset is not None and (facts["num_classes"] != dataset.num_classes or shape != dataset.image_shape):
        raise ArtifactError(
            f"{artifact.location}: expected a model for {dataset.num_classes} classes of images {dataset.image_shape}, "
            f"got one for {facts['num_classes']} classes of {shape}"
        )
    model = build(facts["architecture"], facts["num_classes"], shape, dropout=facts["dropout"])
    try:
        model.load_state_dict(unpack(artifact.file(TENSORS).read_bytes(), artifact.location))
    except RuntimeError as error:
        raise ArtifactError(f"{artifact.location}: the weights do not fit {facts['architecture']}: {error}") from error
    return model.eval().requires_grad_(False)


# soft labels


def read_soft_labels(artifact: Artifact, dataset: Artifact, temperature: float) -> Tensor:
    """The soft labels (N, K) in an artifact.

    Raises:
        ArtifactError: if they were made for another dataset or at another temperature.
    """
    made_for = artifact.manifest.inputs["dataset"]
    if made_for != [dataset.digest]:
        raise ArtifactError(
            f"{artifact.location}: expected soft labels of the dataset {dataset.digest[:12]}, "
            f"got those of {made_for[0][:12]}"
        )
    if artifact.facts["temperature"] != temperature:
        raise ArtifactError(
            f"{artifact.location}: expected soft labels at T = {temperature:g}, "
            f"got those at T = {artifact.facts['temperature']:g}"
        )
    return _tensors(artifact, ["soft_labels"])["soft_labels"]


# attack


def attack_tensors(found: Mapping[str, StoredAttack]) -> dict[str, Tensor]:
    """The tensors of an artifact with several runs, by the runs' names."""
    return {f"{name}.{key}": tensor for name, one in found.items() for key, tensor in one.tensors().items()}


def read_attack(artifact: Artifact) -> dict[str, StoredAttack]:
    """The runs in an attack artifact, by name."""
    keys = tuple(StoredAttack.__dataclass_fields__)
    names = [variant["name"] for variant in artifact.facts["variants"]]
    tensors = _tensors(artifact, [f"{name}.{key}" for name in names for key in keys])
    return {name: StoredAttack(**{key: tensors[f"{name}.{key}"] for key in keys}) for name in names}
