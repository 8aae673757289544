"""A network as an artifact: its architecture in the manifest, its weights as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.arrays import TENSORS
from defensive_distillation.artifacts.tensors import unpack
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError
from defensive_distillation.model_id import BASELINE, ModelId
from defensive_distillation.networks.architectures import build
from defensive_distillation.networks.imported import Imported, network_of_onnx, network_with

ONNX_FILE = "onnx"  # tensor of the bytes of an ONNX file, which stands for weights


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
    tensors = unpack(artifact.file(TENSORS).read_bytes(), artifact.location)
    if "imported" in facts:
        model = imported_network(facts["architecture"], facts["imported"], tensors, facts["num_classes"])
    else:
        model = _trained(artifact, tensors)
    if logit_scale != 1:
        _scale(model, artifact, logit_scale)
    return model.eval().requires_grad_(False)


def imported_network(
    name: str, recipe: Mapping[str, Any], tensors: Mapping[str, Tensor], num_classes: int
) -> nn.Module:
    """Somebody's own network as it was imported.

    Args:
        name: what names it (networks.imported).
        recipe: the arguments of `Imported`.
        tensors: its weights by name, or the bytes of an ONNX file.
        num_classes: of the data.

    Raises:
        InputError: if it can't be built here: a factory's package has to be installed wherever the model is read.
    """
    if ONNX_FILE in tensors:
        network = network_of_onnx(tensors[ONNX_FILE].numpy().tobytes())
    else:
        network = network_with(name, num_classes, tensors, name)
    return Imported(network, **recipe)


def _trained(artifact: Artifact, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A network of the pipeline's own trainings."""
    facts = artifact.facts
    model = build(facts["architecture"], facts["num_classes"], tuple(facts["image_shape"]), dropout=facts["dropout"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(f"{artifact.location}: the weights do not fit {facts['architecture']}: {error}") from error
    return model


def _scale(model: nn.Module, artifact: Artifact, factor: float) -> None:
    if (known := ModelId.of(artifact.facts)) != BASELINE:
        raise ArtifactError(f"{artifact.location}: expected an undistilled model trained at T = 1, got {known}")
    with torch.no_grad():
        for parameter in model.get_submodule(artifact.facts["output_layer"]).parameters():
            parameter.mul_(factor)
