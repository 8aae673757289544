"""A stage as a Kubeflow Pipelines component: what the few lines in the compiled pipeline call."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from defensive_distillation import artifacts
from defensive_distillation.config import StageConfig, stage_config
from defensive_distillation.errors import DefensiveDistillationError, first_line
from defensive_distillation.runtime.command import implementation
from defensive_distillation.runtime.progress import Progress, log_to_file
from defensive_distillation.runtime.stage import label_of
from defensive_distillation.tracking.mlflow_runs import tracker


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
    *,
    work: str = "",
    code: str = "",
    rerun: str = "",
) -> None:
    """Runs a stage inside a step; on failure prints one line and ends the step with the error's exit code.

    Args:
        stage: its name.
        settings: its configuration as plain values.
        inputs: Kubeflow's input artifacts by name, single or collected.
        output: Kubeflow's output artifact; its metadata tells what it is.
        work: folder or s3:// prefix for unfinished work; '' keeps it beside the output.
        code: the code digest that the pipeline was made for; '' takes any.
        rerun: name of a rerun, recorded beside the first run.
    """
    places = {
        name: [_place(artifact) for artifact in (found if isinstance(found, list) else [found])]
        for name, found in inputs.items()
    }
    progress = Progress(stage, "")
    try:
        config = stage_config(stage, settings)
        progress = Progress(stage, _label(config, places), config.part)
        log_to_file(progress.task)
        progress.started()
        module = implementation(stage)
        gc.freeze()  # what is imported stays: no more looks at it, least of all half a second's when the step ends
        artifact = module.run(
            config,
            **{name: found if name in config.reads_many else found[0] for name, found in places.items()},
            output=output.path,
            work=work or None,
            code=code,
            tracker=tracker(rerun=rerun),
        )
    except Exception as error:
        exit_code = getattr(error, "exit_code", 1)
        progress.failed(first_line(error), exit_code)
        if not isinstance(error, DefensiveDistillationError):
            traceback.print_exc()
        print(f"{progress.task}: {first_line(error)}", file=sys.stderr, flush=True)
        raise SystemExit(exit_code) from error
    output.metadata.update(
        {
            "kind": artifact.manifest.kind,
            "digest": artifact.digest,
            "code": artifact.manifest.code,
            "model": progress.label,
        }
    )


def _place(artifact: KfpArtifact) -> str:
    """Where the files are: Kubeflow has brought them, or they lie on S3 and this runner fetches nothing."""
    return artifact.path if Path(artifact.path).exists() else artifact.uri


def _label(config: StageConfig, places: Mapping[str, list[str]]) -> str:
    facts = {"model": [artifacts.read_manifest(places["model"][0]).facts]} if "model" in places else {}
    return label_of(config, facts)
