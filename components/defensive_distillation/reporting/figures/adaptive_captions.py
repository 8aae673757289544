"""What stands with the figures of the attacks that know the defense."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting import attacks
from defensive_distillation.reporting.measures import fooled_within, mean_distance, reported_radius
from defensive_distillation.reporting.networks import controls, models, others
from defensive_distillation.reporting.paper import SECOND_HAND_LOGITS
from defensive_distillation.reporting.words import distance, label, listed, per_cent
from defensive_distillation.suite import title


def epsilon(evaluations: Sequence[Evaluation]) -> str:
    """Under success_by_epsilon."""
    return (
        "Share of samples that an untargeted attack fools within an L∞ radius; the broad grey band is what any attack "
        "reaches. Orange climbs the softmax at T = 1, as an attacker would who knows nothing of the defense; green "
        "climbs the logits. Where blue, which uses no gradient, lies above orange, the gradient is masked. From radius "
        "0.5 on every image can be made the same grey, which fools any network."
    )


def epsilon_alt(evaluations: Sequence[Evaluation]) -> str:
    """success_by_epsilon in numbers: every attack at the reported radius."""
    parts = []
    for found in models(evaluations):
        radius = reported_radius(found)
        shares = [
            f"{title(bounded.name)} {per_cent(share)}"
            for bounded in found.bounded
            if (share := fooled_within(bounded, radius)) is not None
        ]
        if shares:
            parts.append(f"{label(found)} within {radius:g}: {', '.join(shares)}")
    return f"Samples fooled by L∞ radius. {'; '.join(parts) or '0 attacks were run'}."


def distances(evaluations: Sequence[Evaluation]) -> str:
    """Under cw_distances."""
    return (
        "Mean distance of the adversarial samples that Carlini and Wagner's attacks find, towards the nearest class "
        "(best case), one chosen at random (average) and the farthest (worst). Dotted across: the level without "
        "distillation. A network that is harder to fool lies clearly above it. Where not every target was reached, the "
        "success rate stands at the foot."
    )


def distances_alt(evaluations: Sequence[Evaluation]) -> str:
    """cw_distances in numbers: the average case."""

    def of(attack: str) -> Callable[[Evaluation], str | None]:
        def value(found: Evaluation) -> str | None:
            length = mean_distance(found, attack)
            return None if length is None else distance(length)

        return value

    parts = [
        f"{title(attack)}: {text}"
        for attack in attacks.by_distance()
        if (text := listed(models(evaluations), of(attack)))
    ]
    return f"Mean distance in the average case. {'; '.join(parts) or '0 attacks were run'}."


def logits(evaluations: Sequence[Evaluation]) -> str:
    """Under logit_scale."""
    of_controls = (
        " The crosses are the controls: the undistilled network's logits times T." if controls(evaluations) else ""
    )
    low, high = SECOND_HAND_LOGITS
    of_others = " The squares are other defenses, which have no temperature." if others(evaluations) else ""
    return (
        "The cause: distillation at T makes the logits about T times larger. Both axes are on log scales, so "
        f"proportional is a straight line.{of_controls}{of_others} Second-hand, from Carlini and Wagner (2017): "
        f"{low:g} without distillation, {high:g} distilled at T = 100."
    )


def logits_alt(evaluations: Sequence[Evaluation]) -> str:
    """logit_scale in numbers."""
    networks = [*models(evaluations), *controls(evaluations)]
    text = listed(networks, lambda found: f"{found.mean_absolute_logit:.3g}")
    return f"Mean absolute logit: {text}."
