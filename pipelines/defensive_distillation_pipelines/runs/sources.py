"""A finished run by what people call it: one of the workspace, or one that stands in MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Artifact
from defensive_distillation.errors import ArtifactError
from defensive_distillation.tracking.connection import tracking_uri
from defensive_distillation.tracking.sweeps import RecordedModel, RecordedSweep, recorded_sweep
from defensive_distillation_pipelines.local.run_folder import LATEST, RunFolder, existing_run
from defensive_distillation_pipelines.local.workspace import Workspace


@dataclass(frozen=True)
class LocalRun:
    """A run of the workspace."""

    folder: RunFolder

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.name

    @property
    def experiment(self) -> str:
        """Name of the experiment in its settings."""
        return self.folder.config().name

    @contextmanager
    def evaluations(self) -> Iterator[list[Artifact]]:
        """The evaluations of its models.

        Raises:
            InputError: if it is not finished.
        """
        with ExitStack() as stack:
            places = [stored.location for stored in self.folder.evaluations()]
            yield [stack.enter_context(artifacts.opened(place, "evaluation")) for place in places]

    def recorded(self) -> RecordedSweep:
        """The same run in MLflow."""
        return recorded_sweep(self.folder.workspace.tracking_uri, self.name)

    def locate(self, model: RecordedModel, digest: str) -> str:
        """Where a model's artifact lies."""
        stored = self.folder.workspace.stored()
        if digest not in stored:
            raise ArtifactError(
                f"run {self.name}: the model {model.label} is no longer in {self.folder.workspace.store}"
            )
        return stored[digest].location


@dataclass(frozen=True)
class RemoteRun:
    """A run that stands in MLflow alone, as those of a cluster do."""

    sweep: RecordedSweep

    @property
    def name(self) -> str:
        """What it is called."""
        return self.sweep.name

    @property
    def experiment(self) -> str:
        """Name of the experiment in its settings, '' where that was not recorded."""
        return self.sweep.experiment

    @contextmanager
    def evaluations(self) -> Iterator[list[Artifact]]:
        """The evaluations of its models."""
        with self.sweep.evaluations() as found:
            yield found

    def recorded(self) -> RecordedSweep:
        """The run itself."""
        return self.sweep

    def locate(self, model: RecordedModel, digest: str) -> str:
        """Where a model's artifact lies."""
        if not model.place:
            raise ArtifactError(
                f"run {self.name}: expected a tag in MLflow that says where {model.label} lies, got none"
            )
        return model.place


Run = LocalRun | RemoteRun


def named_run(workspace: Workspace, name: str) -> Run:
    """The run called `name`: a name or its beginning, 'latest', or the id of a run of Kubeflow's or MLflow's.

    Runs of the workspace come first; then those of the server that MLFLOW_TRACKING_URI names.

    Raises:
        InputError: if there is none, or several.
        TrackingError: if the server does not answer.
    """
    uri = tracking_uri()
    runs = workspace.runs()
    if not uri or (name == LATEST and runs) or any(run.startswith(name) for run in runs):
        return LocalRun(existing_run(workspace, name))
    return RemoteRun(recorded_sweep(uri, name))
