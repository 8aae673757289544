"""One measure of one network, before and after: the difference, its interval, and whether it is more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

Measure = Literal["accuracy", "robust_accuracy", "jsma_success", "distance", "masked"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
Direction = Literal["better", "worse", "same", "incomparable"]
# what is worse for whoever defends the network
MORE_IS_WORSE: dict[Measure, bool] = {
    "accuracy": False,
    "robust_accuracy": False,
    "jsma_success": True,
    "distance": False,
    "masked": True,
}


@dataclass(frozen=True)
class Change:
    """A measure of a network in two sweeps.

    Attributes:
        network: its label.
        title: its name for a reader.
        measure: which of `MEASURES`.
        of: what of it: the output of JSMA, the attack of C&W, the radius; '' for the whole.
        before: value of the reference, None where it has none.
        after: value of the other.
        difference: after less before; None where they cannot be compared.
        interval: 95 %, of the difference; None where the measure has none, as a verdict.
        paired: whether both were measured on the same samples.
        samples: how many there are, of after.
        direction: better or worse only where the interval lies on one side of zero.
        note: what else is to be known, such as why they cannot be compared.
        lost: whether the reference has it and it cannot be compared.
    """

    network: str
    title: str
    measure: Measure
    of: str
    before: float | str | None
    after: float | str | None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    paired: bool = False
    samples: int = 0
    direction: Direction = "same"
    note: str = ""
    lost: bool = False

    @property
    def name(self) -> str:
        """'accuracy', 'jsma_success/scaled' and so on."""
        return f"{self.measure}/{self.of}" if self.of else self.measure

    @property
    def loss(self) -> float | None:
        """By how much it is worse, negative where it is better; None without a difference."""
        if self.difference is None:
            return None
        return self.difference if MORE_IS_WORSE[self.measure] else -self.difference


def direction_of(measure: Measure, interval: tuple[float, float]) -> Direction:
    """Better or worse where the interval of the difference, after less before, does not hold zero."""
    low, high = interval
    if low <= 0 <= high:
        return "same"
    return "worse" if (low > 0) == MORE_IS_WORSE[measure] else "better"


def finite(interval: tuple[float, float]) -> tuple[float, float] | None:
    """The interval, or None where so few samples bound nothing."""
    return interval if all(map(isfinite, interval)) else None
