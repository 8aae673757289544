"""report: the sweep as table, figures and one page that begins with what was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from defensive_distillation import __version__
from defensive_distillation.artifacts import Artifact
from defensive_distillation.config import ReportConfig
from defensive_distillation.errors import ArtifactError
from defensive_distillation.evaluation.results import Evaluation, in_order
from defensive_distillation.reporting import write_report
from defensive_distillation.reporting.parallel import on_all_cores
from defensive_distillation.reporting.pictures import examples, grids, pictures
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.runtime.stopwatch import phase
from defensive_distillation.tracking.recording import Recorder
from defensive_distillation.tracking.records import record_evaluation


def run(
    config: ReportConfig,
    *,
    evaluations: Sequence[str],
    output: str,
    work: str | None = None,
    code: str = "",
    tracker: Recorder | None = None,
) -> Artifact:
    """Writes the report on `evaluations` to `output`; see `Stage.run`."""
    return STAGE.run(config, {"evaluations": list(evaluations)}, output, work=work, code=code, tracker=tracker)


def _evaluations(task: Task[ReportConfig]) -> list[Evaluation]:
    found = [Evaluation.model_validate(artifact.facts["evaluation"]) for artifact in task.inputs["evaluations"]]
    names = [evaluation.name for evaluation in found]
    if len(set(names)) != len(names):
        raise ArtifactError(f"evaluations: expected one for each model, got {', '.join(sorted(names))}")
    datasets = {evaluation.dataset.digest for evaluation in found}
    if len(datasets) > 1:
        raise ArtifactError(f"evaluations: expected all on one dataset, got {len(datasets)} datasets")
    return in_order(found)


def _compute(task: Task[ReportConfig]) -> Result:
    evaluations = _evaluations(task)
    artifacts = {artifact.facts["evaluation"]["name"]: artifact for artifact in task.inputs["evaluations"]}
    samples = {name: grids(artifact) for name, artifact in artifacts.items()}
    sheets = {name: found for name, artifact in artifacts.items() if (found := examples(artifact)) is not None}

    def write_files(folder: Path) -> None:
        with phase("computing"):
            write_report(
                evaluations,
                samples,
                examples=sheets,
                title=task.config.title,
                code_version=f"{__version__} ({STAGE.code})",
                folder=folder,
            )

    return Result({"models": [evaluation.name for evaluation in evaluations]}, write_files)


def _record(task: Task[ReportConfig], artifact: Artifact) -> None:
    """Records the report on the sweep's run, each model's samples on its own, and the models of an earlier run."""
    assert task.tracker is not None
    if not task.tracker.rerun:
        evaluations = {artifact.facts["evaluation"]["name"]: artifact for artifact in task.inputs["evaluations"]}
        with phase("computing"):
            samples = dict(zip(evaluations, on_all_cores(pictures, list(evaluations.values())), strict=True))
        for evaluation in _evaluations(task):
            run = task.tracker.model_run(evaluation.name)
            record_evaluation(run, evaluation)
            run.files(samples[evaluation.name])
            run.ended()
    sweep = task.tracker.sweep_run()
    sweep.params({"models": ", ".join(artifact.facts["models"])})
    sweep.folder(artifact.folder, "report")
    sweep.ended()


STAGE = Stage(ReportConfig, _compute, _record)

if __name__ == "__main__":
    main("report")
