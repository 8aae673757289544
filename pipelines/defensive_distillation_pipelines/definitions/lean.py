"""Leaves out of a compiled pipeline what a cluster can do without: its Workflow repeats it up to eight times a step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from defensive_distillation.runtime.kubeflow.pod import TOLD_NOTHING

_ENTRY = ("python3", "-m", "defensive_distillation.runtime.kubeflow")
_AS_TEXT = {  # numbers that the backend heeds only where the text beside them is missing
    "cpuLimit": "resourceCpuLimit",
    "cpuRequest": "resourceCpuRequest",
    "memoryLimit": "resourceMemoryLimit",
    "memoryRequest": "resourceMemoryRequest",
}


def make_lean(pipeline: dict[str, Any], platform: dict[str, Any]) -> None:
    """Leaves out of a compiled pipeline what a cluster does not need.

    KFP lets each step carry the text of its function: our image has it, the step only names its stage
    (runtime/kubeflow). What is said of tasks, volumes and resources in two ways is said in one, and components that
    start equal containers in equal pods are one: the backend would anyway keep only one of them, with whatever inputs
    that one has (argocompiler/argo.go, hashComponentContainer).
    """
    executors = pipeline["deploymentSpec"]["executors"]
    on_kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, executor in executors.items():
        _make_container_lean(name, executor["container"])
        _make_pod_lean(on_kubernetes.get(name, {}))
    for component in (pipeline["root"], *pipeline["components"].values()):
        for kind in ("inputDefinitions", "outputDefinitions"):
            for artifact in component.get(kind, {}).get("artifacts", {}).values():
                artifact["artifactType"].pop("schemaVersion", None)  # nothing reads it, and there is but one
    tasks = [task for component in _levels(pipeline) for task in component["dag"]["tasks"].values()]
    for task in tasks:
        parameters = task.get("inputs", {}).get("parameters", {})
        if parameters.get("step", {}).get("runtimeValue", {}).get("constant") == TOLD_NOTHING:
            del parameters["step"]
    _merge(pipeline, on_kubernetes, tasks)


def stage_of(component: str) -> str:
    """The stage of a component by its name in the compiled pipeline, which is numbered where there are several."""
    name, _, number = component.rpartition("-")
    return (name if number.isdigit() else component).replace("-", "_")


def _levels(pipeline: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [component for component in (pipeline["root"], *pipeline["components"].values()) if "dag" in component]


def _make_container_lean(name: str, container: dict[str, Any]) -> None:
    container |= {"command": [*_ENTRY, stage_of(name.removeprefix("exec-"))], "args": ["{{$}}"]}
    resources = container.get("resources", {})
    for number, as_text in _AS_TEXT.items():
        if as_text in resources:
            resources.pop(number, None)
    accelerator = resources.get("accelerator", {})
    for number, as_text in {"count": "resourceCount", "type": "resourceType"}.items():
        if as_text in accelerator:
            accelerator.pop(number, None)


def _make_pod_lean(asked: dict[str, Any]) -> None:
    """A name that is fixed needs no parameter to say it again."""
    for kind, name in {"configMapAsVolume": "configMapName", "secretAsVolume": "secretName"}.items():
        for volume in asked.get(kind, ()):
            if volume.get(name):
                volume.pop(f"{name}Parameter", None)
    for secret in asked.get("imagePullSecret", ()):
        if secret.get("secretName"):
            secret.pop("secretNameParameter", None)


def _merge(pipeline: dict[str, Any], on_kubernetes: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
    """Makes one component of those with equal containers, which takes what any of them does."""
    executors, components = pipeline["deploymentSpec"]["executors"], pipeline["components"]
    kept: dict[str, str] = {}
    for name in sorted(name for name, component in components.items() if "executorLabel" in component):
        label = components[name]["executorLabel"]
        key = json.dumps([executors[label], on_kubernetes.get(label)], sort_keys=True)
        if kept.setdefault(key, name) == name:
            continue
        _widen(components[kept[key]], components.pop(name))
        del executors[label]
        on_kubernetes.pop(label, None)
        for task in tasks:
            if task["componentRef"]["name"] == name:
                task["componentRef"]["name"] = kept[key]
    for name in kept.values():
        given = [task.get("inputs", {}) for task in tasks if task["componentRef"]["name"] == name]
        for kind, definitions in components[name].get("inputDefinitions", {}).items():
            for each in list(definitions):
                having = sum(each in inputs.get(kind, {}) for inputs in given)
                if having == 0:
                    del definitions[each]
                elif having < len(given):
                    definitions[each]["isOptional"] = True


def _widen(component: dict[str, Any], other: Mapping[str, Any]) -> None:
    for kind, definitions in other.get("inputDefinitions", {}).items():
        known = component.setdefault("inputDefinitions", {}).setdefault(kind, {})
        for name, definition in definitions.items():
            known.setdefault(name, definition)
