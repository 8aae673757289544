"""Are one network's gradients masked? The verdict that was measured, in words.

Distillation at T makes logits about T times larger; at T = 1 the softmax saturates and its gradient vanishes. JSMA on
the probabilities then fails for want of a gradient, not for want of adversarial samples. Dividing the logits by T
gives the gradient back and changes no decision of the network: what JSMA gains by it was masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defensive_distillation.evaluation.intervals import difference_interval
from defensive_distillation.evaluation.results import AttackFindings, Evaluation, Masked, Masking
from defensive_distillation.evaluation.verdict.masking import MASKING_THRESHOLD, WEAK_LOSS, by_difference
from defensive_distillation.reporting.networks import arranged, is_distilled, undistilled
from defensive_distillation.reporting.words import (
    counted,
    label,
    per_cent,
    per_cent_range,
    points,
    points_range,
    series,
)

SMALL_SAMPLE = 100  # pairs; below, the 95 % interval of one rate can be wider than 10 points to either side


@dataclass(frozen=True)
class Verdict:
    """Whether one network's gradients are masked, and a sentence that says why (see masking.judge)."""

    model: str
    control: bool
    masked: Masked
    difference: float | None  # success(z/T) − success(probabilities); None where an attack is missing
    interval: tuple[float, float] | None  # of the paired difference, 95 %
    signs: tuple[str, ...]  # the naive attacker's conditions that fail
    broken: tuple[str, ...]  # the adaptive attacker's
    sentence: str


def verdicts(evaluations: Sequence[Evaluation]) -> list[Verdict]:
    """One verdict a network: the one without distillation, the distilled ones, the controls."""
    baseline = undistilled(evaluations)
    return [_verdict(network, baseline) for network in arranged(evaluations)]


def attacked(network: Evaluation | None, output: str) -> AttackFindings | None:
    """JSMA on `output`, or None if it was not run or had no pair to attack."""
    attack = network.attack(output) if network else None
    return attack if attack and attack.pairs else None


def clearly_more(first: AttackFindings, second: AttackFindings) -> bool:
    """Whether `first`, on one network, clearly succeeds more often than `second`, on another or by another output."""
    low, _ = difference_interval(
        first.success_rate, first.success_interval, second.success_rate, second.success_interval
    )
    return low > MASKING_THRESHOLD


def rate(attack: AttackFindings) -> str:
    """A success rate with its number of pairs and its interval."""
    return (
        f"{per_cent(attack.success_rate)} of {counted(attack.pairs, 'pair')} "
        f"(95 % interval {per_cent_range(attack.success_interval)})"
    )


def conditions_fail(names: Sequence[str]) -> str:
    """'conditions iterated and noise fail'; one that fails of several attacks is named once."""
    distinct = [name.replace("_", " ") for name in dict.fromkeys(names)]
    several = len(distinct) > 1
    return f"condition{'s' if several else ''} {series(distinct)} fail{'' if several else 's'}"


def _verdict(network: Evaluation, baseline: Evaluation | None) -> Verdict:
    judged = network.masking
    return Verdict(
        network.name,
        network.control,
        judged.masked,
        judged.difference,
        judged.interval,
        judged.signs,
        judged.broken,
        " ".join(
            part for part in (_by_jsma(network, baseline), *_by_other_means(network), _by_conditions(network)) if part
        ),
    )


def _by_jsma(network: Evaluation, baseline: Evaluation | None) -> str:
    plain, scaled = attacked(network, "probabilities"), attacked(network, "scaled")
    if network.temperature == 1 and plain and not network.control:
        return (
            f"{_where(network)} JSMA on the probabilities succeeds on {rate(plain)}. "
            "At T = 1, z/T is z: there is no larger logit to divide, and nothing is masked by the temperature."
        )
    if plain is None or scaled is None:
        return _by_untargeted(network) or _missing(network, plain, scaled)
    if network.control:
        return _of_control(network, baseline, plain, scaled)
    return _of_model(network, baseline, plain, scaled)


def _by_untargeted(network: Evaluation) -> str:
    """The same of untargeted JSMA, by which the verdict goes where JSMA towards every class was not run."""
    ran = {one.output: one for one in network.attacks if one.attack == "jsma_untargeted" and one.pairs}
    plain, scaled = ran.get("probabilities"), ran.get("scaled")
    if network.masking.difference is None or plain is None or scaled is None:
        return ""
    spread = _spread(network.masking)
    conclusion = {
        "yes": f"a gain ({spread}) that shows masked gradients",
        "no": f"no gain ({spread}) that would show masked gradients",
        "undecided": f"the difference ({spread}) is too uncertain to say whether gradients are masked",
    }[by_difference(network.masking.interval)]
    return (
        f"{_where(network)} untargeted JSMA on the probabilities succeeds on {rate(plain)}. On the probabilities of "
        f"z/T it succeeds on {per_cent(scaled.success_rate)}: {conclusion}.{_few(plain, scaled)}"
    )


def _missing(network: Evaluation, plain: AttackFindings | None, scaled: AttackFindings | None) -> str:
    logits = attacked(network, "logits")
    ran = [
        f"on the {output} it succeeds on {rate(attack)}"
        for output, attack in (("probabilities", plain), ("logits", logits), ("probabilities of z/T", scaled))
        if attack
    ]
    missing = [
        name for name, attack in (("the probabilities", plain), ("the probabilities of z/T", scaled)) if not attack
    ]
    hint = ""
    if plain and logits and clearly_more(logits, plain):
        hint = " What JSMA gains on the logits points to masked gradients."
    return (
        f"{_where(network)} JSMA was not run on {series(missing)}, so it cannot judge masking"
        f"{': ' + series(ran) if ran else ''}.{hint}"
    )


