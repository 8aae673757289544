"""Attacks that are not of the pipeline, one of a family, for the tests that one may join."""

from __future__ import annotations

import pytest

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.suite import registry as suite
from defensive_distillation.suite.families import by_budget, by_distance, through_losses, within_balls
from defensive_distillation.suite.sections import Jsma
from support.evaluations import attack, bounded, distances

ATTACKS = (
    by_budget(name="jsma_gentle", title="gentle JSMA", order=35, settings=Jsma),
    within_balls(
        name="apgd",
        title="APGD",
        order=55,
        effort=2,
        function="somewhere:apgd",
        variants=through_losses("APGD"),
        random=True,
    ),
    by_distance(name="deepfool", title="DeepFool", order=85, norm="l2"),
)


def join(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite with `ATTACKS`, as if their modules had been named by DEFDISTILL_PLUGINS."""
    names = {one.variant_name(variant): variant for one in ATTACKS for variant in one.variants}
    attacks = sorted([*suite.ATTACKS.values(), *ATTACKS], key=lambda one: one.order)
    monkeypatch.setattr(suite, "ATTACKS", {one.name: one for one in attacks})
    monkeypatch.setattr(suite, "_VARIANTS", suite._VARIANTS | names)


def under_them(found: Evaluation) -> Evaluation:
    """`found` under one variant of each."""
    nearest = distances("deepfool", 1.0, 1.5, 2.0).model_copy(update={"norm": "l2"})
    return found.model_copy(
        update={
            "attacks": (*found.attacks, attack("logits", 90, kind="jsma_gentle")),
            "bounded": (*found.bounded, bounded("apgd/margin", (0.1, 0.5, 0.9, 0.95))),
            "distances": (*found.distances, nearest),
        }
    )
