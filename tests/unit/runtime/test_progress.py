"""What a step says of itself while it works: lines in the log of a pod."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from defensive_distillation.defenses import distillation
from defensive_distillation.errors import InputError
from defensive_distillation.runtime.progress import Progress, log_to_file
from defensive_distillation.tracking.status import RUN_DIR


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that progress goes by, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def trained(clock: list[float], epochs: int, seconds: float) -> None:
    """A training whose epochs take so many seconds."""
    progress = Progress("train_student", distillation.student(20.0))
    progress.started()
    history = []
    for epoch in range(1, epochs + 1):
        clock[0] += seconds
        history.append({"epoch": epoch, "loss": 1 / epoch, "test_accuracy": 1 - 0.5 / epoch})
        progress.update(epoch, epochs, "epochs", history=history)
    progress.finished("there", {"computing": 12.0, "writing": 0.5})


def test_a_pods_log_says_every_half_minute_how_far_a_step_is(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KFP_RUN_ID", "0f3a")
    trained(clock, epochs=10, seconds=10)
    assert capsys.readouterr().out.splitlines() == [
        "train_student-T=20: 3 of 10 epochs, loss 0.3333, test_accuracy 0.8333",
        "train_student-T=20: 6 of 10 epochs, loss 0.1667, test_accuracy 0.9167",
        "train_student-T=20: 9 of 10 epochs, loss 0.1111, test_accuracy 0.9444",
        "train_student-T=20: 12.5 CPU s: computing 12.0, writing 0.5",
    ]


def test_a_quick_step_says_only_what_it_took(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KFP_RUN_ID", "0f3a")
    trained(clock, epochs=100, seconds=0.25)
    assert capsys.readouterr().out.splitlines() == ["train_student-T=20: 12.5 CPU s: computing 12.0, writing 0.5"]


def test_outside_of_a_pipeline_nothing_is_said(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    trained(clock, epochs=10, seconds=100)
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_progress_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").touch()
    monkeypatch.setenv(RUN_DIR, str(tmp_path / "run"))
    for act in (Progress("attack").started, lambda: log_to_file("attack")):
        with pytest.raises(InputError, match=r"run/(progress|logs): expected a writable path, got "):
            act()
