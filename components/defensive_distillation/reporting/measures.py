"""Numbers that table, page and MLflow take from an evaluation's findings in one and the same way."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import StatisticsError, correlation
from typing import Literal

from defensive_distillation.evaluation.results import BoundedFindings, Case, Condition, Evaluation, RobustAccuracy

CaseName = Literal["best", "average", "worst"]
CASES: tuple[CaseName, ...] = ("best", "average", "worst")
GREY = 0.5  # L∞ radius within which all images can be made one
COMPARABLE = 0.95  # success rate from which on a mean distance stands for all sources
FEWEST = 3  # networks of which a correlation is worth a word


def reported_radius(network: Evaluation) -> float | None:
    """The L∞ radius that a single number is given for: the largest that bounds an attack.

    From 0.5 on every image can be made the same grey, which fools any network; without a smaller radius, the largest
    below 1.
    """
    radii = {epsilon for bounded in network.bounded for epsilon in bounded.epsilons if epsilon < 1}
    return max({epsilon for epsilon in radii if epsilon < GREY} or radii, default=None)


def fooled_within(bounded: BoundedFindings | RobustAccuracy | None, radius: float | None) -> float | None:
    """The share fooled within `radius` by an attack, or by any; None where that was not measured."""
    if bounded is None or radius is None or radius not in bounded.epsilons:
        return None
    return bounded.success_by_epsilon[bounded.epsilons.index(radius)]


def robust_within(network: Evaluation, radius: float | None) -> tuple[float, tuple[float, float]] | None:
    """The robust accuracy within `radius` and its interval, None where that was not measured."""
    robust = network.robust
    if robust is None or radius is None or radius not in robust.epsilons:
        return None
    place = robust.epsilons.index(radius)
    return robust.accuracy[place], robust.intervals[place]


def best_transfer(network: Evaluation) -> tuple[float, float] | None:
    """The largest share of transferred samples that fool the network, and the κ they were crafted with."""
    transfer = network.transfer
    if transfer is None or not transfer.sources or not transfer.confidences:
        return None
    hits, confidence = max(zip(transfer.successes, transfer.confidences, strict=True), key=lambda pair: pair[0])
    return hits / transfer.sources, confidence


def mean_distance(network: Evaluation | None, attack: str, case: CaseName = "average") -> float | None:
    """The mean distance that a C&W attack needs, None where it was not run or fooled nobody."""
    chosen = _case(network, attack, case)
    return chosen.mean_distance if chosen else None


def relative_distance(
    network: Evaluation, baseline: Evaluation | None, attack: str, case: CaseName = "average"
) -> float | None:
    """The same as a multiple of the undistilled network's.

    None unless the attack all but always succeeds on both: means over different sources cannot be compared, for an
    attack that reaches the near ones alone has the smaller mean.
    """
    ours, theirs = _case(network, attack, case), _case(baseline, attack, case)
    if ours is None or theirs is None or min(ours.success_rate, theirs.success_rate) < COMPARABLE:
        return None
    return (
        ours.mean_distance / theirs.mean_distance if ours.mean_distance is not None and theirs.mean_distance else None
    )


def _case(network: Evaluation | None, attack: str, case: CaseName) -> Case | None:
    distances = network.distance(attack) if network else None
    return {"best": distances.best, "average": distances.average, "worst": distances.worst}[case] if distances else None


def temperature_correlation(networks: Sequence[Evaluation], attack: str = "cw_l2") -> float | None:
    """Pearson's correlation of T with the mean distance; None of fewer than three networks, or of equal ones."""
    points = [
        (network.temperature, length) for network in networks if (length := mean_distance(network, attack)) is not None
    ]
    if len(points) < FEWEST:
        return None
    try:
        return correlation([temperature for temperature, _ in points], [length for _, length in points])
    except StatisticsError:  # all distances are the same
        return None


def failed(network: Evaluation, attacker: Literal["naive", "adaptive"]) -> list[Condition]:
    """The sanity conditions of one attacker that do not hold."""
    return [condition for condition in network.conditions if condition.attacker == attacker and not condition.passed]
