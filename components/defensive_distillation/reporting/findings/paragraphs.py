"""What was found beyond the headline: as the paper measures, as an attacker sees it, why, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting import attacks
from defensive_distillation.reporting.findings.adaptive import (
    bounded_paragraph,
    conditions_paragraph,
    control_paragraph,
    distances_paragraph,
)
from defensive_distillation.reporting.findings.verdicts import SMALL_SAMPLE, attacked, clearly_more
from defensive_distillation.reporting.networks import distilled, models, undistilled
from defensive_distillation.reporting.paper import ACCURACY_VARIATION, published
from defensive_distillation.reporting.words import (
    counted,
    label,
    per_cent,
    points,
    published_per_cent,
    span,
    temperatures,
)


def paragraphs(evaluations: Sequence[Evaluation]) -> list[str]:
    """What was found beyond the headline, a paragraph a question; one without an answer is left out."""
    baseline, networks = undistilled(evaluations), distilled(evaluations)
    written = (
        *(f"{label(network)}: {warning}" for network in models(evaluations) for warning in network.warnings),
        _as_in_the_paper(networks, baseline),
        _as_an_attacker(networks),
        distances_paragraph(networks, baseline),
        bounded_paragraph(evaluations),
        _why(networks, baseline),
        control_paragraph(evaluations),
        _accuracy(networks, baseline),
        conditions_paragraph(evaluations),
        _caution(models(evaluations)),
    )
    return [paragraph for paragraph in written if paragraph]


def _as_in_the_paper(networks: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    rates = [(network, attack) for network in networks if (attack := attacked(network, "probabilities"))]
    if not rates:
        return ""
    network, lowest = min(rates, key=lambda pair: pair[1].success_rate)
    before = attacked(baseline, "probabilities")
    start = f" from {per_cent(before.success_rate)} without distillation" if before else ""
    verb = "goes" if before and lowest.success_rate < before.success_rate else "comes"
    text = (
        f"As the paper measures it, on the probabilities at temperature 1, JSMA's success {verb}{start} "
        f"to {per_cent(lowest.success_rate)} at {label(network)}."
    )
    numbers = published(network.dataset)
    theirs = numbers.success_of(network) if numbers else None
    if numbers and theirs is not None:
        text += (
            f" The paper gives {published_per_cent(numbers.baseline_success)} and {published_per_cent(theirs)} for the "
            f"same on {numbers.title}."
        )
    if before and clearly_more(before, lowest):
        text += " By this measure alone distillation looks like a defense."
    return text


def _as_an_attacker(networks: Sequence[Evaluation]) -> str:
    scaled = [attack for network in networks if (attack := attacked(network, "scaled"))]
    if not scaled:
        return ""
    text = (
        "An attacker who knows T divides the logits by it, which changes no decision of the network and gives the "
        f"gradient back. JSMA then succeeds on {span([attack.success_rate for attack in scaled])} of the pairs"
    )
    logits = [attack for network in networks if (attack := attacked(network, "logits"))]
    text += (
        f", and on {span([attack.success_rate for attack in logits])} if it climbs the logits themselves."
        if logits
        else "."
    )
    if masked := [network for network in networks if network.masking.masked == "yes"]:
        text += (
            " A low success rate on the probabilities with a high one on z/T means masked gradients; so it is at "
            f"{temperatures(masked)}."
        )
    return text


def _why(networks: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    if not networks:
        return ""
    network = max(networks, key=lambda model: model.mean_absolute_logit)
    logit = f"{network.mean_absolute_logit:.3g} at {label(network)}"
    text = f"The mean absolute logit is {logit}."
    if baseline and baseline.mean_absolute_logit < network.mean_absolute_logit:
        masked = any(one.masking.masked == "yes" for one in networks)
        start = "The reason is in the logits: their mean absolute value" if masked else "The mean absolute logit"
        text = f"{start} grows from {baseline.mean_absolute_logit:.3g} without distillation to {logit}."
    zero = max(networks, key=lambda model: model.gradients_at_1.zero_share_float32)
    gradients = zero.gradients_at_1
    if gradients.zero_share_float32 == 0:
        return text + " No sample's gradient is exactly zero in float32."
    text += (
        f" At {label(zero)} the gradient of the probabilities is exactly zero for "
        f"{per_cent(gradients.zero_share_float32)} of {counted(gradients.samples, 'sample')} in float32 "
        f"({per_cent(gradients.zero_share_float64)} in float64)"
    )
    plain = attacked(zero, "probabilities")
    stopped = plain.stop_reasons.get("zero_gradient", 0) if plain else 0
    if plain and stopped:
        return f"{text}, and {per_cent(stopped / plain.pairs)} of JSMA's pairs stop for that reason."
    return f"{text}."


def _accuracy(networks: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    if not networks or baseline is None:
        return ""
    network = max(networks, key=lambda model: abs(model.accuracy - baseline.accuracy))
    difference = network.accuracy - baseline.accuracy
    within = "within" if abs(difference) < ACCURACY_VARIATION else "outside"
    return (
        f"Accuracy on clean images changes by at most {points(difference)} "
        f"({per_cent(baseline.accuracy)} without distillation, {per_cent(network.accuracy)} at {label(network)}), "
        f"{within} the {100 * ACCURACY_VARIATION:.2f} points that the paper reports."
    )


def _caution(networks: Sequence[Evaluation]) -> str:
    ran = [attack for network in networks for attack in network.attacks if attack.pairs]
    if not ran:
        others = any(network.bounded or network.distances for network in networks)
        return "JSMA was not run." if others else "No attack was run: the report tells of accuracy and gradients only."
    text = (
        "Intervals are at 95 %: Wilson's of a rate, Newcombe's of the difference of two rates on the same pairs. They "
        "take pairs as independent; pairs that share a source image are not quite, so the true uncertainty is somewhat "
        "larger."
    )
    untargeted = {kind.name for kind in attacks.other_by_budget() if not kind.targeted}  # a source is a pair there
    fewest = min((attack.pairs for attack in ran if attack.attack not in untargeted), default=ran[0].pairs)
    if fewest < SMALL_SAMPLE:
        text = f"The sample is small: {counted(fewest, 'pair')} for some attack. {text}"
    return text
