"""How datasets, models, soft labels and attacks look as files: safetensors for numbers, the manifest for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from defensive_distillation.artifacts import Artifact
from defensive_distillation.attacks.result import AttackResult
from defensive_distillation.data import Dataset, content_digest, to_unit_interval
from defensive_distillation.errors import ArtifactError, DatasetError
from defensive_distillation.models import build

TENSORS = "tensors.safetensors"


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
    try:
        tensors: dict[str, Tensor] = load(content)
        return tensors
    except SafetensorError as error:
        raise ArtifactError(f"{what}: expected safetensors, got something else: {error}") from error


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
    return model.eval()


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


@dataclass(frozen=True)
class StoredAttack:
    """One attack on one output: pairs of source and target, and what came of each.

    Only the features that changed are stored, with their new values: uint8 where every value is a whole number of
    255ths (θ = ±1 on 8-bit images), else float32. Equal to the adversarial images, and far smaller.
    """

    source_index: Tensor  # (P,) int64 into the dataset's test images
    target_class: Tensor  # (P,) int64
    success: Tensor  # (P,) bool
    changed_features: Tensor  # (P,) int32
    stop_reason: Tensor  # (P,) int8
    offset: Tensor  # (P + 1,) int64: the changes of pair i are feature[offset[i]:offset[i+1]]
    feature: Tensor  # (M,) int32, index into the flattened image
    value: Tensor  # (M,) uint8 or float32

    def tensors(self) -> dict[str, Tensor]:
        """As named tensors."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def adversarial(self, test_images: Tensor, pairs: Tensor) -> Tensor:
        """The adversarial images (len(pairs), C, H, W) of some pairs, in the type of `value`."""
        images = test_images[self.source_index[pairs]]
        if self.value.is_floating_point():
            images = to_unit_interval(images)
        flat = images.flatten(1).clone()
        for row, pair in enumerate(pairs.tolist()):
            changes = slice(int(self.offset[pair]), int(self.offset[pair + 1]))
            flat[row, self.feature[changes].long()] = self.value[changes]
        return flat.view_as(images)


def store_attack(test_images: Tensor, source_index: Tensor, target_class: Tensor, result: AttackResult) -> StoredAttack:
    """The result of an attack on `test_images[source_index]` (uint8) in little space."""
    sources = to_unit_interval(test_images[source_index]).flatten(1)
    adversarial = result.adversarial.cpu().flatten(1)
    changed = adversarial != sources
    pair, feature = changed.nonzero(as_tuple=True)
    value = adversarial[pair, feature]
    whole = (value * 255).round().to(torch.uint8)
    exact = bool((to_unit_interval(whole) == value).all())
    return StoredAttack(
        source_index,
        target_class,
        result.success.cpu(),
        result.changed_features.cpu().int(),
        result.stop_reason.cpu(),
        torch.nn.functional.pad(changed.sum(1).cumsum(0), (1, 0)),
        feature.int(),
        whole if exact else value,
    )


def join_attacks(parts: Sequence[StoredAttack]) -> StoredAttack:
    """Parts of one attack, in order, as one."""
    float_values = any(part.value.is_floating_point() for part in parts)
    values = [to_unit_interval(p.value) if float_values and p.value.dtype == torch.uint8 else p.value for p in parts]
    starts = [torch.zeros(1, dtype=torch.int64)]
    total = 0
    for part in parts:
        starts.append(part.offset[1:] + total)
        total += int(part.offset[-1])
    joined = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("source_index", "target_class", "success", "changed_features", "stop_reason", "feature")
    }
    return StoredAttack(**joined, offset=torch.cat(starts), value=torch.cat(values))


def read_attack(artifact: Artifact) -> dict[str, StoredAttack]:
    """The attacks in an artifact, by output."""
    names = tuple(StoredAttack.__dataclass_fields__)
    outputs = [variant["output"] for variant in artifact.facts["variants"]]
    tensors = _tensors(artifact, [f"{output}.{name}" for output in outputs for name in names])
    return {output: StoredAttack(**{n: tensors[f"{output}.{n}"] for n in names}) for output in outputs}
