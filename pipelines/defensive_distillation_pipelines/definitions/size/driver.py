"""What Kubeflow's driver answers in a run that succeeds: the pod of each step, with all that the step is told.

After kubeflow/pipelines 2.17.0, backend/src/v2/driver: container.go, dag.go and resolve.go.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from defensive_distillation.runtime.kubeflow.artifact import origin
from defensive_distillation_pipelines.definitions.plan import items_of
from defensive_distillation_pipelines.definitions.size.pod import pod_patch
from defensive_distillation_pipelines.definitions.size.templates import RUN
from defensive_distillation_pipelines.definitions.size.text import text

_ROOT = "minio://mlpipeline/v2/artifacts"
_STORE = {
    "Provider": "minio",
    "Params": {
        "accessKeyKey": "accesskey",
        "disableSSL": "true",
        "endpoint": "minio-service.kubeflow:9000",
        "fromEnv": "false",
        "maxRetries": "5",
        "region": "minio",
        "secretKeyKey": "secretkey",
        "secretName": "mlpipeline-minio-artifact",
    },
}
Artifact = dict[str, Any]


@dataclass
class Level:
    """A DAG at run time, with its inputs and what its tasks have made."""

    values: dict[str, Any]
    artifacts: dict[str, list[Artifact]] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    tasks: dict[str, dict[str, Artifact] | list[Level]] = field(default_factory=dict)
    iterations: list[Level] = field(default_factory=list)


class Driver:
    """Answers for all levels and steps of one run."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.levels: dict[str, Level] = {}
        self.executions = 0
        self.longest = 0  # of the texts that a step's pod is started with

    def dag(self, given: Mapping[str, str]) -> dict[str, str]:
        """Begins a level."""
        component = json.loads(given["component"])
        if given["driver-type"] == "ROOT_DAG":
            level = Level(json.loads(given["runtime-config"])["parameterValues"])
            return self._begun(level, component)
        parent, task = self.levels[given["parent-dag-id"]], json.loads(given["task"])
        iterator, index = task.get("parameterIterator"), int(given["iteration-index"])
        if iterator and index >= 0:
            values = {**parent.values, iterator["itemInput"]: items_of(iterator, parent.values)[index]}
            values.pop(iterator["items"].get("inputParameter"), None)
            level = Level(values, parent.artifacts)
            parent.iterations.append(level)
            return self._begun(level, component)
        level = Level(*_resolved(task, given["task-name"], parent))
        parent.tasks[given["task-name"]] = [level]
        return self._begun(level, component, len(items_of(iterator, level.values)) if iterator else 0)

    def _begun(self, level: Level, component: Mapping[str, Any], count: int = 0) -> dict[str, str]:
        level.outputs = component["dag"].get("outputs", {}).get("artifacts", {})
        execution = self._execution()
        self.levels[execution] = level
        return {"execution-id": execution, "iteration-count": str(count), "condition": "nil"}

    def _execution(self) -> str:
        self.executions += 1
        return str(self.executions)

    def container(self, given: Mapping[str, str]) -> dict[str, str]:
        """Begins a step, which will succeed."""
        level, task, name = self.levels[given["parent-dag-id"]], json.loads(given["task"]), given["task-name"]
        values, artifacts = _resolved(task, name, level)
        component = json.loads(given["component"])
        root = f"{self.pipeline}/{RUN}/{name}/{uuid.uuid5(uuid.NAMESPACE_URL, str(self.executions))}"
        made = component.setdefault("outputDefinitions", {}).setdefault("artifacts", {})
        made["executor-logs"] = {"artifactType": {"schemaTitle": "system.Artifact"}}
        outputs = {
            key: {"name": key, "type": output["artifactType"], "uri": f"{_ROOT}/{root}/{key}"}
            for key, output in made.items()
        }
        local = f"{_ROOT}/{root}/output_metadata.json".replace("minio://", "/minio/")
        told: dict[str, Any] = {
            "inputs": {"parameterValues": values},
            "outputs": {"artifacts": {key: {"artifacts": [one]} for key, one in outputs.items()}, "outputFile": local},
        }
        if artifacts:
            told["inputs"]["artifacts"] = {key: {"artifacts": several} for key, several in artifacts.items()}
        level.tasks[name] = {key: self._stored(one, artifacts) for key, one in outputs.items()}
        self.longest = max(self.longest, len(text(told)))
        container, asked = json.loads(given["container"]), json.loads(given["kubernetes-config"] or "{}")
        flags = {"--pipeline_name": self.pipeline, "--run_id": RUN, "--execution_id": self._execution()}
        flags |= {"--executor_input": text(told), "--component_spec": text(component)}
        patch = pod_patch(flags, container, asked)
        return {"pod-spec-patch": text(patch), "cached-decision": "false", "condition": "nil"}

    def _stored(self, output: Artifact, inputs: Mapping[str, list[Artifact]]) -> Artifact:
        """An output as later steps are told of it, with what our step says of it (runtime/step.py)."""
        metadata = {"display_name": output["name"], "store_session_info": text(_STORE)}
        if output["name"] == "evaluation":
            uris = {name: [one["uri"] for one in given] for name, given in inputs.items()}
            metadata["made_from"] = origin(uris, output["uri"])
        return {"name": self._execution(), "type": {"instanceSchema": ""}, "uri": output["uri"], "metadata": metadata}


def _resolved(task: Mapping[str, Any], name: str, level: Level) -> tuple[dict[str, Any], dict[str, list[Artifact]]]:
    """The inputs of a task of this level."""
    inputs = task.get("inputs", {})
    values = {key: _value(given, name, level) for key, given in inputs.get("parameters", {}).items()}
    artifacts: dict[str, list[Artifact]] = {}
    for key, given in inputs.get("artifacts", {}).items():
        if "taskOutputArtifact" in given:
            output = given["taskOutputArtifact"]
            artifacts[key] = _made(level.tasks[output["producerTask"]], output["outputArtifactKey"])
        else:
            found = level.artifacts.get(given["componentInputArtifact"], [])
            artifacts[key] = [{part: value for part, value in one.items() if part != "type"} for one in found]
    return values, artifacts


def _value(given: Mapping[str, Any], name: str, level: Level) -> Any:
    if "componentInputParameter" in given:
        return level.values.get(given["componentInputParameter"])
    if "taskFinalStatus" in given:
        producer = {"pipelineTaskName": given["taskFinalStatus"]["producerTask"]}
        return {"error": {}, "pipelineJobResourceName": name, "state": "COMPLETE", **producer}
    return given["runtimeValue"]["constant"]


def _made(task: Mapping[str, Artifact] | list[Level], key: str) -> list[Artifact]:
    """What a task has made under this name; of a level, what its tasks have, at each iteration."""
    if not isinstance(task, list):
        return [task[key]]
    return [artifact for level in task for each in level.iterations or [level] for artifact in _selected(each, key)]


def _selected(level: Level, key: str) -> list[Artifact]:
    return [
        artifact
        for one in level.outputs[key]["artifactSelectors"]
        for artifact in _made(level.tasks[one["producerSubtask"]], one["outputArtifactKey"])
    ]
