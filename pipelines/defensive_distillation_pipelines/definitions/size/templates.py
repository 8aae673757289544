"""The parts that Workflows of Kubeflow's pipelines are put together from, as the API server writes them.

After kubeflow/pipelines 2.17.0, backend/src/v2/compiler/argocompiler/container.go and dag.go, with the settings of its
stock manifests. A parameter of a template is named with its default, None where it has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from defensive_distillation_pipelines.definitions.size.text import parameters

DAG_DRIVER = "system-dag-driver"
CONTAINER_DRIVER = "system-container-driver"
SERVERS = {
    "--ml_pipeline_server_address": "ml-pipeline.kubeflow.svc.cluster.local",
    "--ml_pipeline_server_port": "8887",
    "--mlmd_server_address": "metadata-grpc-service.kubeflow.svc.cluster.local",
    "--mlmd_server_port": "8080",
}
LOGS = {"--log_level": "1", "--publish_logs": "true"}
RUN = "ea5e723a-e256-4cc7-bb2e-0e43936b47b4"  # a run's name is as long as any other
_IMAGES = "ghcr.io/kubeflow/"
_MOUNTED = {"kfp-launcher": "/kfp-launcher", "gcs-scratch": "/gcs", "s3-scratch": "/s3", "minio-scratch": "/minio"} | {
    f"dot-{name}-scratch": f"/.{name}" for name in ("local", "cache", "config")
}
_SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}
_CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **_SECCOMP}
_POD = [
    {"name": f"KFP_POD_{name.upper()}", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{name}"}}}
    for name in ("name", "uid")
]


def within(name: str) -> str:
    """An input of the template that this stands in."""
    return f"{{{{inputs.parameters.{name}}}}}"


def task(name: str, template: str, values: Mapping[str, str], before: Sequence[str] | None = None) -> dict[str, Any]:
    """A task of a template that is a DAG."""
    arguments = parameters(dict(values))
    for parameter in arguments:
        if parameter["name"] == "cached-decision":
            parameter["default"] = "false"
    depends = {"depends": " && ".join(f"{name}.Succeeded" for name in before)} if before else {}
    return {"name": name, "template": template, "arguments": {"parameters": arguments}, **depends}


def dag(name: str, tasks: list[dict[str, Any]], inputs: Mapping[str, str | None]) -> dict[str, Any]:
    """A template of several tasks."""
    return _template(name, inputs, dag={"tasks": tasks})


def dag_driver(pipeline: str) -> dict[str, Any]:
    """What prepares a level: root, exit handler, loop or an iteration."""
    inputs: dict[str, str | None] = {"component": None, "runtime-config": "", "task": "", "task-name": ""}
    inputs |= {"parent-dag-id": "0", "iteration-index": "-1", "driver-type": "DAG"}
    outputs = {"execution-id": None, "iteration-count": "0", "condition": "true"}
    return _driver(DAG_DRIVER, pipeline, within("driver-type"), inputs, outputs, [])


def container_driver(pipeline: str) -> dict[str, Any]:
    """What prepares a step."""
    required = ("component", "task", "container", "task-name", "parent-dag-id")
    inputs: dict[str, str | None] = dict.fromkeys(required)
    inputs |= {"iteration-index": "-1", "kubernetes-config": ""}
    outputs = {"pod-spec-patch": "", "cached-decision": "false", "condition": "true"}
    return _driver(CONTAINER_DRIVER, pipeline, "CONTAINER", inputs, outputs, _POD)


def executor(prefix: str, marks: Sequence[str], retries: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A step, a DAG of the one task that is its pod: its labels and retries come as parameters."""
    step, pod = f"{prefix}system-container-executor", f"{prefix}system-container-impl"
    told = ["pod-spec-patch", *marks, *retries]
    once = task("executor", pod, {name: within(name) for name in told})
    once["when"] = within("cached-decision") + " != true"
    inputs = {"pod-spec-patch": None, "cached-decision": "false", **dict.fromkeys(marks), **dict.fromkeys(retries, "0")}
    yield dag(step, [once], inputs)
    container: dict[str, Any] = {
        "image": "gcr.io/ml-pipeline/should-be-overridden-during-runtime",
        "command": ["should-be-overridden-during-runtime"],
        "name": "",
        "resources": {},
        "env": _POD + [{"name": "KFP_RETRY_INDEX", "value": "{{retries}}"}] * bool(retries),
        "envFrom": [{"configMapRef": {"name": "metadata-grpc-configmap", "optional": True}}],
        "securityContext": _CONFINED,
        "volumeMounts": [{"mountPath": path, "name": name} for name, path in _MOUNTED.items()],
    }
    launcher = {
        "args": ["--copy", "/kfp-launcher/launch", *_flags(LOGS)],
        "command": ["launcher-v2"],
        "image": f"{_IMAGES}kfp-launcher:2.17.0",
        "name": "kfp-launcher",
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m"}},
        "securityContext": {**_CONFINED, "runAsNonRoot": True},
        "volumeMounts": [{"mountPath": "/kfp-launcher", "name": "kfp-launcher"}],
    }
    of_pod = {"volumes": [{"emptyDir": {}, "name": name} for name in _MOUNTED], "securityContext": _SECCOMP}
    more = of_pod | {"initContainers": [launcher], "podSpecPatch": within("pod-spec-patch")} | _retried(retries)
    yield _template(pod, dict.fromkeys(told), "launcher", container=container, **more)


