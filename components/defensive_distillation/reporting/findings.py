"""What was found, in words that are computed from the numbers; above all: are the gradients masked?

Distillation at T makes logits about T times larger; at T = 1 the softmax saturates and its gradient vanishes. JSMA on
the probabilities then fails for want of a gradient, not for want of adversarial samples. Dividing the logits by T
gives the gradient back and changes no decision of the network: what JSMA gains by it was masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from defensive_distillation.errors import InputError
from defensive_distillation.evaluation import AttackFindings, Evaluation, in_order
from defensive_distillation.reporting.paper import ACCURACY_VARIATION, published
from defensive_distillation.reporting.words import (
    count,
    label,
    per_cent,
    per_cent_range,
    points,
    points_range,
    published_per_cent,
    series,
    temperatures,
)

# The smallest gain of z/T over the probabilities that is called masking. JSMA is greedy: another output leads it to
# other features, which moves its success by some points either way with nothing masked. Ten points are more than
# that and more than the half width of a 95 % interval on 100 pairs, and little beside the 88 to 91 points measured
# on distilled MNIST networks.
MASKING_THRESHOLD = 0.1

SMALL_SAMPLE = 100  # pairs; below, the 95 % interval of one rate can be wider than 10 points to either side

Masked = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """Whether one model's gradients are masked, by success(z/T) − success(probabilities)."""

    model: str
    masked: Masked
    difference: float | None  # None where an attack is missing
    interval: tuple[float, float] | None  # Newcombe, 95 %
    sentence: str


