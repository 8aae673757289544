"""What the manifest of a model says about it; apart from reading it, which needs no code of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from defensive_distillation.config import TrainConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.model_id import ModelId
from defensive_distillation.networks.architectures import output_layer
from defensive_distillation.networks.fit import Fitted


def model_facts(
    model: ModelId,
    config: TrainConfig,
    dataset: Dataset,
    fitted: Fitted,
    *,
    teacher_training: Sequence[Mapping[str, Any]] = (),
    passes: int | None = None,
) -> dict[str, Any]:
    """Who the network is, how it is built again from its weights, and how it was trained.

    Args:
        model: its identity.
        config: the settings of its training.
        dataset: that it was trained on.
        fitted: the training.
        teacher_training: the epochs of its teacher, if it had one.
        passes: of the training images through all networks that were trained for it, if not those of `fitted` alone.
    """
    return {
        "model": model.model_dump(mode="json"),
        "architecture": fitted.architecture,
        "num_classes": dataset.num_classes,
        "image_shape": list(dataset.image_shape),
        "output_layer": output_layer(fitted.model, dataset.num_classes),
        "dropout": config.dropout,
        "training": fitted.history,
        "teacher_training": list(teacher_training),
        "training_passes": passes or fitted.passes,
        "train_accuracy": fitted.train_accuracy,
        "test_accuracy": fitted.history[-1]["test_accuracy"],
    }
