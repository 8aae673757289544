"""The only MLflow: one parent run a sweep, one child a model, found again by tags when a stage is repeated.

Where and as what is taken from the usual variables: MLFLOW_TRACKING_URI (without it nothing is tracked),
MLFLOW_EXPERIMENT_NAME, and MLFLOW_RUN_ID where Kubeflow's own MLflow integration opened a run for the step. KFP_RUN_ID
names the pipeline run. A server that does not answer fails the stage within TIME_LIMIT seconds.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation import __version__
from defensive_distillation.errors import DefensiveDistillationError, TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "defensive-distillation"
TIME_LIMIT = 60  # seconds until a server that does not answer has failed a stage
_HTTP_LIMITS = {  # three attempts of ten seconds and the pauses between them
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_PARENT = "mlflow.parentRunId"
_NAME = "mlflow.runName"
_KIND = "defdistill.kind"
_PIPELINE_RUN = "defdistill.pipeline_run"
_MODEL = "defdistill.model"


@contextmanager
def _reported(uri: str) -> Iterator[None]:
    """Turns whatever MLflow raises into one line that names the server."""
    try:
        yield
    except DefensiveDistillationError:
        raise
    except Exception as error:
        reason = str(error).split("\n")[0][:300]
        raise TrackingError(
            f"MLflow at {uri} did not take the results: {reason}; no artifact is lost, "
            "run the stage again when it is up"
        ) from error


@dataclass(frozen=True)
class Run:
    """One MLflow run; everything logged twice with the same value stands there once."""

    client: MlflowClient
    run_id: str
    uri: str

    def params(self, params: Mapping[str, Any]) -> None:
        """Logs parameters that are not there yet; one that is there keeps its value."""
        from mlflow.entities import Param

        with _reported(self.uri):
            known = self.client.get_run(self.run_id).data.params
            new = [Param(name, _text(value)) for name, value in params.items() if name not in known]
            if new:
                self.client.log_batch(self.run_id, params=new)

    def metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Logs metrics at one step; None is left out, and so is what stands there already."""
        self.curves([metrics], first_step=step)

    def curves(self, rows: Sequence[Mapping[str, float | None]], first_step: int = 1) -> None:
        """Logs one row of metrics a step, in batches; steps that are there already are left as they are."""
        from mlflow.entities import Metric

        if not rows:
            return
        now = int(time.time() * 1000)
        with _reported(self.uri):
            known = {
                name: {metric.step for metric in self.client.get_metric_history(self.run_id, name)} for name in rows[0]
            }
            new = [
                Metric(name, float(value), now, step)
                for step, row in enumerate(rows, start=first_step)
                for name, value in row.items()
                if value is not None and step not in known.get(name, ())
            ]
            for start in range(0, len(new), 1000):
                self.client.log_batch(self.run_id, metrics=new[start : start + 1000])

    def tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags; the last value stands."""
        from mlflow.entities import RunTag

        with _reported(self.uri):
            self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def files(self, contents: Mapping[str, bytes]) -> None:
        """Puts files at paths below the run's artifacts; one that is there is replaced."""
        with _reported(self.uri), tempfile.TemporaryDirectory() as folder:
            for name, content in contents.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self.client.log_artifacts(self.run_id, folder)

    def folder(self, folder: Path, place: str) -> None:
        """Puts a folder below the run's artifacts."""
        with _reported(self.uri):
            self.client.log_artifacts(self.run_id, str(folder), place)

    def ended(self, status: str = "FINISHED") -> None:
        """Marks the run as FINISHED, FAILED or RUNNING."""
        with _reported(self.uri):
            if status == "RUNNING":
                self.client.update_run(self.run_id, status)
            elif self.client.get_run(self.run_id).info.status != status:
                self.client.set_terminated(self.run_id, status)


class Tracker:
    """The MLflow experiment that a stage records itself in."""

    def __init__(self, uri: str, pipeline_run: str, *, rerun: str = "") -> None:
        """Connects, and finds or makes the parent run of `pipeline_run`.

        Args:
            uri: of the tracking server or database.
            pipeline_run: name of the pipeline run; the parent is found again by it.
            rerun: name of a rerun: its model then has a run of its own beside the first.

        Raises:
            TrackingError: if the server does not answer within TIME_LIMIT seconds.
        """
        self.uri = uri
        self.pipeline_run = pipeline_run
        self.rerun = rerun
        with _reported(uri):
            self.client = _client(uri)
            self.injected = self._injected()
            self.experiment_id = self.injected.info.experiment_id if self.injected else _experiment(self.client, uri)
            self.parent_id = self._parent_id()

    def sweep_run(self) -> Run:
        """The parent run of the sweep."""
        return Run(self.client, self.parent_id, self.uri)

    def model_run(self, label: str) -> Run:
        """The child run of a model: 'baseline' or 'T=20'; of a rerun, a child of its own."""
        name = f"{label} {self.rerun}".strip()
        tags = {_KIND: "model", _MODEL: name, _PARENT: self.parent_id}
        with _reported(self.uri):
            return Run(self.client, self._found_or_made(name, tags), self.uri)

    def step_run(self) -> Run | None:
        """The run that Kubeflow's integration opened for this step, if it did."""
        return Run(self.client, self.injected.info.run_id, self.uri) if self.injected else None

    def _injected(self) -> Any:
        run_id = os.environ.get("MLFLOW_RUN_ID")
        return self.client.get_run(run_id) if run_id else None

    def _parent_id(self) -> str:
        if self.injected:
            parent: str = self.injected.data.tags.get(_PARENT, self.injected.info.run_id)
            return parent
        return self._found_or_made(self.pipeline_run, {_KIND: "sweep"})

    def _found_or_made(self, name: str, tags: Mapping[str, str]) -> str:
        """The oldest run of this pipeline run with these tags; where two steps make one at once, the older stands."""
        tags = {**tags, _PIPELINE_RUN: self.pipeline_run}
        found = self._find(tags)
        if found:
            return found[0]
        made: str = self.client.create_run(
            self.experiment_id, tags={**tags, _NAME: name, "defdistill.version": __version__}
        ).info.run_id
        first = self._find(tags)[0]
        if first != made:
            self.client.delete_run(made)
        return first

    def _find(self, tags: Mapping[str, str]) -> list[str]:
        condition = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        runs = self.client.search_runs([self.experiment_id], condition, order_by=["attributes.start_time ASC"])
        return [run.info.run_id for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))]


def tracker(pipeline_run: str | None = None, *, rerun: str = "") -> Tracker | None:
    """The tracker that the environment asks for, or None without MLFLOW_TRACKING_URI.

    Raises:
        TrackingError: if the server does not answer.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return None
    return Tracker(uri, pipeline_run or os.environ.get("KFP_RUN_ID") or "single-stages", rerun=rerun)


def prepare(uri: str) -> None:
    """Makes a database and its experiment before the first step: several processes at once would fail at it."""
    with _reported(uri):
        _experiment(_client(uri), uri)


def _client(uri: str) -> MlflowClient:
    for name, value in _HTTP_LIMITS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own imports
        from mlflow import MlflowClient
    for name in ("alembic", "mlflow.store.db.utils"):  # they tell of every table of a new database
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def _experiment(client: MlflowClient, uri: str) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    place = None
    if uri.startswith("sqlite:///"):  # MLflow would put the files into whatever folder a step runs in
        place = (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except Exception:
        again = client.get_experiment_by_name(name)  # another step was faster
        if again is None:
            raise
        return str(again.experiment_id)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
