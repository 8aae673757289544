from __future__ import annotations

import os
import signal

import pytest

from defensive_distillation.errors import DefensiveDistillationError
from defensive_distillation.reporting import parallel
from defensive_distillation.reporting.parallel import on_all_cores


@pytest.fixture(autouse=True)
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_cores", lambda: 3)


@pytest.mark.parametrize("count", range(8))
def test_all_items_come_back_in_their_order(count: int) -> None:
    found = on_all_cores(lambda item: (item * item, os.getpid()), list(range(count)))
    assert [square for square, _ in found] == [item * item for item in range(count)]
    assert len({process for _, process in found}) == min(3, count), "as many processes as cores and items allow"


@pytest.mark.parametrize("item", range(4))
def test_an_error_is_raised_wherever_it_happened(item: int) -> None:
    def draw(number: int) -> int:
        if number == item:
            raise ValueError(f"number {number}")
        return number

    with pytest.raises(ValueError, match=f"number {item}"):
        on_all_cores(draw, list(range(4)))


def test_a_process_that_is_killed_is_told() -> None:
    here = os.getpid()

    def draw(number: int) -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(DefensiveDistillationError, match="a process that drew figures was killed"):
        on_all_cores(draw, list(range(4)))


def test_a_great_answer_does_not_block() -> None:
    sizes = [5_000_000, 4_000_000, 3_000_000, 10]
    assert [len(found) for found in on_all_cores(bytes, sizes)] == sizes
