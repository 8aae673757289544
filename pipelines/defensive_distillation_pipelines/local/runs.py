"""What the commands run, rerun and report do on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from defensive_distillation.config import STAGES, ExperimentConfig, stage_config
from defensive_distillation.config import loading as settings
from defensive_distillation.errors import ConfigurationError, InputError
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.runtime.stage import control_label, model_label
from defensive_distillation_pipelines.local import watch
from defensive_distillation_pipelines.local.process import Job
from defensive_distillation_pipelines.local.workspace import RunFolder, Workspace, default_name, plain

MAX_NAME = 100  # of a run, in characters


def run_sweep(workspace: Workspace, config: ExperimentConfig, name: str | None, program: str) -> str:
    """Runs the sweep, or what of it is not finished, and returns the table and where to look next.

    Raises:
        InputError: if another process is at work on the run, or its name belongs to other settings.
        StepFailedError: if a step failed.
        TrackingError: if MLflow did not take what the steps record.
    """
    workspace.create()
    run = workspace.run(default_name(config) if name is None else _checked_name(name))
    with run.locked():
        run.begin(config)
        job = Job(workspace=str(workspace.root.absolute()), experiment=plain(config))
        statuses = watch.execute(run, job, watch.tasks(config))
        _publish(Path(statuses["report"].artifact), run.report)
    return _summary(run, program)


def rerun_stage(
    workspace: Workspace, stage: str, run_name: str, temperature: str | None, assignments: Sequence[str]
) -> str:
    """Runs one stage of a finished run again, and returns where its result lies.

    Raises:
        InputError: if there is no such run, stage, model or setting.
        StepFailedError: if the stage failed.
        TrackingError: if MLflow did not take what it records.
    """
    if stage not in STAGES:
        raise ConfigurationError(f"stage: expected one of {', '.join(STAGES)}, got {stage!r}")
    run = workspace.existing_run(run_name)
    inputs, values = _stored_inputs(run, stage, temperature)
    changes = dict(_assignment(stage, assignment) for assignment in assignments)
    if "temperature" in changes:
        raise ConfigurationError("--set temperature: expected --temperature, which names the model of the earlier run")
    config = stage_config(stage, {**values, **changes})
    title = " ".join([f"rerun {stage}", *(f"{key}={_shown(changes[key])}" for key in sorted(changes))])
    with run.locked():
        shutil.rmtree(run.progress, ignore_errors=True)
        run.progress.mkdir(parents=True)
        rerun = {
            "stage": stage,
            "inputs": inputs,
            "settings": config.model_dump(mode="json", exclude_none=True),
            "name": title,
        }
        job = Job(workspace=str(workspace.root.absolute()), rerun=rerun)
        label = _label(stage, temperature)
        statuses = watch.execute(run, job, [(stage, label, config.part)])
    status = next(iter(statuses.values()))
    return f"{title}: {status.artifact}\nrecorded in MLflow beside {run.name}, which is as it was"


def show_report(workspace: Workspace, run_name: str, output: str | None) -> str:
    """The table of a finished run; its report is written again by the code of today."""
    from defensive_distillation.config import ReportConfig
    from defensive_distillation.stages import report

    run = workspace.existing_run(run_name)
    evaluations = [stored.location for stored in run.evaluations()]
    fresh = run.path / ".report"
    shutil.rmtree(fresh, ignore_errors=True)
    config = stage_config("report", run.config().settings("report"))
    assert isinstance(config, ReportConfig)
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
    plain_name = name.replace("-", "").replace("_", "").replace(".", "").isalnum() and not name.startswith(".")
    if not plain_name or len(name) > MAX_NAME:
        raise InputError(f"--run: expected up to {MAX_NAME} letters, digits, '-', '_' and '.', got {name!r}")
    return name


def _label(stage: str, temperature: str | None) -> str:
    if stage in ("prepare_data", "report"):
        return ""
    if temperature is None:
        raise ConfigurationError(f"--temperature: expected the model whose {stage} is run again, got none")
    if temperature == "baseline":
        return temperature
    kind, _, number = temperature.rpartition(":")
    try:
        if kind not in ("", "control"):
            raise ValueError(kind)
        value = float(number)
    except ValueError as error:
        raise ConfigurationError(
            f"--temperature: expected a number, 'control:' and a number, or 'baseline', got {temperature!r}"
        ) from error
    return control_label(value) if kind else model_label(distilled=True, temperature=value)


def _stored_inputs(run: RunFolder, stage: str, temperature: str | None) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Where the artifacts lie that the stage read in the earlier run, and the settings that it had."""
    label = _label(stage, temperature)
    if stage == "report":
        return _evaluations(run), run.config().settings("report")
    lineage = run.lineage(label or "baseline")
    if stage not in lineage:
        raise ConfigurationError(f"stage: expected one of {', '.join(lineage)} for {label}, got {stage!r}")
    # of several tasks of attack the paper's, unless --set attacks=… names others
    chosen = next((s for s in lineage[stage] if "jsma" in s.manifest.config.get("attacks", ())), lineage[stage][0])
    by_digest = {stored.digest: stored.location for several in lineage.values() for stored in several}
    places = {
        name: [by_digest[digest] for digest in digests]
        for name, digests in chosen.manifest.inputs.items()
        if name != "surrogate"
    }
    values = dict(chosen.manifest.config)
    if stage == "attack":
        places["surrogate"] = [run.lineage("baseline")["train_teacher"][0].location]
        values |= {"shards": 1, "shard": 0}  # one task for all samples, unless --set says otherwise
    return places, values


def _evaluations(run: RunFolder) -> dict[str, list[str]]:
    """Where the evaluations of a run lie, by the names that the component report has for them."""
    places: dict[str, list[str]] = {"baseline": [], "evaluations": [], "controls": []}
    for stored in run.evaluations():
        found = stored.manifest.facts["evaluation"]
        kind = "controls" if found["control"] else "evaluations" if found["distilled"] else "baseline"
        places[kind].append(stored.location)
    return places


def _shown(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _assignment(stage: str, assignment: str) -> tuple[str, Any]:
    key, equals, value = assignment.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"--set: expected KEY=VALUE, got {assignment!r}")
    return key, settings.parse(value, STAGES[stage].model_fields.get(key))


def _publish(report: Path, place: Path) -> None:
    """Puts a report where people look for it, in one step."""
    beside = place.with_name(f".{place.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(report, beside)
    shutil.rmtree(place, ignore_errors=True)
    beside.rename(place)


def _summary(run: RunFolder, program: str) -> str:
    from defensive_distillation.reporting.table import rows, to_text

    found = [Evaluation.model_validate(stored.manifest.facts["evaluation"]) for stored in run.evaluations()]
    workspace = run.workspace.root
    option = "" if str(workspace) == "workspace" else f" --workspace {workspace}"
    lines = [
        "",
        to_text(rows(found)),
        "",
        f"run:     {run.name}",
        f"report:  {_near(run.report)}/report.html",
        f"MLflow:  {program} ui{option}",
    ]
    return "\n".join(lines)


def _near(path: Path) -> Path:
    """The path as short as it can be said from here."""
    here = Path.cwd()
    return path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path.absolute()
