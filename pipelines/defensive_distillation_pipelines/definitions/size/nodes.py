"""The nodes that Argo's status of a Workflow holds once the run has succeeded.

After argoproj/argo-workflows 4.0.8. Every template is tried again where it fails (templateDefaults of Kubeflow's stock
manifests): each node has a second one around it, which holds all inputs and outputs once more.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from defensive_distillation_pipelines.definitions.size.driver import Driver
from defensive_distillation_pipelines.definitions.size.templates import CONTAINER_DRIVER, DAG_DRIVER
from defensive_distillation_pipelines.definitions.size.workflow import Compilation

_PLACEHOLDER = re.compile(r"\{\{([^{}]+)\}\}")
_AFTER = re.compile(r"([^ &]+)\.Succeeded")
_BEGIN = datetime(2026, 1, 1)  # any
Node = dict[str, Any]


def _digest(name: str) -> int:
    """FNV-1a of a node's name, which Argo makes its identity of."""
    digest = 0x811C9DC5
    for byte in name.encode():
        digest = (digest ^ byte) * 0x01000193 % 2**32
    return digest


def _measured(digest: int) -> dict[str, Any]:
    """What differs from node to node as it does on a cluster, without order: it decides how well nodes compress."""
    began = _BEGIN + timedelta(seconds=digest % 1000)
    ended = began + timedelta(seconds=digest % 97)
    return {
        "startedAt": f"{began.isoformat()}Z",
        "finishedAt": f"{ended.isoformat()}Z",
        "progress": f"{digest % 41}/{digest % 41}",
        "resourcesDuration": {"cpu": digest % 131, "memory": digest % 8999},
    }


