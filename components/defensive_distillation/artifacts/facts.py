"""What the facts of each kind have to be before anything is built from them: a right digest does not make them so."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from defensive_distillation.artifacts import Artifact
from defensive_distillation.errors import ArtifactError

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


F = TypeVar("F", bound=_Facts)


def checked(artifact: Artifact, form: type[F]) -> F:
    """The facts of an artifact in the form of its kind; what else it says is not looked at.

    Raises:
        ArtifactError: if one is missing, or out of its range.
    """
    try:
        return form.model_validate(artifact.facts)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"{artifact.location}: facts.{place}: {first['msg']}") from error
