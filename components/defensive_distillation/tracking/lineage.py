"""Where the artifacts of an earlier run lie, as its runs in MLflow say, and which of them is the sweep's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defensive_distillation.addresses import shown
from defensive_distillation.errors import InputError, TrackingError
from defensive_distillation.tracking.client import connect, reported
from defensive_distillation.tracking.connection import tracking_uri
from defensive_distillation.tracking.run_tree import root

if TYPE_CHECKING:
    from mlflow.entities import Run

_TAGS = ("defdistill.artifact.", "defdistill.behind.")


def locations(pipeline_run: str) -> list[str]:
    """The locations of all artifacts that the runs of a pipeline run name, each once.

    Raises:
        InputError: if MLflow knows no such run.
        TrackingError: if the server does not answer, or none is named.
    """
    named = [
        place
        for run in _runs(pipeline_run)
        for name, value in sorted(run.data.tags.items())
        if name.startswith(_TAGS)
        for place in value.split("\n")
    ]
    return list(dict.fromkeys(named))


def newest(pipeline_run: str, name: str) -> str:
    """Where the artifact lies that was recorded last under a name in tags, such as 'report'; '' if none was.

    'attack' is any of the names that begin so, such as 'attack.jsma'.

    Raises what `locations` does.
    """
    tag = f"{_TAGS[0]}{name}"
    found = [
        place
        for run in _runs(pipeline_run)
        for name, place in sorted(run.data.tags.items())
        if name == tag or name.startswith(f"{tag}.")
    ]
    return str(found[-1]) if found else ""


def made(pipeline_run: str) -> set[tuple[str, str]]:
    """What is made: the model's label, '' for the sweep as a whole, and the artifact's name in its tags.

    Raises what `locations` does.
    """
    return {
        (run.data.tags.get("defdistill.model", ""), name.removeprefix(_TAGS[0]))
        for run in _runs(pipeline_run)
        for name in run.data.tags
        if name.startswith(_TAGS[0])
    }


def parent(pipeline_run: str) -> str:
    """The id of the sweep's run in MLflow; raises what `locations` does."""
    return str(_runs(pipeline_run)[0].info.run_id)


def _runs(pipeline_run: str) -> list[Run]:
    """The sweep's run, which Kubeflow's integration may have made in an experiment of its own, and its networks'."""
    uri = tracking_uri()
    if not uri:
        raise TrackingError("rerun: expected MLFLOW_TRACKING_URI, where the runs say what they have made, got none")
    with reported(uri):
        client = connect(uri)
        quote = '"' if "'" in pipeline_run else "'"
        condition = f"tags.`defdistill.pipeline_run` = {quote}{pipeline_run}{quote}"
        experiments = [str(experiment.experiment_id) for experiment in client.search_experiments()]
        runs = client.search_runs(experiments, condition, order_by=["attributes.start_time ASC"])
        if not runs:
            raise InputError(f"rerun: expected a run that MLflow at {shown(uri)} knows, got {pipeline_run!r}")
        top = root(client, runs[0].info.run_id)
        return [client.get_run(top), *(run for run in runs if run.info.run_id != top)]