class Run:
    """A run of a compiled pipeline, as its Workflow tells of it at the end."""

    def __init__(self, compilation: Compilation, name: str) -> None:
        self.compilation, self.name = compilation, name
        self.driver = Driver(str(compilation.pipeline["pipelineInfo"]["name"]))
        self.nodes: dict[str, Node] = {}
        self.known = {f"workflow.parameters.{key}": value for key, value in compilation.arguments.items()}
        self._retried("entrypoint", name, name, {}, "")

    def _id(self, name: str) -> str:
        """Of the node called so."""
        if name == self.name:
            return name
        return f"{self.name}-{_digest(name)}"

    def _retried(
        self, template: str, name: str, title: str, given: Mapping[str, str], boundary: str, *, hooked: bool = False
    ) -> dict[str, str]:
        """Runs a template; its outputs."""
        inputs = self._inputs(self.compilation.templates[template], given)
        around = self._node("Retry", template, name, title, inputs, boundary)
        inner = self._node("", template, f"{name}(0)", f"{title}(0)", inputs, boundary)
        around["children"] = [inner["id"]]
        inner["nodeFlag"] = {"retried": True}
        if hooked:
            around["nodeFlag"] = {"hooked": True, "retried": True}
        if "dag" not in self.compilation.templates[template]:
            return self._pod(around, inner)
        inner["type"] = "DAG"
        self._dag(inner, {f"inputs.parameters.{one['name']}": one.get("value", "") for one in inputs})
        return {}

    def _inputs(self, template: Mapping[str, Any], given: Mapping[str, str]) -> list[dict[str, str]]:
        declared = template["inputs"].get("parameters", [])
        return [{**one, "value": given.get(one["name"], one.get("default", ""))} for one in declared]

    def _node(self, kind: str, template: str, name: str, title: str, inputs: Any, boundary: str) -> Node:
        told = {"id": self._id(name), "name": name, "displayName": title, "type": kind, "templateName": template}
        told |= {"templateScope": f"local/{self.name}", "phase": "Succeeded"}
        node: Node = {**told, **_measured(_digest(name))}
        if boundary:
            node["boundaryID"] = boundary
        if inputs:
            node["inputs"] = {"parameters": inputs}
        self.nodes[node["id"]] = node
        return node

    def _pod(self, around: Node, pod: Node) -> dict[str, str]:
        template = pod["templateName"]
        folder = f"{self.name}/2026/01/01/{self.name}-{template}-{pod['id'].rpartition('-')[2]}"
        log = {"name": "main-logs", "s3": {"key": f"private-artifacts/kubeflow/{folder}/main.log"}}
        outputs: dict[str, Any] = {"artifacts": [log], "exitCode": "0"}
        given = {one["name"]: one["value"] for one in pod["inputs"]["parameters"]}
        if "pod-spec-patch" not in given:
            self.driver.longest = max(self.driver.longest, *map(len, given.values()))
        made: dict[str, str] = {}
        if template in (DAG_DRIVER, CONTAINER_DRIVER):
            made = self.driver.dag(given) if template == DAG_DRIVER else self.driver.container(given)
            declared = self.compilation.templates[template]["outputs"]["parameters"]
            outputs = {"parameters": [{**one, "value": made[one["name"]]} for one in declared], **outputs}
        around["outputs"] = pod["outputs"] = outputs
        pod |= {"type": "Pod", "hostNodeName": "node-1.example.internal", "taskResultSynced": True}
        return made

    def _dag(self, node: Node, scope: dict[str, str]) -> None:
        children: list[str] = []
        for task in self._in_order(node["templateName"]):
            for key, value in self._task(node, task, scope).items():
                scope[f"tasks.{task['name']}.outputs.parameters.{key}"] = value
            children.append(self._id(f"{node['name']}.{task['name']}"))
            if "hooks" in task:
                hook, name = task["hooks"]["exit"], f"{task['name']}.onExit"
                given = self._arguments(hook, scope)
                self._retried(hook["template"], f"{node['name']}.{name}", name, given, node["id"], hooked=True)
                children.append(self._id(f"{node['name']}.{name}"))
        # a task follows from the last of those before it: nearly every node is somebody's child, once
        node["children"] = children[:1]
        node["outboundNodes"] = children[-1:]
        for before, after in itertools.pairwise(children):
            self.nodes[before].setdefault("children", []).append(after)

    def _in_order(self, template: str) -> list[dict[str, Any]]:
        left, done = list(self.compilation.templates[template]["dag"]["tasks"]), list[dict[str, Any]]()
        while left:
            names = {task["name"] for task in left}
            ready = [task for task in left if not names & set(_AFTER.findall(task.get("depends", "")))]
            done += ready
            left = [task for task in left if task not in ready]
        return done

    def _task(self, node: Node, task: Mapping[str, Any], scope: Mapping[str, str]) -> dict[str, str]:
        name, template = f"{node['name']}.{task['name']}", task["template"]
        if "withSequence" not in task:
            return self._retried(template, name, task["name"], self._arguments(task, scope), node["id"])
        group = self._node("TaskGroup", template, name, task["name"], [], node["id"])
        group |= {"nodeFlag": {}, "children": []}
        for item in range(int(self._filled(task["withSequence"]["count"], scope))):
            one = f"({item}:{item})"
            given = self._arguments(task, {**scope, "item": str(item)})
            self._retried(template, name + one, task["name"] + one, given, node["id"])
            group["children"].append(self._id(name + one))
        return {}

    def _arguments(self, task: Mapping[str, Any], scope: Mapping[str, str]) -> dict[str, str]:
        return {one["name"]: self._filled(one["value"], scope) for one in task["arguments"]["parameters"]}

    def _filled(self, value: str, scope: Mapping[str, str]) -> str:
        """The value with its placeholders filled; others, such as Kubeflow's own, stay."""
        known = {**self.known, **scope}
        return _PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), value)

    def kinds(self) -> dict[str, int]:
        """The bytes of the nodes' parameters by name, for a look at what fills a Workflow."""
        sizes: dict[str, int] = {}
        for node in self.nodes.values():
            for side in ("inputs", "outputs"):
                for one in node.get(side, {}).get("parameters", ()):
                    sizes[one["name"]] = sizes.get(one["name"], 0) + len(json.dumps(one, separators=(",", ":")))
        return dict(sorted(sizes.items(), key=lambda entry: -entry[1]))
