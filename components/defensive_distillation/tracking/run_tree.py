"""The runs of a sweep in MLflow: one parent, and below it one child a model, found again by tags."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from defensive_distillation import __version__, provenance
from defensive_distillation.addresses import shown
from defensive_distillation.errors import InputError
from defensive_distillation.model_id import ModelId
from defensive_distillation.tracking import views
from defensive_distillation.tracking.client import connect, experiment, reported
from defensive_distillation.tracking.mlflow_runs import Run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as StoredRun

SETTLING = 2.0  # seconds after which a run that another process has made at the same moment is seen
_PARENT = "mlflow.parentRunId"
_PIPELINE_RUN = "defdistill.pipeline_run"  # what all runs of a sweep are found by, also the one that Kubeflow has made
_SWEEP = {"defdistill.kind": "sweep"}
_IDENTITY = "defdistill.identity"  # a digest of the parent and the name, which may hold any character
_ATTEMPT = "defdistill.attempt"  # whose run it is: a request that is sent twice makes two


class RunTree:
    """The parent run of a sweep and its children."""

    def __init__(
        self,
        uri: str,
        pipeline_run: str,
        *,
        parent: str = "",
        below: str = "",
        step: str = "",
        rerun: str = "",
        alone: bool = False,
    ) -> None:
        """Connects, and finds or makes the parent run where its id is not given.

        Args:
            uri: of the tracking server or database.
            pipeline_run: name of the pipeline run; the parent is found again by it.
            parent: id of the parent run; nothing is looked for then.
            below: id of a run that Kubeflow's own integration has made; the topmost run above it is the parent then.
            step: id of the run that Kubeflow's own integration has made for this step.
            rerun: name of a rerun: what it records stands on children of its own, beside those of the first run.
            alone: no other process makes runs of this sweep at the same time.

        Raises:
            InputError: if the server does not know the run `parent` or `below`.
            TrackingError: if the server does not answer within client.TIME_LIMIT seconds.
        """
        self.uri = uri
        self.pipeline_run = pipeline_run
        self.rerun = rerun
        self.alone = alone
        self._children: dict[str, Run] = {}
        with reported(uri):
            self.client = connect(uri)
            self.step = Run(self.client, step, uri) if step else None
            if parent or below:
                known = self._told(parent or below)
                self.parent_id = parent or root(self.client, below)
                known = known if self.parent_id == known.info.run_id else self.client.get_run(self.parent_id)
                self.experiment_id = str(known.info.experiment_id)
                if below and _PIPELINE_RUN not in known.data.tags:
                    self.parent.tags({**_SWEEP, _PIPELINE_RUN: pipeline_run})
            else:
                self.experiment_id = experiment(self.client, uri)
                self.parent_id = self._known_or_made(pipeline_run, _SWEEP)
            views.save(self.client, self.client.get_experiment(self.experiment_id))

    @property
    def parent(self) -> Run:
        """The parent run, also of a rerun."""
        return Run(self.client, self.parent_id, self.uri)

    def sweep(self) -> Run:
        """Where the sweep as a whole is recorded: the parent run, or of a rerun a child of its own."""
        return self._child(self.rerun, {"defdistill.kind": "rerun"}) if self.rerun else self.parent

    def model(self, model: ModelId) -> Run:
        """The child run of a model and its teacher, or of a rerun a child of its own."""
        name = f"{model.label} {self.rerun}".strip()
        temperature = f"{model.temperature:g}"
        tags = {"defdistill.kind": "model", "defdistill.model": name, "defdistill.temperature": temperature}
        return self._child(name, tags)

    def children(self) -> list[StoredRun]:
        """All runs that this project has made below the parent; of a rerun its own."""
        found = self.client.search_runs([self.experiment_id], f"tags.`{_PARENT}` = '{self.parent_id}'")
        return [run for run in found if _IDENTITY in run.data.tags and run.info.run_name.endswith(self.rerun)]

    def _told(self, run_id: str) -> StoredRun:
        """The run that the environment names."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise InputError(
                f"MLFLOW_RUN_ID or DEFDISTILL_MLFLOW_PARENT: expected a run that MLflow at "
                f"{shown(self.uri)} knows, got {run_id!r}"
            ) from error

    def _child(self, name: str, tags: Mapping[str, str]) -> Run:
        if name not in self._children:
            with reported(self.uri):
                run_id = self._known_or_made(name, {**tags, _PARENT: self.parent_id})
            self._children[name] = Run(self.client, run_id, self.uri)
        return self._children[name]

    def _known_or_made(self, name: str, tags: Mapping[str, str]) -> str:
        """The run of this name and parent; of several that are made at once all processes take the same.

        MLflow has nothing that only one of two can do. So whoever makes a run, or sees one that was made this moment,
        looks again when all are to be seen: the first by start and id stands, and whoever made others deletes them. One
        attempt may have made two, where the answer to its request was lost.
        """
        identity = hashlib.sha256(json.dumps([tags.get(_PARENT, ""), name]).encode()).hexdigest()[:32]
        attempt, made = uuid.uuid4().hex, False
        runs = self._search(identity)
        if not runs:
            named = {"mlflow.runName": name, _PIPELINE_RUN: self.pipeline_run, _IDENTITY: identity, _ATTEMPT: attempt}
            self.client.create_run(self.experiment_id, tags={**tags, **named, **self._source()})
            runs, made = self._search(identity), True
        if not self.alone and time.time() - runs[0].info.start_time / 1000 < SETTLING:
            time.sleep(SETTLING)
            runs = self._search(identity)
        first: str = runs[0].info.run_id
        for run in runs[1:] if made else ():
            if run.data.tags.get(_ATTEMPT) == attempt:
                self.client.delete_run(run.info.run_id)
        return first

    def _source(self) -> dict[str, str]:
        """Tags that say what made a run: the command here, or the pipeline; the version and the commit; who."""
        told = {
            "defdistill.version": __version__,
            "mlflow.source.name": provenance.command() or self.pipeline_run,
            "mlflow.source.type": "LOCAL" if provenance.command() else "JOB",
            "mlflow.source.git.commit": provenance.commit(),
            "mlflow.user": provenance.user(),
        }
        return {name: value for name, value in told.items() if value}

    def _search(self, identity: str) -> list[StoredRun]:
        runs = self.client.search_runs([self.experiment_id], f"tags.`{_IDENTITY}` = '{identity}'")
        return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))


def root(client: MlflowClient, run_id: str) -> str:
    """The topmost run above a run, which may be the run itself: a loop of Kubeflow's has one of its own between."""
    while above := client.get_run(run_id).data.tags.get(_PARENT):
        run_id = above
    return run_id