def _retried(retries: Sequence[str]) -> dict[str, Any]:
    if not retries:
        return {}
    limit, duration, factor, longest = map(within, retries)
    return {
        "retryStrategy": {"limit": limit, "backoff": {"duration": duration, "factor": factor, "maxDuration": longest}}
    }


def _driver(
    name: str,
    pipeline: str,
    kind: str,
    inputs: Mapping[str, str | None],
    outputs: Mapping[str, str | None],
    environment: list[dict[str, Any]],
) -> dict[str, Any]:
    given = {name: within(name) for name in inputs if name not in ("driver-type", "parent-dag-id")}
    written = {f"{name}-path": f"{{{{outputs.parameters.{name}.path}}}}" for name in outputs}
    flags = {"--type": kind, "--pipeline_name": pipeline, "--run_id": RUN, "--run_name": "{{workflow.name}}"}
    flags |= {"--run_display_name": pipeline, "--pipeline_job_create_time_utc": "{{workflow.creationTimestamp}}"}
    flags |= {"--dag_execution_id": within("parent-dag-id")}
    flags |= {"--" + flag.replace("-", "_"): value for flag, value in (given | written).items()}
    flags |= {"--http_proxy": "", "--https_proxy": "", "--no_proxy": "", **SERVERS, **LOGS}
    container: dict[str, Any] = {
        "args": _flags(flags),
        "command": ["driver"],
        "image": f"{_IMAGES}kfp-driver:2.17.0",
        "name": "",
        "resources": {
            "limits": {"cpu": "500m", "memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "64Mi"},
        },
        "securityContext": {**_CONFINED, "runAsNonRoot": True},
        **({"env": environment} if environment else {}),
    }
    made = {"parameters": [_output(name, default) for name, default in outputs.items()]}
    security = {"securityContext": {"runAsNonRoot": True, **_SECCOMP}}
    return _template(name, inputs, "driver", outputs=made, container=container, **security)


def _output(name: str, default: str | None) -> dict[str, Any]:
    read: dict[str, Any] = {"path": f"/tmp/outputs/{name}"}
    if default is not None:
        read["default"] = default
    return {"name": name, "valueFrom": read, **({"default": default} if name == "cached-decision" else {})}


def _template(name: str, inputs: Mapping[str, str | None], role: str = "", **more: Any) -> dict[str, Any]:
    annotations = {"pipelines.kubeflow.org/v2_component": "true", "sidecar.istio.io/inject": "false"}
    if role:
        annotations["pipelines.kubeflow.org/runtime-role"] = role
    given = [{"name": key} if default is None else {"name": key, "default": default} for key, default in inputs.items()]
    told = {"inputs": {"parameters": given} if given else {}, "metadata": {"annotations": annotations}}
    return {"name": name, **told, "outputs": {}, **more}


def _flags(values: Mapping[str, str]) -> list[str]:
    return [part for flag in values.items() for part in flag]
