"""An attack that is not of the pipeline, for the tests that one may join."""

from __future__ import annotations

import pytest

from defensive_distillation import suite
from defensive_distillation.suite.families import through_losses, within_balls

APGD = within_balls(
    name="apgd",
    title="APGD",
    order=55,
    function="somewhere.apgd:apgd",
    variants=through_losses("APGD"),
    random=True,
    condition="iterated",
)


def with_another_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite with `APGD`, as if its module had been named by DEFDISTILL_PLUGINS."""
    names = {APGD.variant_name(variant): variant for variant in APGD.variants}
    attacks = sorted([*suite.ATTACKS.values(), APGD], key=lambda attack: attack.order)
    monkeypatch.setattr(suite, "ATTACKS", {attack.name: attack for attack in attacks})
    monkeypatch.setattr(suite, "_VARIANTS", suite._VARIANTS | names)
