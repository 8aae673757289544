"""How a run of the workspace stands: running, finished, failed or stopped; and which of its steps are done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Manifest
from defensive_distillation.config import stage_config
from defensive_distillation.errors import InputError
from defensive_distillation.model_id import ModelId
from defensive_distillation.tracking.status import Status, statuses
from defensive_distillation_pipelines.definitions.plan import PlannedStep
from defensive_distillation_pipelines.local.run_folder import RunFolder

State = Literal["running", "finished", "failed", "stopped"]
STYLES = {"running": "cyan", "finished": "green", "failed": "red", "stopped": "yellow"}


@dataclass(frozen=True)
class Step:
    """A step of the last start of a run.

    Attributes:
        title: for people.
        state: 'kept' of one whose result an earlier start has made, 'left' of one that has not begun.
        seconds: of a processor, None as long as it is not done.
        status: what it said last, None where it said nothing.
    """

    title: str
    state: Literal["done", "kept", "running", "stopped", "failed", "left"]
    seconds: float | None
    status: Status | None


def state(run: RunFolder) -> State:
    """How a run stands."""
    if run.running:
        return "running"
    if run.failure.exists() or _failed(run):
        return "failed"
    unended = any(status.state == "running" for status in statuses(run.progress).values())
    return "finished" if artifacts.exists(str(run.report)) and not unended else "stopped"


def failure(run: RunFolder) -> str:
    """Why its last start failed, '' where that is not known."""
    if run.failure.exists():
        return run.failure.read_text().strip()
    failed = _failed(run)
    return f"{failed.title}: {failed.message}; log: {failed.log}" if failed else ""


def steps(run: RunFolder) -> list[Step]:
    """The steps of its last start, in the order of the pipeline.

    Raises:
        InputError: if its plan cannot be read.
        ArtifactError: if what it found done is damaged.
    """
    now, said = state(run), {_key(status): status for status in statuses(run.progress).values()}
    planned, kept = {step.key: step for step in _plan(run)}, {_key_of(*made) for made in run.kept().items()}
    return [
        _step(said[key], now) if key in said else _silent(planned[key], kept=key in kept or now == "finished")
        for key in (planned or said)
    ]


def _silent(planned: PlannedStep, *, kept: bool) -> Step:
    """A step that said nothing: what it makes was there, or it has not begun."""
    title = Status(stage=planned.stage, model=planned.model, part=planned.part, state="running").title
    return Step(title, "kept" if kept else "left", None, None)


def _step(status: Status, now: State) -> Step:
    seconds = sum(status.seconds.values()) if status.seconds else None
    ended = "stopped" if status.state == "running" and now != "running" else status.state
    return Step(status.title, ended, seconds, status)


def _failed(run: RunFolder) -> Status | None:
    return next((status for status in statuses(run.progress).values() if status.state == "failed"), None)


def _key(status: Status) -> tuple[str, str, str]:
    return status.stage, status.label, status.part


def _key_of(place: str, made: Manifest) -> tuple[str, str, str]:
    """The key in the plan of the step that has made what lies there."""
    model = ModelId.of(made.facts, place)
    return made.stage, model.label if model else "", stage_config(made.stage, made.config).part


def _plan(run: RunFolder) -> list[PlannedStep]:
    if not run.plan.exists():
        return []
    try:
        return [PlannedStep.model_validate(step) for step in json.loads(run.plan.read_text())]
    except (OSError, ValueError, ValidationError) as error:
        raise InputError(f"{run.plan}: expected the steps of a run as JSON, got: {error}") from error
