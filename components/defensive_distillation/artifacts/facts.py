"""What the facts of each kind have to be before anything is built from them: a right digest does not make them so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from defensive_distillation.artifacts import Artifact, Manifest
from defensive_distillation.errors import ArtifactError
from defensive_distillation.evaluation.results import Evaluation

Temperature = Annotated[float, Field(gt=0, le=1e12)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[int, Field(ge=1, lt=2**31)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(ge=-1e30, le=1e30)]  # as finite in 32 bits
Name = Annotated[str, Field(min_length=1)]
Shape = Annotated[list[Size], Field(min_length=3, max_length=3)]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class DatasetFacts(_Facts):
    """Of what a dataset is, and how much."""

    name: Name
    classes: list[Name] = Field(min_length=2)
    image_shape: Shape
    train_images: Size
    test_images: Size
    content: Name  # digest of images and labels


class EpochFacts(_Facts):
    """One pass over the training images."""

    epoch: Size
    loss: Number
    train_accuracy: Share
    test_accuracy: Share


class ModelFacts(_Facts):
    """What any network takes and returns, and how well."""

    architecture: Name
    num_classes: int = Field(ge=2, lt=2**31)
    image_shape: Shape
    training: list[EpochFacts]
    teacher_training: list[EpochFacts]
    training_passes: Count | None = None
    train_accuracy: Share | None
    test_accuracy: Share
    warnings: list[str] = []


class TrainedFacts(_Facts):
    """How a network of ours is built again."""

    architecture: Name
    num_classes: int = Field(ge=2, lt=2**31)
    image_shape: Shape
    dropout: float = Field(ge=0, lt=1)


class TrainedModelFacts(ModelFacts, TrainedFacts):
    """A network that was trained here."""

    output_layer: str


class Recipe(_Facts):
    """What stands before and behind a network that was imported (networks.imported.Imported)."""

    image_size: Size | None
    channels: Size | None
    mean: list[Number]
    std: list[Annotated[float, Field(gt=0, le=1e30)]]
    class_logits: list[Count]


class ImportedFacts(ModelFacts):
    """A network that was trained elsewhere."""

    imported: Recipe
    input_step: Name | None = None
    draws: Size = 1
    code_sha256: Name | None = None
    built: TrainedFacts | None = None  # of one of ours that a registry gave


class SoftLabelFacts(_Facts):
    """At which T soft labels were made."""

    temperature: Temperature


class SoftLabelsFacts(SoftLabelFacts):
    """What soft labels say of themselves and of the network that they are of."""

    images: Size
    num_classes: int = Field(ge=2, lt=2**31)
    mean_largest: Share
    mean_entropy_bits: float = Field(ge=0, le=64)
    teacher_training: list[EpochFacts]


class ReportFacts(_Facts):
    """Which networks a report is on."""

    models: list[Name] = Field(min_length=1)


class VariantFacts(_Facts):
    """One attack, and what became of its pairs."""

    name: str = Field(min_length=1)
    attack: str = Field(min_length=1)
    arguments: dict[str, Any]
    pairs: Count
    successes: Count
    stop_reasons: dict[str, Count]


class AttackFacts(_Facts):
    """The attacks of one artifact, and which share of the samples they were run on."""

    logit_scale: Temperature
    temperature: Temperature
    variants: list[VariantFacts] = Field(min_length=1)
    shard: list[Count] = Field(min_length=2, max_length=2)  # which, of how many

    @model_validator(mode="after")
    def _shard_of_so_many(self) -> AttackFacts:
        shard, count = self.shard
        if not shard < count <= 10_000:
            raise ValueError(f"shard: expected one of at most 10000, got {shard} of {count}")
        return self


class GateFacts(_Facts):
    """How a gate ended, and why."""

    outcome: str = Field(min_length=1)
    sentence: str


class _EvaluationFacts(BaseModel):
    """What was measured of one network; lists stand for tuples in JSON."""

    model_config = ConfigDict(frozen=True)

    evaluation: Evaluation


_FORMS: dict[str, type[BaseModel]] = {
    "dataset": DatasetFacts,
    "model": TrainedModelFacts,
    "soft_labels": SoftLabelsFacts,
    "attack": AttackFacts,
    "evaluation": _EvaluationFacts,
    "report": ReportFacts,
    "gate": GateFacts,
}

F = TypeVar("F", bound=BaseModel)


def require(location: str, manifest: Manifest) -> None:
    """That what a manifest says has the form of its kind, before anything is computed, recorded or shown.

    Raises:
        ArtifactError: if a fact is missing, or out of its range.
    """
    imported = manifest.kind == "model" and "imported" in manifest.facts
    facts_of(location, manifest.facts, ImportedFacts if imported else _FORMS[manifest.kind])


def checked(artifact: Artifact, form: type[F]) -> F:
    """The facts of an artifact in the form of its kind; what else it says is not looked at.

    Raises:
        ArtifactError: if one is missing, or out of its range.
    """
    return facts_of(artifact.location, artifact.facts, form)


def evaluation_of(location: str, facts: Mapping[str, Any]) -> Evaluation:
    """What an evaluation's manifest says of a network.

    Raises:
        ArtifactError: if it is missing, or has not the form of one.
    """
    return facts_of(location, facts, _EvaluationFacts).evaluation


def facts_of(location: str, facts: Mapping[str, Any], form: type[F]) -> F:
    """As `checked`, of facts that were read at `location`."""
    try:
        return form.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"{location}: facts.{place}: {first['msg']}") from error
