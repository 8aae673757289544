"""The way to MLflow: a client with time limits, the experiment, and whatever goes wrong as one line."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from defensive_distillation.addresses import shown, without_secrets
from defensive_distillation.alarm import ended_within
from defensive_distillation.errors import DefensiveDistillationError, InputError, TrackingError
from defensive_distillation.tracking import database

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "defensive-distillation"
LONGEST_NAME = 500  # characters of an experiment's name in MLflow
TIME_LIMIT = 60  # seconds until a server that does not answer, or not to the end, has failed a stage
TRANSFER_LIMIT = 600  # seconds for files
_TRANSFERS = {"log_artifact", "log_artifacts", "log_model_artifacts", "download_artifacts"}
_SETTINGS = {  # of MLflow, where the user has set no others
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # three attempts of ten seconds and the pauses between them, in TIME_LIMIT
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would tell mlflow.org of every run
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def connect(uri: str) -> MlflowClient:
    """A client of the server or database at `uri`, which says nothing of its own.

    Raises:
        TrackingError: if there is no database and none can be made.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own imports
        from mlflow import MlflowClient
    for name in ("alembic", "mlflow.store.db.utils"):  # they tell of every table of a new database
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells of every attempt
    if place := database.place_of(uri):
        database.prepare(place)
    return cast("MlflowClient", _Punctual(MlflowClient(tracking_uri=uri)))


class _Punctual:
    """A client each of whose calls ends in time, however often it asks and however slowly the server answers.

    MLflow's own limits are those of one attempt's silence: a server that trickles, or that asks for a long pause before
    the next attempt, keeps them.
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        limit = TRANSFER_LIMIT if name in _TRANSFERS else TIME_LIMIT
        return _limited(limit, found) if callable(found) else found


def _limited(seconds: float, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, in which TimeoutError is raised after `seconds`."""

    def limited(*arguments: Any, **named: Any) -> Any:
        with ended_within(seconds):
            return call(*arguments, **named)

    return limited


def experiment(client: MlflowClient, uri: str) -> str:
    """The id of the experiment that MLFLOW_EXPERIMENT_NAME names, which is made if there is none."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    if not 0 < len(name) <= LONGEST_NAME:
        shown = f"{len(name)} characters" if name else "none"
        raise InputError(f"MLFLOW_EXPERIMENT_NAME: expected a name of up to {LONGEST_NAME} characters, got {shown}")
    known = client.get_experiment_by_name(name)
    if known and known.lifecycle_stage != "active":
        raise InputError(
            f"MLFLOW_EXPERIMENT_NAME: expected an experiment that is not deleted, got {name!r}; 'mlflow experiments "
            f"restore --experiment-id {known.experiment_id}' brings it back, or another name makes another one"
        )
    if known:
        return str(known.experiment_id)
    place = None
    if file := database.place_of(uri):  # MLflow would put the files into whatever folder a step runs in
        place = (file.absolute().parent / database.FILES).as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except Exception:
        known = client.get_experiment_by_name(name)  # another step was faster
        if known is None:
            raise
        return str(known.experiment_id)


_UNTOLD = "did not take the results"
_LATER = "no artifact is lost, run the stage again when it is up"
_MENDED = "no artifact is lost, run the stage again when that is mended"


@contextmanager
def reported(uri: str, fault: str = _UNTOLD, then: str = "") -> Iterator[None]:
    """Turns whatever MLflow raises in the block into one line that names the server.

    Args:
        uri: of the server.
        fault: what it did not do.
        then: what that means; by default when the stage can be run again.

    Raises:
        TrackingError: if MLflow raised something.
    """
    try:
        yield
    except DefensiveDistillationError:
        raise
    except Exception as error:
        silence = _silence(error)
        reason = silence or without_secrets(str(error).strip().split("\n")[0]).rstrip(".")[:300]
        later = _LATER if silence or _is_down(error) else _MENDED
        raise TrackingError(f"MLflow at {shown(uri)} {fault}: {reason}; {then or later}") from error


def _silence(error: BaseException) -> str:
    """Why a server cannot be reached, not what three libraries say about it; '' where it has answered."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ConnectionError, TimeoutError, socket.gaierror)):
            return f"no answer ({cause.strerror or cause})"
        cause = cause.__cause__ or cause.__context__
    return ""


def _is_down(error: Exception) -> bool:
    """Whether a server has answered that it cannot answer now."""
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException) and error.get_http_status_code() >= 500
