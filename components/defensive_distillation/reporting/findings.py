"""What was found, in words that are computed from the numbers: as in the paper, and as an adaptive attacker sees it."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.results import AttackFindings, Evaluation, in_order
from defensive_distillation.reporting.findings_adaptive import (
    bounded_paragraph,
    conditions_paragraph,
    control_paragraph,
    distances_paragraph,
)
from defensive_distillation.reporting.measures import relative_distance
from defensive_distillation.reporting.networks import chosen, distilled, models, undistilled
from defensive_distillation.reporting.paper import ACCURACY_VARIATION, published
from defensive_distillation.reporting.verdicts import (
    SMALL_SAMPLE,
    attacked,
    clearly_more,
    conditions_fail,
    rate,
    verdicts,
)
from defensive_distillation.reporting.words import (
    count,
    label,
    per_cent,
    points,
    published_per_cent,
    span,
    temperatures,
    times,
)

__all__ = ["checked", "headline", "paragraphs", "verdicts"]


def checked(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The evaluations in order, if they can stand in one report.

    Raises:
        InputError: for none at all, controls alone, two of the same name, two baselines, or more than one dataset.
    """
    if not evaluations:
        raise InputError("evaluations: expected at least one, got none")
    names = [found.name for found in evaluations]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"evaluations: expected one for each model, got more of {', '.join(map(repr, repeated))}")
    if not models(evaluations):
        raise InputError("evaluations: expected a model, got controls only")
    if sum(not found.defended for found in models(evaluations)) > 1:
        raise InputError("evaluations: expected one model without distillation, got more")
    digests = {found.dataset.digest: found.dataset.name for found in evaluations}
    if len(digests) > 1:
        raise InputError(f"evaluations: expected one dataset, got {len(digests)}: {', '.join(digests.values())}")
    return in_order(evaluations)


def headline(evaluations: Sequence[Evaluation]) -> str:
    """What was found, in one or two sentences: whether the paper's number is real, and whether the defense holds.

    Raises:
        InputError: without any model.
    """
    baseline, found = undistilled(evaluations), chosen(evaluations)
    if found is None and baseline is None:
        raise InputError("evaluations: expected at least one model, got none")
    if found is None or all(model.temperature == 1 for model in distilled(evaluations)):
        return _nothing_to_judge(found, baseline)
    plain, scaled = attacked(found, "probabilities"), attacked(found, "scaled")
    if plain is None or scaled is None:
        return _by_conditions_alone(evaluations)
    return _headline(found, baseline, plain, scaled)


