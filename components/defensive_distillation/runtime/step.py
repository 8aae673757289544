"""A stage as a step of a pipeline: what the few lines of a Kubeflow component call."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from defensive_distillation import artifacts
from defensive_distillation.config import StageConfig, stage_config
from defensive_distillation.errors import DefensiveDistillationError, first_line
from defensive_distillation.model_id import ModelId
from defensive_distillation.runtime.command import implementation
from defensive_distillation.runtime.progress import Progress, log_to_file
from defensive_distillation.tracking.connection import recorder


class Step(BaseModel):
    """What a step is told beside its settings.

    Attributes:
        work: folder or s3:// prefix for unfinished work; '' keeps it beside the output.
        code: the code digest that the pipeline was made for; '' takes any.
        rerun: name of a rerun, recorded beside the first run; '' for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    work: str = ""
    code: str = ""
    rerun: str = ""


class KfpArtifact(Protocol):
    """What is used of kfp.dsl.Artifact."""

    uri: str
    path: str
    metadata: dict[str, Any]


def run(
    stage: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, KfpArtifact | list[KfpArtifact]],
    output: KfpArtifact,
    step: Mapping[str, Any],
) -> None:
    """Runs a stage inside a step; on failure prints one line and ends the step with the error's exit code.

    Args:
        stage: its name.
        settings: its configuration as plain values.
        inputs: Kubeflow's input artifacts by name, single or collected.
        output: Kubeflow's output artifact; its metadata tells what it is.
        step: a `Step` as plain values.
    """
    places = {
        name: [_place(artifact) for artifact in given] if isinstance(given, list) else _place(given)
        for name, given in inputs.items()
    }
    progress = Progress(stage)
    try:
        told = Step.model_validate(step)
        config = stage_config(stage, settings)
        model = _model(config, places)
        progress = Progress(stage, model, config.part)
        log_to_file(progress.task)
        progress.started()
        module = implementation(stage)
        gc.freeze()  # what is imported stays: no more looks at it, least of all half a second's when the step ends
        artifact = module.run(
            config,
            output=output.path,
            work=told.work or None,
            code=told.code,
            recorder=recorder(rerun=told.rerun, location=output.uri),
            **places,
        )
    except Exception as error:
        exit_code = getattr(error, "exit_code", 1)
        progress.failed(first_line(error), exit_code, getattr(error, "artifact", ""))
        if not isinstance(error, DefensiveDistillationError):
            traceback.print_exc()
        print(f"{progress.task}: {first_line(error)}", file=sys.stderr, flush=True)
        raise SystemExit(exit_code) from error
    output.metadata.update(
        {
            "kind": artifact.manifest.kind,
            "digest": artifact.digest,
            "code": artifact.manifest.code,
            "model": model.label if model else "",
        }
    )


def _place(artifact: KfpArtifact) -> str:
    """Where the files are: Kubeflow has brought them, or they lie on S3 and this runner fetches nothing."""
    return artifact.path if Path(artifact.path).exists() else artifact.uri


def _model(config: StageConfig, places: Mapping[str, str | list[str]]) -> ModelId | None:
    """The network that the step works for, before anything else is read."""
    model = places.get("model")
    known = {"model": ModelId.of(artifacts.read_manifest(model).facts)} if isinstance(model, str) else {}
    return config.works_for(known)