def _of_model(network: Evaluation, baseline: Evaluation | None, plain: AttackFindings, scaled: AttackFindings) -> str:
    before = attacked(baseline, "probabilities") if network.defended else None
    defends = before is not None and clearly_more(before, plain)
    first = f"{_where(network)} JSMA on the probabilities succeeds on {rate(plain)}"
    if before:
        first += f" where it succeeds on {per_cent(before.success_rate)} of the undistilled network's"
        seems = "as in the paper, distillation seems" if is_distilled(network) else "the defense seems"
        first += f": {seems} to defend" if defends else ": no clear drop"
    second = f"On the probabilities of z/T the same attack succeeds on {per_cent(scaled.success_rate)}: "
    return f"{first}. {second}{_conclusion(network.masking, scaled, before, defends)}.{_few(plain, scaled)}"


def _conclusion(judged: Masking, scaled: AttackFindings, before: AttackFindings | None, defends: bool) -> str:
    """What success(z/T) says, beside success(probabilities)."""
    by_jsma = by_difference(judged.interval)
    if by_jsma == "undecided":
        return f"the difference ({_spread(judged)}) is too uncertain to say whether gradients are masked"
    if by_jsma == "no" and defends:
        return (
            f"no gain ({_spread(judged)}), so masked gradients do not explain the drop away; "
            "other attacks may still succeed"
        )
    if by_jsma == "no":
        return f"no gain ({_spread(judged)}) that would show masked gradients"
    if before and clearly_more(before, scaled):
        return (
            "the defense masks the gradients, which explains part of the drop; "
            "the rest holds against this attack, and may not against others"
        )
    return "the defense masks the gradients; it does not remove the adversarial samples"


def _of_control(network: Evaluation, baseline: Evaluation | None, plain: AttackFindings, scaled: AttackFindings) -> str:
    before = attacked(baseline, "probabilities")
    beside = f", and {per_cent(before.success_rate)} before the logits were multiplied" if before else ""
    conclusion = {
        "yes": "the same 'defense', though nothing was distilled",
        "no": "the size of the logits alone masks no gradient here",
        "undecided": f"the difference ({_spread(network.masking)}) is too uncertain to say whether gradients "
        "are masked",
    }[by_difference(network.masking.interval)]
    return (
        f"The undistilled network with its logits multiplied by {network.temperature:g}: JSMA on the probabilities "
        f"succeeds on {rate(plain)}{beside}; on those of z/T it succeeds on {per_cent(scaled.success_rate)}: "
        f"{conclusion}.{_few(plain, scaled)}"
    )


def _by_other_means(network: Evaluation) -> list[str]:
    """What PGD and the gradient of the logits add to what JSMA says."""
    judged, said = network.masking, []
    if judged.within is not None and by_difference(judged.within_interval) == "yes":
        assert judged.within_interval is not None
        said.append(
            f"PGD on z/T gains {points(judged.within)} (95 % interval {points_range(judged.within_interval)}) "
            "on PGD through the softmax at T = 1: the gradients are masked."
        )
    return said + [
        f"{sign.sentence[0].upper()}{sign.sentence[1:]}: the gradients are masked." for sign in judged.gradient
    ]


def _by_conditions(network: Evaluation) -> str:
    """What the sanity conditions add to what JSMA says."""
    judged, text = network.masking, ""
    if judged.signs:
        fail = conditions_fail(judged.signs)
        if judged.masked == "undecided":
            text = f"But the naive attacker's sanity {fail}, a sign of masked gradients: undecided."
        elif by_difference(judged.interval) == "undecided":
            text = f"The naive attacker's sanity {fail}, which decides it: the gradients are masked."
        else:
            text = f"The naive attacker's sanity {fail} too: the gradients are masked."
    if "black_box" in judged.broken:
        text += (
            " An attack without gradients does better than those on the logits: their gradient hides what is there, "
            "and the rates of all attacks that climb it are too low."
        )
    elif judged.broken:
        text += (
            f" The adaptive attacker's sanity {conditions_fail(judged.broken)}: the attack is broken, "
            "take the verdict with care."
        )
    elif any(one.meaning == WEAK_LOSS for one in network.conditions):
        text += (
            " PGD through the softmax is weaker than other attacks, but dividing the logits by T does not help it: its "
            "loss is weak, no gradient is masked by it."
        )
    elif network.conditions and not judged.signs:
        text = f"All {len(network.conditions)} sanity conditions hold."
    return text.strip()


def _spread(judged: Masking) -> str:
    if judged.difference is None or judged.interval is None:
        return "not measured"
    return f"{points(judged.difference)}, 95 % interval {points_range(judged.interval)}"


def _few(*attacks: AttackFindings) -> str:
    pairs = min(attack.pairs for attack in attacks)
    return (
        f" Only {counted(pairs, 'pair')} {'was' if pairs == 1 else 'were'} attacked: take this as an indication."
        if pairs < SMALL_SAMPLE
        else ""
    )


def _where(network: Evaluation) -> str:
    if network.control:
        return f"In the control at T = {network.temperature:g}"
    if is_distilled(network):
        return f"At {label(network)}"
    return f"With {label(network)}," if network.defended else "Without distillation"
