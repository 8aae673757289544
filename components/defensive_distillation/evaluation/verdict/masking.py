"""Are the gradients masked? One rule for the stage that measures and the report that tells."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.intervals import paired_interval
from defensive_distillation.evaluation.results import Condition, GradientCheck, GradientSign, Masked, Masking

# The smallest gain of z/T over the probabilities that is called masking. JSMA is greedy: another output leads it to
# other features, which moves its success by some points either way with nothing masked. Ten points are more than
# that and more than the half width of a 95 % interval on 100 pairs, and little beside the 88 to 91 points measured
# on distilled MNIST networks.
MASKING_THRESHOLD = 0.1
HIDDEN = 1e-3  # share of a change that a gradient predicts, below which it hides the change; networks had 0.009 to 0.5

WEAK_LOSS = "the loss is weak"  # what a condition means that failed for it
FAILED_BY_A_WEAK_LOSS = ("iterated", "black_box", "noise", "transfer")  # conditions that a weak loss fails, too

Counts = tuple[int, int, int, int]  # samples fooled by (both, the first alone, the second alone, neither)


def judge(
    counts: Counts | None,
    conditions: Sequence[Condition],
    *,
    same: bool = False,
    within: Counts | None = None,
    check: GradientCheck | None = None,
) -> Masking:
    """Masked, not masked or undecided.

    The difference of JSMA's success on z/T and at T = 1 decides where its interval lies clear of the threshold; so does
    PGD's by the cross-entropy where it lies above, and where JSMA was not run. A fault of the logits' own gradient
    decides for itself, for it hides from all four what is there; and so does an attack without gradients that clearly
    does better than those on the logits (Athalye et al. 2018, Section 3.1). Then the naive attacker's conditions: an
    attack through the softmax that is weaker than one without gradients, or that fails unbounded, is a sign of masked
    gradients that stands against a 'no' and decides an 'undecided'.

    The softmax hides nothing where the logits are no larger than it tells apart (T̂ at most 1). And an attack through it
    that is weak at any T has a weak loss, as the cross-entropy is on networks trained adversarially: where PGD clearly
    gains nothing by dividing by T, its weakness beside other attacks is no sign.

    Args:
        counts: pairs of JSMA, first on z/T, second at T = 1; None where one of them was not run.
        conditions: the sanity conditions.
        same: whether z/T is z (T = 1), so that both are one attack.
        within: samples of PGD by the cross-entropy, first of z/T, second at T = 1.
        check: of the logits' gradient.
    """
    broken = tuple(c.name for c in conditions if c.attacker == "adaptive" and not c.passed)
    difference, interval = _difference(counts, same=same)
    ball, ball_interval = _difference(within)
    small = within is not None and check is not None and check.logit_temperature <= 1
    by_ball = "no" if small else by_difference(ball_interval)
    weak_loss = by_ball == "no" and (small or not same)
    signs = tuple(
        c.name
        for c in conditions
        if c.attacker == "naive" and not c.passed and not (weak_loss and c.name in FAILED_BY_A_WEAK_LOSS)
    )
    gradient = _faults(check, broken)
    masked = by_difference(interval) if counts else by_ball
    if by_ball == "yes" or gradient or "black_box" in broken:
        masked = "yes"
    if signs and masked != "yes":
        masked = "yes" if masked == "undecided" else "undecided"
    return Masking(
        masked=masked,
        difference=difference,
        interval=interval,
        within=ball,
        within_interval=ball_interval,
        gradient=gradient,
        signs=signs,
        broken=broken,
    )


def _faults(check: GradientCheck | None, broken: Sequence[str]) -> tuple[GradientSign, ...]:
    """The faults that the check found; and saturation, where attacks without gradients do better.

    By itself a flat half tells little: a network that is robust because it leaves small changes out of account has one.
    """
    if check is None:
        return ()
    saturates = "black_box" in broken and not check.signs and check.flat_half is not None and check.flat_half < HIDDEN
    if not saturates:
        return check.signs
    sentence = (
        f"on half of the features the gradient of the logits predicts {check.flat_half:.1g} of what moving them does: "
        "something saturates"
    )
    return (GradientSign(name="saturating", sentence=sentence),)


def _difference(counts: Counts | None, *, same: bool = False) -> tuple[float | None, tuple[float, float] | None]:
    """First − second with its interval."""
    if counts is None:
        return None, None
    both, first, second, neither = counts
    interval = (0.0, 0.0) if same else paired_interval(both, first, second, neither)
    return (first - second) / max(1, sum(counts)), interval


def by_difference(interval: tuple[float, float] | None) -> Masked:
    """What the interval of a difference says alone."""
    if interval is None:
        return "undecided"
    if interval[0] > MASKING_THRESHOLD:
        return "yes"
    return "no" if interval[1] < MASKING_THRESHOLD else "undecided"
