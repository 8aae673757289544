"""A stage of earlier runs again, as a run of one step on the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from defensive_distillation.runtime.kubeflow.again import Request
from defensive_distillation.runtime.unfinished import AUTOMATIC
from defensive_distillation_pipelines.cluster.runs import Run, Runs
from defensive_distillation_pipelines.cluster.submission import submit
from defensive_distillation_pipelines.definitions.package import package
from defensive_distillation_pipelines.definitions.rerun import rerun_of
from defensive_distillation_pipelines.definitions.resources import Cluster


def again(
    runs: Runs,
    stage: str,
    earlier: Sequence[Run],
    model: str,
    changes: Mapping[str, Any],
    *,
    name: str,
    cluster: Cluster,
    work: str = AUTOMATIC,
) -> Run:
    """Starts a run of `stage` alone, where the first was, on the inputs that it had there, or a report over several.

    Args:
        runs: where.
        stage: its name.
        earlier: the runs; MLflow tells the step where their artifacts lie.
        model: label of the network, '' for the sweep as a whole.
        changes: of the settings that the stage had.
        name: of the rerun, which stands in MLflow beside the first run.
        cluster: what the step asks for.
        work: where its unfinished work goes; 'auto' is beside the artifacts.

    Raises:
        ClusterError: if Kubeflow Pipelines is not reached or refuses.
    """
    request = Request(runs=tuple(run.id for run in earlier), model=model, changes=dict(changes))
    made = package(rerun_of(stage, request, name=name, cluster=cluster, work=work))
    title = f"{name} of {', '.join(run.name for run in earlier)}"
    return submit(
        runs,
        made,
        experiment=earlier[0].experiment,
        name=title,
        pipeline_root=earlier[0].pipeline_root,
        service_account=cluster.service_account or earlier[0].service_account,
    )
