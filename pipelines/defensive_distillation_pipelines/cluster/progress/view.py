"""What is seen of a run at one moment, whatever it was read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from defensive_distillation.tracking.status import Status
from defensive_distillation_pipelines.cluster.progress.nodes import Path
from defensive_distillation_pipelines.definitions.plan import PlannedStep
from defensive_distillation_pipelines.display.estimate import Key

Amount = tuple[int, int, str]  # what is done, of how much, of what
_NOTHING: Amount = (0, 0, "")
_AROUND = ("exit-handler-", "onExit")  # levels that say nothing of a task
# kept: Kubeflow took the result of an equal earlier step; waiting: for a place to run
State = Literal["done", "kept", "running", "waiting", "failed"]


@dataclass(frozen=True)
class Trouble:
    """A step that cannot go on.

    Attributes:
        path: the step's, or that of a loop.
        driver: whether it is Kubeflow's own pod before the step.
        kind: waits, as long as nothing changes; has failed for good; or may be tried again by itself.
        reason: why, in a line; '' where only the end of its log tells.
        node: the id that its log is found by.
    """

    path: Path
    driver: bool
    kind: Literal["waits", "failed", "again"]
    reason: str
    node: str = ""


@dataclass(frozen=True)
class View:
    """The states of all steps that have begun, by path, and what is in their way."""

    source: str
    states: Mapping[Path, State] = field(default_factory=dict)
    troubles: Sequence[Trouble] = ()
    message: str = ""  # of the run as a whole
    amounts: Mapping[Path, Amount] = field(default_factory=dict)  # of running steps


class Titles:
    """Steps as people call them: stage, model and attacks where the plan is known, else the tasks' own names."""

    def __init__(self, steps: Sequence[PlannedStep]) -> None:
        self._steps = {step.path: step for step in steps}

    def of(self, trouble: Trouble) -> str:
        """Whose trouble it is."""
        title = self.title(trouble.path) or "the pipeline"
        return f"the driver of {title}" if trouble.driver else title

    def words(self, trouble: Trouble, reason: str) -> str:
        """The reason without the step's name, which the step puts before it."""
        return reason.removeprefix(f"{self._status(trouble.path, 'failed').task}: ")

    def title(self, path: Path) -> str:
        """The step's name."""
        return self._status(path, "waiting").title

    def succeeded(self, view: View) -> View:
        """What is known of a run that has succeeded, also where the source did not follow it to the end."""
        states: dict[Path, State] = dict.fromkeys(self._steps, "done")
        kept: dict[Path, State] = {path: state for path, state in view.states.items() if state == "kept"}
        return replace(view, states={**view.states, **states, **kept})

    def waiting(self, view: View) -> set[Key]:
        """The steps that wait for a place to run."""
        return {_key(self._status(path, state)) for path, state in view.states.items() if state == "waiting"}

    def statuses(self, view: View) -> dict[Key, Status]:
        """The steps that run or have ended, as a board shows them; those that were kept are left out."""
        told = (
            self._status(path, state, view.amounts.get(path, _NOTHING))
            for path, state in view.states.items()
            if state not in ("waiting", "kept")
        )
        return {_key(status): status for status in told}

    def _status(self, path: Path, state: State, amount: Amount = _NOTHING) -> Status:
        shown: Literal["running", "done", "failed"] = state if state in ("done", "failed") else "running"
        step = self._steps.get(path)
        if step is None:
            own = [name for name in path if not name.startswith(_AROUND)]
            return Status(stage=" ".join(own), state=shown)
        done, total, unit = amount if shown == "running" else _NOTHING
        return Status(
            stage=step.stage, model=step.model, part=step.part, state=shown, done=done, total=total, unit=unit
        )


def _key(status: Status) -> Key:
    return status.stage, status.label, status.part
