"""What the attacks on one model amount to, family by family: rates, distances, curves, and the worst case over all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from defensive_distillation.attacks.result import StopReason
from defensive_distillation.evaluation import metrics
from defensive_distillation.evaluation.intervals import wilson_interval
from defensive_distillation.evaluation.outcome import Outcome, common_sources
from defensive_distillation.evaluation.results import (
    AttackFindings,
    BoundedFindings,
    Case,
    DistanceFindings,
    TransferFindings,
    WorstCase,
)
from defensive_distillation.evaluation.robust import nearest


def by_budget(outcome: Outcome, features: int) -> AttackFindings:
    """JSMA on images of `features` features."""
    facts, samples, arguments = outcome.facts, outcome.samples, outcome.facts["arguments"]
    budget, count, successes = arguments["max_features"], facts["pairs"], facts["successes"]
    changed = samples.changed_features.long()
    mean_changed = float(changed[samples.success].double().mean()) if successes else None
    robustness, failures = metrics.robustness(
        samples.source_index, samples.success, changed, max_features=budget, features=features
    )
    budgets, curve = metrics.success_by_budget(samples.success, changed, budget)
    return AttackFindings(
        attack=outcome.attack.name,
        output=outcome.variant,
        temperature=arguments.get("temperature", 1.0),
        max_features=budget,
        theta=arguments["theta"],
        sources=len(samples.source_index.unique()),
        misclassified=outcome.misclassified,
        in_eight_bits=outcome.in_eight_bits,
        pairs=count,
        successes=successes,
        success_rate=successes / count,
        success_interval=wilson_interval(successes, count),
        mean_changed_features=mean_changed,
        mean_distortion=mean_changed / features if mean_changed is not None else None,
        stop_reasons=facts["stop_reasons"],
        robustness=robustness,
        robustness_failures=failures,
        budgets=tuple(budgets),
        success_by_budget=tuple(curve),
        targets=_targets(outcome),
    )


def within_balls(outcome: Outcome) -> BoundedFindings:
    """An attack within L∞ balls."""
    levels, successes = outcome.levels, outcome.successes  # (P, L)
    so_far = successes.int().cummax(dim=1).values
    last = torch.bincount(outcome.reasons[:, -1].long(), minlength=len(StopReason)).tolist()
    return BoundedFindings(
        attack=outcome.attack.name,
        loss=outcome.variant or "none",
        sources=len(successes),
        misclassified=outcome.misclassified,
        in_eight_bits=outcome.in_eight_bits,
        epsilons=levels,
        successes=tuple(successes.sum(0).tolist()),
        success_by_epsilon=tuple(so_far.double().mean(0).tolist()),
        stop_reasons={reason.name.lower(): last[reason] for reason in StopReason},
        gradient_evaluations=float(outcome.samples.gradient_evaluations.double().mean()) / len(levels),
    )


def by_distance(outcome: Outcome) -> DistanceFindings:
    """C&W's attack in one norm, with the best, the average and the worst target class (Section IV)."""
    samples, facts = outcome.samples, outcome.facts
    sources = int(samples.source_index.unique().numel())
    distance = outcome.distance.view(sources, -1)  # (S, target classes of each), inf where it failed
    reached = samples.success.view(sources, -1)
    farthest = torch.where(reached.all(1), distance.amax(1), torch.inf)
    return DistanceFindings(
        attack=outcome.attack.name,
        norm=facts["arguments"]["norm"],
        sources=sources,
        misclassified=outcome.misclassified,
        in_eight_bits=outcome.in_eight_bits,
        pairs=facts["pairs"],
        successes=facts["successes"],
        success_rate=facts["successes"] / facts["pairs"],
        success_interval=wilson_interval(facts["successes"], facts["pairs"]),
        best=_case(distance.amin(1)),
        average=_case(distance.flatten()),
        worst=_case(farthest),
        stop_reasons=facts["stop_reasons"],
        gradient_evaluations=float(samples.gradient_evaluations.double().mean()),
        targets=_targets(outcome),
    )


def _targets(outcome: Outcome) -> int | None:
    """Classes drawn for each source, None where none were drawn."""
    if outcome.facts.get("targets") is None:
        return None
    return len(outcome.samples.source_index) // int(outcome.samples.source_index.unique().numel())


def _case(distance: Tensor) -> Case:
    finite = distance[distance.isfinite()]
    mean = float(finite.mean()) if len(finite) else None
    return Case(success_rate=len(finite) / len(distance), mean_distance=mean)


def transferred(outcome: Outcome, surrogate: str) -> TransferFindings:
    """Samples of the network called `surrogate`."""
    successes, reasons, samples = outcome.successes, outcome.reasons, outcome.samples
    l2 = samples.level_l2 if samples.level_l2.shape[1] else samples.l2[:, None]
    means = [
        float(l2[:, level][successes[:, level]].double().mean()) if bool(successes[:, level].any()) else None
        for level in range(successes.shape[1])
    ]
    # a source that the other network misses as it is was not fooled by anything
    elsewhere = (reasons != StopReason.BUDGET) & (l2 > 0)
    return TransferFindings(
        surrogate=surrogate,
        sources=len(successes),
        misclassified=outcome.misclassified,
        in_eight_bits=outcome.in_eight_bits,
        confidences=outcome.levels,
        successes=tuple(successes.sum(0).tolist()),
        surrogate_successes=tuple(elsewhere.sum(0).tolist()),
        mean_l2=tuple(means),
    )


def worst_case(outcomes: Sequence[Outcome]) -> WorstCase | None:
    """Per source the nearest misclassified sample of any attack; None without attacks or common sources."""
    sources = common_sources(outcomes)
    if not len(sources):
        return None
    nearest_in = {
        norm: torch.stack(
            [nearest(outcome, getattr(outcome.samples, norm).double(), sources) for outcome in outcomes]
        )  # (R, S)
        for norm in ("changed_pixels", "l2", "linf")
    }
    l2, which = nearest_in["l2"].min(dim=0)
    fooled = l2.isfinite()
    attacks = [outcome.attack.name for outcome in outcomes]
    counts = dict.fromkeys(dict.fromkeys(attacks), 0)
    for number in which[fooled].tolist():
        counts[attacks[number]] += 1

    def mean(norm: str) -> float | None:
        return float(nearest_in[norm].amin(0)[fooled].mean()) if bool(fooled.any()) else None

    return WorstCase(
        attacks=tuple(counts),
        sources=len(sources),
        fooled=int(fooled.sum()),
        mean_l0=mean("changed_pixels"),
        mean_l2=mean("l2"),
        mean_linf=mean("linf"),
        nearest=counts,
    )
