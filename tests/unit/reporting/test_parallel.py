from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import partial

import psutil
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


DRAWING = {  # what is drawn, and what its processes do when they are asked for
    "all at work": "time.sleep, [60, 60, 60]",
    "some waiting for work": "time.sleep, [60, 0, 0]",
    "handing over": "bytes, [3_000_000] * 200",
}


@pytest.mark.parametrize("seconds", [0, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("drawing", DRAWING)
def test_no_process_outlives_the_one_that_it_draws_for(drawing: str, seconds: float) -> None:
    code = "import time; from defensive_distillation.reporting import parallel; parallel._cores = lambda: 3; "
    command = [sys.executable, "-c", f"{code}parallel.on_all_cores({DRAWING[drawing]})"]
    with subprocess.Popen(command, start_new_session=True) as parent:
        assert within(30, lambda: bool(copies(parent.pid)))
        time.sleep(seconds)
        parent.kill()
    gone = within(5, lambda: not copies(parent.pid))
    for orphan in copies(parent.pid):
        orphan.kill()
    assert gone


def copies(session: int) -> list[psutil.Process]:
    """The processes of a session that run, but for its first."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if process.pid != session == os.getsid(process.pid) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def within(seconds: float, holds: object) -> bool:
    assert callable(holds)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False
