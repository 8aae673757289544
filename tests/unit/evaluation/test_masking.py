from __future__ import annotations

from typing import Literal

import pytest

from defensive_distillation.evaluation.results import Condition, GradientCheck, GradientFault, GradientSign
from defensive_distillation.evaluation.verdict.masking import HIDDEN, MASKING_THRESHOLD, judge

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


@pytest.mark.parametrize(
    ("within", "masked"), [(MASKED, "yes"), (EQUAL, "no"), (UNCERTAIN, "undecided"), (None, "undecided")]
)
def test_where_jsma_was_not_run_pgd_decides(within: tuple[int, int, int, int] | None, masked: str) -> None:
    found = judge(None, FINE, within=within)
    assert found.masked == masked
    assert (found.difference, found.interval) == (None, None)
    assert (found.within is None) == (within is None)


def test_pgd_adds_to_what_jsma_says_and_takes_nothing_from_it() -> None:
    assert judge(EQUAL, FINE, within=MASKED).masked == "yes"
    assert judge(UNCERTAIN, FINE, within=MASKED).masked == "yes"
    assert judge(MASKED, FINE, within=EQUAL).masked == "yes"
    assert judge(UNCERTAIN, FINE, within=EQUAL).masked == "undecided"
    found = judge(EQUAL, FINE, within=MASKED)
    assert found.within == pytest.approx(159 / 180)
    assert found.within_interval is not None
    assert MASKING_THRESHOLD < found.within_interval[0] < 159 / 180 < found.within_interval[1]


def test_where_an_attack_without_gradients_beats_those_on_the_logits_they_are_masked() -> None:
    hidden = condition("adaptive", passed=False)
    for counts in (EQUAL, UNCERTAIN, None):
        assert judge(counts, [hidden], within=EQUAL).masked == "yes"
    # the same of a naive attacker is a sign, which EQUAL stands against
    assert judge(EQUAL, [SIGN]).masked == "undecided"


def test_a_naive_attacker_whom_dividing_by_t_does_not_help_has_a_weak_loss() -> None:
    found = judge(EQUAL, [SIGN], within=EQUAL)
    assert (found.masked, found.signs) == ("no", ())
    for within in (UNCERTAIN, None):
        assert judge(EQUAL, [SIGN], within=within).masked == "undecided"
    assert judge(EQUAL, [SIGN], within=EQUAL, same=True).masked == "undecided", "z/T is z, and tells nothing"
    vanishes = condition("naive", passed=False, name="unbounded")  # no loss is so weak
    assert judge(EQUAL, [SIGN, vanishes], within=EQUAL).masked == "undecided"


def test_logits_that_are_not_large_hide_nothing_behind_the_softmax() -> None:
    small = gradient_check().model_copy(update={"logit_temperature": 0.4})
    assert judge(EQUAL, [SIGN], within=MASKED, check=small).masked == "no"
    assert judge(EQUAL, [SIGN], within=EQUAL, same=True, check=small).masked == "no"
    assert judge(None, FINE, within=UNCERTAIN, check=small).masked == "no"
    assert judge(None, FINE, check=small).masked == "undecided", "nothing was run"
    assert judge(EQUAL, [condition("adaptive", passed=False)], within=EQUAL, check=small).masked == "yes"


def gradient_check(*names: GradientFault, flat_half: float | None = None) -> GradientCheck:
    return GradientCheck(
        samples=50,
        logit_temperature=5,
        repeat_difference=0,
        zero_share=0,
        slope=1,
        flat_half=flat_half,
        levels=None,
        signs=tuple(GradientSign(name=name, sentence=f"it is {name}") for name in names),
    )


@pytest.mark.parametrize("name", ["random", "stepped", "saturating", "shattered"])
def test_a_fault_of_the_logits_own_gradient_decides(name: GradientFault) -> None:
    for counts in (EQUAL, UNCERTAIN, None):
        found = judge(counts, FINE, check=gradient_check(name))
        assert found.masked == "yes"
        assert [sign.name for sign in found.gradient] == [name]
    assert judge(EQUAL, FINE, check=gradient_check()).masked == "no"


def test_a_flat_half_of_the_features_saturates_only_where_an_attack_without_gradients_does_better() -> None:
    hidden, flat = condition("adaptive", passed=False), gradient_check(flat_half=HIDDEN / 2)
    assert judge(EQUAL, FINE, check=flat).gradient == ()
    assert judge(EQUAL, FINE, check=flat).masked == "no"
    (sign,) = judge(EQUAL, [hidden], check=flat).gradient
    assert sign.name == "saturating"
    assert "on half of the features the gradient of the logits predicts 0.0005" in sign.sentence
    assert judge(EQUAL, [hidden], check=gradient_check(flat_half=2 * HIDDEN)).gradient == ()
    # a fault that was found is not told twice
    both = judge(EQUAL, [hidden], check=gradient_check("stepped", flat_half=0.0)).gradient
    assert [each.name for each in both] == ["stepped"]
