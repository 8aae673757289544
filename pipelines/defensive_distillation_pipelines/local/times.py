"""Where a run's processor time went, step by step."""

from __future__ import annotations

from defensive_distillation.errors import InputError
from defensive_distillation_pipelines.display import tables
from defensive_distillation_pipelines.display.told import Told
from defensive_distillation_pipelines.local.execution import latest
from defensive_distillation_pipelines.local.run_folder import RunFolder


def times(run: RunFolder) -> Told:
    """A table of CPU seconds: the steps of the run's last start, in the order in which they ended, by phase.

    Raises:
        InputError: if no step has ended.
    """
    ended = [status for status in latest(run).values() if status.seconds]
    if not ended:
        raise InputError(f"run: expected one with a step that has ended, got {run.name}; see {run.kubeflow_log}")
    apart = {status.task: sum(status.seconds.values()) - status.seconds["computing"] for status in ended}
    most = max(apart, key=apart.__getitem__)
    total = sum(sum(status.seconds.values()) for status in ended)
    sentence = (
        f"CPU seconds of the {len(ended)} steps that the last start of {run.name} ran. Not computing: "
        f"{sum(apart.values()):.1f} of {total:.1f} s, {sum(apart.values()) / len(ended):.1f} s a step and "
        f"{apart[most]:.1f} s at most ({most})."
    )
    steps = [
        {"stage": one.stage, "model": one.label or None, "part": one.part or None, "cpu_seconds": one.seconds}
        for one in ended
    ]
    return Told([tables.of_times(ended), "", sentence], {"run": run.name, "steps": steps})
