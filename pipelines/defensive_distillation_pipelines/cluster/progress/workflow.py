"""Progress read off the Workflow's nodes and the pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from defensive_distillation_pipelines.cluster.progress.nodes import ENDED_BADLY, Node, Path, Workflow
from defensive_distillation_pipelines.cluster.progress.view import State, Trouble, View
from defensive_distillation_pipelines.cluster.reasons import failure, too_large, waits_for

SOURCE = "the Workflow's nodes"


def waiting_pods(workflow: Workflow) -> bool:
    """Whether some pod waits: then the pods tell more than the nodes."""
    return any(node.phase == "Pending" for node in workflow.pods)


def view(workflow: Workflow, pods: Mapping[str, Mapping[str, Any]]) -> View:
    """The states and troubles of a run's steps.

    Args:
        workflow: of the run.
        pods: those that are known, by the id of their node.
    """
    return View(
        source=SOURCE,
        states=dict(_states(workflow)),
        troubles=list(_troubles(workflow, pods)),
        message=too_large(workflow.message) or workflow.message,
    )


def _states(workflow: Workflow) -> Iterator[tuple[Path, State]]:
    """The last attempt of each step's executor decides."""
    latest: dict[Path, Node] = {}
    for node in sorted(workflow.nodes.values(), key=lambda node: node.name):
        if node.role == "executor" and node.kind in ("Pod", "Skipped"):
            latest[node.path] = node
    for path, node in latest.items():
        yield path, _state(workflow, node)


def _state(workflow: Workflow, executor: Node) -> State:
    if executor.phase in ("Skipped", "Omitted"):
        return "kept"
    if executor.phase == "Succeeded":
        return "done"
    if executor.phase in ENDED_BADLY:
        return "failed" if workflow.ended(executor) else "waiting"
    return "running" if executor.phase == "Running" else "waiting"


def _troubles(workflow: Workflow, pods: Mapping[str, Mapping[str, Any]]) -> Iterator[Trouble]:
    latest: dict[tuple[Path, bool], Node] = {}
    for node in workflow.pods:
        latest[node.path, node.role == "driver"] = node
    for (path, driver), node in latest.items():
        if node.phase == "Pending":
            reason = waits_for(node.message, pods.get(node.id))
            if reason:
                yield Trouble(path, driver, "waits", reason, node.id)
        elif node.phase in ENDED_BADLY:
            kind: Literal["failed", "again"] = "failed" if workflow.ended(node) else "again"
            yield Trouble(path, driver, kind, failure(node.message, pods.get(node.id)), node.id)
