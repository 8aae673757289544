"""What the facts of each kind have to be before anything is built from them: a right digest does not make them so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from defensive_distillation.artifacts import Artifact
from defensive_distillation.errors import ArtifactError
from defensive_distillation.evaluation.results import Evaluation

Temperature = Annotated[float, Field(gt=0, le=1e12)]
Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class TrainedFacts(_Facts):
    """How a network of ours is built again."""

    architecture: str = Field(min_length=1)
    num_classes: int = Field(ge=2)
    image_shape: list[Size] = Field(min_length=3, max_length=3)
    dropout: float = Field(ge=0, lt=1)


class SoftLabelFacts(_Facts):
    """At which T soft labels were made."""

    temperature: Temperature


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


F = TypeVar("F", bound=BaseModel)


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
