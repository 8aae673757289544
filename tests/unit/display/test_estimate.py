from __future__ import annotations

import pytest

from defensive_distillation.model_id import BASELINE
from defensive_distillation.tracking.status import Status
from defensive_distillation_pipelines.display.estimate import Estimate, Key, _said


def said(stage: str, state: str, part: str = "", done: int = 0, total: int = 0) -> dict[Key, Status]:
    status = Status.model_validate(
        {"stage": stage, "model": BASELINE, "part": part, "state": state, "done": done, "total": total}
    )
    return {key(stage, part): status}


def key(stage: str, part: str = "") -> Key:
    return stage, "baseline", part


def test_a_step_goes_on_as_fast_as_it_went_since_it_was_seen() -> None:
    estimate = Estimate()
    estimate.look(said("train_teacher", "running", done=40, total=100), 0)  # went on from a checkpoint
    estimate.look(said("train_teacher", "running", done=60, total=100), 10)
    assert estimate.left([]) == "about 20 s left"


def test_a_step_takes_as_long_as_one_like_it() -> None:
    estimate = Estimate()
    estimate.look(said("attack", "running", "jsma"), 0)
    estimate.look(said("attack", "done", "jsma") | said("attack", "running", "fgsm"), 100)
    estimate.look(said("attack", "done", "jsma") | said("attack", "done", "fgsm"), 104)
    assert estimate.left([("attack", "T=20", "jsma")]) == "about 2 min left"
    assert estimate.left([("attack", "T=20", "fgsm")]) == "about 4 s left"
    assert estimate.left([("attack", "T=20", "pgd")]) == "about 52 s left"


def test_steps_side_by_side_share_the_time() -> None:
    estimate = Estimate()
    both = {("attack", label, "jsma"): said("attack", "running", "jsma")[key("attack", "jsma")] for label in "ab"}
    estimate.look(said("attack", "running", "jsma"), 0)
    estimate.look(said("attack", "done", "jsma") | both, 60)
    assert estimate.left([]) == "about 60 s left"


def test_nothing_is_said_of_steps_of_which_hardly_any_is_known() -> None:
    estimate = Estimate()
    estimate.look(said("prepare_data", "running"), 0)
    assert estimate.left([key("attack")]) == ""
    estimate.look(said("prepare_data", "done") | said("train_teacher", "running"), 5)
    assert estimate.left([key("attack"), key("evaluate")]) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89.4, "89 s"), (90, "2 min"), (5000, "83 min"), (7260, "2 h 1 min")]
)
def test_a_time_is_said_in_two_figures(seconds: float, words: str) -> None:
    assert _said(seconds) == words
