"""What a run asks of a cluster: the image, and for each stage GPUs, processors, memory, nodes, retries and caching.

All of it is fixed when the pipeline is compiled: as parameters of the pipeline the values would be told again in every
step, which is what a workflow has no room for. The local runners ask for nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from defensive_distillation import __version__
from defensive_distillation.config import STAGES, explain, loading
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.runtime.kubeflow import finish
from defensive_distillation.settings import Settings

IMAGE_VARIABLE = "DEFDISTILL_IMAGE"
ALL = "all"  # stands for every stage
CONFIG_MAP = "defensive-distillation"  # where MLflow and the object store are, one key a variable
FINISH = finish.NAME  # the step that ends a run
Profile = Literal["gpu", "cpu"]
_QUANTITY = r"^([0-9]+\.?[0-9]*|\.[0-9]+)([EPTGMK]i?|m|k)?$"


class Toleration(Settings):
    """A taint of nodes that a step tolerates, in Kubernetes' words."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    key: str | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(None, alias="tolerationSeconds")


class Resources(Settings):
    """What a step asks of the cluster."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    gpu_type: str = Field(
        "nvidia.com/gpu",
        pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$",
        description="Resource name of the GPU, such as nvidia.com/mig-1g.10gb or nvidia.com/gpu.shared.",
    )
    gpu_count: int = Field(0, ge=0, le=1024, description="Number of GPUs; a step with 0 asks for none at all.")
    cpu: str = Field("1", pattern=_QUANTITY, description="Processors that are kept for the step.")
    cpu_limit: str | None = Field(None, pattern=_QUANTITY, description="Most processors; none: what the node has left.")
    memory: str = Field("4Gi", pattern=_QUANTITY, description="Memory that the step has and may not exceed.")
    shared_memory: str | None = Field(None, pattern=_QUANTITY, description="Size of /dev/shm, a part of the memory.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of the nodes to run on.")
    tolerations: tuple[Toleration, ...] = Field((), description="Taints to tolerate, as Kubernetes has them.")
    retries: int = Field(
        0,
        ge=0,
        le=100,
        description="How often a failed step is tried again; 0: as Kubeflow's controller does for lost pods.",
    )
    cache: bool = Field(True, description="Whether Kubeflow may take the result of an equal earlier step.")


class Cluster(Settings):
    """What a run asks of the cluster, in one file or by `--resources KEY=VALUE`."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    profile: Profile = Field("gpu", description="Defaults of the stages: gpu, or cpu for a cluster without GPUs.")
    image: str = Field(
        default_factory=lambda: os.environ.get(IMAGE_VARIABLE, f"defensive-distillation:{__version__}"),
        min_length=1,
        description=f"Image of every step; {IMAGE_VARIABLE} without it.",
    )
    image_pull_secrets: tuple[str, ...] = Field((), description="Secrets for the registry of the image.")
    service_account: str | None = Field(None, description="Account of the steps; none: Kubeflow's own for runs.")
    secret: str = Field(
        "defensive-distillation-credentials", min_length=1, description="Secret with the credentials of MLflow and S3."
    )
    queue: str | None = Field(
        None, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", description="Kueue's local queue that the steps wait in."
    )
    parallelism: int | None = Field(None, ge=1, description="Most networks that are at work at once; none: all.")
    run_as_user: int | None = Field(None, ge=1, description="User of the steps; none: the image's own.")
    stages: dict[str, Resources] = Field(
        default_factory=dict, description=f"Resources by stage; {ALL!r} stands for every stage."
    )

    @field_validator("image_pull_secrets", mode="before")
    @classmethod
    def _secrets(cls, given: Any) -> Any:
        return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given


_ON_A_GPU: dict[str, Any] = {"gpu_count": 1, "cpu": "4", "memory": "16Gi", "shared_memory": "1Gi"}
_COMPUTING = (*(stage for stage in STAGES if stage not in ("prepare_data", "report", "gate")),)
_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "gpu": {"prepare_data": {"memory": "8Gi"}, **dict.fromkeys(_COMPUTING, _ON_A_GPU)},
    "cpu": {ALL: {"cpu": "250m", "memory": "2Gi"}},
}
# a report also records models that were taken from the cache, a gate asks for the champion of the day
_ALWAYS: dict[str, dict[str, Any]] = {
    "report": {"cache": False},
    "gate": {"cache": False},
    FINISH: {"cache": False, "cpu": "100m", "memory": "512Mi"},
}


def cluster(
    profile: str | None = None, file: str | None = None, assignments: Sequence[str] = (), *, cache: bool = True
) -> Cluster:
    """What a run asks of the cluster: the profile's defaults, a YAML file over them, and KEY=VALUE over both.

    Args:
        profile: gpu or cpu; the file's own without it, and gpu if that says nothing.
        file: YAML with the keys of `Cluster`.
        assignments: 'queue=team-a', 'attack.gpu_count=2', 'all.memory=8Gi'; lists and objects as JSON.
        cache: whether any step may take the result of an equal earlier one.

    Raises:
        ConfigurationError: for an unknown stage or key, a value out of range, or a file that cannot be read.
    """
    values: dict[str, Any] = loading.read_file(Path(file)) if file else {}
    for assignment in assignments:
        values = loading.merged(values, _assigned(assignment))
    if profile is not None:
        values["profile"] = profile
    given = values.pop("stages", {})
    try:
        head = Cluster.model_validate(values)
    except ValidationError as error:
        raise explain(error, "resources") from error
    return head.model_copy(update={"stages": _by_stage(head.profile, given, cache=cache)})


def _by_stage(profile: str, given: Any, *, cache: bool) -> dict[str, Resources]:
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"resources: expected stages below 'stages', got {given!r}")
    known = (*STAGES, FINISH)
    if unknown := sorted(set(given) - {*known, ALL}, key=str):
        raise ConfigurationError(f"resources: expected one of {', '.join((ALL, *known))}, got {unknown[0]!r}")
    return {stage: _of_stage(stage, _DEFAULTS[profile], given, cache) for stage in known}


def _of_stage(stage: str, defaults: Mapping[str, Any], given: Mapping[str, Any], cache: bool) -> Resources:
    values: dict[str, Any] = {}
    for layer in (defaults.get(ALL), defaults.get(stage), _ALWAYS.get(stage), given.get(ALL), given.get(stage)):
        if layer is not None and not isinstance(layer, Mapping):
            raise ConfigurationError(f"resources: {stage}: expected keys and values, got {layer!r}")
        values |= layer or {}
    try:
        asked = Resources.model_validate(values)
    except ValidationError as error:
        raise explain(error, f"resources: {stage}") from error
    return asked if cache else asked.model_copy(update={"cache": False})


def _assigned(assignment: str) -> dict[str, Any]:
    key, equals, text = assignment.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path) or len(path) > 2:
        raise ConfigurationError(f"--resources: expected a file, KEY=VALUE or STAGE.KEY=VALUE, got {assignment!r}")
    value = _json(assignment, text) if text[:1] in ("[", "{") else text
    return loading.nested(["stages", *path] if len(path) == 2 else path, value)


def _no_number(name: str) -> float:
    raise ValueError(f"expected a number that JSON has, got {name}")


def _json(assignment: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"--resources: expected JSON after '=', got {assignment!r}: {error}") from error
