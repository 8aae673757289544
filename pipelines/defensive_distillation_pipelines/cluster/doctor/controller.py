"""Argo's controller: whether a step whose pod is deleted is started again, and how often it looks at a workflow."""

from __future__ import annotations

from typing import Any

import yaml

from defensive_distillation_pipelines.cluster.doctor.answer import Answer
from defensive_distillation_pipelines.cluster.doctor.finding import Finding, missing, ok, unknown

CONFIG_MAP = "workflow-controller-configmap"
LABEL = "app=workflow-controller"  # of its pods, as Kubeflow installs it
_SUBJECT = "retries"
_INTERVAL = "interval"
_VARIABLE = "DEFAULT_REQUEUE_TIME"
_DEFAULT = "10s"
_SURVIVE = ("OnError", "Always")  # a deleted pod is an error, a program that fails a failure
_TODO = (
    f"set workflowDefaults.spec.templateDefaults.retryStrategy to {{limit: '2', retryPolicy: OnError}} "
    f"in {CONFIG_MAP}, or a node that is taken away ends the run"
)


def retries(config: Answer, namespace: str) -> Finding:
    """Whether the controller retries what Kubernetes took away.

    Kubeflow writes no policy on the steps' own retries, so it is that of the controller, and Argo's own without one:
    what failed is tried again, a deleted pod is not.
    """
    if config.why:
        return unknown(_SUBJECT, config.why, f"kubectl get configmap {CONFIG_MAP} -n kubeflow -o yaml says it")
    if config.absent:
        return unknown(_SUBJECT, f"no ConfigMap {CONFIG_MAP} in {namespace}", f"where Argo has it: {_TODO}")
    try:
        strategy = _strategy(config)
    except ValueError as error:
        return missing(_SUBJECT, str(error), f"mend {CONFIG_MAP}")
    policy = str(strategy.get("retryPolicy") or "OnFailure")
    if policy not in _SURVIVE:
        told = f"retryPolicy {policy}" if strategy else "no retryStrategy in the defaults of workflows"
        return missing(_SUBJECT, f"{told}: a deleted pod is not started again", _TODO)
    often = strategy.get("limit")
    return ok(_SUBJECT, f"a deleted pod is started again ({policy}, {f'limit {often}' if often else 'without limit'})")


def interval(pods: Answer) -> Finding:
    """How long the controller waits before it looks at a workflow again, which each step of a run waits for twice.

    Source: Argo Workflows, docs/environment-variables.md.
    """
    todo = f"kubectl -n kubeflow get deployment workflow-controller -o yaml says {_VARIABLE} ({_DEFAULT} without it)"
    if pods.why:
        return unknown(_INTERVAL, pods.why, todo)
    if not pods.items:
        return unknown(_INTERVAL, f"no pod with {LABEL}", todo)
    containers = [one for pod in pods.items for one in pod.get("spec", {}).get("containers") or ()]
    told = [str(one.get("value")) for each in containers for one in each.get("env") or () if one["name"] == _VARIABLE]
    if told:
        return ok(_INTERVAL, f"the controller looks at a workflow every {told[0]}")
    sooner = f"{_VARIABLE}=2s in its Deployment saves a small run a minute (docs/cluster.md says at what price)"
    return ok(_INTERVAL, f"the controller looks at a workflow every {_DEFAULT}; {sooner}")


def _strategy(config: Answer) -> dict[str, Any]:
    data = config.value.get("data") or {}
    try:
        told = yaml.safe_load(data.get("workflowDefaults") or (_within(data.get("config"))) or "{}")
    except yaml.YAMLError as error:
        raise ValueError(f"workflowDefaults: expected YAML, got: {' '.join(str(error).split())}") from error
    for key in ("spec", "templateDefaults", "retryStrategy"):
        told = told.get(key) if isinstance(told, dict) else None
    return told if isinstance(told, dict) else {}


def _within(config: str | None) -> str:
    """The defaults where all settings stand under one key, as older installations have it."""
    told = yaml.safe_load(config or "{}")
    return yaml.safe_dump(told.get("workflowDefaults") or {}) if isinstance(told, dict) else ""
