"""What submit and watch do: follow a run, say where it is seen, and end with its table."""

from __future__ import annotations

from typing import Any

from defensive_distillation.artifacts.facts import evaluation_of
from defensive_distillation.errors import DefensiveDistillationError, first_line
from defensive_distillation_pipelines.cluster import connection, watching
from defensive_distillation_pipelines.cluster.connection import Access
from defensive_distillation_pipelines.cluster.planning import planned
from defensive_distillation_pipelines.cluster.progress.sources import Sources
from defensive_distillation_pipelines.cluster.runs import Run, Runs
from defensive_distillation_pipelines.display.told import Told


def follow(access: Access, runs: Runs, run: Run, *, quiet: bool = False) -> Run:
    """Shows the progress of a run until it ends, unless `quiet`.

    Raises:
        RunFailedError: if it did not succeed.
        ClusterError: if Kubeflow Pipelines refuses.
    """
    steps = planned(runs, run)
    kubernetes, why_not = connection.kubernetes(access)
    sources = Sources(kubernetes, why_not, access.namespace, steps)
    return watching.Watch(runs, sources, steps, poll=watching.POLL, quiet=quiet).until_ended(run.id)


def link(access: Access, runs: Runs, run: Run) -> str:
    """Where people see the run."""
    return f"{access.ui or runs.server.url}/#/runs/details/{run.id}"


def results(run: Run) -> Told:
    """The table of a run that has succeeded, from MLflow; else where to look."""
    from defensive_distillation.tracking.connection import tracking_uri
    from defensive_distillation.tracking.sweeps import recorded_sweep
    from defensive_distillation_pipelines.display import tables

    uri = tracking_uri()
    if not uri:
        return _no_table(run, "set MLFLOW_TRACKING_URI to see it here")
    try:
        with recorded_sweep(uri, run.id).evaluations() as found:
            evaluations = [evaluation_of(one.location, one.facts) for one in found]
    except DefensiveDistillationError as error:
        return _no_table(run, f"not read: {first_line(error)}")
    place = newest(run, "report")
    document = {**_of_run(run), **tables.as_document(evaluations), "report": place or None}
    return Told([*tables.of_sweep(evaluations), *report(run)], document)


def numbers(earlier: Run, run: Run, stage: str) -> Told:
    """What a rerun of a stage beside an earlier run has found, as far as its artifact can be read from here."""
    from defensive_distillation import artifacts
    from defensive_distillation_pipelines.display.numbers import of_artifact

    try:
        place = newest(earlier, stage)
        found = of_artifact(artifacts.stored(place)) if place else Told([], {})
    except DefensiveDistillationError as error:
        found = Told([f"numbers: not read: {first_line(error)}"], {})
    return Told(found.result, {**_of_run(run), "rerun_of": earlier.id, **found.document})


def _no_table(run: Run, why: str) -> Told:
    return Told([f"table:   {why}; it is in the report, an artifact of the last step"], {**_of_run(run), "table": why})


def _of_run(run: Run) -> dict[str, Any]:
    return {"run": run.id, "name": run.name}


def report(run: Run) -> list[str]:
    """Where the last report of a run or over it lies, as MLflow tells; nothing where that is not known."""
    place = newest(run, "report")
    return [f"report:  {place}"] if place else []


def newest(run: Run, stage: str) -> str:
    """Where the artifact lies that a stage made last for a run, as MLflow tells; '' where that is not known."""
    from defensive_distillation.tracking.connection import tracking_uri
    from defensive_distillation.tracking.lineage import newest

    try:
        return newest(run.id, stage) if tracking_uri() else ""
    except DefensiveDistillationError:
        return ""
