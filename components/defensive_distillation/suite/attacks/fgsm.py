"""FGSM: one step (attacks/fgsm.py)."""

from __future__ import annotations

from defensive_distillation.suite.families import through_losses, within_balls

ATTACK = within_balls(
    name="fgsm",
    title="FGSM",
    order=40,
    function="defensive_distillation.attacks.fgsm:fgsm",
    variants=through_losses("FGSM"),
    condition="iterated",
    on_controls=True,
)
