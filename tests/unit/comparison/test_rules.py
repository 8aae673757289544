from __future__ import annotations

import pytest

from defensive_distillation.comparison.change import MEASURES, Change, Direction, Measure
from defensive_distillation.comparison.rules import Rules, judge
from defensive_distillation.reporting.findings.changes import rows, sentence

LIMITS: dict[Measure, float] = {
    "accuracy": 0.02,
    "robust_accuracy": 0.05,
    "jsma_success": 0.1,
    "distance": 0.1,
    "masked": 0.0,
}


def change(
    measure: Measure, difference: float | None, direction: Direction = "worse", of: str = "", **more: object
) -> Change:
    given = {"before": 0.9, "after": 0.9 + (difference or 0), **more}
    interval = None if difference is None else (difference - 0.01, difference + 0.01)
    return Change("T=20", "T = 20", measure, of, difference=difference, interval=interval, direction=direction, **given)  # type: ignore[arg-type]


def fails(one: Change, **rules: object) -> bool:
    (judged,) = judge([one], Rules(LIMITS, **rules))  # type: ignore[arg-type]
    return judged.fails


@pytest.mark.parametrize(
    ("measure", "allowed", "too_much"),
    [
        ("accuracy", -0.02, -0.021),
        ("robust_accuracy", -0.05, -0.051),
        ("jsma_success", 0.1, 0.101),
        ("distance", -0.09, -0.0901),
    ],
)
def test_each_measure_may_get_worse_up_to_its_limit(measure: Measure, allowed: float, too_much: float) -> None:
    assert not fails(change(measure, allowed))
    assert fails(change(measure, too_much))


@pytest.mark.parametrize("measure", MEASURES[:-1])
@pytest.mark.parametrize("direction", ["same", "better"])
def test_what_may_be_chance_or_is_better_never_fails(measure: Measure, direction: Direction) -> None:
    assert not fails(change(measure, -0.5, direction))
    assert not fails(change(measure, 0.5, direction))


def test_a_verdict_fails_only_where_it_is_worse() -> None:
    assert fails(change("masked", None, "worse", before="no", after="yes"))
    assert not fails(change("masked", None, "better", before="yes", after="no"))
    assert not fails(change("masked", None, "same", before="no", after="undecided"))


def test_what_was_lost_fails_unless_the_rules_let_it_pass() -> None:
    lost = change("accuracy", None, "incomparable", lost=True)
    assert fails(lost)
    assert not fails(lost, incomparable=False)
    assert not fails(change("accuracy", None, "incomparable", lost=False))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_without_a_limit_is_not_heeded(measure: Measure) -> None:
    rules = Rules({name: limit for name, limit in LIMITS.items() if name != measure})
    assert judge([change(measure, None if measure == "masked" else -0.5)], rules) == []


def test_the_sentence_names_the_first_failure_and_counts_the_others() -> None:
    falls = change("accuracy", -0.1)
    assert sentence(judge([falls], Rules(LIMITS))) == (
        "The sweep is worse than the champion: T = 20, accuracy: 80 % against 90 % (−10 points, 95 % interval "
        "−11 to −9 points; allowed 2 points)."
    )
    lost = change("jsma_success", None, "incomparable", lost=True, note="measured before only", of="scaled")
    assert sentence(judge([lost, falls, falls], Rules(LIMITS))) == (
        "The sweep is worse than the champion: T = 20, JSMA success on probabilities of z/T cannot be compared "
        "(measured before only); and 2 more."
    )


def test_the_sentence_of_a_pass_counts_what_changed() -> None:
    found = judge([change("accuracy", -0.01), change("jsma_success", -0.3, "better")], Rules(LIMITS))
    assert sentence(found) == (
        "Nothing is worse than the champion's beyond what the rules allow: 2 measures of 1 network were compared, "
        "1 clearly worse within its limit, 1 clearly better."
    )
    assert sentence(None).startswith("There is no champion to compare with, which is a pass")


def test_every_row_has_the_same_columns() -> None:
    found = judge([change("accuracy", -0.1), change("masked", None, before="no", after="yes")], Rules(LIMITS))
    first, second = rows(found)
    assert list(first) == list(second)
    assert (first["limit"], first["fails"], first["difference_low"]) == (0.02, True, pytest.approx(-0.11))
    assert (second["before"], second["after"], second["limit"]) == ("no", "yes", None)
