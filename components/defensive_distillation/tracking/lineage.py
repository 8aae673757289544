"""Where the artifacts of an earlier run lie, as its runs in MLflow say."""

from __future__ import annotations

from defensive_distillation.errors import InputError, TrackingError
from defensive_distillation.tracking.client import reported
from defensive_distillation.tracking.connection import tracking_uri

_TAGS = ("defdistill.artifact.", "defdistill.behind.")


def locations(pipeline_run: str) -> list[str]:
    """The locations of all artifacts that the runs of a pipeline run name, each once.

    Raises:
        InputError: if MLflow knows no such run.
        TrackingError: if the server does not answer, or none is named.
    """
    uri = tracking_uri()
    if not uri:
        raise TrackingError("rerun: expected MLFLOW_TRACKING_URI, where the runs say what they have made, got none")
    from defensive_distillation.tracking.client import connect, experiment

    with reported(uri):
        client = connect(uri)
        condition = f"tags.`defdistill.pipeline_run` = '{pipeline_run}'"
        runs = client.search_runs([experiment(client, uri)], condition, order_by=["attributes.start_time ASC"])
    if not runs:
        raise InputError(f"rerun: expected a run that MLflow at {uri} knows, got {pipeline_run!r}")
    named = [
        place
        for run in runs
        for name, value in sorted(run.data.tags.items())
        if name.startswith(_TAGS)
        for place in value.split("\n")
    ]
    return list(dict.fromkeys(named))
