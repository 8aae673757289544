from __future__ import annotations

from typing import Literal

import pytest

from defensive_distillation.evaluation.masking import MASKING_THRESHOLD, judge
from defensive_distillation.evaluation.results import Condition

MASKED = (2, 160, 1, 17)  # pairs fooled by both, by z/T alone, at T = 1 alone, by neither
EQUAL = (150, 2, 2, 26)
UNCERTAIN = (3, 2, 0, 5)


def condition(attacker: Literal["naive", "adaptive"], *, passed: bool, name: str = "black_box") -> Condition:
    return Condition(name=name, attacker=attacker, passed=passed, sentence="", meaning="" if passed else "…")


SIGN = condition("naive", passed=False)
BROKEN = condition("adaptive", passed=False, name="unbounded")
FINE = [condition("naive", passed=True), condition("adaptive", passed=True)]


@pytest.mark.parametrize(
    ("counts", "conditions", "masked"),
    [
        (MASKED, FINE, "yes"),
        (MASKED, [SIGN], "yes"),
        (EQUAL, FINE, "no"),
        (EQUAL, [SIGN], "undecided"),  # what gradient-free attacks find stands against the difference
        (UNCERTAIN, FINE, "undecided"),
        (UNCERTAIN, [SIGN], "yes"),
        (None, FINE, "undecided"),
        (None, [SIGN], "yes"),
        (EQUAL, [BROKEN], "no"),  # said beside the verdict, but no sign of masking
    ],
)
def test_the_difference_decides_and_then_the_conditions(
    counts: tuple[int, int, int, int] | None, conditions: list[Condition], masked: str
) -> None:
    assert judge(counts, conditions).masked == masked


def test_the_difference_is_that_of_the_rates_and_lies_in_its_interval() -> None:
    found = judge(MASKED, FINE)
    assert found.difference == pytest.approx(159 / 180)
    assert found.interval is not None
    assert MASKING_THRESHOLD < found.interval[0] < 159 / 180 < found.interval[1]
    assert judge(None, FINE).difference is None
    assert judge(None, FINE).interval is None


def test_where_z_over_t_is_z_there_is_no_difference() -> None:
    found = judge((100, 0, 0, 80), FINE, same=True)
    assert (found.masked, found.difference, found.interval) == ("no", 0.0, (0.0, 0.0))


def test_failed_conditions_are_named_by_whose_they_are() -> None:
    found = judge(MASKED, [SIGN, BROKEN, *FINE])
    assert found.signs == ("black_box",)
    assert found.broken == ("unbounded",)
