"""PGD: many steps (attacks/linf/pgd.py); the strongest within a ball, to which the others are compared."""

from __future__ import annotations

from pydantic import Field

from defensive_distillation.suite.families import through_losses, within_balls
from defensive_distillation.suite.specification import Section, Variant


class Pgd(Section):
    """How long PGD climbs."""

    steps: int = Field(40, ge=1, description="Steps of a start.")
    restarts: int = Field(2, ge=1, description="Starts: the first from the source, others from random points.")
    rivals: int = Field(
        9, ge=0, description="Likeliest other classes that the margin is led to after them, each from a random point."
    )


ATTACK = within_balls(
    name="pgd",
    title="PGD",
    order=50,
    effort=2,
    function="defensive_distillation.attacks.linf.pgd:pgd",
    settings=Pgd,
    arguments=lambda config: {
        "steps": config.pgd.steps,
        "restarts": config.pgd.restarts,
        "rivals": config.pgd.rivals,
    },
    variants=(
        *through_losses("PGD"),
        Variant("scaled", "PGD on z/T", "adaptive", {"loss": "cross_entropy"}, at_training_temperature=True),
    ),
    random=True,
    iterates=True,
    on_controls=True,
)
