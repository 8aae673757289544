"""Settings of attack: which attacks, and a section for each of them or for those that share one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, create_model, field_validator, model_validator

from defensive_distillation.config.stages.base import ComputeConfig, Input, Temperature
from defensive_distillation.config.stages.training import DATASET
from defensive_distillation.defenses import distillation
from defensive_distillation.model_id import ModelId
from defensive_distillation.suite.registry import ATTACKS, SECTIONS

SHOWN = 3  # attacks that a step is called by


def part_name(attacks: str, shard: int, shards: int) -> str:
    """A task of attacks joined by +, and which shard of them it is, from 1, where there are several."""
    return f"{attacks} {shard + 1}of{shards}" if shards > 1 else attacks


class AttackStageConfig(ComputeConfig):
    """What is told of all attacks; AttackConfig adds the sections of the attacks that there are."""

    stage: ClassVar[str] = "attack"
    summary: ClassVar[str] = "Attack a model: JSMA as in the paper, and what an adaptive attacker has."
    reads: ClassVar[Mapping[str, Input]] = {
        "dataset": DATASET,
        "model": Input("model", help="model artifact of a training"),
        "surrogate": Input("model", optional=True, help="model artifact of the undefended network, for transfer"),
        "crafted": Input("attack", optional=True, help="what craft made on the undefended network, for transfer"),
    }
    writes: ClassVar[str] = "attack"
    output: ClassVar[str] = "samples"
    example: ClassVar[str] = "--dataset out/digits --model out/student --jsma.sources 10 --output out/attack"

    attacks: tuple[str, ...] = Field(
        ("jsma",),
        min_length=1,
        description=f"Attacks that are run: {', '.join(ATTACKS)}.",
    )
    batch_size: int | None = Field(
        None, ge=1, description="Samples attacked at once; none: 128 on a CPU, on a GPU as many as keep it busy."
    )
    part_size: int | None = Field(
        None,
        ge=1,
        description=(
            "Samples between two saves; a killed attack goes on from the last. None: 2,000 on a CPU, 100,000 on a GPU."
        ),
    )
    logit_scale: Temperature = Field(
        1.0,
        description=(
            "Multiply the logits of the undistilled model by T: the control, no defense, which shares with a distilled "
            "model only the size of its logits."
        ),
    )
    half_width: float | None = Field(
        None,
        gt=0,
        lt=0.5,
        description=(
            "Half width of the 95 % interval of a rate: radii, budgets and numbers of sources that are left at their "
            "defaults fit the data and this. None: the defaults stand."
        ),
    )
    on_grid: bool = Field(
        False,
        description=(
            "A last step of every attack brings its samples to the 256 values of an image of 8 bits, and repairs those "
            "that are not adversarial there."
        ),
    )
    craft: bool = Field(
        False,
        description="Of transfer, craft the samples on this model, which others then are shown; its only attack then.",
    )
    shards: int = Field(
        1, ge=1, description="Equal shares of the samples, each attacked by a task of its own; they change no result."
    )
    shard: int = Field(0, ge=0, description="Which of the shards this is, from 0.")

    @property
    def part(self) -> str:
        """The attacks, the first of many, and which of the shards: 'fgsm+pgd 2of4', 'jsma+…10'."""
        first, *others = self.attacks
        several = f"{first}+…{len(others)}" if len(others) >= SHOWN else "+".join(self.attacks)
        return part_name(several, self.shard, self.shards)

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """The model, or the control that it is with its logits multiplied."""
        return inputs.get("model") if self.logit_scale == 1 else distillation.control(self.logit_scale)

    def needs(self, name: str) -> bool:
        """Whether these settings make use of the input `name`."""
        if name not in ("surrogate", "crafted"):
            return True
        return not self.craft and any(ATTACKS[attack].surrogate for attack in self.attacks)

    @classmethod
    def heeds(cls, setting: str, attacks: Sequence[str]) -> bool:
        """Whether a setting decides what comes of `attacks`."""
        return setting not in SECTIONS or any(setting in ATTACKS[attack].sections for attack in attacks)

    @model_validator(mode="after")
    def _shard_exists(self) -> Self:
        if self.shard >= self.shards:
            raise ValueError(f"expected a shard from 0 to {self.shards - 1}, of {self.shards} shards, got {self.shard}")
        return self

    @model_validator(mode="after")
    def _only_samples_of_transfer_are_crafted(self) -> Self:
        if self.craft and not all(ATTACKS[attack].surrogate for attack in self.attacks):
            raise ValueError(f"craft: expected no attacks but transfer, got {', '.join(self.attacks)}")
        return self

    @field_validator("attacks")
    @classmethod
    def _attacks_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return known_attacks(names)


def known_attacks(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names`, if each is an attack and stands once.

    Raises:
        ValueError: if not; pydantic reports it.
    """
    if unknown := sorted(set(names) - set(ATTACKS)):
        raise ValueError(f"expected attacks among {', '.join(ATTACKS)}, not {unknown[0]!r}")
    if len(set(names)) != len(names):
        raise ValueError("each attack may be named once")
    return names


_FIELDS: dict[str, Any] = {
    name: (section, Field(default_factory=section, description=section.__doc__)) for name, section in SECTIONS.items()
}
AttackConfig: Any = create_model(
    "AttackConfig", __base__=AttackStageConfig, __doc__="The attacks; the defaults are the authors' own.", **_FIELDS
)
