"""The tasks of a DAG: which need which, and which are started at the end of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_EXIT = "ALL_UPSTREAM_TASKS_COMPLETED"
Tasks = Mapping[str, Any]


def at_exit(task: Mapping[str, Any]) -> bool:
    """Whether the task is started when others have ended, however they did."""
    return bool(task.get("triggerPolicy", {}).get("strategy") == _EXIT)


def inputs(task: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    """The task's inputs of one kind, parameters or artifacts, by name."""
    yield from task.get("inputs", {}).get(kind, {}).items()


def in_order(tasks: Tasks) -> tuple[list[str], list[str]]:
    """Names of the tasks, each after those that it needs, exit tasks last; and of those that wait for each other."""
    left = dict(sorted(tasks.items(), key=lambda entry: at_exit(entry[1])))
    done: list[str] = []
    while ready := [name for name, task in left.items() if not set(_before(task)) & set(left)][:1]:
        done += ready
        del left[ready[0]]
    return done, list(left)


def _before(task: Mapping[str, Any]) -> Iterator[str]:
    """The tasks that one waits for, said and implied."""
    yield from task.get("dependentTasks", ())
    for _, given in (*inputs(task, "artifacts"), *inputs(task, "parameters")):
        for kind in ("taskOutputArtifact", "taskOutputParameter"):
            if kind in given:
                yield given[kind]["producerTask"]


def wrong_exits(tasks: Tasks) -> Iterator[tuple[str, str, str]]:
    """What is wrong about exit tasks: the task, what it names, and why."""
    for name, task in tasks.items():
        dependent = task.get("dependentTasks", ())
        for one in dependent:
            if one in tasks and at_exit(tasks[one]):
                yield name, one, "no task can wait for an exit task"
        if not at_exit(task):
            continue
        if not dependent:
            yield name, "", "an exit task needs a task that it depends on"
        for one in dependent:
            if one not in tasks:
                yield name, one, "an exit task depends on tasks of its own DAG"
            elif "parameterIterator" in tasks[one]:
                yield name, one, "the exit task of a loop is never started"