def checked(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The evaluations in order, if they can stand in one report.

    Raises:
        InputError: for none at all, two of the same name, two baselines, or more than one dataset.
    """
    if not evaluations:
        raise InputError("evaluations: expected at least one, got none")
    names = [found.name for found in evaluations]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"evaluations: expected one for each model, got more of {', '.join(map(repr, repeated))}")
    if sum(not found.distilled for found in evaluations) > 1:
        raise InputError("evaluations: expected one model without distillation, got more")
    digests = {found.dataset.digest: found.dataset.name for found in evaluations}
    if len(digests) > 1:
        raise InputError(f"evaluations: expected one dataset, got {len(digests)}: {', '.join(digests.values())}")
    return in_order(evaluations)


def difference_interval(
    first: float, first_interval: tuple[float, float], second: float, second_interval: tuple[float, float]
) -> tuple[float, float]:
    """The 95 % interval of `first` − `second`, two proportions with their 95 % Wilson intervals.

    Newcombe: Interval estimation for the difference between independent proportions, Statistics in Medicine 17
    (1998), method 10. https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C873::AID-SIM779%3E3.0.CO;2-I

    Deviation: both attacks run on the same pairs, of which an evaluation keeps the totals only, so the pairing is not
    used. Where one attack's successes tend to be the other's too, the interval is wider than it need be.
    """
    (low, high), (other_low, other_high) = first_interval, second_interval
    difference = first - second
    return (
        max(-1.0, difference - sqrt((first - low) ** 2 + (other_high - second) ** 2)),
        min(1.0, difference + sqrt((high - first) ** 2 + (second - other_low) ** 2)),
    )


def verdicts(evaluations: Sequence[Evaluation]) -> list[Verdict]:
    """One verdict a model, the baseline first."""
    baseline = _baseline(evaluations)
    return [_verdict(found, baseline) for found in in_order(evaluations)]


def headline(evaluations: Sequence[Evaluation]) -> str:
    """What was found, in one sentence.

    Raises:
        InputError: without any evaluation.
    """
    if not evaluations:
        raise InputError("evaluations: expected at least one, got none")
    ordered, baseline = in_order(evaluations), _baseline(evaluations)
    if all(not found.distilled for found in ordered):
        return _only_baseline(ordered[0])
    judged = [
        (found, verdict)
        for found, verdict in zip(ordered, verdicts(evaluations), strict=True)
        if found.distilled and verdict.difference is not None
    ]
    if not judged:
        return "Whether distillation masks the gradients cannot be told: JSMA was not run on both outputs it takes."
    found, verdict = max(judged, key=lambda pair: pair[1].difference or 0.0)
    return _headline(found, verdict, baseline)


def paragraphs(evaluations: Sequence[Evaluation]) -> list[str]:
    """What was found beyond the headline: as the paper measures, as an attacker sees it, why, at what cost."""
    ordered, baseline = in_order(evaluations), _baseline(evaluations)
    distilled = [found for found in ordered if found.distilled]
    written = (
        _as_in_the_paper(distilled, baseline),
        _as_an_attacker(distilled, verdicts(evaluations)),
        _why(distilled, baseline),
        _accuracy(distilled, baseline),
        _caution(ordered),
    )
    return [paragraph for paragraph in written if paragraph]


def _baseline(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    return next((found for found in evaluations if not found.distilled), None)


def _attack(found: Evaluation | None, output: str) -> AttackFindings | None:
    """The attack on `output`, or None if it was not run or had no pair to attack."""
    attack = found.attack(output) if found else None
    return attack if attack and attack.pairs else None


def _gain(first: AttackFindings, second: AttackFindings) -> tuple[float, tuple[float, float]]:
    """success(first) − success(second) and its interval."""
    interval = difference_interval(
        first.success_rate, first.success_interval, second.success_rate, second.success_interval
    )
    return first.success_rate - second.success_rate, interval


def _clearly_more(first: AttackFindings, second: AttackFindings) -> bool:
    return _gain(first, second)[1][0] > MASKING_THRESHOLD


def _verdict(found: Evaluation, baseline: Evaluation | None) -> Verdict:
    plain, scaled = _attack(found, "probabilities"), _attack(found, "scaled")
    if found.temperature == 1 and plain:
        return Verdict(found.name, "no", 0.0, (0.0, 0.0), _sentence_at_1(found, plain))
    if plain is None or scaled is None:
        return Verdict(found.name, "undecided", None, None, _sentence_missing(found, plain, scaled))
    difference, interval = _gain(scaled, plain)
    masked: Masked = "undecided"
    if interval[0] > MASKING_THRESHOLD:
        masked = "yes"
    elif interval[1] < MASKING_THRESHOLD:
        masked = "no"
    return Verdict(found.name, masked, difference, interval, _sentence(found, baseline, plain, scaled, masked))


def _sentence_at_1(found: Evaluation, plain: AttackFindings) -> str:
    return (
        f"{_where(found)} JSMA on the probabilities succeeds on {_rate(plain)}. "
        "At T = 1, z/T is z: there is no larger logit to divide, and nothing is masked by the temperature."
    )


def _sentence_missing(found: Evaluation, plain: AttackFindings | None, scaled: AttackFindings | None) -> str:
    logits = _attack(found, "logits")
    ran = [
        f"on the {output} it succeeds on {_rate(attack)}"
        for output, attack in (("probabilities", plain), ("logits", logits), ("probabilities of z/T", scaled))
        if attack
    ]
    missing = [
        name for name, attack in (("the probabilities", plain), ("the probabilities of z/T", scaled)) if not attack
    ]
    hint = ""
    if plain and logits and _clearly_more(logits, plain):
        hint = " What JSMA gains on the logits points to masked gradients."
    return (
        f"{_where(found)} JSMA was not run on {series(missing)}, so masking cannot be judged"
        f"{': ' + series(ran) if ran else ''}.{hint}"
    )


def _sentence(
    found: Evaluation, baseline: Evaluation | None, plain: AttackFindings, scaled: AttackFindings, masked: Masked
) -> str:
    undistilled = _attack(baseline, "probabilities") if found.distilled else None
    defends = undistilled is not None and _clearly_more(undistilled, plain)
    first = f"{_where(found)} JSMA on the probabilities succeeds on {_rate(plain)}"
    if undistilled:
        first += f" where it succeeds on {per_cent(undistilled.success_rate)} of the undistilled network's"
        first += ": as in the paper, distillation seems to defend" if defends else ": no clear drop"
    second = f"On the probabilities of z/T the same attack succeeds on {per_cent(scaled.success_rate)}: "
    return f"{first}. {second}{_conclusion(plain, scaled, undistilled, defends, masked)}.{_few(plain, scaled)}"


def _conclusion(
    plain: AttackFindings,
    scaled: AttackFindings,
    undistilled: AttackFindings | None,
    defends: bool,
    masked: Masked,
) -> str:
    """What success(z/T) says, beside success(probabilities)."""
    difference, interval = _gain(scaled, plain)
    spread = f"{points(difference)}, 95 % interval {points_range(interval)}"
    if masked == "undecided":
        return f"the difference ({spread}) is too uncertain to say whether gradients are masked"
    if masked == "no" and defends:
        return (
            f"no gradient is masked ({spread}), and this comparison does not explain the drop away; "
            "other attacks may still succeed"
        )
    if masked == "no":
        return f"no gradient is masked ({spread})"
    if undistilled and _clearly_more(undistilled, scaled):
        return (
            "the defense masks the gradients, which explains part of the drop; "
            "the rest holds against this attack, and may not against others"
        )
    return "the defense masks the gradients; it does not remove the adversarial samples"


def _few(*attacks: AttackFindings) -> str:
    pairs = min(attack.pairs for attack in attacks)
    return f" Only {count(pairs)} pairs were attacked: take this as an indication." if pairs < SMALL_SAMPLE else ""


def _where(found: Evaluation) -> str:
    return f"At {label(found)}" if found.distilled else "Without distillation"


def _rate(attack: AttackFindings) -> str:
    return (
        f"{per_cent(attack.success_rate)} of {count(attack.pairs)} pairs "
        f"(95 % interval {per_cent_range(attack.success_interval)})"
    )


def _only_baseline(found: Evaluation) -> str:
    plain = _attack(found, "probabilities")
    seen = f"JSMA succeeds on {_rate(plain)} of it" if plain else "JSMA on its probabilities was not run"
    return f"Only the undistilled network was evaluated ({seen}): nothing can be said of distillation yet."


def _headline(found: Evaluation, verdict: Verdict, baseline: Evaluation | None) -> str:
    plain, scaled = _attack(found, "probabilities"), _attack(found, "scaled")
    undistilled = _attack(baseline, "probabilities")
    if plain is None:
        return verdict.sentence
    if scaled is None:  # T = 1 alone
        return f"Only T = 1 was evaluated, where JSMA succeeds on {_rate(plain)}: there is no temperature to judge."
    beside = f" ({per_cent(undistilled.success_rate)} without distillation)" if undistilled else ""
    seen = (
        f"at {label(found)} JSMA on the probabilities succeeds on {per_cent(plain.success_rate)} of "
        f"{count(plain.pairs)} pairs{beside}"
    )
    truth = f"on {per_cent(scaled.success_rate)} once the logits z are divided by T"
    if verdict.masked == "yes":
        start = "Distillation masks the gradients, it does not stop the attack"
        if undistilled and _clearly_more(undistilled, scaled):
            start = "Distillation masks the gradients, and stops far fewer attacks than it seems to"
        return f"{start}: {seen}, but {truth}."
    if verdict.masked == "no":
        start = "No masked gradients were found"
        if undistilled and _clearly_more(undistilled, plain) and _clearly_more(undistilled, scaled):
            start = "Distillation holds against JSMA, and no masked gradients were found"
        return f"{start}: {seen}, and {truth}; no other T differs more."
    return f"Whether distillation masks the gradients is undecided: {seen}, and {truth}."


def _as_in_the_paper(distilled: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    attacked = [(found, attack) for found in distilled if (attack := _attack(found, "probabilities"))]
    if not attacked:
        return ""
    found, lowest = min(attacked, key=lambda pair: pair[1].success_rate)
    undistilled = _attack(baseline, "probabilities")
    start = f" from {per_cent(undistilled.success_rate)} without distillation" if undistilled else ""
    verb = "goes" if undistilled and lowest.success_rate < undistilled.success_rate else "comes"
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
    if undistilled and _clearly_more(undistilled, lowest):
        text += " By this measure alone distillation looks like a defense."
    return text


def _as_an_attacker(distilled: Sequence[Evaluation], judged: Sequence[Verdict]) -> str:
    scaled = [attack for found in distilled if (attack := _attack(found, "scaled"))]
    if not scaled:
        return ""
    text = (
        "An attacker who knows T divides the logits by it, which changes no decision of the network and gives the "
        f"gradient back. JSMA then succeeds on {_span([attack.success_rate for attack in scaled])} of the pairs"
    )
    logits = [attack for found in distilled if (attack := _attack(found, "logits"))]
    text += (
        f", and on {_span([attack.success_rate for attack in logits])} if it climbs the logits themselves."
        if logits
        else "."
    )
    yes = {verdict.model for verdict in judged if verdict.masked == "yes"}
    if masked := [found for found in distilled if found.name in yes]:
        text += (
            " A low success rate on the probabilities with a high one on z/T means masked gradients; so it is at "
            f"{temperatures(masked)}."
        )
    return text


def _why(distilled: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    if not distilled:
        return ""
    found = max(distilled, key=lambda model: model.mean_absolute_logit)
    logit = f"{found.mean_absolute_logit:.3g} at {label(found)}"
    text = f"The mean absolute logit is {logit}."
    if baseline and baseline.mean_absolute_logit < found.mean_absolute_logit:
        text = (
            "The reason is in the logits: their mean absolute value grows from "
            f"{baseline.mean_absolute_logit:.3g} without distillation to {logit}."
        )
    zero = max(distilled, key=lambda model: model.gradients_at_1.zero_share_float32)
    gradients = zero.gradients_at_1
    if gradients.zero_share_float32 > 0:
        text += (
            f" At {label(zero)} the gradient of the probabilities is exactly zero for "
            f"{per_cent(gradients.zero_share_float32)} of {count(gradients.samples)} samples in float32 "
            f"({per_cent(gradients.zero_share_float64)} in float64)"
        )
        plain = _attack(zero, "probabilities")
        stopped = plain.stop_reasons.get("zero_gradient", 0) if plain else 0
        text += (
            f", and {per_cent(stopped / plain.pairs)} of JSMA's pairs stop for that reason."
            if plain and stopped
            else "."
        )
    else:
        text += " No sample's gradient is exactly zero in float32."
    return text


def _accuracy(distilled: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    if not distilled or baseline is None:
        return ""
    found = max(distilled, key=lambda model: abs(model.accuracy - baseline.accuracy))
    difference = found.accuracy - baseline.accuracy
    within = "within" if abs(difference) < ACCURACY_VARIATION else "outside"
    return (
        f"Accuracy on clean images changes by at most {points(difference)} "
        f"({per_cent(baseline.accuracy)} without distillation, {per_cent(found.accuracy)} at {label(found)}), "
        f"{within} the {100 * ACCURACY_VARIATION:.2f} points that the paper reports."
    )


def _caution(ordered: Sequence[Evaluation]) -> str:
    attacks = [attack for found in ordered for attack in found.attacks if attack.pairs]
    if not attacks:
        return "No attack was run: the report tells of accuracy and gradients only."
    text = (
        "Intervals are 95 % Wilson intervals that take pairs as independent; pairs that share a source image are not "
        "quite, so the true uncertainty is somewhat larger."
    )
    pairs = min(attack.pairs for attack in attacks)
    if pairs < SMALL_SAMPLE:
        text = f"The sample is small: {count(pairs)} pairs for some attack. {text}"
    return text


def _span(shares: Sequence[float]) -> str:
    low, high = per_cent(min(shares)), per_cent(max(shares))
    return low if low == high else f"{low} to {high}"
