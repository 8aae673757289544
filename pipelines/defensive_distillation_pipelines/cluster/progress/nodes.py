"""The nodes of an Argo Workflow, and which step of the pipeline each belongs to.

Kubeflow makes two pods a step, a driver and an executor, and wraps every level in attempts, so that a node's name is

    WORKFLOW(0).root(0).for-loop-4(0).iteration-iterations(0:0)(0).iteration-item(0).train-student(0).executor(1)

with the number of the attempt in the last brackets and that of the iteration before a colon.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from defensive_distillation.errors import ClusterError

Path = tuple[str, ...]  # as in a PlannedStep: names of tasks, a loop's with the number of the iteration
Role = Literal["task", "driver", "executor"]
ENDED_BADLY = ("Failed", "Error")
_SEGMENT = re.compile(r"(?P<task>.*?)(?:\((?P<iteration>\d+):.*?\))?(?:\((?P<attempt>\d+)\))?")
_IN_BETWEEN = ("", "root", "iteration-item")  # levels that the pipeline does not have


@dataclass(frozen=True)
class Node:
    """A node of a Workflow.

    Attributes:
        id: what Kubeflow's API calls pod_name, and finds logs by.
        name: its whole name, made of those of the nodes around it.
        kind: Pod, Retry, DAG, Skipped, …
        phase: Pending, Running, Succeeded, Failed, Error, Skipped or Omitted.
        message: why it is in that phase.
        path: the task of the pipeline that it belongs to.
        role: the task as a whole, its driver, or the executor that the stage runs in.
        template: what Argo made it from.
        attempt: its number, None where a node has no attempts or stands for all of them.
    """

    id: str
    name: str
    kind: str
    phase: str
    message: str
    path: Path
    role: Role
    template: str
    attempt: int | None

    @classmethod
    def of(cls, workflow: str, node: Mapping[str, Any]) -> Node:
        """The node with its place in the pipeline read off its name."""
        path, role, attempt = place(str(node["name"]).removeprefix(workflow))
        return cls(
            id=node["id"],
            name=node["name"],
            kind=node.get("type", ""),
            phase=node.get("phase") or "Pending",
            message=" ".join(str(node.get("message") or "").split()),
            path=path,
            role=role,
            template=node.get("templateName", ""),
            attempt=attempt,
        )


@dataclass(frozen=True)
class Workflow:
    """What Kubernetes tells of a run."""

    name: str
    phase: str
    message: str
    nodes: Mapping[str, Node]  # by name

    @classmethod
    def of(cls, resource: Mapping[str, Any]) -> Workflow:
        """The Workflow in a resource, its nodes unpacked.

        Raises:
            ClusterError: if its nodes are kept elsewhere.
        """
        name, status = resource["metadata"]["name"], resource.get("status", {})
        nodes = _unpacked(status)
        return cls(
            name=name,
            phase=status.get("phase", ""),
            message=" ".join(str(status.get("message") or "").split()),
            nodes={node["name"]: Node.of(name, node) for node in nodes.values()},
        )

    @cached_property
    def pods(self) -> list[Node]:
        """The nodes that are pods, by name."""
        return sorted((node for node in self.nodes.values() if node.kind == "Pod"), key=lambda node: node.name)

    def ended(self, node: Node) -> bool:
        """Whether a pod is not tried again: it, its driver's or its step's attempts have all ended."""
        return all(
            one.phase not in ("Pending", "Running")
            for one in (node, *self._around(node))
            if one.path == node.path and (one.role == node.role or node.role == "executor")
        )

    def _around(self, node: Node) -> Iterator[Node]:
        """The nodes around one, from the inside out; the attempts of a node lie within it."""
        name = node.name
        while shorter := _shorter(name):
            name = shorter
            if name in self.nodes:
                yield self.nodes[name]


def _shorter(name: str) -> str:
    """The name without its last attempt or level, '' at the end."""
    if match := re.fullmatch(r"(.+)\(\d+\)", name):
        return match[1]
    return name.rpartition(".")[0]


def place(name: str) -> tuple[Path, Role, int | None]:
    """Where a node belongs by its name without the Workflow's: path, role and attempt."""
    path: list[str] = []
    role: Role = "task"
    attempt: str | None = None
    for segment in name.split("."):
        match = _SEGMENT.fullmatch(segment)
        assert match is not None  # everything matches
        task, attempt = match["task"], match["attempt"]
        if task == "iteration-iterations":
            if match["iteration"] is not None and path:
                path[-1] += f"[{match['iteration']}]"
        elif task == "executor":
            role = "executor"
        elif task.endswith("-driver"):
            role = "driver"
            inner = task.removesuffix("-driver")
            path += [inner] if inner not in (*_IN_BETWEEN, "iteration") else []
        elif task not in _IN_BETWEEN:
            path.append(task)
    return tuple(path), role, None if attempt is None else int(attempt)


def node_id(workflow: str, name: str) -> str:
    """The id that Argo gives to a node: its name's 32-bit FNV-1a digest after the Workflow's name."""
    if name == workflow:
        return workflow
    digest = 0x811C9DC5
    for byte in name.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return f"{workflow}-{digest}"


def _unpacked(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Past 1 MiB Argo packs the nodes; a controller with a database of its own keeps them there."""
    nodes: Mapping[str, Any] = status.get("nodes") or {}
    packed = status.get("compressedNodes")
    if packed and not nodes:
        try:
            nodes = json.loads(gzip.decompress(base64.b64decode(packed)))
        except (ValueError, OSError, EOFError) as error:
            raise ClusterError(f"the Workflow's nodes could not be unpacked: {error}") from error
    if not nodes and status.get("offloadNodeStatusVersion"):
        raise ClusterError("the Workflow's nodes lie in the controller's own database")
    return nodes
