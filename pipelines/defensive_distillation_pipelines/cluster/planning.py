"""The steps that a run on a cluster will take, read off the pipeline that Kubeflow has of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from defensive_distillation.errors import ClusterError, DefensiveDistillationError
from defensive_distillation_pipelines.cluster.runs import API, Run, Runs
from defensive_distillation_pipelines.definitions.plan import PlannedStep, plan


def planned(runs: Runs, run: Run) -> Sequence[PlannedStep]:
    """The steps that the run will take, as its pipeline's version says; none where it can't be read."""
    specification = run.specification
    pipeline, version = run.version
    if version:
        try:
            stored = runs.server.get(f"{API}/pipelines/{pipeline}/versions/{version}")
        except ClusterError:
            return ()
        specification = stored.get("pipeline_spec", {})
    return steps_of(specification, run.parameters)


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
    except (KeyError, TypeError, AttributeError, ValueError, DefensiveDistillationError):
        return ()
