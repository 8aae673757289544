"""A network as an artifact: its architecture in the manifest, its weights as tensors."""

from __future__ import annotations

import torch
from torch import nn

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.arrays import TENSORS
from defensive_distillation.artifacts.tensors import unpack
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError
from defensive_distillation.model_id import BASELINE, ModelId
from defensive_distillation.networks.architectures import build


def read_model(artifact: Artifact, dataset: Dataset | None = None, *, logit_scale: float = 1.0) -> nn.Module:
    """The network in an artifact, in evaluation mode.

    Args:
        artifact: of a training.
        dataset: that the network is used on.
        logit_scale: factor on the logits: the control, the undistilled network with logits as large as a distilled
            one's.

    Raises:
        ArtifactError: if the weights do not fit the architecture, the network does not fit `dataset`, or one that is
            distilled already is to be scaled.
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
    if logit_scale != 1:
        _scale(model, artifact, logit_scale)
    return model.eval().requires_grad_(False)


def _scale(model: nn.Module, artifact: Artifact, factor: float) -> None:
    if (known := ModelId.of(artifact.facts)) != BASELINE:
        raise ArtifactError(f"{artifact.location}: expected an undistilled model trained at T = 1, got {known}")
    with torch.no_grad():
        for parameter in model.get_submodule(artifact.facts["output_layer"]).parameters():
            parameter.mul_(factor)
