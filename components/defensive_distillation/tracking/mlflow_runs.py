"""The only MLflow: one parent run a sweep, one child a model, found again by tags when a stage is repeated.

Where and as what is taken from the usual variables: MLFLOW_TRACKING_URI (without it nothing is tracked),
MLFLOW_EXPERIMENT_NAME, and MLFLOW_RUN_ID where Kubeflow's own MLflow integration opened a run for the step. KFP_RUN_ID
names the pipeline run. A server that does not answer fails the stage within TIME_LIMIT seconds. With DEFDISTILL_OUTBOX
a stage leaves its records there, see outbox.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import select
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation import __version__
from defensive_distillation.errors import DefensiveDistillationError, TrackingError
from defensive_distillation.tracking.outbox import OUTBOX, Outbox, waiting
from defensive_distillation.tracking.recording import Recorder, as_text

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.entities import Run as StoredRun

EXPERIMENT = "defensive-distillation"
TIME_LIMIT = 60  # seconds until a server that does not answer has failed a stage
POLL = 0.3  # seconds between two looks into an outbox
_MAKING = 20.0  # seconds that the maker of a run has until its turn is known; after them it counts as gone
_SETTINGS = {  # of MLflow, where the user has set no others
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # three attempts of ten seconds and the pauses between them
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would tell mlflow.org of every run
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_PARENT = "mlflow.parentRunId"
_NAME = "mlflow.runName"
_KIND = "defdistill.kind"
_PIPELINE_RUN = "defdistill.pipeline_run"
_MODEL = "defdistill.model"
_IDENTITY = "defdistill.identity"  # digest of the tags that a run is found again by
_TURN = "defdistill.turn"  # decides between runs that were made at the same moment


@contextmanager
def _reported(uri: str) -> Iterator[None]:
    """Turns whatever MLflow raises into one line that names the server."""
    try:
        yield
    except DefensiveDistillationError:
        raise
    except Exception as error:
        raise TrackingError(
            f"MLflow at {_without_password(uri)} did not take the results: {_reason(error)}; no artifact is lost, "
            "run the stage again when it is up"
        ) from error


def _reason(error: BaseException) -> str:
    """Why MLflow failed; of a server that cannot be reached only that, not what three libraries say about it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ConnectionError, TimeoutError, socket.gaierror)):
            return f"no answer ({cause.strerror or cause})"
        cause = cause.__cause__ or cause.__context__
    return _without_password(str(error).strip().split("\n")[0].rstrip(".")[:300])


def _without_password(text: str) -> str:
    return re.sub(r"://[^\s/@]+@", "://***@", text)


