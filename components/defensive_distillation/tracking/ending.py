"""The end of a sweep on a cluster: its name, and the state of runs that would say RUNNING for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defensive_distillation.tracking.client import reported
from defensive_distillation.tracking.mlflow_runs import REASON, Run
from defensive_distillation.tracking.status import FINISHED

if TYPE_CHECKING:
    from defensive_distillation.tracking.run_tree import RunTree


def close(tree: RunTree, *, name: str, state: str, unexplained: str) -> str:
    """Names the sweep's run and ends what is still open below it; why it failed, or ''.

    Args:
        tree: the runs of the sweep.
        name: of the pipeline run, as people know it.
        state: FINISHED, FAILED or KILLED.
        unexplained: the reason of a failure where no step has given one.

    Raises:
        TrackingError: if MLflow did not take it.
    """
    with reported(tree.uri):
        runs = [tree.client.get_run(tree.parent_id), *tree.children()]
    # the report finishes the sweep's own run, which a later step may fail; a network's is finished by its evaluation
    failed = [run for run in runs if run is runs[0] or run.info.status != FINISHED]
    given = [run.data.tags[REASON] for run in failed if REASON in run.data.tags]
    why = "" if state == FINISHED else "; ".join(given) or unexplained
    for run in runs[1:]:
        if run.info.status == "RUNNING":
            _end(Run(tree.client, run.info.run_id, tree.uri), state, why)
    tree.parent.tags({"mlflow.runName": name})
    _end(tree.parent, state, why)
    return why


def _end(run: Run, state: str, why: str) -> None:
    if why:
        run.tags({REASON: why})
    run.ended(state)
