"""Noise: the floor (attacks/linf/noise.py)."""

from __future__ import annotations

from pydantic import Field

from defensive_distillation.suite.families import within_balls
from defensive_distillation.suite.specification import Section, Variant


class Noise(Section):
    """How often noise is drawn."""

    tries: int = Field(1, ge=1, description="Draws for each sample and radius.")


ATTACK = within_balls(
    name="noise",
    title="noise",
    order=110,
    effort=0,
    function="defensive_distillation.attacks.linf.noise:noise",
    settings=Noise,
    arguments=lambda config: {"tries": config.noise.tries},
    variants=(Variant("", "noise", "gradient-free"),),
    random=True,
    condition="noise",
    on_controls=True,
)
