"""JSMA with θ < 0: features are darkened."""

from __future__ import annotations

from pydantic import Field

from defensive_distillation.suite.families import by_budget
from defensive_distillation.suite.sections import JsmaOutput, TargetedJsma


class Decreasing(TargetedJsma):
    """As of jsma, with the opposite step and fewer sources."""

    outputs: tuple[JsmaOutput, ...] = Field(("scaled",), min_length=1, description="As of jsma.")
    sources: int = Field(1_000, ge=1, description="Test images that are attacked, each towards every other class.")
    theta: float = Field(-1.0, ge=-1, le=1, description="Change of a feature in one step.")


ATTACK = by_budget(name="jsma_decreasing", title="JSMA with θ < 0", order=20, settings=Decreasing)
