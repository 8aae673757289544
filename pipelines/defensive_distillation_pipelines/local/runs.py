"""What the commands run, rerun and report do on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation.config import ExperimentConfig, loading, stage_config
from defensive_distillation.errors import ConfigurationError, InputError
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.runtime.kubeflow.again import as_before
from defensive_distillation_pipelines.display import tables
from defensive_distillation_pipelines.local.execution import execute
from defensive_distillation_pipelines.local.process import Job
from defensive_distillation_pipelines.local.run_folder import RunFolder, default_name, existing_run, plain
from defensive_distillation_pipelines.local.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import RenderableType

    from defensive_distillation_pipelines.local.containers import Containers

MAX_NAME = 100  # of a run, in characters
_REPORT = ("report", "", "")


def run_sweep(
    workspace: Workspace,
    config: ExperimentConfig,
    name: str | None,
    program: str,
    containers: Containers | None = None,
) -> list[RenderableType]:
    """Runs the sweep, or what of it is not finished, and returns the table and where to look next.

    Args:
        workspace: where the run leaves what it makes.
        config: the settings.
        name: of the run; one made from the settings without it.
        program: the command as it was called.
        containers: that each step runs in; None: each runs in a process.

    Raises:
        InputError: if another process is at work on the run, or its name belongs to other settings.
        StepFailedError: if a step failed.
        TrackingError: if MLflow did not take the results.
    """
    workspace.create()
    run = RunFolder(workspace, default_name(config) if name is None else _checked_name(name))
    with run.locked():
        run.begin(config)
        job = Job(
            workspace=str(workspace.root.absolute()),
            plan=str(run.plan),
            experiment=plain(config),
            containers=containers and containers.model_dump(),
        )
        finished = execute(
            run, job, lambda statuses: [stored.location for stored in run.made(statuses[_REPORT].artifact)]
        )
        _publish(Path(finished[_REPORT].artifact), run.report)
    return _summary(run, program)


def rerun_stage(workspace: Workspace, stage: str, run_name: str, label: str | None, assignments: Sequence[str]) -> str:
    """Runs one stage of a finished run again, and returns where its result lies.

    Raises:
        InputError: if there is no such run, stage, model or setting.
        StepFailedError: if the stage failed.
        TrackingError: if MLflow did not take what it records.
    """
    changes, shown = loading.stage_changes(stage, assignments)
    run = existing_run(workspace, run_name)
    inputs, values = _stored_inputs(run, stage, label)
    values, title = loading.merged(values, changes), f"rerun {stage}{shown}"
    config = stage_config(stage, values)
    with run.locked():
        shutil.rmtree(run.progress, ignore_errors=True)
        run.progress.mkdir(parents=True)
        settings = config.model_dump(mode="json", exclude_none=True)
        rerun = {"stage": stage, "inputs": inputs, "settings": settings, "name": title}
        finished = execute(run, Job(workspace=str(workspace.root.absolute()), plan=str(run.plan), rerun=rerun))
    status = next(iter(finished.values()))
    return f"{title}: {status.artifact}\nrecorded in MLflow beside {run.name}, which is as it was"


def show_report(workspace: Workspace, run_name: str, output: str | None) -> list[RenderableType]:
    """The table of a finished run; its report is written again by the code of today."""
    from defensive_distillation.stages import report

    run = existing_run(workspace, run_name)
    config = stage_config("report", run.config().settings("report"))
    evaluations = [stored.location for stored in run.evaluations()]
    fresh = run.path / ".report"
    shutil.rmtree(fresh, ignore_errors=True)
    report.run(config, evaluations=evaluations, output=str(fresh))
    _publish(fresh, run.report)
    shutil.rmtree(fresh)
    if output is not None:
        try:
            shutil.copytree(run.report, output, dirs_exist_ok=True)
        except OSError as error:
            raise InputError(f"--output: expected a folder that can be written, got {output}: {error}") from error
    return _summary(run, "defdistill")


def _checked_name(name: str) -> str:
    plain_name = name.replace("-", "").replace("_", "").replace(".", "").isalnum() and name[0] not in ".-"
    if not plain_name or len(name) > MAX_NAME:
        raise InputError(f"--run: expected up to {MAX_NAME} letters, digits, '-', '_' and '.', got {name!r}")
    return name


def _stored_inputs(run: RunFolder, stage: str, label: str | None) -> tuple[dict[str, tuple[str, ...]], dict[str, Any]]:
    """Where the artifacts lie that the stage read in the earlier run, and the settings that it had."""
    if stage in ("report", "gate"):
        inputs = {"evaluations": tuple(stored.location for stored in run.evaluations())}
        if stage == "gate":
            inputs["report"] = (str(run.report),)
        return inputs, run.config().settings(stage)
    if label is None and stage != "prepare_data":
        raise ConfigurationError(f"--model: expected the model whose {stage} is run again, got none")
    lineage = run.lineage(label or "baseline")
    if stage not in lineage:
        raise ConfigurationError(f"stage: expected one of {', '.join(lineage)} for {label}, got {stage!r}")
    by_digest = {stored.digest: stored.location for several in lineage.values() for stored in several}
    surrogate = None
    if stage == "attack" and "import_model" not in lineage:
        surrogate = run.lineage("baseline")["train_teacher"][0].location
    return as_before(lineage[stage], by_digest, surrogate)


def _publish(report: Path, place: Path) -> None:
    """Puts a report where people look for it, in one step."""
    beside = place.with_name(f".{place.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(report, beside)
    shutil.rmtree(place, ignore_errors=True)
    beside.rename(place)


def _summary(run: RunFolder, program: str) -> list[RenderableType]:
    evaluations = [Evaluation.model_validate(stored.manifest.facts["evaluation"]) for stored in run.evaluations()]
    workspace = run.workspace.root
    option = "" if str(workspace) == "workspace" else f" --workspace {workspace}"
    where = [
        f"run:     {run.name}",
        f"report:  {_near(run.report)}/report.html",
        f"MLflow:  {program} ui{option}",
    ]
    return [*tables.of_sweep(evaluations), *where]


def _near(path: Path) -> Path:
    """The path as short as it can be said from here."""
    here = Path.cwd()
    return path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path.absolute()
