from __future__ import annotations

import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from defensive_distillation.errors import DefensiveDistillationError
from defensive_distillation.reporting import parallel
from defensive_distillation.reporting.parallel import on_all_cores


@pytest.fixture(autouse=True)
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_cores", lambda: 3)


def square(number: int) -> tuple[int, int]:
    time.sleep(0.02)  # so that no process draws all
    return number * number, os.getpid()


def fail_at(number: int, *, bad: int) -> int:
    if number == bad:
        raise ValueError(f"number {number}")
    return number


def kill(number: int, *, at: int, here: int) -> int:
    if number == at and os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_all_items_come_back_in_their_order(count: int) -> None:
    drawn = on_all_cores(square, list(range(count)))
    assert [number for number, _ in drawn] == [item * item for item in range(count)]
    processes = {process for _, process in drawn}
    assert len(processes) <= min(3, count), "no more processes than cores and items"
    assert (os.getpid() in processes) == (count == 1), "one item takes no process of its own"


@pytest.mark.parametrize("bad", [0, 3])
def test_an_error_is_raised_wherever_it_happened(bad: int) -> None:
    with pytest.raises(ValueError, match=f"number {bad}"):
        on_all_cores(partial(fail_at, bad=bad), list(range(4)))


@pytest.mark.parametrize("at", [0, 3])
def test_a_process_that_is_killed_is_told(at: int) -> None:
    with pytest.raises(DefensiveDistillationError, match=r"^report: a process that drew figures was killed$"):
        on_all_cores(partial(kill, at=at, here=os.getpid()), list(range(4)))


def test_a_great_answer_does_not_block() -> None:
    sizes = [5_000_000, 4_000_000, 3_000_000, 10]
    assert [len(drawn) for drawn in on_all_cores(bytes, sizes)] == sizes


def note_and_sleep(number: int, *, folder: Path) -> None:
    (folder / f"{os.getpid()}").touch()
    time.sleep(60)


def test_no_process_outlives_the_one_that_it_draws_for(tmp_path: Path) -> None:
    draw = partial(note_and_sleep, folder=tmp_path)
    parent = multiprocessing.get_context("fork").Process(target=on_all_cores, args=(draw, [1, 2, 3]))
    parent.start()
    assert within(20, lambda: len(list(tmp_path.iterdir())) == 3)
    parent.kill()
    parent.join()
    assert within(20, lambda: not any(alive(int(path.name)) for path in tmp_path.iterdir()))


def within(seconds: float, holds: object) -> bool:
    assert callable(holds)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def alive(process: int) -> bool:
    """Whether it runs; one that ended and that nobody waits for stays as a zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
