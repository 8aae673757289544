"""Kueue's queue that the steps wait in."""

from __future__ import annotations

from defensive_distillation_pipelines.cluster.doctor.answer import Answer
from defensive_distillation_pipelines.cluster.doctor.finding import Finding, missing, ok, unknown

GROUP = "kueue.x-k8s.io"
_SUBJECT = "queue"


def version(group: Answer) -> str:
    """The version of Kueue's API that the cluster prefers."""
    return str((group.value.get("preferredVersion") or {}).get("version") or "v1beta1")


def queue(group: Answer, found: Answer, name: str, namespace: str) -> Finding:
    """Whether the queue exists and takes pods."""
    if group.absent:
        return missing(_SUBJECT, f"{name} is asked for, but Kueue is not installed", "install it, or leave queue out")
    if group.why or found.why:
        return unknown(_SUBJECT, group.why or found.why)
    if found.absent:
        return missing(_SUBJECT, f"no LocalQueue {name} in {namespace}", "make it, or set queue to one that exists")
    conditions = (found.value.get("status") or {}).get("conditions") or []
    for condition in conditions:
        if condition.get("type") == "Active" and condition.get("status") == "False":
            return missing(_SUBJECT, f"{name} is not active: {condition.get('message', '')}", "mend its ClusterQueue")
    pending = (found.value.get("status") or {}).get("pendingWorkloads", 0)
    return ok(_SUBJECT, f"{name} in {namespace}, {pending} waiting")
