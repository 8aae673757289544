"""Kubeflow's launcher: where it puts artifacts, and with which credentials."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from defensive_distillation_pipelines.cluster.doctor.answer import Answer
from defensive_distillation_pipelines.cluster.doctor.finding import Finding, missing, ok, unknown

CONFIG_MAP = "kfp-launcher"
DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"  # what the launcher takes where nothing is said
_OF_MINIO = {"secretName": "mlpipeline-minio-artifact", "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
_SUBJECT = "launcher"
_CREDENTIALS = "launcher's credentials"


def root(config: Answer) -> str:
    """Where artifacts go that no run puts elsewhere."""
    return str((config.value.get("data") or {}).get("defaultPipelineRoot") or DEFAULT_ROOT)


def launcher(config: Answer, namespace: str) -> Finding:
    """Whether its configuration can be read and says where artifacts go."""
    if config.why:
        return unknown(_SUBJECT, config.why)
    if config.absent:
        found = f"no ConfigMap {CONFIG_MAP} in {namespace}: artifacts go to {DEFAULT_ROOT}"
        return ok(_SUBJECT, found)
    place = root(config)
    if not place.startswith(("s3://", "minio://", "gs://")):
        return missing(_SUBJECT, f"defaultPipelineRoot {place!r}", f"set it in {CONFIG_MAP} to s3://bucket/prefix")
    try:
        _providers(config)
    except ValueError as error:
        return missing(_SUBJECT, f"providers: {error}", f"mend the key providers of the ConfigMap {CONFIG_MAP}")
    return ok(_SUBJECT, f"artifacts go to {place}")


def credentials(config: Answer, secret: Callable[[str], Answer], namespace: str) -> Iterator[Finding]:
    """Whether the Secrets that the configuration names are there and have the keys that it names."""
    if config.why:
        yield unknown(_CREDENTIALS, "its configuration is not known")
        return
    try:
        asked = list(_references(config))
    except ValueError:
        return  # `launcher` has told
    if not asked:
        yield ok(_CREDENTIALS, "none are named: those of the pod's environment or role")
    for reference in asked:
        yield _there(reference, secret(reference.get("secretName", "")), namespace)


def _references(config: Answer) -> Iterator[Mapping[str, str]]:
    """The references to Secrets, of the provider that the root is at."""
    scheme = root(config).partition("://")[0]
    provider = _providers(config).get(scheme)
    if not provider and scheme == "minio":
        yield _OF_MINIO
        return
    provider = provider or {}
    overrides = provider.get("overrides") or provider.get("Overrides") or []
    for place in [provider.get("default") or {}, *overrides]:
        told = place.get("credentials") or {}
        if not told.get("fromEnv") and told.get("secretRef"):
            yield {name: str(value) for name, value in told["secretRef"].items()}


def _providers(config: Answer) -> dict[str, Any]:
    """The providers as told; what the launcher could not read is a ValueError."""
    text = (config.value.get("data") or {}).get("providers") or "{}"
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"expected YAML, got: {' '.join(str(error).split())}") from error
    if not isinstance(told, dict) or not all(isinstance(one, dict) for one in told.values()):
        raise ValueError(f"expected s3, minio or gs with settings each, got {text.strip()[:80]!r}")
    for name, provider in told.items():
        default = provider.get("default") or {}
        if default and not (default.get("credentials") or {}):
            raise ValueError(f"{name}.default: expected credentials with fromEnv or secretRef, got none")
    return told


def _there(reference: Mapping[str, str], secret: Answer, namespace: str) -> Finding:
    name = reference.get("secretName", "")
    if secret.why:
        return unknown(_CREDENTIALS, f"Secret {name}: {secret.why}")
    if secret.absent:
        return missing(_CREDENTIALS, f"no Secret {name} in {namespace}", f"make it, or name another in {CONFIG_MAP}")
    data = secret.value.get("data") or {}
    keys = [value for what, value in reference.items() if what != "secretName"]
    lost = [key for key in keys if not base64.b64decode(data.get(key, ""))]
    if lost:
        has = ", ".join(sorted(data)) or "none"
        return missing(_CREDENTIALS, f"Secret {name} has no {lost[0]}; it has: {has}", f"correct it or {CONFIG_MAP}")
    return ok(_CREDENTIALS, f"Secret {name} has {' and '.join(keys)}")