def paragraphs(evaluations: Sequence[Evaluation]) -> list[str]:
    """What was found beyond the headline: as the paper measures, as an attacker sees it, why, at what cost."""
    baseline, networks = undistilled(evaluations), distilled(evaluations)
    written = (
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


def _nothing_to_judge(found: Evaluation | None, baseline: Evaluation | None) -> str:
    plain = attacked(found or baseline, "probabilities")
    if found is None:
        seen = f"JSMA succeeds on {rate(plain)} of it" if plain else "JSMA on its probabilities was not run"
        return f"Only the undistilled network was evaluated ({seen}): nothing can be said of distillation yet."
    seen = f"JSMA succeeds on {rate(plain)}" if plain else "JSMA on the probabilities was not run"
    return f"Only T = 1 was evaluated, where {seen}: there is no temperature to judge."


def _by_conditions_alone(evaluations: Sequence[Evaluation]) -> str:
    masked = [found for found in distilled(evaluations) if found.masking.masked == "yes"]
    if not masked:
        return "Whether distillation masks the gradients cannot be told: JSMA was not run on both outputs it takes."
    return (
        f"Distillation masks the gradients: at {label(masked[-1])} the naive attacker's sanity "
        f"{conditions_fail(masked[-1].masking.signs)}. By how much JSMA is misled cannot be told: it was not run on "
        "both outputs it takes."
    )


def _headline(found: Evaluation, baseline: Evaluation | None, plain: AttackFindings, scaled: AttackFindings) -> str:
    before = attacked(baseline, "probabilities")
    defends = before is not None and clearly_more(before, plain)
    beside = f" ({per_cent(before.success_rate)} without distillation)" if before else ""
    seen = (
        f"at {label(found)} JSMA on the probabilities succeeds on {per_cent(plain.success_rate)} of "
        f"{count(plain.pairs)} pairs{beside}"
    )
    truth = f"on {per_cent(scaled.success_rate)} once the logits z are divided by T"
    if found.masking.masked == "yes":
        partly = before is not None and clearly_more(before, scaled)
        return f"{_masked(found, plain, defends=defends, partly=partly)}. {seen[0].upper()}{seen[1:]}, but {truth}."
    if found.masking.masked == "undecided":
        return f"Whether distillation masks the gradients is undecided: {seen}, and {truth}."
    start = "No masked gradients were found"
    if defends and before is not None and clearly_more(before, scaled):
        start = "Distillation holds against JSMA, and no masked gradients were found"
    return f"{start}: {seen}, and {truth}; no other T differs more.{_despite(found, baseline)}"


def _masked(found: Evaluation, plain: AttackFindings, *, defends: bool, partly: bool) -> str:
    """The first sentence where gradients are masked."""
    if not defends:
        return "Distillation masks the gradients, it does not stop the attack"
    numbers = published(found.dataset)
    theirs = numbers.success_of(found) if numbers else None
    low, high = plain.success_interval
    what = "number" if theirs is not None and low <= theirs <= high else "effect"
    if partly:
        return (
            f"The paper's {what} is reproduced, but the defense holds far less than it seems to: distillation masks "
            "the gradients"
        )
    return (
        f"The paper's {what} is reproduced, but the defense does not hold: distillation masks the gradients, it does "
        "not stop the attack"
    )


def _despite(found: Evaluation, baseline: Evaluation | None) -> str:
    """What an attack for the nearest sample says of a network that JSMA finds nothing masked in."""
    nearest, ratio = found.distance("cw_l2"), relative_distance(found, baseline, "cw_l2")
    if nearest is None or ratio is None:
        return ""
    return (
        f" Carlini and Wagner's L2 attack reaches its target on {per_cent(nearest.success_rate)} of the pairs, at "
        f"{times(ratio)} the undistilled network's mean distance."
    )


def _as_in_the_paper(networks: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    attacks = [(found, attack) for found in networks if (attack := attacked(found, "probabilities"))]
    if not attacks:
        return ""
    found, lowest = min(attacks, key=lambda pair: pair[1].success_rate)
    before = attacked(baseline, "probabilities")
    start = f" from {per_cent(before.success_rate)} without distillation" if before else ""
    verb = "goes" if before and lowest.success_rate < before.success_rate else "comes"
    text = (
        f"As the paper measures it, on the probabilities at temperature 1, JSMA's success {verb}{start} "
        f"to {per_cent(lowest.success_rate)} at {label(found)}."
    )
    numbers = published(found.dataset)
    theirs = numbers.success_of(found) if numbers else None
    if numbers and theirs is not None:
        text += (
            f" The paper gives {published_per_cent(numbers.baseline_success)} and {published_per_cent(theirs)} for the "
            f"same on {numbers.title}."
        )
    if before and clearly_more(before, lowest):
        text += " By this measure alone distillation looks like a defense."
    return text


def _as_an_attacker(networks: Sequence[Evaluation]) -> str:
    scaled = [attack for found in networks if (attack := attacked(found, "scaled"))]
    if not scaled:
        return ""
    text = (
        "An attacker who knows T divides the logits by it, which changes no decision of the network and gives the "
        f"gradient back. JSMA then succeeds on {span([attack.success_rate for attack in scaled])} of the pairs"
    )
    logits = [attack for found in networks if (attack := attacked(found, "logits"))]
    text += (
        f", and on {span([attack.success_rate for attack in logits])} if it climbs the logits themselves."
        if logits
        else "."
    )
    if masked := [found for found in networks if found.masking.masked == "yes"]:
        text += (
            " A low success rate on the probabilities with a high one on z/T means masked gradients; so it is at "
            f"{temperatures(masked)}."
        )
    return text


def _why(networks: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    if not networks:
        return ""
    found = max(networks, key=lambda model: model.mean_absolute_logit)
    logit = f"{found.mean_absolute_logit:.3g} at {label(found)}"
    text = f"The mean absolute logit is {logit}."
    if baseline and baseline.mean_absolute_logit < found.mean_absolute_logit:
        text = (
            "The reason is in the logits: their mean absolute value grows from "
            f"{baseline.mean_absolute_logit:.3g} without distillation to {logit}."
        )
    zero = max(networks, key=lambda model: model.gradients_at_1.zero_share_float32)
    gradients = zero.gradients_at_1
    if gradients.zero_share_float32 == 0:
        return text + " No sample's gradient is exactly zero in float32."
    text += (
        f" At {label(zero)} the gradient of the probabilities is exactly zero for "
        f"{per_cent(gradients.zero_share_float32)} of {count(gradients.samples)} samples in float32 "
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
    found = max(networks, key=lambda model: abs(model.accuracy - baseline.accuracy))
    difference = found.accuracy - baseline.accuracy
    within = "within" if abs(difference) < ACCURACY_VARIATION else "outside"
    return (
        f"Accuracy on clean images changes by at most {points(difference)} "
        f"({per_cent(baseline.accuracy)} without distillation, {per_cent(found.accuracy)} at {label(found)}), "
        f"{within} the {100 * ACCURACY_VARIATION:.2f} points that the paper reports."
    )


def _caution(networks: Sequence[Evaluation]) -> str:
    attacks = [attack for found in networks for attack in found.attacks if attack.pairs]
    if not attacks:
        others = any(found.bounded or found.distances for found in networks)
        return "JSMA was not run." if others else "No attack was run: the report tells of accuracy and gradients only."
    text = (
        "Intervals are at 95 %: Wilson's of a rate, Newcombe's of the difference of two rates on the same pairs. They "
        "take pairs as independent; pairs that share a source image are not quite, so the true uncertainty is somewhat "
        "larger."
    )
    fewest = min((attack for attack in attacks if attack.attack != "jsma_untargeted"), key=_pairs, default=attacks[0])
    if fewest.pairs < SMALL_SAMPLE:
        text = f"The sample is small: {count(fewest.pairs)} pairs for some attack. {text}"
    return text


def _pairs(attack: AttackFindings) -> int:
    return attack.pairs