@dataclass(frozen=True)
class Run:
    """One MLflow run; everything logged twice with the same value stands there once."""

    client: MlflowClient
    run_id: str
    uri: str = field(repr=False)  # may hold a password

    def params(self, params: Mapping[str, Any]) -> None:
        """Logs parameters that are not there yet; one that is there keeps its value."""
        from mlflow.entities import Param

        with _reported(self.uri):
            known = self.client.get_run(self.run_id).data.params
            new = [Param(name, as_text(value)) for name, value in params.items() if name not in known]
            if new:
                self.client.log_batch(self.run_id, params=new)

    def metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Logs metrics at one step; None is left out, and so is what stands there already."""
        self.curves([metrics], first_step=step)

    def curves(self, rows: Sequence[Mapping[str, float | None]], first_step: int = 1) -> None:
        """Logs one row of metrics a step, in batches; a step that is there already is left as it is.

        Where it has another value, because the stage's code has changed, the new one is added, and stands.
        """
        from mlflow.entities import Metric

        if not rows:
            return
        now = int(time.time() * 1000)
        with _reported(self.uri):
            known = {name: {metric.step: metric.value for metric in self._history(name)} for name in rows[0]}
            new = [
                Metric(name, float(value), now, step)
                for step, row in enumerate(rows, start=first_step)
                for name, value in row.items()
                if value is not None and known[name].get(step) != value
            ]
            for start in range(0, len(new), 1000):
                self.client.log_batch(self.run_id, metrics=new[start : start + 1000])

    def _history(self, name: str) -> list[Metric]:
        """All values of a metric, the one that stands last at its step."""
        return sorted(self.client.get_metric_history(self.run_id, name), key=lambda metric: metric.timestamp)

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
        self._children: dict[str, Run] = {}
        with _reported(uri):
            self.client = _client(uri)
            self.injected = self._injected()
            self.experiment_id = self.injected.info.experiment_id if self.injected else _experiment(self.client, uri)
            self.parent_id = self._parent_id()

    def sweep_run(self) -> Run:
        """The parent run of the sweep; of a rerun, a child of its own, so that the sweep stays as it was."""
        if self.rerun:
            return self._child(self.rerun, {_KIND: "rerun"})
        return Run(self.client, self.parent_id, self.uri)

    def model_run(self, label: str) -> Run:
        """The child run of a model: 'baseline' or 'T=20'; of a rerun, a child of its own."""
        name = f"{label} {self.rerun}".strip()
        return self._child(name, {_KIND: "model", _MODEL: name})

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

    def _child(self, name: str, tags: Mapping[str, str]) -> Run:
        if name not in self._children:
            with _reported(self.uri):
                run_id = self._found_or_made(name, {**tags, _PARENT: self.parent_id})
            self._children[name] = Run(self.client, run_id, self.uri)
        return self._children[name]

    def _found_or_made(self, name: str, tags: Mapping[str, str]) -> str:
        """The run of this pipeline run with these tags; of several made at once all steps take the same.

        MLflow has nothing that only one of two can do, so they queue as in Lamport's bakery: whoever has made a run
        takes a turn after all that it sees, waits for those that are about to take theirs, and the first turn stands.
        """
        tags = {**tags, _PIPELINE_RUN: self.pipeline_run}
        identity = hashlib.sha256(json.dumps([name, tags], sort_keys=True).encode()).hexdigest()[:32]
        found = self._queue(identity)
        if found:
            return found[0]
        tags = {**tags, _NAME: name, _IDENTITY: identity, "defdistill.version": __version__}
        made: str = self.client.create_run(self.experiment_id, tags=tags).info.run_id
        turn = 1 + max(_turn(run) or 0 for run in self._find(identity))
        self.client.set_tag(made, _TURN, turn)
        first = self._queue(identity)[0]
        if first != made:
            self.client.delete_run(made)
        return first

    def _queue(self, identity: str) -> list[str]:
        """Runs in the order of their turns; one that has none yet is waited for."""
        deadline = time.monotonic() + _MAKING
        while True:
            runs = self._find(identity)
            made = [run.info.start_time / 1000 for run in runs if _turn(run) is None]
            if all(time.time() - start > _MAKING for start in made) or time.monotonic() > deadline:
                return [run.info.run_id for run in runs if _turn(run) is not None]
            time.sleep(0.1)

    def _find(self, identity: str) -> list[StoredRun]:
        runs = self.client.search_runs([self.experiment_id], f"tags.`{_IDENTITY}` = '{identity}'")
        return sorted(runs, key=lambda run: (_turn(run) or 0, run.info.run_id))


def _turn(run: StoredRun) -> int | None:
    turn = run.data.tags.get(_TURN)
    return None if turn is None else int(turn)


def tracker(pipeline_run: str | None = None, *, rerun: str = "") -> Recorder | None:
    """The tracker or outbox that the environment asks for, or None without MLFLOW_TRACKING_URI.

    Raises:
        TrackingError: if the server does not answer.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return None
    run = pipeline_run or os.environ.get("KFP_RUN_ID") or "single-stages"
    outbox = os.environ.get(OUTBOX)
    return Outbox(Path(outbox), run, rerun) if outbox else Tracker(uri, run, rerun=rerun)


def prepare(uri: str) -> None:
    """Makes a database and its experiment before the first step: several processes at once would fail at it."""
    with _reported(uri):
        _experiment(_client(uri), uri)


def _client(uri: str) -> MlflowClient:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own imports
        from mlflow import MlflowClient
    for name in ("alembic", "mlflow.store.db.utils"):  # they tell of every table of a new database
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells of every attempt
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


def deliver(uri: str, folder: Path) -> None:
    """Takes what an outbox holds to MLflow, until the standard input ends and nothing waits any more.

    Raises:
        TrackingError: if the server does not answer; what waits keeps waiting.
    """
    prepare(uri)
    trackers: dict[tuple[str, str], Tracker] = {}
    ended = False
    while not ended:
        ended = bool(select.select([sys.stdin], [], [], POLL)[0])
        for letter in waiting(folder):
            key = letter.pipeline_run, letter.rerun
            if key not in trackers:
                trackers[key] = Tracker(uri, letter.pipeline_run, rerun=letter.rerun)
            letter.deliver(trackers[key])


def main(arguments: Sequence[str]) -> None:
    """`python -m defensive_distillation.tracking.mlflow_runs URI OUTBOX`: delivers until the standard input ends."""
    uri, folder = arguments
    try:
        deliver(uri, Path(folder))
    except TrackingError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main(sys.argv[1:])
