"""A finished run by what people call it: one of the workspace, or one that stands in MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Artifact
from defensive_distillation.errors import ArtifactError, InputError
from defensive_distillation.tracking.connection import tracking_uri
from defensive_distillation.tracking.sweeps import RecordedModel, RecordedSweep, recorded_sweep
from defensive_distillation_pipelines.local.run_folder import RunFolder, existing_run
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
    runs = workspace.runs()
    if name in runs or (name == "latest" and runs):
        return LocalRun(existing_run(workspace, name))
    near = [run for run in runs if run.startswith(name)]
    if len(near) > 1:
        raise InputError(f"run: expected the beginning of one run, got {name!r}, of {', '.join(near)}")
    if near:
        return LocalRun(RunFolder(workspace, near[0]))
    uri = tracking_uri()
    if not uri:
        existing_run(workspace, name)  # says which there are
    assert uri
    return RemoteRun(recorded_sweep(uri, name))
