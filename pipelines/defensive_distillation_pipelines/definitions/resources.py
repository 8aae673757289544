"""What each step asks of the cluster: GPUs, processors, memory, nodes, retries and caching.

GPUs, processors, memory and nodes become parameters of the pipeline, which a run may set; retries and caching are
written into it when it is compiled, since Kubeflow has no parameters for them. The local runner asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from defensive_distillation.config import STAGES, explain
from defensive_distillation.errors import ConfigurationError


class Resources(BaseModel):
    """What a step asks of the cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu_type: str = Field("nvidia.com/gpu", description="Resource name of the GPU.")
    gpu_count: str = Field("0", pattern=r"^\d+$", description="Number of GPUs, '0' for none.")
    cpu: str = Field("2", pattern=r"^(\d*\.)?\d+m?$", description="Processors, as Kubernetes counts them.")
    memory: str = Field("4Gi", pattern=r"^\d+([EPTGMK]i?)?$", description="Memory, as Kubernetes counts it.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of the nodes to run on.")
    tolerations: list[dict[str, Any]] = Field(default_factory=list, description="Taints to tolerate.")
    retries: int = Field(2, ge=0, description="How often a failed step is tried again.")
    cache: bool = Field(True, description="Whether Kubeflow may take the result of an equal earlier step.")


RUNTIME = ("gpu_type", "gpu_count", "cpu", "memory", "node_selector", "tolerations")
_ON_A_GPU = {"gpu_count": "1", "cpu": "4", "memory": "16Gi"}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "prepare_data": {"memory": "8Gi"},
    "train_teacher": _ON_A_GPU,
    "generate_soft_labels": _ON_A_GPU,
    "train_student": _ON_A_GPU,
    "train_defended": _ON_A_GPU,
    "scale_logits": {},
    "attack": _ON_A_GPU,
    "evaluate": _ON_A_GPU,
    "report": {"cache": False},  # it also records models that were taken from the cache
    "gate": {"cache": False},  # the champion is looked for when it runs
}


def resources(changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Resources]:
    """The resources of every stage, with `changes` over the defaults.

    Raises:
        ConfigurationError: for an unknown stage or key, or a value out of range.
    """
    unknown = set(changes) - set(STAGES)
    if unknown:
        raise ConfigurationError(f"resources: expected one of {', '.join(STAGES)}, got {min(unknown)!r}")
    return {stage: _of_stage(stage, changes.get(stage, {})) for stage in STAGES}


def _of_stage(stage: str, changes: Mapping[str, Any]) -> Resources:
    try:
        return Resources.model_validate({**_DEFAULTS[stage], **changes}, strict=False)
    except ValidationError as error:
        raise explain(error, f"resources: {stage}") from error
