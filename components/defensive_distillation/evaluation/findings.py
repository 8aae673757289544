"""What the runs of the attacks on one model amount to: rates, distances, curves, and the worst case over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from defensive_distillation.attacks.result import StopReason
from defensive_distillation.evaluation import metrics
from defensive_distillation.evaluation.intervals import wilson_interval
from defensive_distillation.evaluation.results import (
    AttackFindings,
    BoundedFindings,
    Case,
    DistanceFindings,
    TransferFindings,
    WorstCase,
)
from defensive_distillation.evaluation.stored_attack import StoredAttack

BOUNDED = ("fgsm", "pgd", "square", "noise")
_WITHIN = 1 + 1e-6  # x + ε rounds


@dataclass(frozen=True)
class RunFound:
    """A run as the attack stage left it: what its manifest says, and the samples."""

    facts: Mapping[str, Any]
    found: StoredAttack

    @property
    def name(self) -> str:
        """'jsma/logits', 'pgd/margin', 'cw_l2' and so on."""
        return str(self.facts["name"])

    @property
    def attack(self) -> str:
        """'jsma', 'pgd', 'cw_l2' and so on."""
        return str(self.facts["attack"])

    @property
    def reasons(self) -> Tensor:
        """Stop reasons by sample and level (P, L); one level where the attack knows none."""
        levels = self.found.level_reasons
        return levels if levels.shape[1] else self.found.stop_reason[:, None]

    @property
    def successes(self) -> Tensor:
        """Success of the attack by sample and level (P, L) bool, each level for itself."""
        return self.reasons == StopReason.SUCCESS


def jsma(run: RunFound, features: int) -> AttackFindings:
    """A run of JSMA on images of `features` features."""
    facts, found = run.facts, run.found
    budget, count, successes = facts["max_features"], facts["pairs"], facts["successes"]
    changed = found.changed_features.long()
    mean_changed = float(changed[found.success].double().mean()) if successes else None
    robustness, failures = metrics.robustness(
        found.source_index, found.success, changed, max_features=budget, features=features
    )
    budgets, curve = metrics.success_by_budget(found.success, changed, budget)
    return AttackFindings(
        attack=run.attack,
        output=facts["output"],
        temperature=facts["temperature"],
        max_features=budget,
        theta=facts["theta"],
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
    )


def bounded(run: RunFound) -> BoundedFindings:
    """A run of an attack within L∞ balls."""
    levels = run.facts["levels"]
    successes = run.successes  # (P, L)
    so_far = successes.int().cummax(dim=1).values
    last = torch.bincount(run.reasons[:, -1].long(), minlength=len(StopReason)).tolist()
    return BoundedFindings(
        attack=run.attack,
        loss=run.facts["loss"],
        samples=len(successes),
        epsilons=tuple(levels),
        successes=tuple(successes.sum(0).tolist()),
        success_by_epsilon=tuple(so_far.double().mean(0).tolist()),
        stop_reasons={reason.name.lower(): last[reason] for reason in StopReason},
        gradient_evaluations=float(run.found.gradient_evaluations.double().mean()) / len(levels),
    )


def distances(run: RunFound) -> DistanceFindings:
    """A run of C&W's attack in one norm, with the best, the average and the worst target class (Section IV)."""
    found, facts = run.found, run.facts
    sources = int(found.source_index.unique().numel())
    distance = nearness(run).view(sources, -1)  # (S, K - 1), inf where it failed
    reached = found.success.view(sources, -1)
    farthest = torch.where(reached.all(1), distance.amax(1), torch.inf)
    return DistanceFindings(
        attack=run.attack,
        norm=facts["norm"],
        sources=sources,
        pairs=facts["pairs"],
        successes=facts["successes"],
        success_rate=facts["successes"] / facts["pairs"],
        success_interval=wilson_interval(facts["successes"], facts["pairs"]),
        best=_case(distance.amin(1)),
        average=_case(distance.flatten()),
        worst=_case(farthest),
        stop_reasons=facts["stop_reasons"],
        gradient_evaluations=float(found.gradient_evaluations.double().mean()),
    )


