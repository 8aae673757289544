"""report: the sweep as table, figures and one page that begins with what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from defensive_distillation.artifacts.facts import evaluation_of
from defensive_distillation.config import ReportConfig
from defensive_distillation.errors import ArtifactError
from defensive_distillation.evaluation.results import Evaluation, in_order
from defensive_distillation.model_id import ModelId
from defensive_distillation.provenance import here_and_now
from defensive_distillation.reporting import write_report
from defensive_distillation.reporting.pictures import examples, grids
from defensive_distillation.reporting.words import title
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.runtime.stopwatch import phase


def _compute(task: Task[ReportConfig]) -> Result:
    evaluations, made = _evaluations(task), here_and_now()
    artifacts = {
        ModelId.required(artifact.facts, artifact.location).label: artifact for artifact in task.inputs["evaluations"]
    }
    samples = {name: grids(artifact) for name, artifact in artifacts.items()}
    sheets = {name: sheet for name, artifact in artifacts.items() if (sheet := examples(artifact)) is not None}

    def write_files(folder: Path) -> None:
        with phase("computing"):
            write_report(
                evaluations,
                samples,
                examples=sheets,
                title=task.config.title or title(evaluations),
                made=replace(made, code=f"{made.code} ({STAGE.code})", configuration=task.config.configuration),
                folder=folder,
            )

    return Result({"models": [evaluation.name for evaluation in evaluations]}, write_files)


def _evaluations(task: Task[ReportConfig]) -> list[Evaluation]:
    evaluations = [evaluation_of(artifact.location, artifact.facts) for artifact in task.inputs["evaluations"]]
    names = [evaluation.name for evaluation in evaluations]
    if len(set(names)) != len(names):
        raise ArtifactError(f"evaluations: expected one for each model, got {', '.join(sorted(names))}")
    datasets = {evaluation.dataset.digest for evaluation in evaluations}
    if len(datasets) > 1:
        raise ArtifactError(f"evaluations: expected all on one dataset, got {len(datasets)} datasets")
    return in_order(evaluations)


STAGE = Stage(ReportConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("report")
