"""One stage again: one step that is told where its inputs lie, or of which runs, and fetches them itself.

Kubeflow's importers would bring them, but inside a loop they never end on a cluster (kubeflow/pipelines#10860).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kfp import dsl

from defensive_distillation.config import stage_config
from defensive_distillation.runtime.kubeflow.again import Request
from defensive_distillation.runtime.unfinished import AUTOMATIC
from defensive_distillation_pipelines.definitions.asking import ask
from defensive_distillation_pipelines.definitions.components import LOCAL_IMAGE, repeating
from defensive_distillation_pipelines.definitions.resources import Cluster


def rerun(stage: str, inputs: Mapping[str, Sequence[str]], settings: Mapping[str, Any], *, work: str, name: str) -> Any:
    """The pipeline that runs `stage` alone on this machine.

    Args:
        stage: its name.
        inputs: locations of the artifacts it reads, by the stage's names.
        settings: of the stage.
        work: folder or s3:// prefix for unfinished work.
        name: of the rerun, recorded beside the first run.
    """
    request = Request(inputs={key: tuple(places) for key, places in inputs.items()}, settings=dict(settings))
    stage_config(stage, settings)
    return _pipeline(stage, request, {"work": work, "rerun": name}, None, LOCAL_IMAGE)


def rerun_of(stage: str, request: Request, *, name: str, cluster: Cluster, work: str = AUTOMATIC) -> Any:
    """The pipeline that runs `stage` of earlier runs again on a cluster, where MLflow tells what they have made."""
    return _pipeline(stage, request, {"work": work, "rerun": name}, cluster, cluster.image)


def _pipeline(stage: str, request: Request, step: Mapping[str, str], cluster: Cluster | None, image: str) -> Any:
    def pipeline():  # KFP takes a return annotation for an output
        asked = request.model_dump(mode="json", exclude_defaults=True)
        task = repeating(image)(stage=stage, request=asked, step=dict(step))
        task.set_display_name(stage)
        if cluster is not None:
            ask(task, stage, cluster)
        task.set_caching_options(enable_caching=False)

    return dsl.pipeline(name=f"rerun-{stage.replace('_', '-')}")(pipeline)
