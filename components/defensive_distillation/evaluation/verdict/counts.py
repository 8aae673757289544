"""How many samples each of two attacks fools, and both, and none: what the verdict compares."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from defensive_distillation.evaluation.outcome import Outcome, successes_at
from defensive_distillation.evaluation.verdict.masking import Counts


def jsma_counts(outcomes: Mapping[str, Outcome]) -> Counts | None:
    """Pairs that JSMA fools, first on z/T, second at T = 1; None where one was not run.

    Towards every other class, or where that was not run, untargeted.
    """
    for attack in ("jsma", "jsma_untargeted"):
        scaled, plain = outcomes.get(f"{attack}/scaled"), outcomes.get(f"{attack}/probabilities")
        if scaled and plain and len(scaled.samples.success) == len(plain.samples.success):
            return _counts(scaled.samples.success, plain.samples.success)
    return None


def pgd_counts(outcomes: Mapping[str, Outcome]) -> Counts | None:
    """Samples that PGD fools by the cross-entropy, first of z/T, second at T = 1; None where one was not run.

    At the radius where dividing by T gains most. The margin is another loss, and may gain where nothing is masked.
    """
    scaled, plain = outcomes.get("pgd/scaled"), outcomes.get("pgd/cross_entropy")
    if not scaled or not plain or len(scaled.successes) != len(plain.successes):
        return None
    shared = [epsilon for epsilon in scaled.levels if epsilon in plain.levels]
    each = [_counts(successes_at(scaled, epsilon), successes_at(plain, epsilon)) for epsilon in shared]
    return max(each, key=lambda counts: counts[1] - counts[2], default=None)


def _counts(first: Tensor, second: Tensor) -> Counts:
    both, one, other, neither = (
        int(torch.count_nonzero(each)) for each in (first & second, first & ~second, ~first & second, ~first & ~second)
    )
    return both, one, other, neither
