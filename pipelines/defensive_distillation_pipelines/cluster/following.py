"""What submit and watch do: follow a run, say where it is seen, and end with its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defensive_distillation.errors import DefensiveDistillationError, first_line
from defensive_distillation_pipelines.cluster import connection, watching
from defensive_distillation_pipelines.cluster.connection import Access
from defensive_distillation_pipelines.cluster.planning import planned
from defensive_distillation_pipelines.cluster.progress.sources import Sources
from defensive_distillation_pipelines.cluster.runs import Run, Runs

if TYPE_CHECKING:
    from rich.console import RenderableType


def follow(access: Access, runs: Runs, run: Run) -> Run:
    """Shows the progress of a run until it ends.

    Raises:
        RunFailedError: if it did not succeed.
        ClusterError: if Kubeflow Pipelines refuses.
    """
    steps = planned(runs, run)
    kubernetes, why_not = connection.kubernetes(access)
    sources = Sources(kubernetes, why_not, access.namespace, steps)
    return watching.Watch(runs, sources, steps, poll=watching.POLL).until_ended(run.id)


def link(access: Access, runs: Runs, run: Run) -> str:
    """Where people see the run."""
    return f"{access.ui or runs.server.url}/#/runs/details/{run.id}"


def results(run: Run) -> list[RenderableType]:
    """The table of a run that has succeeded, from MLflow; else where to look."""
    from defensive_distillation.evaluation.results import Evaluation
    from defensive_distillation.tracking.connection import tracking_uri
    from defensive_distillation.tracking.sweeps import recorded_sweep
    from defensive_distillation_pipelines.display import tables

    uri = tracking_uri()
    if not uri:
        return ["table:   set MLFLOW_TRACKING_URI to see it here; it is in the report, an artifact of the last step"]
    try:
        with recorded_sweep(uri, run.id).evaluations() as found:
            table = tables.of_sweep([Evaluation.model_validate(one.facts["evaluation"]) for one in found])
        return [*table, *report(run)]
    except DefensiveDistillationError as error:
        return [f"table:   not read: {first_line(error)}; it is in the report, an artifact of the last step"]


def report(run: Run) -> list[str]:
    """Where the last report of a run or over it lies, as MLflow tells; nothing where that is not known."""
    from defensive_distillation.tracking.connection import tracking_uri
    from defensive_distillation.tracking.lineage import newest

    try:
        place = newest(run.id, "report") if tracking_uri() else ""
    except DefensiveDistillationError:
        return []
    return [f"report:  {place}"] if place else []
