from __future__ import annotations

import subprocess
import sys
import time

import pytest

from defensive_distillation.runtime import stopwatch
from defensive_distillation.runtime.stopwatch import PHASES, Stopwatch, phase, running, timed

WORK = 0.2  # seconds of a processor, twenty ticks of its clock
TICKS = 0.03


def work(seconds: float = WORK) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_each_moment_belongs_to_the_innermost_phase() -> None:
    watch = Stopwatch(already=1.5)
    work()
    with watch.phase("reading"):
        work()
        with watch.phase("writing"):
            work(2 * WORK)
        work()
    with watch.phase("recording"):
        pass
    assert list(watch.seconds) == list(PHASES)
    assert watch.seconds["importing"] == 1.5
    assert watch.seconds["computing"] == pytest.approx(WORK, abs=TICKS)
    assert watch.seconds["reading"] == pytest.approx(2 * WORK, abs=TICKS)
    assert watch.seconds["writing"] == pytest.approx(2 * WORK, abs=TICKS)
    assert watch.seconds["recording"] == pytest.approx(0, abs=TICKS)


def test_a_phase_ends_where_an_error_leaves_it() -> None:
    watch = Stopwatch()
    with pytest.raises(ValueError, match="broken"), watch.phase("reading"):
        raise ValueError("broken")
    work()
    with watch.phase("recording"):
        pass
    assert watch.seconds["computing"] == pytest.approx(WORK, abs=TICKS)


def test_waiting_costs_no_processor_and_a_child_that_has_ended_does() -> None:
    watch = Stopwatch()
    time.sleep(WORK)
    with watch.phase("writing"):
        code = f"import time\nwhile time.process_time() < {2 * WORK}: pass"
        subprocess.run([sys.executable, "-c", code], check=True)
    assert watch.seconds["computing"] < TICKS
    assert watch.seconds["writing"] == pytest.approx(2 * WORK, abs=0.1)


def test_a_timed_function_counts_for_the_stage_that_runs_and_works_without_one() -> None:
    @timed("reading")
    def read(seconds: float) -> str:
        work(seconds)
        return "read"

    assert read(0) == "read"
    with running() as first:
        assert read(WORK) == "read"
        with running() as second, phase("writing"):
            work()
        with phase("recording"):
            work()
    assert first.seconds["reading"] == pytest.approx(WORK, abs=TICKS)
    assert second.seconds["writing"] == pytest.approx(WORK, abs=TICKS)
    assert second.seconds["reading"] == 0
    assert first.seconds["recording"] == pytest.approx(WORK, abs=TICKS)


@pytest.mark.slow
def test_what_the_process_did_before_its_first_stage_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopwatch, "_imports_are_counted", False)
    with running() as first:
        pass
    with running() as second:
        pass
    assert first.seconds["importing"] >= time.process_time() / 2 > 0.1
    assert second.seconds["importing"] == 0
