"""The Workflow that Kubeflow's API server makes of a compiled pipeline: its arguments and its templates.

After kubeflow/pipelines 2.17.0, backend/src/v2/compiler/argocompiler: dag.go, container.go and argo.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from defensive_distillation_pipelines.definitions.package import Package
from defensive_distillation_pipelines.definitions.size import templates
from defensive_distillation_pipelines.definitions.size.templates import dag, task, within
from defensive_distillation_pipelines.definitions.size.text import parameters, text

_AT_EXIT = "ALL_UPSTREAM_TASKS_COMPLETED"
_RETRIES = {"retry-max-count": "maxRetryCount", "retry-backoff-duration": "backoffDuration"} | {
    "retry-backoff-factor": "backoffFactor",
    "retry-backoff-max-duration": "backoffMaxDuration",
}


class Compilation:
    """The arguments and templates of the Workflow of a pipeline."""

    def __init__(self, package: Package) -> None:
        self.pipeline, platform = package.documents
        self.executors = self.pipeline["deploymentSpec"]["executors"]
        self.on_kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.arguments: dict[str, str] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self._dag("root", self.pipeline["root"])
        self._add("entrypoint", list(self._entrypoint()))

    def _entrypoint(self) -> Iterator[dict[str, Any]]:
        given = self.pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
        values = {name: parameter["defaultValue"] for name, parameter in given.items()}
        yield self._dag_driver("root", "root-driver", {"runtime-config": text({"parameterValues": values})})
        yield _level("root", "root", "root-driver")

    def _add(self, name: str, tasks: list[dict[str, Any]], *inputs: str) -> None:
        self.templates[name] = dag(name, tasks, dict.fromkeys(inputs))

    def _key(self, component: str) -> str:
        """Under what the component is kept: the digest of its container, so that equal containers are one."""
        label = self.pipeline["components"].get(component, {}).get("executorLabel")
        return component if label is None else hashlib.sha256(text(self.executors[label]).encode()).hexdigest()

    def _dag(self, name: str, component: Mapping[str, Any]) -> None:
        tasks = component["dag"]["tasks"]
        for key in sorted(tasks):
            self._component(tasks[key]["componentRef"]["name"])
        self.arguments.setdefault(f"components-{name}", text(component))
        hooks: dict[str, str] = {}
        for key in sorted(tasks):
            if _is_last(tasks[key]):
                hook = f"exit-hook-{name}-{key}"
                self._add(hook, list(self._task(key, tasks[key], depends=False)), "parent-dag-id")
                hooks |= dict.fromkeys(tasks[key]["dependentTasks"], hook)
        steps = [one for key in sorted(tasks) if not _is_last(tasks[key]) for one in self._task(key, tasks[key])]
        for step in steps:
            if step["name"] in hooks:
                given = {"parent-dag-id": within("parent-dag-id")}
                template = hooks[step["name"]]
                step["hooks"] = {"exit": {"template": template, "arguments": {"parameters": parameters(given)}}}
        self._add(name, steps, "parent-dag-id")

    def _component(self, name: str) -> None:
        component = self.pipeline["components"][name]
        if "dag" in component:
            if f"components-{name}" not in self.arguments:
                self._dag(name, component)
            return
        label = component["executorLabel"]
        if label in self.on_kubernetes:
            self.arguments[f"kubernetes-{name}"] = text(self.on_kubernetes[label])
        self.arguments.setdefault(f"components-{self._key(name)}", text(component))
        self.arguments.setdefault(f"implementations-{self._key(name)}", text(self.executors[label]["container"]))

    def _task(self, name: str, spec: Mapping[str, Any], *, depends: bool = True) -> Iterator[dict[str, Any]]:
        component = spec["componentRef"]["name"]
        before = [*spec.get("dependentTasks", ())] if depends else []
        if "parameterIterator" in spec:
            yield self._loop(name, component, spec, before)
        elif "dag" in self.pipeline["components"][component]:
            given = {"parent-dag-id": within("parent-dag-id"), "task": text(spec), "task-name": name}
            yield self._dag_driver(component, f"{name}-driver", given, before)
            yield _level(name, component, f"{name}-driver")
        else:
            yield self._driver(name, component, spec, before)
            yield self._executor(name, component, spec)

    def _dag_driver(
        self, component: str, name: str, given: Mapping[str, str], before: list[str] | None = None
    ) -> dict[str, Any]:
        self.templates.setdefault("system-dag-driver", templates.dag_driver(self.pipeline["pipelineInfo"]["name"]))
        values = {"component": f"{{{{workflow.parameters.components-{component}}}}}", **given}
        if "runtime-config" in given:
            values["driver-type"] = "ROOT_DAG"
        return task(name, "system-dag-driver", values, before)

    def _driver(self, name: str, component: str, spec: Mapping[str, Any], before: list[str]) -> dict[str, Any]:
        driver = "system-container-driver"
        self.templates.setdefault(driver, templates.container_driver(self.pipeline["pipelineInfo"]["name"]))
        values = {
            "component": f"{{{{workflow.parameters.components-{self._key(component)}}}}}",
            "task": text(spec),
            "container": f"{{{{workflow.parameters.implementations-{self._key(component)}}}}}",
            "task-name": name,
            "parent-dag-id": within("parent-dag-id"),
        }
        if f"kubernetes-{component}" in self.arguments:
            values["kubernetes-config"] = f"{{{{workflow.parameters.kubernetes-{component}}}}}"
        return task(f"{name}-driver", driver, values, before)

    def _executor(self, name: str, component: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        label = self.pipeline["components"][component]["executorLabel"]
        metadata = self.on_kubernetes.get(label, {}).get("podMetadata", {})
        labels = sorted(metadata.get("labels", {}).items())
        retries = {
            key: text(spec["retryPolicy"][of]).strip('"s') for key, of in _RETRIES.items() if "retryPolicy" in spec
        }
        marked: dict[str, str] = {}
        for place, (key, value) in enumerate(labels, 1):
            number = f"-{place}" if len(labels) > 1 else ""
            marked |= {f"pod-metadata-label-key{number}": key, f"pod-metadata-label-val{number}": value}
        prefix = (f"metadata-0-{len(labels)}-" if labels else "") + ("retry-" if retries else "")
        for made in templates.executor(prefix, list(marked), list(retries)):
            self.templates.setdefault(made["name"], made)
        from_driver = {
            key: f"{{{{tasks.{name}-driver.outputs.parameters.{key}}}}}"
            for key in ("pod-spec-patch", "cached-decision")
        }
        template = f"{prefix}system-container-executor"
        return task(name, template, from_driver | marked | retries, [f"{name}-driver"])

    def _loop(self, name: str, component: str, spec: Mapping[str, Any], before: list[str]) -> dict[str, Any]:
        iteration, iterator = f"{component}-iteration", f"{component}-{name}-iterator"
        told = {"parent-dag-id": within("parent-dag-id"), "task": text(spec), "task-name": name}
        item = {"iteration-index": within("iteration-index"), **told}
        one = [self._dag_driver(component, "iteration-item-driver", item)]
        one.append(_level("iteration-item", component, "iteration-item-driver"))
        self._add(iteration, one, "parent-dag-id", "iteration-index")
        driver = "{{tasks.iteration-driver.outputs.parameters."
        each = {"parent-dag-id": driver + "execution-id}}", "iteration-index": "{{item}}"}
        all_of_them = task("iteration-iterations", iteration, each, ["iteration-driver"])
        all_of_them["withSequence"] = {"count": driver + "iteration-count}}"}
        self._add(iterator, [self._dag_driver(component, "iteration-driver", told), all_of_them], "parent-dag-id")
        if limit := spec.get("iteratorPolicy", {}).get("parallelismLimit"):
            self.templates[iterator]["parallelism"] = limit
        return task(name, iterator, {"parent-dag-id": within("parent-dag-id")}, before)


def _level(name: str, template: str, driver: str) -> dict[str, Any]:
    """The task that is a DAG of its own, after its driver."""
    outputs = f"{{{{tasks.{driver}.outputs.parameters."
    condition = outputs + "condition}}" if driver != "root-driver" else ""
    return task(name, template, {"parent-dag-id": outputs + "execution-id}}", "condition": condition}, [driver])


def _is_last(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("triggerPolicy", {}).get("strategy") == _AT_EXIT)
