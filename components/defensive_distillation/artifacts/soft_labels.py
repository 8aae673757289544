"""Soft labels as an artifact: their temperature in the manifest, their rows as a tensor (N, K)."""

from __future__ import annotations

from torch import Tensor

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.facts import SoftLabelFacts, checked
from defensive_distillation.artifacts.tensors import read_tensors
from defensive_distillation.errors import ArtifactError


def read_soft_labels(artifact: Artifact, dataset: Artifact, temperature: float) -> Tensor:
    """The soft labels (N, K) in an artifact.

    Raises:
        ArtifactError: if they were made for another dataset or at another temperature.
    """
    facts = checked(artifact, SoftLabelFacts)
    made_for = artifact.manifest.inputs.get("dataset")
    if not made_for:
        raise ArtifactError(f"{artifact.location}: expected soft labels of a dataset, got those of none")
    if made_for != [dataset.digest]:
        raise ArtifactError(
            f"{artifact.location}: expected soft labels of the dataset {dataset.digest[:12]}, "
            f"got those of {made_for[0][:12]}"
        )
    if facts.temperature != temperature:
        raise ArtifactError(
            f"{artifact.location}: expected soft labels at T = {temperature:g}, got those at T = {facts.temperature:g}"
        )
    return read_tensors(artifact, ["soft_labels"])["soft_labels"]
