"""One stage of a finished run again, and where that is asked for all that was made from what it made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Stored
from defensive_distillation.artifacts.facts import evaluation_of
from defensive_distillation.config import loading, stage_config
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.model_id import BASELINE
from defensive_distillation.runtime.kubeflow.again import as_before
from defensive_distillation_pipelines.display import tables
from defensive_distillation_pipelines.display.numbers import of_artifact
from defensive_distillation_pipelines.display.told import Told
from defensive_distillation_pipelines.local.execution import execute
from defensive_distillation_pipelines.local.process import Job
from defensive_distillation_pipelines.local.run_folder import RunFolder, existing_run
from defensive_distillation_pipelines.local.workspace import Workspace

Places = dict[str, tuple[str, ...]]  # of a stage's inputs, by its names
_OF_SWEEP = ("report", "gate")


@dataclass(frozen=True)
class Again:
    """A stage to run again: on what, and with which settings."""

    stage: str
    inputs: Places
    settings: Mapping[str, Any]


def rerun_stage(
    workspace: Workspace,
    stage: str,
    run_name: str,
    label: str | None,
    assignments: Sequence[str],
    *,
    and_after: bool = False,
    quiet: bool = False,
) -> Told:
    """Runs one stage of a finished run again, and tells what it found.

    Args:
        workspace: of the run.
        stage: its name.
        run_name: of the run, which stays as it was.
        label: of the network, None for the sweep as a whole.
        assignments: changed settings, KEY=VALUE.
        and_after: run all that was made from the stage's result, too, up to the report.
        quiet: no word of the progress.

    Raises:
        InputError: if there is no such run, stage, model or setting.
        StepFailedError: if a stage failed.
        TrackingError: if MLflow did not take what it records.
    """
    changes, shown = loading.stage_changes(stage, assignments)
    run, title = existing_run(workspace, run_name), f"rerun {stage}{shown}"
    inputs, values = _stored_inputs(run, stage, label)
    first = Again(stage, inputs, loading.merged(values, changes))
    made: list[Stored] = []

    def redo(again: Again) -> Stored:
        made.append(_made(run, again, title, quiet=quiet))
        return made[-1]

    network = label or BASELINE.label
    gone = _overtaken(run, first, network) if and_after else []
    with run.locked():
        result = redo(first)
        if and_after:
            _after(run, gone, result, network, redo)
    return _told(run, title, made)


def _overtaken(run: RunFolder, first: Again, label: str) -> list[Stored]:
    """What the result of a stage stands for in all that comes after it: of attacks those that are run again.

    Raises:
        ConfigurationError: if nothing comes after it, or a step of several attacks would be repeated in part.
    """
    if first.stage in _OF_SWEEP:
        raise ConfigurationError(f"--and-after: expected a stage that others come after, got {first.stage}")
    of_stage = run.lineage(label)[first.stage]
    if first.stage != "attack":
        return of_stage
    chosen = set(stage_config("attack", first.settings).attacks)
    had = [(one, set(one.manifest.config["attacks"])) for one in of_stage]
    for one, attacks in had:
        if attacks & chosen and not attacks <= chosen:
            raise ConfigurationError(
                f"--and-after: expected all of {', '.join(one.manifest.config['attacks'])} again, which were one step, "
                f"or none of them, got {', '.join(sorted(chosen))}"
            )
    return [one for one, attacks in had if attacks <= chosen]


def _after(run: RunFolder, gone: Sequence[Stored], made: Stored, label: str, redo: Callable[[Again], Stored]) -> None:
    """Runs all that was made from `gone`, with `made` in its place; an evaluation takes further attacks, too.

    Args:
        run: the earlier run.
        gone: what `made` stands for.
        made: by the stage that was run again.
        label: of its network.
        redo: runs a stage.
    """
    before = run.made(str(run.report))
    places = {one.digest: one.location for one in before} | {one.digest: made.location for one in gone}
    again = {one.digest for one in gone}
    for one in before:
        more = made.manifest.stage == "attack" and one.manifest.stage == "evaluate" and one.label == label
        if one.digest in again or not (more or again.intersection(chain(*one.manifest.inputs.values()))):
            continue
        inputs = {
            name: tuple(dict.fromkeys(places[digest] for digest in digests))
            for name, digests in one.manifest.inputs.items()
        }
        if more:
            inputs["attacks"] = tuple(dict.fromkeys((*inputs["attacks"], made.location)))
        again.add(one.digest)
        places[one.digest] = redo(Again(one.manifest.stage, inputs, one.manifest.config)).location


def _made(run: RunFolder, again: Again, title: str, *, quiet: bool) -> Stored:
    """Runs one stage; its artifact."""
    config, place = stage_config(again.stage, again.settings), run.again
    place.clear()
    settings = config.model_dump(mode="json", exclude_none=True)
    rerun = {"stage": again.stage, "inputs": again.inputs, "settings": settings, "name": title}
    root = str(run.workspace.root.absolute())
    job = Job(workspace=root, plan=str(place.plan), kept=str(place.kept_places), rerun=rerun)
    status = next(iter(execute(place, job, quiet=quiet).values()))
    return artifacts.stored(status.artifact)


def _told(run: RunFolder, title: str, made: Sequence[Stored]) -> Told:
    last = made[-1]
    where = [f"{title}: {last.location}"]
    if last.manifest.kind == "report":
        where.append(f"report:  {last.location}/report.html")
    where.append(f"recorded in MLflow beside {run.name}, which is as it was")
    found = of_artifact(last)
    result, numbers = found.result, dict(found.document)
    if last.manifest.kind == "report":
        evaluations = [evaluation_of(one.location, one.manifest.facts) for one in _behind(run, last)]
        result, numbers = tables.of_sweep(evaluations), {**numbers, **tables.as_document(evaluations)}
    document = {"run": run.name, "rerun": title, **numbers, "made": [one.location for one in made]}
    return Told(result, document, where)


def _behind(run: RunFolder, report: Stored) -> list[Stored]:
    """The evaluations that a report was made from, in the order of its table."""
    made = run.made(report.location)
    return [one for one in made if one.digest in report.manifest.inputs["evaluations"]]


def _stored_inputs(run: RunFolder, stage: str, label: str | None) -> tuple[Places, dict[str, Any]]:
    """Where the artifacts lie that the stage read in the earlier run, and the settings that it had."""
    if stage in _OF_SWEEP:
        inputs = {"evaluations": tuple(stored.location for stored in run.evaluations())}
        if stage == "gate":
            inputs["report"] = (str(run.report),)
        return inputs, run.config().settings(stage)
    if label is None and stage != "prepare_data":
        raise ConfigurationError(f"--model: expected the model whose {stage} is run again, got none")
    lineage = run.lineage(label or BASELINE.label)
    if stage not in lineage:
        raise ConfigurationError(f"stage: expected one of {', '.join(lineage)} for {label}, got {stage!r}")
    by_digest = {stored.digest: stored.location for several in lineage.values() for stored in several}
    surrogate = None
    if stage == "attack" and "import_model" not in lineage:
        surrogate = run.lineage(BASELINE.label)["train_teacher"][0].location
    return as_before(lineage[stage], by_digest, surrogate)
