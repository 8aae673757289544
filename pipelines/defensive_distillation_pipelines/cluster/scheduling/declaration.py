"""Recurring runs as wishes: declared again, the same wish changes nothing, another one replaces what is there.

Each schedule has a pipeline of its own, so that what it takes, the newest version, is what was scheduled last and not
what somebody happened to submit. A new version needs no replacement: the next run takes it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from defensive_distillation.errors import ClusterError, InputError
from defensive_distillation_pipelines.cluster.runs import Runs
from defensive_distillation_pipelines.cluster.scheduling import recurring
from defensive_distillation_pipelines.cluster.scheduling.recurring import Recurring

_LOOK = 5.0  # seconds between two looks at a run that is waited for


@dataclass(frozen=True)
class Wish:
    """What a schedule is to be.

    Attributes:
        name: what people call it.
        cron: six fields.
        pipeline_id: of the schedule's own pipeline.
        experiment_id: that its runs belong to.
        parameters: of the pipeline, over its defaults.
        pipeline_root: where artifacts go, if not where the namespace says.
        service_account: that its pods run as, if not Kubeflow's default.
    """

    name: str
    cron: str
    pipeline_id: str
    experiment_id: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pipeline_root: str | None = None
    service_account: str | None = None

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that tell this wish from others."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def body(self) -> dict[str, Any]:
        """What the API is asked for: one run at a time, none made up for later, and the newest version."""
        settings: dict[str, Any] = {"parameters": dict(self.parameters)}
        if self.pipeline_root:
            settings["pipeline_root"] = self.pipeline_root
        body = {
            "display_name": self.name,
            "description": recurring.mark(self.digest),
            "experiment_id": self.experiment_id,
            "pipeline_version_reference": {"pipeline_id": self.pipeline_id},
            "mode": "DISABLE",  # until the earlier one is gone
            "max_concurrency": "1",
            "no_catchup": True,
            "trigger": {"cron_schedule": {"cron": self.cron}},
            "runtime_config": settings,
        }
        return body | ({"service_account": self.service_account} if self.service_account else {})


def declare(runs: Runs, wish: Wish, *, patience: float, say: Callable[[str], None]) -> str:
    """Makes the schedule what is wished, and says what was done in a line.

    The new one is made before the earlier ones are touched, so that a wish that Kubeflow refuses changes nothing, and
    enabled when they are gone. Interrupted anywhere, the same call goes on.

    Raises:
        InputError: if somebody else's recurring run has this name.
        ClusterError: if Kubeflow refuses, or a run of the earlier one is still going after `patience` seconds.
    """
    there = named(runs, wish.name)
    same = [one for one in there if one.wish == wish.digest]
    earlier = [one for one in there if one.wish != wish.digest] + same[1:]
    if same and not earlier:
        paused = "" if same[0].enabled else f", but paused: --resume {wish.name} lets it go on"
        return f"{wish.name}: as wished already{paused}"
    new = same[0] if same else recurring.create(runs, wish.body())
    remove(runs, earlier, patience=patience, say=say)
    recurring.enable(runs, new)
    return f"{wish.name}: {'replaced' if earlier else 'scheduled'}"


def remove(runs: Runs, several: list[Recurring], *, patience: float, say: Callable[[str], None]) -> None:
    """Disables recurring runs, waits for the runs that they have started, and deletes them.

    Raises:
        ClusterError: if a run is still going after `patience` seconds; what is disabled stays so.
    """
    for one in several:
        if one.enabled:
            recurring.disable(runs, one)
    for one in several:
        _wait(runs, one, patience, say)
        recurring.delete(runs, one)


def delete(runs: Runs, name: str, *, patience: float | None, say: Callable[[str], None]) -> str:
    """Deletes a schedule, after the run that it has started, or with it where `patience` is None."""
    there = named(runs, name)
    if not there:
        return f"{name}: there is no such schedule"
    if patience is None:
        for one in there:
            recurring.delete(runs, one)
    else:
        remove(runs, there, patience=patience, say=say)
    return f"{name}: deleted"


def pause(runs: Runs, name: str) -> str:
    """Lets a schedule start no more runs."""
    for one in _known(runs, name):
        recurring.disable(runs, one)
    return f"{name}: paused; a run that is going goes on"


def resume(runs: Runs, name: str) -> str:
    """Lets a schedule start runs again; what was missed is not made up for."""
    for one in _known(runs, name):
        recurring.enable(runs, one)
    return f"{name}: resumed"


def ours(runs: Runs) -> list[Recurring]:
    """All schedules that were declared here, by name."""
    return sorted((one for one in recurring.listed(runs) if one.wish), key=lambda one: one.name)


def named(runs: Runs, name: str) -> list[Recurring]:
    """The schedules of this name: one, or two while one is being replaced.

    Raises:
        InputError: if one is not ours.
    """
    found = [one for one in recurring.listed(runs) if one.name == name]
    if any(not one.wish for one in found):
        raise InputError(f"{name}: expected a name of our own, but a recurring run of this name was made elsewhere")
    return found


def _known(runs: Runs, name: str) -> list[Recurring]:
    found = named(runs, name)
    if not found:
        names = ", ".join(one.name for one in ours(runs)) or "none"
        raise InputError(f"{name}: expected the name of a schedule, of which there are: {names}")
    return found


def _wait(runs: Runs, one: Recurring, patience: float, say: Callable[[str], None]) -> None:
    """Waits until no run of it is going: deleting it would delete the run's workflow."""
    end = time.monotonic() + patience
    told = ""
    while several := recurring.going(runs, one):
        if time.monotonic() >= end:
            raise ClusterError(
                f"{one.name}: its run {several[0].title} is still going after {patience:g} s; the schedule is paused, "
                "and the same command goes on when the run has ended"
            )
        if several[0].id != told:
            told = several[0].id
            say(f"{one.name}: waiting for its run {several[0].title}")
        time.sleep(min(_LOOK, max(end - time.monotonic(), 0.1)))
