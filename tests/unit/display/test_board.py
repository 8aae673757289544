from __future__ import annotations

import pytest

from defensive_distillation.model_id import BASELINE
from defensive_distillation.tracking.status import Status
from defensive_distillation_pipelines.definitions.plan import PlannedStep
from defensive_distillation_pipelines.display import board
from defensive_distillation_pipelines.display.board import Board
from defensive_distillation_pipelines.display.estimate import Key

STAGES = ("prepare_data", "train_teacher", "attack", "evaluate", "report")
STEPS = [
    PlannedStep(stage=stage, model=BASELINE, part="", needs=(number - 1,) if number else (), path=(stage,))
    for number, stage in enumerate(STAGES)
]


@pytest.fixture
def shown() -> Board:
    """A board of five steps, each of which needs the one before."""
    made = Board(age=75)
    made.steps = STEPS
    return made


def said(*states: str) -> dict[Key, Status]:
    """Statuses of the last steps, in their order."""
    first = len(STAGES) - len(states)
    every = [
        Status.model_validate({"stage": stage, "model": BASELINE, "state": state})
        for stage, state in zip(STAGES[first:], states, strict=True)
        if state
    ]
    return {(status.stage, status.label, status.part): status for status in every}


def key(stage: str) -> Key:
    return stage, "baseline", ""


def test_steps_are_counted_from_the_age_of_the_run_on(shown: Board, capsys: pytest.CaptureFixture[str]) -> None:
    shown.show(said("done", "done", "running", "", ""))
    assert capsys.readouterr().err == "[1:15] stages: 2 done, 1 running, 2 left · attack baseline\n"


def test_what_a_step_needed_that_nobody_told_of_was_kept(shown: Board, capsys: pytest.CaptureFixture[str]) -> None:
    shown.show(said("running", ""))
    assert "stages: 3 done (3 kept from before), 1 running, 1 left · evaluate" in capsys.readouterr().err


def test_steps_that_wait_or_have_failed_are_neither_running_nor_left(
    shown: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    shown.show(said("done", "failed", "", "", ""), waiting=[key("attack")])
    assert "stages: 1 done, 0 running, 1 waiting, 1 failed, 2 left" in capsys.readouterr().err


def test_a_step_beside_the_plan_runs_but_is_none_of_those_left(
    shown: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    finish = Status(stage="finish", state="running")
    shown.show({**said("done", "done", "done", "done", "done"), ("finish", "", ""): finish})
    assert "stages: 5 done, 1 running, 0 left · finish" in capsys.readouterr().err


def test_without_a_plan_nothing_is_left_to_count(capsys: pytest.CaptureFixture[str]) -> None:
    Board().show(said("done", "running"))
    assert "stages: 1 done, 1 running · report" in capsys.readouterr().err


def test_a_line_is_printed_when_the_counts_change_or_at_times(
    shown: Board, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        shown.show(said("running", "", "", "", ""))
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setattr(board, "LINE_INTERVAL", 0.0)
    shown.show(said("running", "", "", "", ""))
    assert capsys.readouterr().err.count("\n") == 1


def test_what_is_said_stays(shown: Board, capsys: pytest.CaptureFixture[str]) -> None:
    shown.say("attack waits: [for] a node")
    assert capsys.readouterr().err == "attack waits: [for] a node\n"
