"""FGSM: one step (attacks/linf/fgsm.py)."""

from __future__ import annotations

from defensive_distillation.suite.families import through_losses, within_balls

ATTACK = within_balls(
    name="fgsm",
    title="FGSM",
    order=40,
    effort=0,
    function="defensive_distillation.attacks.linf.fgsm:fgsm",
    variants=through_losses("FGSM"),
    condition="iterated",
    on_controls=True,
)
