"""The pod of a step as Kubeflow's driver describes it: a patch, which Argo keeps six times.

After kubeflow/pipelines 2.17.0, backend/src/v2/driver: driver.go and k8s.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from defensive_distillation_pipelines.definitions.size.templates import LOGS, SERVERS


def pod_patch(told: Mapping[str, str], container: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the driver adds to the pod of a step.

    Args:
        told: flags of the launcher that are the step's own.
        container: of the step, as compiled.
        asked: of Kubernetes for it.
    """
    flags = {**told, "--pod_name": "$(KFP_POD_NAME)", "--pod_uid": "$(KFP_POD_UID)", **SERVERS}
    main = {
        "name": "main",
        "image": container["image"],
        "command": [
            "/kfp-launcher/launch",
            *(part for flag in flags.items() for part in flag),
            *["--publish_logs", LOGS["--publish_logs"]] * 2,
            "--",
        ],
        "args": [*container["command"], *container.get("args", ())],
        "resources": _resources(container.get("resources", {})),
    }
    volumes, mounts = _volumes(asked)
    if names := asked.get("fieldPathAsEnv"):
        main["env"] = [
            {"name": one["name"], "valueFrom": {"fieldRef": {"fieldPath": one["fieldPath"]}}} for one in names
        ]
    if mounts:
        main["volumeMounts"] = mounts
    main["securityContext"] = {"capabilities": {"drop": ["ALL"]}, **asked.get("securityContext", {})}
    pod: dict[str, Any] = {"volumes": volumes, "containers": [main]}
    if "nodeSelector" in asked:
        pod["nodeSelector"] = asked["nodeSelector"].get("labels", {})
    if "tolerations" in asked:
        given = (one.get("tolerationJson", {}).get("runtimeValue", {}) for one in asked["tolerations"])
        pod["tolerations"] = [one.get("constant", one) for one in given]
    if "imagePullSecret" in asked:
        pod["imagePullSecrets"] = [{"name": one["secretName"]} for one in asked["imagePullSecret"]]
    return {name: value for name, value in pod.items() if value}


def _resources(asked: Mapping[str, Any]) -> dict[str, Any]:
    limits = {"cpu": asked.get("resourceCpuLimit"), "memory": asked.get("resourceMemoryLimit")}
    if accelerator := asked.get("accelerator"):
        limits[accelerator["resourceType"]] = accelerator["resourceCount"]
    requests = {"cpu": asked.get("resourceCpuRequest"), "memory": asked.get("resourceMemoryRequest")}
    several = {"limits": limits, "requests": requests}
    return {kind: {name: value for name, value in given.items() if value} for kind, given in several.items()}


def _volumes(asked: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    volumes, mounts = [], []
    for source, key in (("secret", "secretName"), ("configMap", "name")):
        for one in asked.get(f"{source}AsVolume", ()):
            name = one[f"{source}Name"]
            volumes.append({"name": name, source: {key: name, "optional": one.get("optional", False)}})
            mounts.append({"name": name, "mountPath": one["mountPath"]})
    for one in asked.get("emptyDirMounts", ()):
        size = {"medium": one.get("medium"), "sizeLimit": one.get("sizeLimit")}
        volumes.append({"name": one["volumeName"], "emptyDir": {key: value for key, value in size.items() if value}})
        mounts.append({"name": one["volumeName"], "mountPath": one["mountPath"]})
    return volumes, mounts
