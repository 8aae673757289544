"""Which changes a gate lets pass: rules, and what they make of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from defensive_distillation.comparison.change import Change, Measure


@dataclass(frozen=True)
class Rules:
    """How much worse each measure may get; a measure without a limit is not heeded.

    Attributes:
        limits: most that a measure may get worse by; of a distance as a share of the champion's; of the verdict, which
            has no size, any number.
        incomparable: whether what the champion has and cannot be compared fails the gate.
    """

    limits: Mapping[Measure, float]
    incomparable: bool = True


@dataclass(frozen=True)
class Judged:
    """A change, and what the rules say of it.

    Attributes:
        change: the change.
        limit: most that it may be worse by, in its own unit; None for the verdict.
        fails: whether it fails the gate.
    """

    change: Change
    limit: float | None
    fails: bool


def judge(changes: Sequence[Change], rules: Rules) -> list[Judged]:
    """What the rules say of each change that they heed, in order."""
    return [_judged(change, rules) for change in changes if change.measure in rules.limits]


def _judged(change: Change, rules: Rules) -> Judged:
    if change.direction == "incomparable":
        return Judged(change, None, rules.incomparable and change.lost)
    if change.measure == "masked":
        return Judged(change, None, change.direction == "worse")
    limit = rules.limits[change.measure]
    if change.measure == "distance":
        assert isinstance(change.before, float)
        limit *= change.before
    assert change.loss is not None
    return Judged(change, limit, change.direction == "worse" and change.loss > limit)
