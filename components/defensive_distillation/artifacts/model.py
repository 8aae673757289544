"""A network as an artifact: its architecture in the manifest, its weights as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.arrays import TENSORS
from defensive_distillation.artifacts.tensors import unpack
from defensive_distillation.config import TrainConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError
from defensive_distillation.model_id import ModelId
from defensive_distillation.networks.architectures import build, output_layer
from defensive_distillation.networks.fitting import Fitted


def model_facts(
    model: ModelId,
    config: TrainConfig,
    dataset: Dataset,
    fitted: Fitted,
    *,
    teacher_training: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Who the network is, how it is built again from its weights, and how it was trained.

    Args:
        model: its identity.
        config: the settings of its training.
        dataset: that it was trained on.
        fitted: the training.
        teacher_training: the epochs of its teacher, if it had one.
    """
    return {
        "model": model.model_dump(mode="json"),
        "architecture": config.architecture,
        "num_classes": dataset.num_classes,
        "image_shape": list(dataset.image_shape),
        "output_layer": output_layer(fitted.model, dataset.num_classes),
        "dropout": config.dropout,
        "training": fitted.history,
        "teacher_training": list(teacher_training),
        "train_accuracy": fitted.train_accuracy,
        "test_accuracy": fitted.history[-1]["test_accuracy"],
    }


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
