"""Cron lines: what Kubeflow is given, and what is refused before anything is sent."""

from __future__ import annotations

import pytest

from defensive_distillation.errors import InputError
from defensive_distillation_pipelines.cluster.scheduling import cron


@pytest.mark.parametrize(
    ("line", "six"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("  */15   0-6,12 1 JAN-jun mon,FRI ", "0 */15 0-6,12 1 JAN-jun mon,FRI"),
        ("30 0 3 * * ?", "30 0 3 * * ?"),
        ("5/20 * * * *", "0 5/20 * * * *"),
        ("0 0 29 2 *", "0 0 0 29 2 *"),
        ("0 0 31 2 1", "0 0 0 31 2 1"),  # or on Mondays
    ],
)
def test_five_fields_begin_at_second_0_and_six_stay(line: str, six: str) -> None:
    assert cron.six_fields(line) == six


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("every day", "expected five fields such as '0 3 * * *'"),
        ("", "expected five fields"),
        ("0 0 3 * * * 2026", "expected five fields"),
        ("60 3 * * *", "minute: expected 0 to 59"),
        ("0 24 * * *", "hour: expected 0 to 23"),
        ("0 3 0 * *", "day of the month: expected 1 to 31"),
        ("0 3 * 13 *", "month: expected 1 to 12 or jan to dec"),
        ("0 3 * * 7", "day of the week: expected 0 to 6 or sun to sat"),
        ("0 3 * * monday", "day of the week: expected"),
        ("6-3 3 * * *", "minute: expected"),
        ("*/0 3 * * *", "minute: expected"),
        ("1,,2 3 * * *", "minute: expected"),
        ("-5 3 * * *", "minute: expected"),
        ("@daily", "expected five fields"),
        ("0 0 31 4,6,9,11 *", "expected a day that comes"),
        ("0 0 30 feb *", "expected a day that comes"),
    ],
)
def test_a_line_that_is_none_is_refused_in_one_line(line: str, wrong: str) -> None:
    with pytest.raises(InputError, match="--cron") as refused:
        cron.six_fields(line)
    assert wrong in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_line_is_shown_as_crontab_has_it() -> None:
    assert cron.shown("0 0 3 * * *") == "0 3 * * *"
    assert cron.shown("30 0 3 * * *") == "30 0 3 * * *"
