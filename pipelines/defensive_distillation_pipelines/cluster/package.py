"""A compiled pipeline as it is handed over: its text, its name, its version, and the steps that it will take.

This is the only module of the room that compiles.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from defensive_distillation.config import STAGES, ExperimentConfig
from defensive_distillation.errors import DefensiveDistillationError
from defensive_distillation_pipelines.definitions.plan import PlannedStep, plan

_DIGEST = 12  # characters that tell one version from another


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
        name: the pipeline's.
        text: YAML, the same for the same definition.
    """

    name: str
    text: str

    @property
    def version(self) -> str:
        """The name of the pipeline's version: a digest of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:_DIGEST]


def sweep_package(config: ExperimentConfig, *, cache: bool = True) -> Package:
    """The sweep, compiled for a cluster.

    Args:
        config: its settings.
        cache: whether Kubeflow may take results of equal earlier steps. What is said when a run is submitted does not
            reach steps inside loops, so it is compiled in.
    """
    from defensive_distillation_pipelines.definitions.resources import resources
    from defensive_distillation_pipelines.definitions.sweep import compiled, sweep

    changes: dict[str, dict[str, Any]] = {} if cache else {stage: {"cache": False} for stage in STAGES}
    text = compiled(sweep(config, resources=resources(changes)))
    return Package(next(yaml.safe_load_all(text))["pipelineInfo"]["name"], text)


def steps_of(specification: Mapping[str, Any], parameters: Mapping[str, Any]) -> Sequence[PlannedStep]:
    """The steps of a pipeline as Kubeflow stores it; none of one that is not ours or of another version's stages.

    Args:
        specification: of the pipeline.
        parameters: of the run, which stand before the pipeline's defaults.
    """
    pipeline = json.loads(json.dumps(specification.get("pipeline_spec", specification)))
    try:
        given = pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
        for name, value in parameters.items():
            given.setdefault(name, {})["defaultValue"] = value
        return plan(pipeline)
    except (KeyError, TypeError, AttributeError, DefensiveDistillationError):
        return ()
