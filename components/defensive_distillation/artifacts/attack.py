"""The runs of an attack as an artifact: their names in the manifest, pairs and changes as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from torch import Tensor

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.facts import AttackFacts, checked
from defensive_distillation.artifacts.tensors import read_tensors
from defensive_distillation.evaluation.stored_attack import StoredAttack


def attack_tensors(runs: Mapping[str, StoredAttack]) -> dict[str, Tensor]:
    """The tensors of several runs, by the runs' names."""
    return {f"{name}.{key}": tensor for name, run in runs.items() for key, tensor in run.tensors().items()}


def read_attack(artifact: Artifact) -> dict[str, StoredAttack]:
    """The runs in an attack artifact, by name.

    Raises:
        ArtifactError: if the tensors are not those of the runs that its manifest names.
    """
    keys = [field.name for field in fields(StoredAttack)]
    names = [variant.name for variant in checked(artifact, AttackFacts).variants]
    tensors = read_tensors(artifact, [f"{name}.{key}" for name in names for key in keys])
    return {name: StoredAttack(**{key: tensors[f"{name}.{key}"] for key in keys}) for name in names}
