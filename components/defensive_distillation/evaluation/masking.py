"""Are the gradients masked? One rule for the stage that measures and the report that tells."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.intervals import paired_interval
from defensive_distillation.evaluation.results import Condition, Masked, Masking

# The smallest gain of z/T over the probabilities that is called masking. JSMA is greedy: another output leads it to
# other features, which moves its success by some points either way with nothing masked. Ten points are more than
# that and more than the half width of a 95 % interval on 100 pairs, and little beside the 88 to 91 points measured
# on distilled MNIST networks.
MASKING_THRESHOLD = 0.1


def judge(counts: tuple[int, int, int, int] | None, conditions: Sequence[Condition], *, same: bool = False) -> Masking:
    """Masked, not masked or undecided.

    The difference of JSMA's success on z/T and at T = 1 decides where its interval lies clear of the threshold. Then
    the naive attacker's conditions: an attack through the softmax that is weaker than one without gradients, or that
    fails unbounded, is a sign of masked gradients that stands against a 'no' and decides an 'undecided'.

    Args:
        counts: pairs fooled by (both, z/T alone, T = 1 alone, neither); None where one of them was not run.
        conditions: the sanity conditions.
        same: whether z/T is z (T = 1), so that both are one attack.
    """
    signs = tuple(c.name for c in conditions if c.attacker == "naive" and not c.passed)
    broken = tuple(c.name for c in conditions if c.attacker == "adaptive" and not c.passed)
    difference, interval, masked = None, None, _by_difference(None)
    if counts is not None:
        both, first, second, neither = counts
        difference = (first - second) / max(1, sum(counts))
        interval = (0.0, 0.0) if same else paired_interval(both, first, second, neither)
        masked = _by_difference(interval)
    if signs:
        masked = "yes" if masked != "no" else "undecided"
    return Masking(masked=masked, difference=difference, interval=interval, signs=signs, broken=broken)


def _by_difference(interval: tuple[float, float] | None) -> Masked:
    if interval is None:
        return "undecided"
    if interval[0] > MASKING_THRESHOLD:
        return "yes"
    return "no" if interval[1] < MASKING_THRESHOLD else "undecided"
