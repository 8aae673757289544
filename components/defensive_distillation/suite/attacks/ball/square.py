"""Square: no gradient, by score (attacks/linf/square.py)."""

from __future__ import annotations

from pydantic import Field

from defensive_distillation.suite.families import within_balls
from defensive_distillation.suite.specification import Section, Variant


class Square(Section):
    """How long Square searches."""

    queries: int = Field(1_000, ge=1, description="Forward passes for each sample and radius.")


ATTACK = within_balls(
    name="square",
    title="Square",
    order=90,
    effort=3,
    function="defensive_distillation.attacks.linf.square:square",
    settings=Square,
    arguments=lambda config: {"queries": config.square.queries},
    variants=(Variant("margin", "Square", "gradient-free"),),
    random=True,
    condition="black_box",
    on_controls=True,
)
