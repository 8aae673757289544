"""What the attacks of a family have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from defensive_distillation.suite.sections import Bounded, CarliniWagner, Jsma
from defensive_distillation.suite.specification import Attack, Section, Variant


def by_budget(
    *, name: str, title: str, order: int, settings: type[Jsma], targeted: bool = True, **options: Any
) -> Attack:
    """JSMA under other settings: pairs by the number of features that must change."""

    def own(config: Any) -> Jsma:
        section: Jsma = getattr(config, name)
        return section

    return Attack(
        name=name,
        title=title,
        order=order,
        effort=1,
        function="defensive_distillation.attacks.jsma:jsma",
        family="budget",
        sections={name: settings},
        variants=(
            Variant("probabilities", f"{title} on probabilities", "naive", {"output": "probabilities"}),
            Variant("logits", f"{title} on logits", "adaptive", {"output": "logits"}),
            Variant("scaled", f"{title} on z/T", "adaptive", {"output": "probabilities"}, at_training_temperature=True),
        ),
        chosen=lambda config: own(config).outputs,
        sources=lambda config: own(config).sources,
        targets=lambda config: getattr(own(config), "targets", None),
        arguments=lambda config: {
            "theta": own(config).theta,
            "max_features": own(config).max_features,
            "targeted": targeted,
        },
        targeted=targeted,
        dense=False,
        **options,
    )


def through_losses(title: str) -> tuple[Variant, ...]:
    """Through the softmax at T = 1, and through the margin of the logits."""
    return (
        Variant("cross_entropy", f"{title} at T = 1", "naive", {"loss": "cross_entropy"}),
        Variant("margin", f"{title} on logits", "adaptive", {"loss": "margin"}),
    )


def within_balls(
    *,
    name: str,
    title: str,
    order: int,
    effort: int,
    function: str,
    variants: tuple[Variant, ...],
    settings: type[Section] | None = None,
    arguments: Callable[[Any], Mapping[str, Any]] = lambda config: {},
    **options: Any,
) -> Attack:
    """An untargeted attack within L∞ balls of several radii."""
    return Attack(
        name=name,
        title=title,
        order=order,
        effort=effort,
        function=function,
        family="ball",
        sections={"bounded": Bounded, **({name: settings} if settings else {})},
        variants=variants,
        sources=lambda config: config.bounded.samples,
        arguments=arguments,
        level="epsilon",
        levels=lambda config: config.bounded.epsilons,
        targeted=False,
        **options,
    )


def by_distance(*, name: str, title: str, order: int, norm: str, **options: Any) -> Attack:
    """Carlini and Wagner's attack in one norm."""
    return Attack(
        name=name,
        title=title,
        order=order,
        effort=4,
        function="defensive_distillation.attacks.cw.carlini_wagner:carlini_wagner",
        family="distance",
        sections={"cw": CarliniWagner},
        variants=(Variant("", title, "adaptive", {"norm": norm}),),
        sources=lambda config: config.cw.sources,
        targets=lambda config: config.cw.targets,
        arguments=lambda config: config.cw.arguments,
        **options,
    )