def _case(distance: Tensor) -> Case:
    finite = distance[distance.isfinite()]
    mean = float(finite.mean()) if len(finite) else None
    return Case(success_rate=len(finite) / len(distance), mean_distance=mean)


def nearness(run: RunFound) -> Tensor:
    """Distance of each sample in its attack's own norm (P,) float64, infinite where it failed."""
    norms = {"cw_l2": run.found.l2, "transfer": run.found.l2, "cw_l0": run.found.changed_pixels}
    default = run.found.changed_features if run.attack.startswith("jsma") else run.found.linf
    return torch.where(run.found.success, norms.get(run.attack, default).double(), torch.inf)


def transfer(run: RunFound, surrogate: str) -> TransferFindings:
    """A run of the transfer from the network called `surrogate`."""
    successes, reasons = run.successes, run.reasons
    l2 = run.found.level_l2 if run.found.level_l2.shape[1] else run.found.l2[:, None]
    means = [
        float(l2[:, level][successes[:, level]].double().mean()) if bool(successes[:, level].any()) else None
        for level in range(successes.shape[1])
    ]
    return TransferFindings(
        surrogate=surrogate,
        samples=len(successes),
        confidences=tuple(run.facts["levels"]),
        successes=tuple(successes.sum(0).tolist()),
        surrogate_successes=tuple((reasons != StopReason.BUDGET).sum(0).tolist()),
        mean_l2=tuple(means),
    )


def common_sources(runs: Sequence[RunFound]) -> Tensor:
    """The test images that every run attacked, ascending; their indices (S,)."""
    common = set(runs[0].found.source_index.tolist())
    for run in runs[1:]:
        common &= set(run.found.source_index.tolist())
    return torch.tensor(sorted(common), dtype=torch.int64)


def worst_case(runs: Sequence[RunFound]) -> WorstCase | None:
    """Per source the nearest misclassified sample of any run; None without runs or common sources."""
    sources = common_sources(runs) if runs else torch.zeros(0)
    if not len(sources):
        return None
    nearest = {
        norm: torch.stack([_nearest(run, getattr(run.found, norm).double(), sources) for run in runs])  # (R, S)
        for norm in ("changed_pixels", "l2", "linf")
    }
    l2, which = nearest["l2"].min(dim=0)
    fooled = l2.isfinite()
    attacks = [run.attack for run in runs]
    counts = dict.fromkeys(dict.fromkeys(attacks), 0)
    for number in which[fooled].tolist():
        counts[attacks[number]] += 1
    epsilons = sorted({level for run in runs if run.attack in BOUNDED for level in run.facts["levels"]})
    linf = nearest["linf"].amin(0)

    def mean(norm: str) -> float | None:
        return float(nearest[norm].amin(0)[fooled].mean()) if bool(fooled.any()) else None

    return WorstCase(
        attacks=tuple(counts),
        sources=len(sources),
        fooled=int(fooled.sum()),
        mean_l0=mean("changed_pixels"),
        mean_l2=mean("l2"),
        mean_linf=mean("linf"),
        nearest=counts,
        epsilons=tuple(epsilons),
        success_by_epsilon=tuple(float((linf <= epsilon * _WITHIN).double().mean()) for epsilon in epsilons),
    )


def _nearest(run: RunFound, distance: Tensor, sources: Tensor) -> Tensor:
    """The smallest of `distance` (P,) over the successes on each source (S,); infinite without any."""
    place = torch.searchsorted(sources, run.found.source_index).clamp(max=len(sources) - 1)
    counted = run.found.success & (sources[place] == run.found.source_index)
    smallest = torch.full((len(sources),), torch.inf, dtype=torch.float64)
    return smallest.scatter_reduce(0, place[counted], distance[counted], "amin")
