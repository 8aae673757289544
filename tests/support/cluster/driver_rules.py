"""The rules by which Kubeflow's driver resolves the inputs of every task, replayed over a compiled pipeline.

After kubeflow/pipelines 2.17.0: backend/src/v2/driver (resolve.go, dag.go, container.go, driver.go, k8s.go), and
argocompiler/argo.go and dag.go for what becomes of components and exit tasks. The driver ends at the first fault; the
replay goes on as if the value had been right, so that all faults are found. What a pipeline of ours never has, such as
conditions and importers, is a fault too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.cluster import values
from support.cluster.pods import wrong_for_kubernetes, wrong_in_container
from support.cluster.tasks import at_exit, in_order, inputs, wrong_exits
from support.cluster.values import ANY, Fault

Identity = tuple[str, ...]  # of an artifact: the path of the task that makes it, and its name there


def faults(pipeline: Mapping[str, Any], platform: Mapping[str, Any], given: Mapping[str, Any] = {}) -> list[Fault]:
    """All faults, once for each iteration in which they happen.

    Args:
        pipeline: the compiled pipeline.
        platform: what it says for Kubernetes.
        given: parameters of the run; the others have their defaults.
    """
    replay = _Replay(pipeline, platform)
    parameters = pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
    level = Level(("root",), {name: one.get("defaultValue") for name, one in parameters.items()} | dict(given), {})
    replay.level(pipeline["root"]["dag"], level)
    return replay.found


@dataclass
class Level:
    """A DAG at run time: its path, its inputs, and what its tasks have made."""

    path: tuple[str, ...]
    parameters: dict[str, Any]
    artifacts: dict[str, list[Identity]]
    made: dict[str, dict[str, list[Identity]]] = field(default_factory=dict)


class _Replay:
    def __init__(self, pipeline: Mapping[str, Any], platform: Mapping[str, Any]) -> None:
        self.components = pipeline["components"]
        self.executors = pipeline["deploymentSpec"]["executors"]
        self.on_kubernetes = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {})
        self.found: list[Fault] = []
        self.kept: dict[str, Mapping[str, Any]] = {}
        self._keep(pipeline["root"])

    def _keep(self, component: Mapping[str, Any]) -> None:
        """The API server keeps one component for equal containers, the first by the tasks' names."""
        for _, task in sorted(component["dag"]["tasks"].items()):
            one = self.components[task["componentRef"]["name"]]
            if "dag" in one:
                self._keep(one)
            else:
                self.kept.setdefault(self._digest(one), one)

    def _digest(self, component: Mapping[str, Any]) -> str:
        container = self.executors[component["executorLabel"]].get("container")
        return hashlib.sha256(json.dumps(container, sort_keys=True).encode()).hexdigest()

    def _fault(self, kind: str, path: Sequence[str], name: str, why: str) -> None:
        self.found.append(Fault(kind, tuple(path), name, why))

    def level(self, dag: Mapping[str, Any], level: Level) -> None:
        """Replays all tasks of a DAG, those at its exit last."""
        tasks = dag["tasks"]
        if all(map(at_exit, tasks.values())):
            self._fault("exit", level.path, "", "a DAG needs a task that is no exit task")
        for name, named, why in wrong_exits(tasks):
            self._fault("exit", (*level.path, name), named, why)
        order, waiting = in_order(tasks)
        if waiting:
            self._fault("producer", level.path, "", f"the tasks {', '.join(waiting)} wait for each other")
        for name in order:
            self._task(name, tasks[name], level)

    def _component(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        component: Mapping[str, Any] = self.components[task["componentRef"]["name"]]
        return component if "dag" in component else self.kept[self._digest(component)]

    def _task(self, name: str, task: Mapping[str, Any], level: Level) -> None:
        path, component = (*level.path, name), self._component(task)
        if task.get("triggerPolicy", {}).get("condition") or "artifactIterator" in task:
            self._fault("unknown", path, "", "conditions and loops over artifacts are not replayed")
        definitions = component.get("inputDefinitions", {}).get("parameters", {})
        own, unset = self._parameters(path, task, level, definitions, nested="dag" in component)
        read = {key: self._artifact(path, key, one, level) for key, one in inputs(task, "artifacts")}
        self._once(path, read)
        iterator = task.get("parameterIterator")
        if iterator is None:
            self._check(path, definitions, own, unset)
            level.made[name] = self._started(path, task, component, own, read, level)
            return
        item, items_input = iterator["itemInput"], iterator["items"].get("inputParameter")
        self._check(path, {key: one for key, one in definitions.items() if key != item}, own, unset)
        level.made[name] = {}
        for index, value in enumerate(self._items(path, iterator, own)):
            each = {key: one for key, one in own.items() if key != items_input} | {item: value}
            wanted = {key: one for key, one in definitions.items() if key != items_input}
            iteration = (*path, str(index))
            self._check(iteration, wanted, each, unset)
            for key, several in self._started(iteration, task, component, each, read, level).items():
                level.made[name].setdefault(key, []).extend(several)

    def _items(self, path: tuple[str, ...], iterator: Mapping[str, Any], own: Mapping[str, Any]) -> list[Any]:
        items = iterator["items"]
        if "raw" in items:
            found = json.loads(items["raw"])
        elif items["inputParameter"] not in own:
            self._fault("missing", path, items["inputParameter"], "the loop's items are no input of it")
            return [ANY]
        else:
            found = own[items["inputParameter"]]
        found = json.loads(found) if isinstance(found, str) else found
        if found is ANY:
            return [ANY]
        if not isinstance(found, list):
            self._fault("type", path, iterator["itemInput"], f"{values.kind(found)} cannot be iterated")
            return [ANY]
        return found

    def _parameters(
        self,
        path: tuple[str, ...],
        task: Mapping[str, Any],
        level: Level,
        definitions: Mapping[str, Any],
        *,
        nested: bool,
    ) -> tuple[dict[str, Any], set[str]]:
        """The values of a task's parameters, and the names of those that the driver has set to null."""
        own: dict[str, Any] = {}
        unset: set[str] = set()
        given = dict(inputs(task, "parameters"))
        for key, definition in definitions.items():
            if nested and key not in given and definition.get("isOptional"):
                own[key] = definition.get("defaultValue")
                unset |= {key} if "defaultValue" not in definition else set()
        for key, one in given.items():
            value = self._value(path, key, one, task, level)
            if value is None:
                if not definitions.get(key, {}).get("isOptional"):
                    self._fault("null", path, key, "the parameter resolves to null, and is not optional")
                    own[key] = ANY
                continue
            if value is not ANY or key in definitions:  # what has no value and is declared is told of once
                own[key] = value
        return own, unset

    def _value(
        self, path: tuple[str, ...], key: str, given: Mapping[str, Any], task: Mapping[str, Any], level: Level
    ) -> Any:
        if "parameterExpressionSelector" in given or "taskOutputParameter" in given:
            self._fault("unknown", path, key, "outputs and expressions as parameters are not replayed")
            return ANY
        if "componentInputParameter" in given:
            name = given["componentInputParameter"]
            if name not in level.parameters:
                self._fault("missing", path, key, f"parent DAG does not have input parameter {name}")
                return ANY
            return level.parameters[name]
        if "taskFinalStatus" in given:
            producers = [one for one in task.get("dependentTasks", ()) if one in level.made]
            if not producers or not at_exit(task):
                self._fault("exit", path, key, "a final status needs an exit task and what it depends on")
            return {"state": "COMPLETE"}
        return given["runtimeValue"]["constant"]

    def _artifact(self, path: tuple[str, ...], key: str, given: Mapping[str, Any], level: Level) -> list[Identity]:
        if "componentInputArtifact" in given:
            name = given["componentInputArtifact"]
            if name not in level.artifacts:
                self._fault("missing", path, key, f"parent DAG does not have input artifact {name}")
            return level.artifacts.get(name, [])
        output = given["taskOutputArtifact"]
        made = level.made.get(output["producerTask"])
        if made is None or output["outputArtifactKey"] not in made:
            told = f"{output['producerTask']}.{output['outputArtifactKey']}"
            self._fault("producer", path, key, f"cannot find {told} among what came before")
            return []
        return made[output["outputArtifactKey"]]

    def _once(self, path: tuple[str, ...], read: Mapping[str, Sequence[Identity]]) -> None:
        """The metadata store takes an artifact as input of an execution once."""
        seen: dict[Identity, str] = {}
        for key, several in sorted(read.items()):
            for artifact in several:
                if artifact in seen:
                    self._fault("twice", path, key, f"{'/'.join(artifact)} is given as {seen[artifact]} too")
                seen[artifact] = key

    def _check(
        self, path: tuple[str, ...], definitions: Mapping[str, Any], own: dict[str, Any], unset: set[str]
    ) -> None:
        """The types of the parameters; what is wanted as text becomes one."""
        for key, definition in definitions.items():
            if key not in own:
                if not definition.get("isOptional") and "defaultValue" not in definition:
                    self._fault("value", path, key, "neither value nor default value for non-optional parameter")
            elif why := values.mismatch(definition["parameterType"], own[key], unset=key in unset):
                self._fault("type", path, key, why)
            elif definition["parameterType"] == "STRING":
                own[key] = values.as_text(own[key])

    def _started(
        self,
        path: tuple[str, ...],
        task: Mapping[str, Any],
        component: Mapping[str, Any],
        own: Mapping[str, Any],
        read: Mapping[str, list[Identity]],
        level: Level,
    ) -> dict[str, list[Identity]]:
        """What the task makes: of a DAG after its tasks, of a step once its pod could be started."""
        if "dag" in component:
            below = Level(path, dict(own), dict(read))
            self.level(component["dag"], below)
            return self._selected(component["dag"], below)
        label = self.components[task["componentRef"]["name"]]["executorLabel"]
        self._pod(path, label, own, level)
        return {key: [(*path, key)] for key in component.get("outputDefinitions", {}).get("artifacts", {})}

    def _selected(self, dag: Mapping[str, Any], level: Level) -> dict[str, list[Identity]]:
        outputs: dict[str, list[Identity]] = {}
        for key, output in dag.get("outputs", {}).get("artifacts", {}).items():
            outputs[key] = []
            for one in output["artifactSelectors"]:
                made = level.made.get(one["producerSubtask"], {})
                if one["outputArtifactKey"] not in made:
                    told = f"{one['producerSubtask']}.{one['outputArtifactKey']}"
                    self._fault("producer", level.path, key, f"the DAG hands on {told}, which nothing makes")
                outputs[key] += made.get(one["outputArtifactKey"], [])
        return outputs

    def _pod(self, path: tuple[str, ...], label: str, own: Mapping[str, Any], level: Level) -> None:
        container = self.executors[label].get("container")
        if container is None:
            self._fault("unknown", path, label, "executors without a container are not replayed")
            return
        for place, why in wrong_in_container(container, own):
            self._fault("placeholder", path, place, why)
        asked = self.on_kubernetes.get("executors", {}).get(label, {})
        # the driver looks at the inputs of the parent here
        for place, why in wrong_for_kubernetes(asked, lambda place, one: self._value(path, place, one, {}, level)):
            self._fault("placeholder", path, place, why)
