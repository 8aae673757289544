"""Transfer: samples of C&W's L2 attack on the undefended network (attacks/transfer.py)."""

from __future__ import annotations

from math import inf

from pydantic import Field, field_validator

from defensive_distillation.suite.sections import Bounded, CarliniWagner, rising
from defensive_distillation.suite.specification import Attack, Section, Variant


class Transfer(Section):
    """With which confidence samples are crafted."""

    confidences: tuple[float, ...] = Field(
        (0.0, 10.0, 20.0, 30.0, 40.0),
        min_length=1,
        description="Confidences κ, rising, at which the samples are crafted on the undefended model.",
    )

    @field_validator("confidences")
    @classmethod
    def _rise(cls, confidences: tuple[float, ...]) -> tuple[float, ...]:
        return rising(confidences, above=-1.0, most=inf, bounds="from 0")


ATTACK = Attack(
    name="transfer",
    title="transfer",
    order=100,
    effort=3,
    function="defensive_distillation.attacks.transfer:transfer",
    family="transfer",
    sections={"bounded": Bounded, "cw": CarliniWagner, "transfer": Transfer},
    variants=(Variant("", "transfer", "gradient-free"),),
    sources=lambda config: config.bounded.samples,
    arguments=lambda config: config.cw.arguments,
    level="confidence",
    levels=lambda config: config.transfer.confidences,
    targeted=False,
    surrogate=True,
    condition="transfer",
)
