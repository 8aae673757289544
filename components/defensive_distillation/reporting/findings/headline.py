"""What was found, in one or two sentences that are computed from the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.results import AttackFindings, Evaluation
from defensive_distillation.reporting.findings.verdicts import attacked, clearly_more, conditions_fail, rate
from defensive_distillation.reporting.measures import relative_distance, reported_radius, robust_within
from defensive_distillation.reporting.networks import chosen, distilled, imported, models, others, undistilled
from defensive_distillation.reporting.paper import published
from defensive_distillation.reporting.words import counted, label, per_cent, radius, series, times


def headline(evaluations: Sequence[Evaluation]) -> str:
    """What was found, in one or two sentences: whether the paper's number is real, and whether the defense holds.

    Raises:
        InputError: without any model.
    """
    baseline, network = undistilled(evaluations), chosen(evaluations)
    if not models(evaluations):
        raise InputError("evaluations: expected at least one model, got none")
    if given := imported(evaluations):
        return " ".join(map(_of_imported, given))
    if others(evaluations) and network is None:
        return _without_distillation(others(evaluations), baseline)
    if network is None or all(model.temperature == 1 for model in distilled(evaluations)):
        return _nothing_to_judge(network, baseline)
    plain, scaled = attacked(network, "probabilities"), attacked(network, "scaled")
    if plain is None or scaled is None:
        return _by_conditions_alone(evaluations)
    return _headline(network, baseline, plain, scaled)


def _of_imported(network: Evaluation) -> str:
    """What somebody asks of a network of their own: is it right, is it robust, and can that be believed?"""
    right = f"{label(network)} classifies {per_cent(network.accuracy)} of the images right"
    if robust := _robust(network):
        right += f", and {robust[1]} whatever any attack does within ε = {robust[0]} of them"
    believed = {
        "yes": "Its gradients are masked: an attack that climbs them sees less than there is.",
        "no": "No masked gradients were found.",
        "undecided": "Whether its gradients are masked is undecided.",
    }[network.masking.masked]
    return f"{right}. {believed}"


def _robust(network: Evaluation) -> tuple[str, str] | None:
    """The radius that a robust accuracy is told of, and the accuracy."""
    quoted = reported_radius(network)
    found = robust_within(network, quoted)
    return (radius(quoted), per_cent(found[0])) if found and quoted is not None else None


def _nothing_to_judge(network: Evaluation | None, baseline: Evaluation | None) -> str:
    plain = attacked(network or baseline, "probabilities")
    if network is None:
        seen = f"JSMA succeeds on {rate(plain)} of it" if plain else "JSMA on its probabilities was not run"
        return f"Only the undistilled network was evaluated ({seen}): nothing can be said of distillation yet."
    seen = f"JSMA succeeds on {rate(plain)}" if plain else "JSMA on the probabilities was not run"
    return f"Only T = 1 was evaluated, where {seen}: there is no temperature to judge."


def _without_distillation(networks: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    plain = attacked(baseline, "probabilities")
    seen = f" (JSMA succeeds on {rate(plain)} of the undistilled one)" if plain else ""
    return (
        f"No distilled network was evaluated{seen}: nothing can be said of distillation, and the verdicts tell of "
        f"{series([label(network) for network in networks])}.{_side_by_side(networks, baseline)}"
    )


def _side_by_side(networks: Sequence[Evaluation], baseline: Evaluation | None) -> str:
    """The robust accuracies, where all are of one radius."""
    found = {label(network): robust for network in (baseline, *networks) if network and (robust := _robust(network))}
    if not found or len({within for within, _ in found.values()}) > 1:
        return ""
    within = next(iter(found.values()))[0]
    each = ", ".join(f"{name} {share}" for name, (_, share) in found.items())
    return f" Robust accuracy within ε = {within}: {each}."


def _by_conditions_alone(evaluations: Sequence[Evaluation]) -> str:
    masked = [network for network in distilled(evaluations) if network.masking.masked == "yes"]
    if not masked:
        return "Whether distillation masks the gradients cannot be told: JSMA was not run on both outputs it takes."
    return (
        f"Distillation masks the gradients: at {label(masked[-1])} the naive attacker's sanity "
        f"{conditions_fail(masked[-1].masking.signs)}. By how much JSMA is misled cannot be told: it was not run on "
        "both outputs it takes."
    )


def _headline(network: Evaluation, baseline: Evaluation | None, plain: AttackFindings, scaled: AttackFindings) -> str:
    before = attacked(baseline, "probabilities")
    defends = before is not None and clearly_more(before, plain)
    beside = f" ({per_cent(before.success_rate)} without distillation)" if before else ""
    seen = (
        f"at {label(network)} JSMA on the probabilities succeeds on {per_cent(plain.success_rate)} of "
        f"{counted(plain.pairs, 'pair')}{beside}"
    )
    truth = f"on {per_cent(scaled.success_rate)} once the logits z are divided by T"
    if network.masking.masked == "yes":
        partly = before is not None and clearly_more(before, scaled)
        return f"{_masked(network, plain, defends=defends, partly=partly)}. {seen[0].upper()}{seen[1:]}, but {truth}."
    if network.masking.masked == "undecided":
        return f"Whether distillation masks the gradients is undecided: {seen}, and {truth}."
    start = "No masked gradients were found"
    if defends and before is not None and clearly_more(before, scaled):
        start = "Distillation holds against JSMA, and no masked gradients were found"
    return f"{start}: {seen}, and {truth}; no other T differs more.{_despite(network, baseline)}"


def _masked(network: Evaluation, plain: AttackFindings, *, defends: bool, partly: bool) -> str:
    """The first sentence where gradients are masked."""
    if not defends:
        return "Distillation masks the gradients, it does not stop the attack"
    numbers = published(network.dataset)
    theirs = numbers.success_of(network) if numbers else None
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


def _despite(network: Evaluation, baseline: Evaluation | None) -> str:
    """What an attack for the nearest sample says of a network that JSMA finds nothing masked in."""
    nearest, ratio = network.distance("cw_l2"), relative_distance(network, baseline, "cw_l2")
    if nearest is None or ratio is None:
        return ""
    return (
        f" Carlini and Wagner's L2 attack reaches its target on {per_cent(nearest.success_rate)} of the pairs, at "
        f"{times(ratio)} the undistilled network's mean distance."
    )
