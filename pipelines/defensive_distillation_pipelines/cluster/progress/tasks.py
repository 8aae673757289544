"""Progress read off Kubeflow's own list of tasks, for those who may not read the Workflow.

The list has no names but the tasks' own, the same for every iteration of a loop, and of each task only the ids of
what came after it. These ids are digests of the whole names (nodes.py), so a planned step is found by the id that its
first attempt must have. Past 1 MiB Argo packs the nodes, which Kubeflow does not unpack: the list then stands still,
while the launcher still adds its executions, entries without a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from defensive_distillation_pipelines.cluster.progress.nodes import Path, node_id
from defensive_distillation_pipelines.cluster.progress.view import State, Trouble, View
from defensive_distillation_pipelines.definitions.plan import PlannedStep

SOURCE = "Kubeflow's list of tasks, which does not tell waiting from running"
_BEHIND, _QUIET = timedelta(seconds=30), timedelta(minutes=5)
_STATES: dict[str, State] = {"SUCCEEDED": "done", "FAILED": "failed", "RUNNING": "running", "PENDING": "running"}

Task = Mapping[str, Any]


def unchanged(tasks: Sequence[Task]) -> bool:
    """Whether the list has not changed for long: in a long step, or because it no longer follows the run.

    The launcher's executions tell sooner: they are then newer than all that the list says of tasks.
    """
    named = [moment for task in tasks if task.get("display_name") for moment in _moments(task)]
    executions = [moment for task in tasks if not task.get("display_name") for moment in _moments(task)]
    if not named:
        return False
    behind = bool(executions) and max(executions) - max(named) > _BEHIND
    return behind or datetime.now(UTC) - max(named) > _QUIET


def view(tasks: Sequence[Task], steps: Sequence[PlannedStep]) -> View:
    """The states of the planned steps, and the nodes whose logs tell why some failed."""
    by_child = {child["pod_name"]: task for task in tasks for child in task.get("child_tasks", ())}
    workflow = next(iter(by_child), "").rpartition("-")[0]
    states = {} if steps else dict(_nameless(tasks))
    troubles: list[Trouble] = []
    for step in steps:
        for name in _names(workflow, step.path):
            if state := _state(name, workflow, by_child):
                states[step.path] = state
            troubles += _failed(name, step.path, workflow, by_child)
    return View(SOURCE, states, troubles)


def _nameless(tasks: Sequence[Task]) -> Iterator[tuple[Path, State]]:
    """The steps of a pipeline that is not known: their number and states, since the list has all else by ids."""
    executors = [task for task in tasks if task.get("display_name") == "executor"]
    for number, task in enumerate(executors, start=1):
        if state := _STATES.get(task.get("state", "")):
            yield (f"step {number}",), state


def _names(workflow: str, path: Path) -> Iterator[str]:
    """The whole names that a step may have: with attempts of every level, as Kubeflow's manifests ask, or without."""
    for attempt in ("(0)", ""):
        name = f"{workflow}{attempt}.root{attempt}"
        for level in path[:-1]:
            task, iteration, number = level.partition("[")
            name += f".{task}{attempt}"
            if iteration:
                number = number.rstrip("]")
                name += f".iteration-iterations({number}:{number}){attempt}.iteration-item{attempt}"
        yield f"{name}.{path[-1]}"


def _state(name: str, workflow: str, by_child: Mapping[str, Task]) -> State | None:
    """The executor's state if it is listed; of a step without one whether it ended: its result was kept."""
    executor = _executor(name, workflow, by_child)
    if executor and executor.get("state") in _STATES:
        return _STATES[executor["state"]]
    whole = by_child.get(node_id(workflow, f"{name}(0)")) or by_child.get(node_id(workflow, f"{name}.executor"))
    if whole is None or whole.get("display_name") != name.rpartition(".")[2]:
        return None
    state = _STATES.get(whole.get("state", ""))
    return "kept" if state == "done" and executor is None and _was_kept(name, workflow, by_child) else state


def _was_kept(name: str, workflow: str, by_child: Mapping[str, Task]) -> bool:
    """Whether the step has an executor that never started: the task inside has it as a child, without attempts."""
    return node_id(workflow, f"{name}(0).executor") in by_child


def _executor(name: str, workflow: str, by_child: Mapping[str, Task]) -> Task | None:
    for attempt in ("(0)", ""):
        task = by_child.get(node_id(workflow, f"{name}{attempt}.executor(0)"))
        if task is not None and task.get("display_name") == "executor":
            return task
    return None


def _failed(name: str, path: Path, workflow: str, by_child: Mapping[str, Task]) -> Iterator[Trouble]:
    """The last attempts of an executor and a driver that failed."""
    driver = by_child.get(node_id(workflow, f"{name}-driver(0)"))
    for task, is_driver in ((_executor(name, workflow, by_child), False), (driver, True)):
        if task is not None and task.get("state") == "FAILED":
            yield Trouble(path, is_driver, "failed", "", task["child_tasks"][-1]["pod_name"])


def _moments(task: Task) -> Iterator[datetime]:
    """When it started and ended; Kubeflow writes the year 1 for 'not yet'."""
    for key in ("start_time", "end_time"):
        if not task.get(key, "0001").startswith("0001"):
            yield datetime.fromisoformat(task[key])
