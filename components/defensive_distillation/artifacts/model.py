"""A network as an artifact: its architecture in the manifest, its weights as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.arrays import TENSORS
from defensive_distillation.artifacts.facts import TrainedFacts, checked
from defensive_distillation.artifacts.tensors import unpack
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError
from defensive_distillation.model_id import BASELINE, ModelId
from defensive_distillation.networks import compute
from defensive_distillation.networks.adapter import try_on
from defensive_distillation.networks.architectures import as_input, build
from defensive_distillation.networks.forms import code_digest
from defensive_distillation.networks.imported import (
    Imported,
    named_step,
    network_of_onnx,
    network_of_program,
    network_with,
)
from defensive_distillation.networks.views import Views

# tensors of the bytes of an ONNX file, or of a program of torch.export, which stand for weights
ONNX_FILE, PROGRAM = "onnx", "program"
TRIED = 2  # images on which a network of others is tried
BUILT = ("architecture", "num_classes", "image_shape", "dropout")  # facts by which a network of ours is built again


def read_model(artifact: Artifact, dataset: Dataset | None = None, *, logit_scale: float = 1.0) -> nn.Module:
    """The network in an artifact, in evaluation mode, by whose decisions it is judged.

    Args:
        artifact: of a training, or of an import.
        dataset: that the network is used on.
        logit_scale: factor on the logits: the control, the undistilled network with logits as large as a distilled
            one's.

    Raises:
        ArtifactError: if the weights do not fit the architecture, the network does not fit `dataset`, or one that is
            distilled already is to be scaled.
        InputError: if a network or a step of others can't be built here.
    """
    return _views(artifact, _network(artifact, dataset, logit_scale)).judged


def read_views(artifact: Artifact, dataset: Dataset, device: torch.device, *, logit_scale: float = 1.0) -> Views:
    """The network in an artifact on a device, in evaluation mode, as it is and as its attackers see it.

    Args:
        artifact: as of `read_model`, and so are `dataset` and `logit_scale`.
        dataset: that the network is used on.
        device: where it is used.
        logit_scale: factor on the logits.

    Raises:
        ArtifactError: as of `read_model`.
        InputError: as of `read_model`, or if a network of others does not take the images here.
    """
    views = _views(artifact, compute.on(device, _network(artifact, dataset, logit_scale)))
    if "imported" in artifact.facts:
        try_on(views.judged, as_input(dataset.test_images[:TRIED].to(device)))
    return views


def _views(artifact: Artifact, network: nn.Module) -> Views:
    """The network behind the step that it was imported with."""
    step, draws = artifact.facts.get("input_step"), artifact.facts.get("draws", 1)
    return Views.of(network, named_step(step) if step else None, draws)


def _network(artifact: Artifact, dataset: Dataset | None, logit_scale: float) -> nn.Module:
    facts = artifact.facts
    if "imported" not in facts:
        checked(artifact, TrainedFacts)
    shape: tuple[int, int, int] = tuple(facts["image_shape"])
    if dataset is not None and (facts["num_classes"] != dataset.num_classes or shape != dataset.image_shape):
        raise ArtifactError(
            f"{artifact.location}: expected a model for {dataset.num_classes} classes of images {dataset.image_shape}, "
            f"got one for {facts['num_classes']} classes of {shape}"
        )
    tensors = unpack(artifact.file(TENSORS).read_bytes(), artifact.location)
    if "imported" in facts:
        _require_code(facts, artifact.location)
        model: nn.Module = Imported(_of_others(facts, tensors, artifact.location), **facts["imported"])
    else:
        model = trained_network(facts, tensors, artifact.location)
    if logit_scale != 1:
        _scale(model, artifact, logit_scale)
    return model.eval().requires_grad_(False)


def network_of_bytes(tensors: Mapping[str, Tensor]) -> nn.Module | None:
    """The network in a file that stands for weights; None where `tensors` are weights.

    Raises:
        InputError: if the file can't be read here.
    """
    if ONNX_FILE in tensors:
        return network_of_onnx(tensors[ONNX_FILE].numpy().tobytes())
    if PROGRAM in tensors:
        return network_of_program(tensors[PROGRAM].numpy().tobytes())
    return None


def trained_network(facts: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    """A network of the pipeline's own trainings, from what `BUILT` names in `facts`, and its weights.

    Raises:
        ArtifactError: if the weights do not fit; `where` says whose.
    """
    model = build(facts["architecture"], facts["num_classes"], tuple(facts["image_shape"]), dropout=facts["dropout"])
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise ArtifactError(f"{where}: the weights do not fit {facts['architecture']}: {error}") from error
    return model


def _require_code(facts: Mapping[str, Any], where: str) -> None:
    """That a factory or a step is the one that was imported: its weights would be taken for those of other code."""
    names, known = [facts["architecture"], facts.get("input_step")], facts.get("code_sha256")
    if known is not None and (found := code_digest(names)) != known:
        what = " and ".join(filter(None, names))
        raise ArtifactError(
            f"{where}: expected the code of {what} as it was imported, {known[:12]}, got "
            f"{found[:12] if found else 'none'}: it was changed; import it again"
        )


def _of_others(facts: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    """A network that was imported, alone; a factory's package has to be installed wherever it is read."""
    if "built" in facts:
        return trained_network(facts["built"], tensors, where)
    found = network_of_bytes(tensors)
    if found is not None:
        return found
    return network_with(facts["architecture"], facts["num_classes"], tensors, facts["architecture"])


def _scale(model: nn.Module, artifact: Artifact, factor: float) -> None:
    if (known := ModelId.of(artifact.facts, artifact.location)) != BASELINE:
        raise ArtifactError(f"{artifact.location}: expected an undistilled model trained at T = 1, got {known}")
    with torch.no_grad():
        for parameter in model.get_submodule(artifact.facts["output_layer"]).parameters():
            parameter.mul_(factor)
