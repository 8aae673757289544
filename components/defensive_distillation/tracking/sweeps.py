"""Sweeps that stand in MLflow: found by what people call them, with their evaluations and where their models lie."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Artifact
from defensive_distillation.errors import ArtifactError, InputError
from defensive_distillation.tracking.client import connect, experiment, reported

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EVALUATION = "evaluation"  # folder of a model's run that holds its evaluation whole
EXPERIMENT = "defdistill.experiment"  # tag of a sweep's run: the name of the experiment in its settings
_PARENT, _RUN, _KIND = "mlflow.parentRunId", "defdistill.pipeline_run", "defdistill.kind"


@dataclass(frozen=True)
class RecordedModel:
    """A model of a sweep as its run in MLflow tells of it."""

    run_id: str
    label: str
    place: str  # of its artifact, '' if that was not recorded


@dataclass(frozen=True)
class RecordedSweep:
    """A sweep in MLflow."""

    client: MlflowClient
    uri: str
    name: str
    parent_id: str
    experiment: str  # name of the experiment, '' where that was not recorded
    models: tuple[RecordedModel, ...]

    @contextmanager
    def evaluations(self) -> Iterator[list[Artifact]]:
        """The evaluations of its models, in a temporary folder, each checked.

        Raises:
            ArtifactError: if one is not there whole.
            TrackingError: if the server does not answer.
        """
        with tempfile.TemporaryDirectory(prefix="defdistill-") as folder:
            yield [self._evaluation(model, Path(folder)) for model in self.models]

    def _evaluation(self, model: RecordedModel, folder: Path) -> Artifact:
        place = folder / model.run_id
        place.mkdir()
        with reported(self.uri):
            if not self.client.list_artifacts(model.run_id, EVALUATION):
                raise ArtifactError(
                    f"run {self.name}: expected the evaluation of {model.label} in MLflow, found none: it is not done, "
                    "or was recorded by an earlier version"
                )
            here = self.client.download_artifacts(model.run_id, EVALUATION, str(place))
        with artifacts.opened(str(here), "evaluation") as artifact:
            return artifact


def recorded_sweep(uri: str, name: str) -> RecordedSweep:
    """The sweep called `name`: a pipeline run's name or id, an id of MLflow's, the beginning of one, or 'latest'.

    Raises:
        InputError: if there is none, or several.
        TrackingError: if the server does not answer.
    """
    with reported(uri):
        client = connect(uri)
        runs = list(_runs(client, [experiment(client, uri)]))
        try:
            parent_id, called = _found(runs, name)
        except InputError:  # a cluster's runs may stand in an experiment of another name
            runs = list(_runs(client, [one.experiment_id for one in client.search_experiments()]))
            parent_id, called = _found(runs, name)
        parent = client.get_run(parent_id)
    below = [_model(run) for run in runs if run.data.tags.get(_PARENT) == parent_id and _is_model(run)]
    labels = [model.label for model in below]
    # what a rerun records stands on a run that is called by the model and then by the rerun
    first = (model for model in below if not any(model.label.startswith(f"{label} ") for label in labels))
    return RecordedSweep(client, uri, called, parent_id, parent.data.tags.get(EXPERIMENT, ""), tuple(first))


def _runs(client: MlflowClient, experiments: list[str]) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs(experiments, page_token=token, max_results=1000)
        yield from page
        token = page.token
        if not token:
            return


def _found(runs: list[Run], name: str) -> tuple[str, str]:
    """The id of a sweep's parent run, and what the sweep is called; by its models where the parent is Kubeflow's."""
    sweeps: dict[str, str] = {}
    for run in runs:  # the latest first
        if _is_model(run):
            sweeps.setdefault(run.data.tags[_PARENT], run.data.tags.get(_RUN, ""))
    titles = {run.info.run_id: run.info.run_name for run in runs}
    known = {parent: {parent, called, titles.get(parent, "")} for parent, called in sweeps.items()}
    if name == "latest" and sweeps:
        parent = next(iter(sweeps))
        return parent, sweeps[parent]
    exact = [parent for parent, words in known.items() if name in words]
    near = exact or [parent for parent, words in known.items() if any(word.startswith(name) for word in words)]
    if len(near) != 1:
        some = ", ".join(sorted(sweeps.values())[:10]) or "none"
        raise InputError(f"run: expected one of {some} in MLflow, got {name!r}, which is {len(near) or 'none'} of them")
    return near[0], sweeps[near[0]]


def _is_model(run: Run) -> bool:
    return run.data.tags.get(_KIND) == "model" and _PARENT in run.data.tags


def _model(run: Run) -> RecordedModel:
    """A model by its run; its evaluation says where its artifact lies, also of a cached training."""
    tags = run.data.tags
    trained = (
        tags.get(f"defdistill.artifact.{stage}") for stage in ("train_student", "train_defended", "train_teacher")
    )
    places = (tags.get("defdistill.behind.model"), *trained)
    return RecordedModel(run.info.run_id, tags["defdistill.model"], next(filter(None, places), ""))
