"""Ends in MLflow what a run on a cluster has left open, where the run's own last step could not.

That step is started however the others ended, but Argo fails it while its pod is pending if the run was stopped and the
controller has a retry policy: it takes the pod for one of the steps (operator.go,
failNodesWithoutCreatedPodsAfterDeadlineOrShutdown, v4.0.8).
"""

from __future__ import annotations

import time

from defensive_distillation.errors import DefensiveDistillationError, InputError, first_line
from defensive_distillation.tracking.connection import tree
from defensive_distillation.tracking.status import FAILED, KILLED, STOPPED
from defensive_distillation_pipelines.cluster import watching
from defensive_distillation_pipelines.cluster.runs import Run, Runs

_PATIENCE = 120  # seconds for a run to end that was asked to


def ended(runs: Runs, run: Run) -> Run:
    """The run once it has ended, or as it is when it takes too long."""
    deadline = time.monotonic() + _PATIENCE
    while run.outcome is None and time.monotonic() < deadline:
        time.sleep(watching.POLL)
        run = runs.get(run.id)
    return run


def close(run: Run, why: str) -> str:
    """Ends the runs in MLflow that a failed or cancelled run has left open; what was done, '' for nothing.

    Args:
        run: as it ended.
        why: it failed, where none of its steps has given a reason.
    """
    if run.outcome not in ("failed", "cancelled"):
        return ""
    state = KILLED if run.outcome == "cancelled" else FAILED
    try:
        sweep = tree(beside=run.id)
        if sweep is None or sweep.parent.is_closed():
            return ""
        from defensive_distillation.tracking.ending import close as close_runs

        close_runs(sweep, name=run.name, state=state, unexplained=STOPPED if state == KILLED else why)
    except InputError:
        return ""  # it had recorded nothing
    except DefensiveDistillationError as error:
        return f"MLflow:  may call the run RUNNING still: {first_line(error)}"
    return f"MLflow:  its runs there had no end, and are {state} now"
