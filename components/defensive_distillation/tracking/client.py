"""The way to MLflow: a client with time limits, the experiment, and whatever goes wrong as one line."""

from __future__ import annotations

import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from defensive_distillation.errors import DefensiveDistillationError, TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "defensive-distillation"
TIME_LIMIT = 60  # seconds until a server that does not answer has failed a stage
_SETTINGS = {  # of MLflow, where the user has set no others
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # three attempts of ten seconds and the pauses between them
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would tell mlflow.org of every run
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def connect(uri: str) -> MlflowClient:
    """A client of the server or database at `uri`, which says nothing of its own."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own imports
        from mlflow import MlflowClient
    for name in ("alembic", "mlflow.store.db.utils"):  # they tell of every table of a new database
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells of every attempt
    return MlflowClient(tracking_uri=uri)


def experiment(client: MlflowClient, uri: str) -> str:
    """The id of the experiment that MLFLOW_EXPERIMENT_NAME names, which is made if there is none."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    known = client.get_experiment_by_name(name)
    if known:
        return str(known.experiment_id)
    place = None
    if uri.startswith("sqlite:///"):  # MLflow would put the files into whatever folder a step runs in
        place = (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except Exception:
        known = client.get_experiment_by_name(name)  # another step was faster
        if known is None:
            raise
        return str(known.experiment_id)


_UNTOLD = "did not take the results"
_LATER = "no artifact is lost, run the stage again when it is up"


@contextmanager
def reported(uri: str, fault: str = _UNTOLD, then: str = _LATER) -> Iterator[None]:
    """Turns whatever MLflow raises in the block into one line that names the server.

    Args:
        uri: of the server.
        fault: what it did not do.
        then: what that means.

    Raises:
        TrackingError: if MLflow raised something.
    """
    try:
        yield
    except DefensiveDistillationError:
        raise
    except Exception as error:
        raise TrackingError(f"MLflow at {without_password(uri)} {fault}: {_reason(error)}; {then}") from error


def _reason(error: BaseException) -> str:
    """Why MLflow failed; of a server that cannot be reached only that, not what three libraries say about it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ConnectionError, TimeoutError, socket.gaierror)):
            return f"no answer ({cause.strerror or cause})"
        cause = cause.__cause__ or cause.__context__
    return without_password(str(error).strip().split("\n")[0].rstrip(".")[:300])


def without_password(text: str) -> str:
    """Text without the passwords of its addresses."""
    return re.sub(r"://[^\s/@]+@", "://***@", text)
