"""A network as an artifact: its architecture in the manifest, its weights as tensors."""

from __future__ import annotations

from torch import nn

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.arrays import TENSORS
from defensive_distillation.artifacts.tensors import unpack
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError
from defensive_distillation.networks.architectures import build


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
