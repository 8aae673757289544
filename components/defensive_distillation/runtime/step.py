"""A stage as a step of a pipeline: what the few lines of a Kubeflow component call."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from defensive_distillation import artifacts
from defensive_distillation.config import StageConfig, stage_config
from defensive_distillation.errors import ArtifactError, DefensiveDistillationError, TrackingError, first_line
from defensive_distillation.model_id import ModelId
from defensive_distillation.runtime import unfinished
from defensive_distillation.runtime.command import implementation
from defensive_distillation.runtime.failure import ended
from defensive_distillation.runtime.kubeflow.artifact import inputs_of, origin
from defensive_distillation.runtime.progress import Progress, log_to_file
from defensive_distillation.tracking import Recorder
from defensive_distillation.tracking.connection import recorder

_MADE_FROM = "made_from"  # where the artifacts lie that an evaluation was made from: a step that is cached has no log


class Step(BaseModel):
    """What a step is told beside its settings.

    Attributes:
        work: folder or s3:// prefix for unfinished work; 'auto' is a place in the store of the step's artifact; ''
            keeps it beside the output.
        code: the code digest that the pipeline was made for; '' takes any.
        rerun: name of a rerun, recorded beside the first run; '' for none.
        beside: name of that first run, '' where it is this one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    work: str = ""
    code: str = ""
    rerun: str = ""
    beside: str = ""


class KfpArtifact(Protocol):
    """What is used of kfp.dsl.Artifact."""

    @property
    def uri(self) -> str:
        """Where others find it."""

    @property
    def path(self) -> str:
        """Where it lies for this step."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What Kubeflow keeps of it."""


Inputs = Mapping[str, KfpArtifact | Sequence[KfpArtifact]]


def run(
    stage: str,
    settings: Mapping[str, Any],
    inputs: Inputs,
    output: KfpArtifact,
    step: Mapping[str, Any],
) -> None:
    """Runs a stage inside a step; a failure is also told to MLflow, and ends the process (failure.py).

    Args:
        stage: its name.
        settings: its configuration as plain values.
        inputs: Kubeflow's input artifacts by name, single or collected.
        output: Kubeflow's output artifact; the metadata of an evaluation tells what it was made from.
        step: a `Step` as plain values.
    """
    progress, model, told, told_of = Progress(stage), None, Step(), None
    try:
        told = Step.model_validate(step)
        places = {
            name: [_place(artifact) for artifact in given] if isinstance(given, Sequence) else _place(given)
            for name, given in inputs.items()
        }
        config = stage_config(stage, settings)
        model = _model(config, places)
        progress = Progress(stage, model, config.part)
        log_to_file(progress.task)
        progress.started()
        module = implementation(stage)
        gc.freeze()  # what is imported stays: no more looks at it, least of all half a second's when the step ends
        told_of = _recorder(told, inputs, output)
        module.run(
            config,
            output=output.path,
            work=unfinished.place(told.work, output.uri),
            code=told.code,
            recorder=told_of,
            **places,
        )
        if told_of is not None:
            _record_evaluations(told_of, inputs)
    except Exception as error:
        with contextlib.suppress(DefensiveDistillationError):  # it may be what cannot be written
            progress.failed(first_line(error), getattr(error, "exit_code", 1), getattr(error, "artifact", ""))
        if not isinstance(error, TrackingError):
            with contextlib.suppress(DefensiveDistillationError):  # what failed first is what matters
                told_of = told_of or _recorder(told, inputs, output)
                if told_of is not None:
                    told_of.failed(model, f"{progress.task}: {first_line(error)}")
        raise ended(progress.task, error) from error
    if config.writes == "evaluation":  # all else stands in the artifact's manifest
        output.metadata[_MADE_FROM] = origin(_uris(inputs), output.uri)


def _recorder(told: Step, inputs: Inputs, output: KfpArtifact) -> Recorder | None:
    return recorder(rerun=told.rerun, beside=told.beside, locations=_locations(inputs, output))


def _record_evaluations(told_of: Recorder, inputs: Inputs) -> None:
    """Records the evaluations that the step has read: where Kubeflow's cache held one, nobody else does in this run."""
    for artifact in [artifact for given in inputs.values() for artifact in _several(given)]:
        if _MADE_FROM in artifact.metadata:
            with artifacts.opened(_place(artifact), "evaluation") as evaluation:
                told_of.record(evaluation, inputs_of(artifact.metadata[_MADE_FROM], artifact.uri))


def _several(given: KfpArtifact | Sequence[KfpArtifact]) -> Sequence[KfpArtifact]:
    return given if isinstance(given, Sequence) else [given]


def _uris(inputs: Inputs) -> dict[str, list[str]]:
    return {name: [artifact.uri for artifact in _several(given)] for name, given in inputs.items()}


def _locations(inputs: Inputs, output: KfpArtifact) -> dict[str, str]:
    """Where others find the artifacts, by where they lie here."""
    return {artifact.path: artifact.uri for given in (*inputs.values(), output) for artifact in _several(given)}


def _place(artifact: KfpArtifact) -> str:
    """Where the files are: Kubeflow has brought them, or they lie on S3 and this runner fetches nothing.

    Raises:
        ArtifactError: if Kubeflow has brought nothing and nothing lies there.
    """
    if Path(artifact.path).exists():
        return artifact.path
    if not _lies_at(artifact.uri):
        raise ArtifactError(
            f"{artifact.uri}: expected the artifact of an earlier step, found nothing: Kubeflow's cache still names "
            "what was deleted; submit again with --no-cache"
        )
    return artifact.uri


def _lies_at(uri: str) -> bool:
    try:
        return artifacts.exists(uri)
    except DefensiveDistillationError:
        return False  # this process has no way to that store


def _model(config: StageConfig, places: Mapping[str, str | list[str]]) -> ModelId | None:
    """The network that the step works for, before anything else is read."""
    known = {}
    for name in ("model", "attacks"):
        given = places.get(name)
        if given:
            first = given if isinstance(given, str) else given[0]
            known[name] = ModelId.of(artifacts.read_manifest(first).facts, first)
    return config.works_for(known)
