"""A dataset as an artifact: its name and classes in the manifest, images and labels as tensors."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.tensors import read_tensors
from defensive_distillation.datasets.dataset import Dataset, content_digest
from defensive_distillation.errors import ArtifactError, DatasetError

_TENSORS = ("train_images", "train_labels", "test_images", "test_labels")


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
    return {name: getattr(dataset, name) for name in _TENSORS}


def read_dataset(artifact: Artifact) -> Dataset:
    """The dataset in an artifact.

    Raises:
        ArtifactError: if its images or labels are no dataset: shapes, labels out of range, a class without images.
    """
    try:
        return Dataset(artifact.facts["name"], tuple(artifact.facts["classes"]), **read_tensors(artifact, _TENSORS))
    except DatasetError as error:
        raise ArtifactError(f"{artifact.location}: {error}") from error
