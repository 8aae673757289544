from __future__ import annotations

import copy
from typing import Any

import pytest

from defensive_distillation_pipelines.cluster.progress import tasks
from defensive_distillation_pipelines.cluster.progress.nodes import node_id
from defensive_distillation_pipelines.definitions.plan import PlannedStep
from support.cluster.recorded import answer, as_of_now

PATHS = [
    ("prepare-data",),
    ("train-teacher",),
    ("for-loop-1[0]", "attack"),
    ("evaluate",),
    ("for-loop-2[0]", "scale-logits"),
    ("for-loop-2[0]", "for-loop-3[0]", "attack-2"),
    ("for-loop-2[0]", "evaluate-2"),
    ("for-loop-4[0]", "train-teacher-2"),
    ("for-loop-4[0]", "generate-soft-labels"),
    ("for-loop-4[0]", "train-student"),
    ("for-loop-4[1]", "train-student"),
    ("report",),
]
STEPS = [PlannedStep(stage="attack", model=None, part="", needs=(), path=path) for path in PATHS]


def listed(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = copy.deepcopy(answer(name)["run_details"]["task_details"])
    return found


def test_a_run_that_has_just_begun() -> None:
    view = tasks.view(listed("run-running"), STEPS)
    assert (view.states, view.troubles) == ({("prepare-data",): "running"}, [])


def test_steps_are_told_apart_by_the_digests_of_their_names() -> None:
    """train-teacher stands outside the loops and, as train-teacher-2, within one; nothing else names its iteration."""
    assert tasks.view(listed("run-unschedulable"), STEPS).states == {
        ("prepare-data",): "done",
        ("train-teacher",): "done",
        ("for-loop-1[0]", "attack"): "running",
        ("for-loop-2[0]", "scale-logits"): "done",
        ("for-loop-4[0]", "train-teacher-2"): "done",
        ("for-loop-4[0]", "generate-soft-labels"): "running",
    }


def test_a_step_that_failed_is_told_with_the_node_that_its_log_is_found_by() -> None:
    view = tasks.view(listed("run-failed"), STEPS)
    assert view.states == {("prepare-data",): "failed"}
    (told,) = view.troubles
    assert (told.path, told.driver, told.kind, told.reason) == (("prepare-data",), False, "failed", "")
    assert told.node == "defensive-distillation-digits-tgvs7-1209667695"


def test_a_driver_that_failed_is_told_as_such() -> None:
    several = listed("run-failed")
    driver = next(task for task in several if task.get("display_name") == "prepare-data-driver")
    driver["state"] = "FAILED"
    told = [one for one in tasks.view(several, STEPS).troubles if one.driver]
    assert [(one.path, one.node) for one in told] == [(("prepare-data",), driver["child_tasks"][-1]["pod_name"])]


def test_a_pod_that_was_deleted_is_no_failed_step() -> None:
    view = tasks.view(listed("run-with-a-deleted-pod"), STEPS)
    assert view.states[("train-teacher",)] == "done"
    assert view.troubles == []


def test_names_without_attempts_are_found_too() -> None:
    """As where the controller has no retry strategy of its own."""
    workflow = "sweep-abcde"
    several = [
        {"display_name": workflow, "state": "RUNNING", "child_tasks": [{"pod_name": node_id(workflow, "x")}]},
        {
            "display_name": "prepare-data",
            "state": "SUCCEEDED",
            "child_tasks": [{"pod_name": node_id(workflow, f"{workflow}.root.prepare-data.executor")}],
        },
    ]
    assert tasks.view(several, STEPS).states == {("prepare-data",): "done"}


@pytest.mark.parametrize(
    ("name", "still"),
    [
        ("run-running", False),
        ("run-unschedulable", False),
        ("run-failed", False),
        ("run-with-a-deleted-pod", True),
        ("run-succeeded", True),
    ],
)
def test_a_list_that_no_longer_follows_its_run_is_noticed(name: str, still: bool) -> None:
    assert tasks.unchanged(as_of_now(answer(name))["run_details"]["task_details"]) is still


def test_a_list_that_stands_still_is_noticed_within_a_minute() -> None:
    """The nodes were packed at 20:45:51; what the launcher had reported by 20:46:36 is enough."""
    before = "2026-11-27T20:46:37"
    several = [task for task in listed("run-succeeded") if task.get("start_time", before) <= before]
    assert tasks.unchanged(as_of_now(several))


def test_a_list_that_has_long_been_as_it_is_is_noticed_without_executions_too() -> None:
    assert tasks.unchanged(listed("run-running"))
    assert not tasks.unchanged([])


def test_of_a_pipeline_that_is_not_known_the_steps_are_counted() -> None:
    states = tasks.view(listed("run-unschedulable"), []).states
    assert sorted(states.values()) == ["done"] * 4 + ["running"] * 2
