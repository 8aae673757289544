"""The object store and MLflow, asked as a step would ask them."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Mapping

from defensive_distillation.artifacts import storage
from defensive_distillation.errors import ClusterError, DefensiveDistillationError, first_line
from defensive_distillation_pipelines.cluster.doctor.finding import Finding, missing, ok, unknown
from defensive_distillation_pipelines.cluster.server import RefusedError, Server

_STORE = "object store"
_TRACKING = "MLflow"
_INSIDE = "not looked at from here: helm test does"
_EXPERIMENT = "/api/2.0/mlflow/experiments/get-by-name"


def store(place: str, *, inside: bool) -> Finding:
    """Whether an object can be written below a place, read and removed, by the credentials of the environment."""
    location = f"s3://{place.partition('://')[2]}" if place.startswith("minio://") else place
    if not location.startswith("s3://"):
        return unknown(_STORE, f"{place}: only s3:// and minio:// can be looked at")
    if not inside and not any(
        os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_ACCESS_KEY_ID")
    ):
        return unknown(_STORE, _INSIDE)
    name = storage.join(location.partition("?")[0], f"doctor-{uuid.uuid4().hex}")
    try:
        _written_and_read(name)
    except DefensiveDistillationError as error:
        return missing(
            _STORE, first_line(error), "check endpoint and keys (the chart's storage and secret) and the bucket"
        )
    return ok(_STORE, f"an object was written below {location}, read and removed")


def _written_and_read(name: str) -> None:
    content = name.encode()
    storage.write_bytes(name, content)
    try:
        if storage.read_bytes(name) != content:
            raise ClusterError(f"{name}: expected what was written, got something else")
    finally:
        storage.remove(name)


def tracking(variables: Mapping[str, str], *, inside: bool) -> Finding:
    """Whether MLflow answers, and takes the name that steps call it by.

    MLflow refuses names that it was not told of with 403, but not on /health.

    Args:
        variables: of this process inside a cluster, else what the steps have.
        inside: whether this process is where steps are.
    """
    uri = variables.get("MLFLOW_TRACKING_URI", "")
    if not uri and not inside:
        return unknown(_TRACKING, _INSIDE)
    if not uri:
        return missing(
            _TRACKING, "MLFLOW_TRACKING_URI is not set: steps record nothing", "set the chart's tracking.uri"
        )
    if not inside:
        return unknown(_TRACKING, f"{uri}: {_INSIDE}")
    if not uri.startswith(("http://", "https://")):
        return unknown(_TRACKING, f"{uri}: only servers can be looked at")
    server = Server(_TRACKING, uri, headers=lambda: _credentials(variables), hint="check tracking.uri and that it runs")
    try:
        server.get(_EXPERIMENT, experiment_name=variables.get("MLFLOW_EXPERIMENT_NAME", "Default"))
    except RefusedError as error:
        if error.status == 404 and error.reason:  # no such experiment yet: the first run makes it
            return ok(_TRACKING, f"{uri} answers")
        if error.status == 403 and not error.reason:
            host = uri.partition("://")[2].partition("/")[0]
            return missing(_TRACKING, f"{uri} refuses the name {host}", f"start MLflow with {host} in --allowed-hosts")
        return missing(
            _TRACKING, first_line(error), "check tracking.uri and MLFLOW_TRACKING_USERNAME, _PASSWORD or _TOKEN"
        )
    except ClusterError as error:
        return missing(_TRACKING, first_line(error), "steps wait for it and fail")
    return ok(_TRACKING, f"{uri} answers")


def _credentials(variables: Mapping[str, str]) -> dict[str, str]:
    """As MLflow's own client sends them."""
    name, password = (variables.get(f"MLFLOW_TRACKING_{what}") for what in ("USERNAME", "PASSWORD"))
    if name and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}
    token = variables.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
