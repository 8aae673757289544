"""What the attacks say that the paper did not have: distances, bounded attacks, transfer, controls, conditions."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.evaluation.verdict.masking import WEAK_LOSS
from defensive_distillation.reporting import attacks
from defensive_distillation.reporting.findings.verdicts import attacked
from defensive_distillation.reporting.measures import (
    best_transfer,
    failed,
    fooled_within,
    relative_distance,
    reported_radius,
    temperature_correlation,
)
from defensive_distillation.reporting.networks import arranged, chosen, controls, distilled, others
from defensive_distillation.reporting.paper import SECOND_HAND_CORRELATION
from defensive_distillation.reporting.words import count, counted, label, per_cent, series, span, temperatures, times
from defensive_distillation.suite.registry import title


def distances_paragraph(networks: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    """Carlini and Wagner's attacks: how often they reach their target, and from how far."""
    norms = attacks.CARLINI_WAGNER
    theirs = [one for network in networks for one in network.distances if one.attack in norms]
    shares = [one.success_rate for one in theirs if one.pairs]
    if not shares:
        return ""
    ran = [norm for attack, norm in norms.items() if any(network.distance(attack) for network in networks)]
    text = (
        f"Carlini and Wagner's attacks climb the logits and look for the nearest adversarial sample. In {series(ran)} "
        f"they reach their target on {span(shares)} of the pairs of the distilled networks."
    )
    ratios = {
        norm: [ratio for network in networks if (ratio := relative_distance(network, baseline, attack)) is not None]
        for attack, norm in norms.items()
    }
    said = [f"{_between(several)} in {norm}" for norm, several in ratios.items() if several]
    if said:
        text += (
            " Measured against the undistilled network, the mean distance to a target class chosen at random is "
            f"{series(said)}."
        )
    together = temperature_correlation(networks)
    if together is not None:
        text += (
            f" Temperature and mean L2 distance correlate by {_signed(together)} "
            f"(Carlini and Wagner, second-hand: {_signed(SECOND_HAND_CORRELATION)})."
        )
    return text


def bounded_paragraph(evaluations: Sequence[Evaluation]) -> str:
    """The bounded attacks on the chosen network, naive and adaptive, and what finds it without its gradients."""
    network = chosen(evaluations)
    radius = reported_radius(network) if network else None
    if network is None or radius is None:
        return ""
    strongest, hows = attacks.iterated(), {"naive": "through the softmax at T = 1", "adaptive": "through the logits"}
    shares = [
        (fooled_within(network.within(strongest.variant_name(variant)), radius), hows[variant.attacker])
        for variant in strongest.variants
        if variant.attacker in hows and not variant.at_training_temperature
    ]
    said = [f"{per_cent(share)} of the samples {how}" for share, how in shares if share is not None]
    text = (
        f"At {label(network)} {strongest.title} within an L∞ radius of {radius:g} fools {series(said)}." if said else ""
    )
    others = _without_gradients(network, radius)
    if others:
        text += f" Without any gradient of this network, {series(others)}."
    if (robust := network.robust) and radius in robust.epsilons:
        place = robust.epsilons.index(radius)
        text += (
            f" Taken together: of {counted(robust.samples, 'image')} {count(robust.misclassified)} misclassified "
            f"without an attack, {count(robust.fooled[place])} fooled within that radius, "
            f"{count(robust.right[place])} right, a robust accuracy of {per_cent(robust.accuracy[place])}."
        )
    return text.strip()


def control_paragraph(evaluations: Sequence[Evaluation]) -> str:
    """The same 'defense' without distillation."""
    shown = [network for network in controls(evaluations) if attacked(network, "probabilities")]
    if not shown:
        return ""
    masked = [network for network in shown if network.masking.masked == "yes"]
    rates = [attack.success_rate for network in shown if (attack := attacked(network, "probabilities"))]
    scaled = [attack.success_rate for network in shown if (attack := attacked(network, "scaled"))]
    back = f", and on {span(scaled)} once they are divided by T again" if scaled else ""
    text = (
        f"The control: the undistilled network with its logits multiplied by {temperatures(shown)}. Nothing was "
        f"distilled, and JSMA on the probabilities succeeds on {span(rates)} of the pairs{back}."
    )
    if len(masked) == len(shown):
        return f"{text} The same 'defense' comes from the size of the logits alone."
    if masked:
        return f"{text} At {temperatures(masked)} the same 'defense' comes from the size of the logits alone."
    return f"{text} The size of the logits alone does not show the 'defense' here."


def conditions_paragraph(evaluations: Sequence[Evaluation]) -> str:
    """How many sanity conditions hold, and what those that fail mean."""
    ran = [network for network in arranged(evaluations) if network.conditions]
    if not ran:
        return ""
    total = sum(len(network.conditions) for network in ran)
    naive = [network for network in ran if network.masking.signs]
    weak = [network for network in ran if any(one.meaning == WEAK_LOSS for one in network.conditions)]
    broken = [network for network in ran if failed(network, "adaptive")]
    number = sum(len(failed(network, "naive")) + len(failed(network, "adaptive")) for network in ran)
    if not number:
        return f"All {count(total)} sanity conditions of the attacks hold."
    text = f"Of {count(total)} sanity conditions of the attacks {count(number)} fail."
    if naive:
        text += f" Those of the naive attacker fail on {_labels(naive)}: the gradients are masked."
    if weak:
        text += (
            f" Through the softmax an attack is weak on {_labels(weak)} at z/T as well: its loss is at fault, no "
            "gradient is masked by it."
        )
    if broken:
        text += (
            f" Those of the adaptive attacker fail on {_labels(broken)}: there an attack is broken, and its numbers "
            "say less than they should."
        )
    elif any(condition.attacker == "adaptive" for network in ran for condition in network.conditions):
        text += " Those of the adaptive attacker hold everywhere."
    return text


def _labels(networks: Sequence[Evaluation]) -> str:
    """'T = 20 and 100 and the control at T = 20'."""
    named = [label(network) for network in networks if not network.control and not network.defended]
    if plain := distilled(networks):
        named.append(temperatures(plain))
    named += [label(network) for network in others(networks)]
    if of_control := controls(networks):
        named.append(f"the control{'s' if len(of_control) > 1 else ''} of {temperatures(of_control)}")
    return series(named)


def _without_gradients(network: Evaluation, radius: float) -> list[str]:
    shares = [
        (name, fooled_within(network.within(name), radius))
        for name in attacks.bounded()
        if attacks.condition(name) == "black_box"
    ]
    parts = [
        f"{title(name)} fools {per_cent(share)} within the same radius" for name, share in shares if share is not None
    ]
    if transfer := best_transfer(network):
        share, confidence = transfer
        parts.append(f"samples transferred from another network with κ = {confidence:g} fool {per_cent(share)}")
    return parts


def _between(ratios: Sequence[float]) -> str:
    low, high = times(min(ratios)), times(max(ratios))
    return low if low == high else f"{low.removesuffix(' ×')} to {high}"


def _signed(correlation: float) -> str:
    return f"{correlation:+.2f}".replace("-", "−")
