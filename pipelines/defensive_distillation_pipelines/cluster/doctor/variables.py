"""The variables of the steps: the ConfigMap and the Secret that they mount."""

from __future__ import annotations

from defensive_distillation_pipelines.cluster.doctor.answer import Answer
from defensive_distillation_pipelines.cluster.doctor.finding import Finding, missing, ok, unknown
from defensive_distillation_pipelines.definitions.resources import CONFIG_MAP

TRACKING = "MLFLOW_TRACKING_URI"
_VARIABLES = "variables"
_CREDENTIALS = "credentials"
_PAIRS = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
)


def variables(config: Answer, namespace: str) -> Finding:
    """Whether the steps are told where MLflow is."""
    if config.why:
        return unknown(_VARIABLES, config.why)
    if config.absent:
        return missing(
            _VARIABLES, f"no ConfigMap {CONFIG_MAP} in {namespace}: steps record nothing", "install the chart"
        )
    names = sorted(config.value.get("data") or {})
    if TRACKING not in names:
        return missing(
            _VARIABLES, f"{_listed(CONFIG_MAP, names)}, but no {TRACKING}: steps record nothing", "set tracking.uri"
        )
    return ok(_VARIABLES, _listed(CONFIG_MAP, names))


def credentials(secret: Answer, name: str, namespace: str) -> Finding:
    """Which credentials the steps have in the Secret of this name; none may be right, where a role is enough."""
    if secret.why:
        return unknown(_CREDENTIALS, secret.why)
    if secret.absent:
        return ok(_CREDENTIALS, f"no Secret {name} in {namespace}: steps have the role of their account or node")
    names = sorted(secret.value.get("data") or {})
    for one, other in (*_PAIRS, *(pair[::-1] for pair in _PAIRS)):
        if one in names and other not in names:
            return missing(_CREDENTIALS, f"{one} without {other}", f"put {other} into the Secret {name}")
    return ok(_CREDENTIALS, _listed(name, names))


def values(config: Answer) -> dict[str, str]:
    """The variables by name."""
    return {name: str(value) for name, value in (config.value.get("data") or {}).items()}


def _listed(name: str, keys: list[str]) -> str:
    return f"{name} has {', '.join(keys)}" if keys else f"{name} is empty"
