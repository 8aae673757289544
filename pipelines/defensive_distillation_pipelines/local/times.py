"""Where a run's processor time went, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from defensive_distillation.errors import InputError
from defensive_distillation.runtime.stopwatch import PHASES
from defensive_distillation.tracking.status import Status
from defensive_distillation_pipelines.local.execution import latest
from defensive_distillation_pipelines.local.run_folder import RunFolder


def times(run: RunFolder) -> str:
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
    return "\n".join(
        [
            _table(ended),
            "",
            f"CPU seconds of the {len(ended)} steps that the last start of {run.name} ran. Not computing: "
            f"{sum(apart.values()):.1f} of {total:.1f} s, {sum(apart.values()) / len(ended):.1f} s a step and "
            f"{apart[most]:.1f} s at most ({most}).",
        ]
    )


def _table(ended: Sequence[Status]) -> str:
    totals: dict[str, float] = {phase: sum(status.seconds[phase] for status in ended) for phase in PHASES}
    lines = [("step", *PHASES, "all")]
    lines += [(status.title, *_cells(status.seconds)) for status in ended]
    lines.append(("all steps", *_cells(totals)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = "  ".join("-" * width for width in widths)
    shown = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    return "\n".join([shown[0], rule, *shown[1:-1], rule, shown[-1]])


def _cells(seconds: Mapping[str, float]) -> list[str]:
    return [f"{value:.1f}" for value in (*(seconds[phase] for phase in PHASES), sum(seconds.values()))]
