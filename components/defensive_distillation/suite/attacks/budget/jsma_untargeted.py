"""JSMA towards the class that takes the fewest changes: any class but the true one will do."""

from __future__ import annotations

from pydantic import Field

from defensive_distillation.suite.families import by_budget
from defensive_distillation.suite.sections import Jsma, JsmaOutput


class Untargeted(Jsma):
    """As of jsma, with fewer sources."""

    outputs: tuple[JsmaOutput, ...] = Field(("scaled",), min_length=1, description="As of jsma.")
    sources: int = Field(1_000, ge=1, description="Test images that are attacked, away from their class.")


ATTACK = by_budget(name="jsma_untargeted", title="untargeted JSMA", order=30, settings=Untargeted, targeted=False)
